#include "engine/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "engine/device.h"
#include "engine/inspect.h"
#include "engine/pooling.h"

enum { REASON_MAX = 400, INSPECT_ARENA = 1 << 20 };

/* ---------------------------------------------------------------- role */

static bool wrong_role(const struct model *model, enum model_role is, struct err *err)
{
    return err_set_param(err, ERR_UNSUPPORTED, "role",
                         "%s cannot be used for the role %s; in the configuration, set its role to "
                         "%s",
                         model->path, model_role_name(model->role), model_role_name(is));
}

/* Compares what the file says the model is with what it is to do. A language model can embed as well; whether an
 * embedder can chat shows once it is open. */
static bool check_role(const struct model *model, const struct msg_inspected *found,
                       struct err *err)
{
    bool same = model->role == found->role;
    bool rank = model->role == ROLE_RERANK || found->role == ROLE_RERANK;
    return same || !rank ? true : wrong_role(model, found->role, err);
}

static bool check_opened(const struct model *model, struct err *err)
{
    struct llama_model *handle = model->handle;
    if (llama_vocab_type(model->vocab) == LLAMA_VOCAB_TYPE_NONE)
        return err_set(err, ERR_MODEL_INVALID, "%s has no vocabulary; fetch another conversion",
                       model->path);
    if (model->role != ROLE_CHAT)
        return true;
    if (model->pooling != LLAMA_POOLING_TYPE_NONE || !llama_model_has_decoder(handle))
        return wrong_role(model, ROLE_EMBEDDING, err);
    if (llama_model_has_encoder(handle) || llama_model_is_diffusion(handle))
        return err_set_param(err, ERR_UNSUPPORTED, "role",
                             "%s does not write from left to right, and only such models can chat; "
                             "choose another model",
                             model->path);
    return true;
}

/* ---------------------------------------------------------------- opening */

struct loading {
    model_progress *progress;
    void *user;
    uint64_t file_bytes;
    bool cancelled;
};

static bool on_progress(float fraction, void *user)
{
    struct loading *loading = user;
    if (loading->progress && !loading->progress(loading->user, fraction, loading->file_bytes))
        loading->cancelled = true;
    return !loading->cancelled;
}

/* Says why libllama would not; its words are in the backend's log. */
static bool load_failed(const struct model *model, struct err *err)
{
    char reason[REASON_MAX];
    backend_explain(model->backend, reason, sizeof(reason));
    if (strstr(reason, "failed to allocate") || strstr(reason, "unable to allocate") ||
        strstr(reason, "bad_alloc") || strstr(reason, "out of memory"))
        return err_set(err, ERR_OUT_OF_MEMORY_BUDGET,
                       "there is not enough memory for %s; unload other models or set a smaller "
                       "context_length (%s)",
                       model->path, reason);
    return err_set(err, ERR_MODEL_INVALID, "libllama cannot load %s: %s", model->path,
                   reason[0] ? reason : "?");
}

int32_t model_layers_that_fit(uint64_t free_bytes, uint64_t file_bytes, uint32_t layers)
{
    const uint64_t reserve = 512ULL << 20; /* caches, buffers, and what the driver takes */
    uint64_t need = file_bytes + file_bytes / 10;
    uint64_t room = free_bytes > reserve ? free_bytes - reserve : 0;
    if (room >= need)
        return (int32_t)layers + 1; /* the output layer is one more */
    return need > 0 ? (int32_t)((double)layers * (double)room / (double)need) : 0;
}

/* How many layers to put on the GPUs; -1 in the LOAD means as many as fit. */
static int32_t choose_layers(const struct model *model, const struct device_choice *devices,
                             int32_t asked)
{
    if (!model->on_gpu)
        return 0;
    return asked >= 0 ? asked
                      : model_layers_that_fit(device_free_bytes(devices), model->file_bytes,
                                              model->layers);
}

