/* device_find.c - asking a worker which devices there are; device.c has what needs no worker. */
#include <stdio.h>

#include "orchestrator/device.h"
#include "orchestrator/internal.h"

enum { DEVICES_ARENA = 1 << 20 };

static void take_devices(const struct msg_devices *found, struct device_list *ret)
{
    *ret = (struct device_list){0};
    for (uint32_t i = 0; i < found->count && ret->count < DEVICES_MAX; i++) {
        const struct msg_device *from = &found->devices[i];
        struct device *to = &ret->devices[ret->count++];
        snprintf(to->name, sizeof(to->name), "%s", from->name);
        snprintf(to->description, sizeof(to->description), "%s", from->description);
        snprintf(to->backend, sizeof(to->backend), "%s", from->backend);
        to->kind = from->kind;
        to->free_bytes = from->free_bytes;
        to->total_bytes = from->total_bytes;
    }
}

/* Asks a worker, which is ended: what a driver has opened for it is nothing that a model should find. */
static bool ask_worker(struct registry *registry, const struct wait *wait, struct device_list *ret,
                       struct err *err)
{
    struct worker *worker;
    if (!keeper_take_worker(registry, wait, &worker, err))
        return false;
    struct str payload;
    struct frame frame;
    str_init(&payload, FRAME_PAYLOAD_MAX);
    msg_put_path(&payload, registry->rpc_hosts);
    bool ok = worker_ask(worker, FRAME_DEVICES, &payload, FRAME_DEVICES_FOUND, "devices", wait,
                         &frame, err);
    str_free(&payload);
    worker_kill(worker);
    worker_free(worker, deadline_in_ms(0));
    if (!ok)
        return false;
    struct arena arena;
    struct msg_devices found;
    arena_init(&arena, DEVICES_ARENA);
    ok = msg_get_devices(frame.payload, frame.length, &arena, &found, err);
    if (ok)
        take_devices(&found, ret);
    arena_free(&arena);
    frame_free(&frame);
    return ok;
}

bool registry_devices(struct registry *registry, const struct wait *wait, struct device_list *ret,
                      struct err *err)
{
    struct device_list mocks;
    if (!device_list_parse(registry->devices, &mocks, err))
        return false;
    if (!mocks.mocked)
        return ask_worker(registry, wait, ret, err);
    *ret = mocks;
    return true;
}
