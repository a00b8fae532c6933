/* device.h - the compute devices that models can go to: those of this machine, or others in their place.
 *
 * Purpose: the service never loads ggml, so it asks a worker which devices there are. The setting "devices" (in the
 *   environment JARVIS_DEVICES) names others instead, "gpu0:16384MiB,gpu1:8192MiB": whatever decides about placement
 *   can be tried on a machine without a GPU.
 * Owner:   lists are the caller's values. Threads: any. Fails: ERR_CONFIG for a setting that is no list of devices; as
 *   a worker does.
 */
#ifndef JARVIS_ORCHESTRATOR_DEVICE_H
#define JARVIS_ORCHESTRATOR_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "ipc/protocol.h"
#include "orchestrator/registry.h"

enum { DEVICES_MAX = 16, DEVICE_NAME_MAX = 64, DEVICE_TEXT_MAX = 128 };

struct device {
    char name[DEVICE_NAME_MAX]; /* "CPU" "Vulkan0" "CUDA1"; of a mock as it was written */
    char description[DEVICE_TEXT_MAX];
    char backend[DEVICE_NAME_MAX]; /* "CPU" "Vulkan" …; "mock" */
    enum device_kind kind;
    uint64_t free_bytes;
    uint64_t total_bytes;
};

struct device_list {
    struct device devices[DEVICES_MAX];
    size_t count;
    bool mocked;
};

/* "cpu" "gpu" "integrated" "accelerator". */
const char *device_kind_name(enum device_kind kind);

/* Reads "NAME:SIZE,NAME:SIZE": sizes in MiB or GiB. Mocks are GPUs, but for one that is called cpu. "": an empty list. */
bool device_list_parse(const char *text, struct device_list *ret, struct err *err);

/* The devices now: the mocks of the configuration, or what a worker that is started for it finds. */
bool registry_devices(struct registry *registry, const struct wait *wait, struct device_list *ret,
                      struct err *err);

/* The GPU with the most memory; NULL when the list has none. */
const struct device *device_list_gpu(const struct device_list *list);

/* How `bytes` (weights, caches) of a model of `layers` layers are spread over the GPUs of the list: onto one that has
 * room for all if there is one, the smallest such, else over several in proportion to their free memory, the roomiest
 * first; what no GPU has room for stays with the CPU. Pure. */
struct device_placement {
    size_t count;           /* of GPUs used */
    size_t at[DEVICES_MAX]; /* positions in the list */
    uint64_t bytes[DEVICES_MAX];
    uint64_t cpu_bytes;
    int32_t gpu_layers; /* of `layers` + 1: the output counts as one */
};
void device_place(const struct device_list *list, uint64_t bytes, uint32_t layers,
                  struct device_placement *ret);

/* The placement as msg_load.devices has it: "Vulkan0:3000,Vulkan1:1000" (shares in MiB); "" when no GPU is used. */
bool device_placement_put(const struct device_list *list, const struct device_placement *placement,
                          struct str *out, struct err *err);

#endif
