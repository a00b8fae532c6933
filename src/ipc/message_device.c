/* Encoders and decoders of what concerns compute devices and threads, as in message.c. */
#include "ipc/protocol.h"
#include "ipc/wire.h"

enum { DEVICE_BYTES_MIN = 3 * 4 + 1 + 8 + 8 }; /* of a device whose texts are empty */

static void put_device(struct str *out, const struct msg_device *device)
{
    wire_put_text(out, device->name);
    wire_put_text(out, device->description);
    wire_put_text(out, device->backend);
    wire_put_u8(out, (uint8_t)device->kind);
    wire_put_u64(out, device->free_bytes);
    wire_put_u64(out, device->total_bytes);
}

static struct msg_device get_device(struct wire_reader *in, struct arena *arena)
{
    struct msg_device device = {.name = wire_get_text(in, arena)};
    device.description = wire_get_text(in, arena);
    device.backend = wire_get_text(in, arena);
    device.kind = (enum device_kind)wire_get_choice(in, DEVICE_KINDS);
    device.free_bytes = wire_get_u64(in);
    device.total_bytes = wire_get_u64(in);
    return device;
}

void msg_put_devices(struct str *out, const struct msg_devices *message)
{
    wire_put_u32(out, message->count);
    for (uint32_t i = 0; i < message->count; i++)
        put_device(out, &message->devices[i]);
}

bool msg_get_devices(const void *bytes, size_t length, struct arena *arena, struct msg_devices *ret,
                     struct err *err)
{
    struct wire_reader in;
    wire_reader_init(&in, bytes, length);
    struct msg_devices message = {.count = wire_get_count(&in, DEVICE_BYTES_MIN, MSG_DEVICES_MAX)};
    struct msg_device *devices = arena_array(arena, message.count, sizeof(*devices));
    if (!devices)
        in.failed = true;
    for (uint32_t i = 0; i < message.count && !in.failed; i++)
        devices[i] = get_device(&in, arena);
    message.devices = devices;
    if (!wire_done(&in, "DEVICES_FOUND", err))
        return false;
    *ret = message;
    return true;
}

void msg_put_threads(struct str *out, const struct msg_threads *message)
{
    wire_put_u32(out, message->threads);
}

bool msg_get_threads(const void *bytes, size_t length, struct arena *arena, struct msg_threads *ret,
                     struct err *err)
{
    (void)arena;
    struct wire_reader in;
    wire_reader_init(&in, bytes, length);
    struct msg_threads message = {.threads = wire_get_u32(&in)};
    if (message.threads == 0)
        in.failed = true;
    if (!wire_done(&in, "THREADS", err))
        return false;
    *ret = message;
    return true;
}
