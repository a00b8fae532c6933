/* model.h - a GGUF file opened for one role.
 *
 * Purpose: what chat, embedding and reranking have in common: the file is checked, the role is checked against what
 *   the model is, the weights are loaded with progress and cancel, and contexts are made from it.
 * Owner:   model_close() frees what model_open() made; engines over it are closed before. The backend outlives it.
 * Threads: one at a time.
 * Fails:   ERR_NOT_FOUND, ERR_MODEL_INVALID (the file, or libllama's own words), ERR_UNSUPPORTED (wrong role),
 *          ERR_OUT_OF_MEMORY_BUDGET, ERR_CANCELLED.
 */
#ifndef JARVIS_ENGINE_MODEL_H
#define JARVIS_ENGINE_MODEL_H

#include <llama.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "engine/backend.h"
#include "engine/pulse.h"
#include "ipc/protocol.h"

enum {
    MODEL_CONTEXT_DEFAULT_MAX = 8192, /* when LOAD does not say */
    MODEL_CONTEXT_ENCODER_MAX =
        2048, /* the same for embedding and rerank: one batch holds a whole text */
    MODEL_CONTEXT_MIN = 8,
    MODEL_THREADS_MAX = 512, /* ggml's own limit */
    MODEL_DESCRIPTION_MAX = 128,
    MODEL_PATH_MAX = 4096,
};

struct model {
    struct backend *backend;
    struct llama_model *handle;
    const struct llama_vocab *vocab;
    char path[MODEL_PATH_MAX]; /* for messages */
    char description[MODEL_DESCRIPTION_MAX];
    enum model_role role;
    enum llama_pooling_type pooling; /* NONE for chat */
    enum kv_type kv_type;            /* of a chat model's cache */
    uint64_t file_bytes;
    uint64_t parameters;
    uint32_t layers;
    uint32_t train_context;
    uint32_t context_length; /* of one sequence, as it will be made */
    int32_t threads;
    bool on_gpu; /* some layers may be on one */
};

/* Called while the weights are read, 0..1 of a file of so many bytes; false ends the load. */
typedef bool model_progress(void *user, float fraction, uint64_t file_bytes);

/* `progress` may be NULL. Loads the back ends when that has not happened. */
bool model_open(struct backend *backend, const struct msg_load *load, model_progress *progress,
                void *user, struct model *ret, struct err *err);
void model_close(struct model *model);

/* The same without the weights: libllama reads the file's tables, plans, and takes next to no memory. Contexts can be
 * made from it, and cannot compute. */
bool model_open_dry(struct backend *backend, const struct msg_load *load, struct model *ret,
                    struct err *err);

enum ggml_type model_kv_type(enum kv_type type);

/* How many of a model's layers go to devices with so many free bytes: all, or in proportion to what is left when room
 * is kept for caches and buffers. */
int32_t model_layers_that_fit(uint64_t free_bytes, uint64_t file_bytes, uint32_t layers);

/* Parameters of a context of this model: threads, pooling and the rest that does not depend on the engine. When
 * `pulse` (may be NULL) has its `interrupt` set, a computation on the CPU ends early. */
struct llama_context_params model_context_params(const struct model *model, struct pulse *pulse);

bool model_context(const struct model *model, const struct llama_context_params *params,
                   struct llama_context **ret, struct err *err);

/* The tokens of a text in a malloc'ed array. `special`: the model's own begin and end tokens are added.
 * `parse_special`: the names of special tokens in the text mean these tokens. ERR_NO_MEMORY, ERR_TOO_LARGE. */
bool model_tokenize(const struct model *model, const char *text, bool special, bool parse_special,
                    llama_token **ret, size_t *ret_count, struct err *err);

#endif
