#include "orchestrator/device.h"

#include "server/handlers.h"

static void write_device(struct writer *writer, const struct device *device)
{
    writer_object(writer, NULL);
    writer_text(writer, "name", device->name);
    writer_text(writer, "description", device->description);
    writer_text(writer, "backend", device->backend);
    writer_text(writer, "kind", device_kind_name(device->kind));
    writer_uint(writer, "free_bytes", device->free_bytes);
    writer_uint(writer, "total_bytes", device->total_bytes);
    writer_end(writer);
}

bool handle_devices(struct http_request *request, struct err *err)
{
    struct device_list list;
    const struct wait wait = {.cancel = request->request.cancel, .until = request->request.until};
    if (!registry_devices(runtime_registry(request->runtime), &wait, &list, err))
        return false;
    struct writer writer;
    writer_begin(&writer, &request->answer.body);
    writer_object(&writer, NULL);
    writer_text(&writer, "object", "list");
    writer_bool(&writer, "mocked", list.mocked);
    writer_array(&writer, "data");
    for (size_t i = 0; i < list.count; i++)
        write_device(&writer, &list.devices[i]);
    writer_end(&writer);
    writer_end(&writer);
    return true;
}