/* Which devices the model goes to, and how it is split over them. `devices` must live while it is loaded. */
static bool place(struct model *model, const struct msg_load *load, struct device_choice *devices,
                  struct llama_model_params *params, struct err *err)
{
    if (!device_choose(load->devices ? load->devices : "", devices, err))
        return false;
    model->on_gpu = load->gpu_layers != 0 && (devices->count > 0 || backend_has_gpu());
    if (!model->on_gpu)
        *devices = (struct device_choice){0};
    if (!model->on_gpu || devices->count > 0)
        params->devices = devices->devices;
    if (devices->count > 1 && devices->shares[0] > 0)
        params->tensor_split = devices->shares;
    params->n_gpu_layers = choose_layers(model, devices, load->gpu_layers);
    return true;
}

static bool open_weights(struct model *model, const struct msg_load *load, struct loading *loading,
                         bool dry, struct err *err)
{
    backend_load(model->backend);
    backend_forget(model->backend);
    struct llama_model_params params = llama_model_default_params();
    struct device_choice devices;
    if (!place(model, load, &devices, &params, err))
        return false;
    params.no_alloc = dry;
    if (dry)
        params.load_mode = LLAMA_LOAD_MODE_NONE;
    params.progress_callback = on_progress;
    params.progress_callback_user_data = loading;
    model->handle = llama_model_load_from_file(model->path, params);
    if (loading->cancelled)
        return cancel_error(err);
    if (!model->handle)
        return load_failed(model, err);
    model->vocab = llama_model_get_vocab(model->handle);
    return true;
}

/* The context that one sequence gets: as asked, but never more than the model was trained for. */
static uint32_t choose_context(const struct model *model, uint32_t asked)
{
    uint32_t most = model->train_context > 0 ? model->train_context : MODEL_CONTEXT_DEFAULT_MAX;
    uint32_t usual =
        model->role == ROLE_CHAT ? MODEL_CONTEXT_DEFAULT_MAX : MODEL_CONTEXT_ENCODER_MAX;
    uint32_t context = asked;
    if (context == 0)
        context = most < usual ? most : usual;
    if (context > most)
        context = most;
    return context < MODEL_CONTEXT_MIN ? MODEL_CONTEXT_MIN : context;
}

static enum llama_pooling_type pooling_by_name(const char *name)
{
    enum llama_pooling_type pooling = LLAMA_POOLING_TYPE_RANK;
    while (pooling > LLAMA_POOLING_TYPE_NONE && strcmp(pooling_name(pooling), name) != 0)
        pooling--;
    return pooling;
}

static bool read_file_facts(struct model *model, struct err *err)
{
    struct arena arena;
    arena_init(&arena, INSPECT_ARENA);
    struct msg_inspected found;
    bool ok = inspect_file(model->path, &arena, &found, err) && check_role(model, &found, err);
    if (ok) {
        model->file_bytes = found.file_bytes;
        model->layers = found.layers;
        model->pooling = pooling_by_name(found.pooling);
        if (model->pooling == LLAMA_POOLING_TYPE_NONE && model->role == ROLE_EMBEDDING)
            model->pooling = LLAMA_POOLING_TYPE_MEAN;
    }
    arena_free(&arena);
    return ok;
}

static bool open_file(struct backend *backend, const struct msg_load *load, struct loading *loading,
                      bool dry, struct model *ret, struct err *err)
{
    struct model model = {.backend = backend, .role = load->role, .kv_type = load->kv_type};
    if (strlen(load->path) >= sizeof(model.path))
        return err_set(err, ERR_INVALID_REQUEST, "the path of the model is longer than %d bytes",
                       MODEL_PATH_MAX - 1);
    snprintf(model.path, sizeof(model.path), "%s", load->path);
    model.threads = (int32_t)(load->threads < 1                   ? 1
                              : load->threads > MODEL_THREADS_MAX ? MODEL_THREADS_MAX
                                                                  : load->threads);
    if (!read_file_facts(&model, err))
        return false;
    loading->file_bytes = model.file_bytes;
    if (!open_weights(&model, load, loading, dry, err) || !check_opened(&model, err)) {
        model_close(&model);
        return false;
    }
    model.parameters = llama_model_n_params(model.handle);
    int32_t trained = llama_model_n_ctx_train(model.handle);
    model.train_context = trained > 0 ? (uint32_t)trained : 0;
    model.context_length = choose_context(&model, load->context_length);
    llama_model_desc(model.handle, model.description, sizeof(model.description));
    *ret = model;
    return true;
}

