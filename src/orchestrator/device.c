#include "orchestrator/device.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"

enum { ITEM_MAX = 128 };

const char *device_kind_name(enum device_kind kind)
{
    switch (kind) {
    case DEVICE_CPU: return "cpu";
    case DEVICE_GPU: return "gpu";
    case DEVICE_INTEGRATED: return "integrated";
    default: return "accelerator";
    }
}

/* ---------------------------------------------------------------- mocks */

static bool bad_item(const char *item, struct err *err)
{
    return err_set_param(err, ERR_CONFIG, "devices",
                         "\"%s\" is no device with its memory; write for example "
                         "gpu0:16384MiB,gpu1:8GiB",
                         item);
}

/* "gpu0:16384MiB" */
static bool parse_item(const char *item, struct device *ret, struct err *err)
{
    const char *colon = strchr(item, ':');
    size_t length = colon ? (size_t)(colon - item) : 0;
    if (length == 0 || length >= DEVICE_NAME_MAX || !isdigit((unsigned char)colon[1]))
        return bad_item(item, err);
    char *unit;
    unsigned long long size = strtoull(colon + 1, &unit, 10);
    unsigned shift = strcasecmp(unit, "MiB") == 0 ? 20 : strcasecmp(unit, "GiB") == 0 ? 30 : 0;
    if (shift == 0 || size == 0 || size > (UINT64_MAX >> 1 >> shift))
        return bad_item(item, err);
    struct device device = {.backend = "mock", .description = "mock", .kind = DEVICE_GPU};
    memcpy(device.name, item, length);
    if (strcasecmp(device.name, "cpu") == 0)
        device.kind = DEVICE_CPU;
    device.free_bytes = device.total_bytes = size << shift;
    *ret = device;
    return true;
}

static bool is_named(const struct device_list *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->devices[i].name, name) == 0)
            return true;
    return false;
}

bool device_list_parse(const char *text, struct device_list *ret, struct err *err)
{
    struct device_list list = {.mocked = true};
    for (const char *at = text; *at;) {
        char item[ITEM_MAX];
        size_t length = strcspn(at, ", ");
        if (length >= sizeof(item))
            return bad_item(at, err);
        snprintf(item, sizeof(item), "%.*s", (int)length, at);
        at += length + (at[length] != '\0');
        if (length == 0)
            continue;
        if (list.count == DEVICES_MAX)
            return err_set_param(err, ERR_CONFIG, "devices", "there are more than %d devices",
                                 DEVICES_MAX);
        if (!parse_item(item, &list.devices[list.count], err))
            return false;
        if (is_named(&list, list.devices[list.count].name))
            return bad_item(item, err);
        list.count++;
    }
    list.mocked = list.count > 0;
    *ret = list;
    return true;
}

/* ---------------------------------------------------------------- choosing */

const struct device *device_list_gpu(const struct device_list *list)
{
    const struct device *best = NULL;
    for (size_t i = 0; i < list->count; i++) {
        const struct device *device = &list->devices[i];
        if (device->kind == DEVICE_GPU && (!best || device->total_bytes > best->total_bytes))
            best = device;
    }
    return best;
}

/* ---------------------------------------------------------------- placement */

/* Positions of the GPUs, the one with the most free memory first. */
static size_t sort_gpus(const struct device_list *list, size_t out[DEVICES_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < list->count; i++) {
        if (list->devices[i].kind != DEVICE_GPU)
            continue;
        size_t at = count++;
        while (at > 0 && list->devices[out[at - 1]].free_bytes < list->devices[i].free_bytes) {
            out[at] = out[at - 1];
            at--;
        }
        out[at] = i;
    }
    return count;
}

void device_place(const struct device_list *list, uint64_t bytes, uint32_t layers,
                  struct device_placement *ret)
{
    size_t gpus[DEVICES_MAX];
    size_t count = sort_gpus(list, gpus);
    struct device_placement placement = {.cpu_bytes = bytes};
    /* The smallest that has room for all: the larger ones stay free for larger models. */
    for (size_t i = count; i-- > 0;) {
        if (list->devices[gpus[i]].free_bytes >= bytes) {
            placement = (struct device_placement){.count = 1, .at = {gpus[i]}, .bytes = {bytes}};
            break;
        }
    }
    for (size_t i = 0; i < count && placement.cpu_bytes > 0; i++) {
        uint64_t room = list->devices[gpus[i]].free_bytes;
        uint64_t part = room < placement.cpu_bytes ? room : placement.cpu_bytes;
        if (part == 0)
            continue;
        placement.at[placement.count] = gpus[i];
        placement.bytes[placement.count++] = part;
        placement.cpu_bytes -= part;
    }
    double share = bytes > 0 ? (double)(bytes - placement.cpu_bytes) / (double)bytes : 0;
    placement.gpu_layers = placement.count > 0 ? (int32_t)(share * (layers + 1.0)) : 0;
    *ret = placement;
}

bool device_placement_put(const struct device_list *list, const struct device_placement *placement,
                          struct str *out, struct err *err)
{
    for (size_t i = 0; i < placement->count; i++)
        str_printf(out, "%s%s:%lu", i > 0 ? "," : "", list->devices[placement->at[i]].name,
                   (placement->bytes[i] >> 20) + 1);
    return str_check(out, "the placement", err);
}
