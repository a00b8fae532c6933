/* device.h - the compute devices of this process: which there are, and which of them a model goes to.
 *
 * Purpose: everything that ggml's back ends bring (the CPU, GPUs through Vulkan, CUDA or HIP, GPUs of other hosts
 *   through RPC), by the names that ggml gives them.
 * Owner:   lists live in the caller's arena; devices are ggml's and live as long as the process.
 * Threads: the model thread's. Fails: ERR_CONFIG for a device that is not there, ERR_UNAVAILABLE for a host that does
 *   not answer.
 */
#ifndef JARVIS_ENGINE_DEVICE_H
#define JARVIS_ENGINE_DEVICE_H

#include <ggml-backend.h>

#include "base/arena.h"
#include "engine/backend.h"
#include "ipc/protocol.h"

enum { DEVICE_CHOSEN_MAX = 16 };

/* The devices of one model, in the order in which layers are put on them. */
struct device_choice {
    ggml_backend_dev_t devices[DEVICE_CHOSEN_MAX + 1]; /* NULL ends them */
    float shares[DEVICE_CHOSEN_MAX + 1];               /* of the layers; all 0: by free memory */
    size_t count;
};

/* Makes the devices of hosts that run ggml-rpc-server known, "10.0.0.2:50052,…"; "": nothing happens. The connection
 * is tried first: ggml ends the process when a host is not there. */
bool device_add_hosts(const char *hosts, struct err *err);

/* All devices, with their memory now. */
bool device_list(struct arena *arena, struct msg_devices *ret, struct err *err);

/* Reads "Vulkan0:3,Vulkan1:1" (msg_load.devices). */
bool device_choose(const char *wanted, struct device_choice *ret, struct err *err);

/* Bytes that are free on the devices chosen, or on every GPU when `choice` has none. */
uint64_t device_free_bytes(const struct device_choice *choice);

#endif
