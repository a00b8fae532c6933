/* forecast.h - how much memory a load would take, found out without loading.
 *
 * Purpose: a dry run. libllama opens the model without its weights and makes the very context that the load would make,
 *   without its buffers; what it would have allocated it says in its log, device by device. What it leaves out is
 *   added: the weights, from the file's table of tensors, and which of them ggml would store a second time in another
 *   order for this CPU (forecast_weights.c asks ggml's buffer types); the worker's own memory, by measuring.
 *   Speech models and the house embedder, which libllama does not read, are computed from what their files say.
 * Owner:   the parts lie in the caller's arena. Threads: one at a time, in a process without a model.
 * Fails:   as model_open(); ERR_UNSUPPORTED where the dry run does not say what is needed (the caller then uses the
 *   rule for what cannot be looked into).
 */
#ifndef JARVIS_ENGINE_FORECAST_H
#define JARVIS_ENGINE_FORECAST_H

#include <gguf.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "engine/backend.h"
#include "engine/measure.h"
#include "ipc/protocol.h"

bool forecast_file(struct backend *backend, struct measure *measure, const struct msg_load *load,
                   struct arena *arena, struct msg_forecast *ret, struct err *err);

/* --- parts being collected; private to forecast*.c and their tests --- */

enum { FORECAST_DEVICE = 32 };

struct forecast_parts {
    struct {
        enum memory_part part;
        char device[FORECAST_DEVICE];
        uint64_t bytes;
    } items[MSG_PARTS_MAX];
    uint32_t count;
};

/* Adds to the part of that device. What does not fit into the table any more goes to the last item. */
void forecast_add(struct forecast_parts *parts, enum memory_part part, const char *device,
                  uint64_t bytes);

/* --- forecast_log.c --- */

enum { FORECAST_LAYERS_MAX = 4096 };

/* What libllama said in a dry run. */
struct forecast_log {
    struct forecast_parts parts; /* CACHE and COMPUTE, by device */
    char (*layer_device)
        [FORECAST_DEVICE]; /* of each layer's weights, FORECAST_LAYERS_MAX of them; "" unknown */
    char (*cache_device)[FORECAST_DEVICE]; /* of the layers of the cache that is being described */
    uint32_t cache_layers;
    uint32_t
        embeddings; /* how often the token embeddings were taken: twice when they are the output as well */
    bool has_compute;
    bool has_cache;
};

bool forecast_log_init(struct forecast_log *log, struct err *err);
void forecast_log_free(struct forecast_log *log);

/* A backend_listener; `user` is the struct. */
void forecast_log_line(void *user, const char *line);

/* --- forecast_weights.c --- */

/* Adds the weights of the file at `path`: WEIGHTS for what stays mapped, REPACKED for copies and for what lies on
 * devices; and to COMPUTE what ggml's CPU code needs to turn `batch` rows into the type it multiplies in. */
bool forecast_weights(const char *path, const struct forecast_log *log, bool on_gpu, uint32_t batch,
                      struct forecast_parts *parts, struct err *err);

/* --- forecast_speech.c --- */

/* `process`: bytes of the worker itself. */
bool forecast_speech(const char *path, uint64_t process, struct forecast_parts *parts,
                     struct err *err);

/* --- forecast_cache.c --- */

/* What a plain attention model says of the size of its cache. */
struct forecast_shape {
    uint32_t layers;
    uint32_t heads_kv;
    uint32_t key_length; /* of a head */
    uint32_t value_length;
    uint32_t window; /* tokens of the sliding window; 0: none */
    uint32_t
        window_every; /* each so many layers one looks at everything; 0: all layers have the window */
};

/* Reads it; false where the file does not say, or the model keeps something else (a state, latent vectors). */
bool forecast_shape_read(const struct gguf_context *gguf, struct forecast_shape *ret);

/* Bytes of the cache of `slots` sequences of `cells` tokens, `full`: layers with a window keep all tokens as well:
 * sum over layers of cells x (heads x key length x bytes of K + heads x value length x bytes of V). */
uint64_t forecast_cache_bytes(const struct forecast_shape *shape, uint32_t cells, uint32_t slots,
                              uint32_t batch, enum ggml_type type_k, enum ggml_type type_v,
                              bool full);

#endif