bool model_open(struct backend *backend, const struct msg_load *load, model_progress *progress,
                void *user, struct model *ret, struct err *err)
{
    struct loading loading = {.progress = progress, .user = user};
    return open_file(backend, load, &loading, false, ret, err);
}

bool model_open_dry(struct backend *backend, const struct msg_load *load, struct model *ret,
                    struct err *err)
{
    struct loading loading = {0};
    return open_file(backend, load, &loading, true, ret, err);
}

void model_close(struct model *model)
{
    if (model->handle)
        llama_model_free(model->handle);
    model->handle = NULL;
}

/* ---------------------------------------------------------------- contexts and tokens */

/* libllama asks between the nodes of its graph whether to go on, on the CPU: so it is alive. */
static bool is_interrupted(void *user)
{
    struct pulse *pulse = user;
    atomic_fetch_add_explicit(&pulse->beats, 1, memory_order_relaxed);
    return atomic_load_explicit(&pulse->interrupt, memory_order_relaxed);
}

enum ggml_type model_kv_type(enum kv_type type)
{
    static const enum ggml_type types[KV_TYPE_COUNT] = {
        [KV_F16] = GGML_TYPE_F16,   [KV_F32] = GGML_TYPE_F32,   [KV_BF16] = GGML_TYPE_BF16,
        [KV_Q8_0] = GGML_TYPE_Q8_0, [KV_Q5_1] = GGML_TYPE_Q5_1, [KV_Q5_0] = GGML_TYPE_Q5_0,
        [KV_Q4_1] = GGML_TYPE_Q4_1, [KV_Q4_0] = GGML_TYPE_Q4_0,
    };
    return types[type];
}

struct llama_context_params model_context_params(const struct model *model, struct pulse *pulse)
{
    struct llama_context_params params = llama_context_default_params();
    params.n_threads = model->threads;
    params.n_threads_batch = model->threads;
    params.pooling_type = model->pooling;
    params.embeddings = model->role != ROLE_CHAT;
    params.offload_kqv = model->on_gpu;
    params.op_offload = model->on_gpu;
    params.no_perf = true;
    if (pulse) {
        params.abort_callback = is_interrupted;
        params.abort_callback_data = pulse;
    }
    return params;
}

bool model_context(const struct model *model, const struct llama_context_params *params,
                   struct llama_context **ret, struct err *err)
{
    backend_forget(model->backend);
    struct llama_context *context = llama_init_from_model(model->handle, *params);
    if (!context)
        return load_failed(model, err);
    *ret = context;
    return true;
}

bool model_tokenize(const struct model *model, const char *text, bool special, bool parse_special,
                    llama_token **ret, size_t *ret_count, struct err *err)
{
    size_t length = strlen(text);
    if (length > INT32_MAX / 2)
        return err_set(err, ERR_TOO_LARGE, "a text of %zu bytes is too long; send less at a time",
                       length);
    /* A token is hardly ever shorter than a byte; where it is, the second round has the exact number. */
    int32_t capacity = (int32_t)length + 8;
    llama_token *tokens = NULL;
    for (int round = 0; round < 2; round++) {
        llama_token *grown = realloc(tokens, (size_t)capacity * sizeof(*tokens));
        if (!grown)
            break;
        tokens = grown;
        int32_t count = llama_tokenize(model->vocab, text, (int32_t)length, tokens, capacity,
                                       special, parse_special);
        if (count >= 0) {
            *ret = tokens;
            *ret_count = (size_t)count;
            return true;
        }
        if (count == INT32_MIN)
            break;
        capacity = -count;
    }
    free(tokens);
    return err_no_memory(err);
}
