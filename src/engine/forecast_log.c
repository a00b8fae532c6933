/* Reads libllama's log of a dry run. The lines that matter, as libllama 0.7 writes them:
 *
 *     load_tensors: layer   3 assigned to device CPU, is_swa = 0
 *     create_tensor: loading tensor token_embd.weight
 *     llama_context:        CPU  output buffer size =     0.24 MiB
 *     llama_kv_cache: layer   0: dev = CPU
 *     llama_kv_cache: size =   64.00 MiB (  4096 cells,   8 layers,  2/2 seqs), K (f16): …
 *     llama_memory_recurrent: size =    1.50 MiB (     1 cells,  24 layers,  1 seqs), R (f32): …
 *     sched_reserve:        CPU compute buffer size =    30.52 MiB
 *
 * ("CPU KV buffer size" is 0 in a dry run: the buffer does not exist. The line with "size =" adds up the tensors.)
 * Where another version writes other words, has_compute stays false and the forecast says that it does not know. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/forecast.h"

#define MIB 1048576.0

bool forecast_log_init(struct forecast_log *log, struct err *err)
{
    *log = (struct forecast_log){0};
    log->layer_device = calloc(FORECAST_LAYERS_MAX, sizeof(*log->layer_device));
    log->cache_device = calloc(FORECAST_LAYERS_MAX, sizeof(*log->cache_device));
    if (log->layer_device && log->cache_device)
        return true;
    forecast_log_free(log);
    return err_no_memory(err);
}

void forecast_log_free(struct forecast_log *log)
{
    free(log->layer_device);
    free(log->cache_device);
    log->layer_device = log->cache_device = NULL;
}

void forecast_add(struct forecast_parts *parts, enum memory_part part, const char *device,
                  uint64_t bytes)
{
    if (bytes == 0)
        return;
    uint32_t i = 0;
    while (i < parts->count &&
           (parts->items[i].part != part || strcmp(parts->items[i].device, device) != 0))
        i++;
    if (i == parts->count) {
        if (i == MSG_PARTS_MAX) {
            parts->items[i - 1].bytes += bytes;
            return;
        }
        parts->items[i].part = part;
        snprintf(parts->items[i].device, sizeof(parts->items[i].device), "%s", device);
        parts->items[i].bytes = 0;
        parts->count++;
    }
    parts->items[i].bytes += bytes;
}

/* The buffer's name without what kind of buffer it is: pinned memory of a GPU's driver ("CUDA_Host") is the machine's. */
static void device_of_buffer(const char *name, char out[FORECAST_DEVICE])
{
    bool host = strncmp(name, "CPU", 3) == 0 || strstr(name, "_Host");
    snprintf(out, FORECAST_DEVICE, "%s", host ? "CPU" : name);
}

/* "llama_kv_cache: size = …": shares it out among the devices of the layers named since the last such line. */
static void add_cache(struct forecast_log *log, double mib)
{
    uint64_t bytes = (uint64_t)llround(mib * MIB);
    for (uint32_t i = 0; i < log->cache_layers; i++)
        forecast_add(&log->parts, PART_CACHE, log->cache_device[i], bytes / log->cache_layers);
    if (log->cache_layers == 0)
        forecast_add(&log->parts, PART_CACHE, "CPU", bytes);
    log->cache_layers = 0;
    log->has_cache = true;
}

static void hear_layer(struct forecast_log *log, const char *line)
{
    unsigned layer;
    char device[FORECAST_DEVICE];
    if (sscanf(line, "load_tensors: layer %u assigned to device %31[^,\n]", &layer, device) == 2) {
        if (layer < FORECAST_LAYERS_MAX)
            snprintf(log->layer_device[layer], FORECAST_DEVICE, "%s", device);
    } else if (sscanf(line, "%*[a-z_]: layer %u: dev = %31[^,\n]", &layer, device) == 2 &&
               log->cache_layers < FORECAST_LAYERS_MAX) {
        snprintf(log->cache_device[log->cache_layers++], FORECAST_DEVICE, "%s", device);
    }
}

static bool ends_with_tensor(const char *line, const char *name)
{
    static const char before[] = "create_tensor: loading tensor ";
    size_t length = strlen(name);
    return strncmp(line, before, sizeof(before) - 1) == 0 &&
           strncmp(line + sizeof(before) - 1, name, length) == 0 &&
           strcspn(line + sizeof(before) - 1, "\n") == length;
}

void forecast_log_line(void *user, const char *line)
{
    struct forecast_log *log = user;
    char name[FORECAST_DEVICE], device[FORECAST_DEVICE];
    double mib;
    if (sscanf(line, "sched_reserve: %31s compute buffer size = %lf MiB", name, &mib) == 2) {
        device_of_buffer(name, device);
        forecast_add(&log->parts, PART_COMPUTE, device, (uint64_t)llround(mib * MIB));
        log->has_compute = true;
    } else if (sscanf(line, "llama_context: %31s output buffer size = %lf MiB", name, &mib) == 2) {
        device_of_buffer(name, device);
        forecast_add(&log->parts, PART_COMPUTE, device, (uint64_t)llround(mib * MIB));
    } else if (sscanf(line, "llama_kv_cache: size = %lf MiB", &mib) == 1 ||
               sscanf(line, "llama_memory_recurrent: size = %lf MiB", &mib) == 1) {
        add_cache(log, mib);
    } else if (ends_with_tensor(line, "token_embd.weight")) {
        log->embeddings++;
    } else if (strstr(line, ": layer ")) {
        hear_layer(log, line);
    }
}
