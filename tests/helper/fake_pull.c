/* The part of the fake assistant that pulls models: two reports of progress and a result, or an error by the source's
 * name. */
#include <string.h>

#include "assistant/pull.h"
#include "orchestrator/device.h"

void models_machine(struct runtime *runtime, struct request *request, struct catalogue_machine *ret)
{
    (void)runtime, (void)request;
    *ret = (struct catalogue_machine){.memory_bytes = 8ULL << 30, .cores = 4};
}

bool registry_devices(struct registry *registry, const struct wait *wait, struct device_list *ret,
                      struct err *err)
{
    (void)registry, (void)wait;
    return device_list_parse("gpu0:16384MiB", ret, err);
}

bool models_pull(struct runtime *runtime, struct request *request, const struct models_pull *pull,
                 struct models_pulled *ret, struct err *err)
{
    (void)runtime;
    if (strstr(pull->source, "missing"))
        return err_set(err, ERR_NOT_FOUND, "there is no \"%s\"", pull->source);
    for (uint64_t done = 50; done <= 100; done += 50)
        pull->progress(pull->user,
                       &(struct pull_progress){
                           .phase = "download", .file = "tiny.gguf", .done = done, .total = 100});
    if (strstr(pull->source, "broken"))
        return err_set(err, ERR_PROTOCOL, "\"%s\" is damaged", pull->source);
    *ret = (struct models_pulled){
        .name = arena_copy(request->arena, *pull->name ? pull->name : "tiny"),
        .role = ROLE_CHAT,
        .source = arena_copy(request->arena, pull->source),
        .added = true,
        .file = {.path = "/models/tiny.gguf", .files = 1, .bytes = 100, .quant = "Q8_0"}};
    return true;
}
