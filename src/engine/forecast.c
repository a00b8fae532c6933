#include "engine/forecast.h"

#include <malloc.h>
#include <string.h>

#include "engine/encoder.h"
#include "engine/llm.h"
#include "engine/model.h"
#include "engine/static_role.h"

/* What the heap of a worker grows by when it computes: batches, threads, answers being written. */
enum { COMPUTING_BYTES = 1 << 20 };

/* ---------------------------------------------------------------- what a dry run says */

struct dry_run {
    struct model model;
    struct llama_context *context;
    uint32_t slots;
    uint32_t batch;     /* tokens computed at once */
    uint64_t own_bytes; /* of the engine around the context */
};

static void dry_run_close(struct dry_run *run)
{
    if (run->context)
        llama_free(run->context);
    model_close(&run->model);
}

/* Opens the model and the context of its role, as a load would, but dry. */
static bool dry_run_open(struct backend *backend, const struct msg_load *load, struct dry_run *run,
                         struct err *err)
{
    *run = (struct dry_run){.slots = 1};
    if (!model_open_dry(backend, load, &run->model, err))
        return false;
    struct llama_context_params params;
    if (load->role == ROLE_CHAT) {
        run->slots = llm_slots_possible(load->slots);
        run->own_bytes = llm_own_bytes(&run->model, run->slots);
        params = llm_context_params(&run->model, run->slots, NULL);
    } else {
        params = encoder_context_params(&run->model, NULL);
    }
    run->batch = params.n_ubatch;
    if (model_context(&run->model, &params, &run->context, err))
        return true;
    model_close(&run->model);
    return false;
}

/* The cache by formula, where libllama did not say it in words that are known. */
static void add_cache(const struct msg_load *load, const struct dry_run *run,
                      struct forecast_parts *parts)
{
    struct gguf_context *gguf =
        gguf_init_from_file(load->path, (struct gguf_init_params){.no_alloc = true});
    struct forecast_shape shape;
    if (gguf && forecast_shape_read(gguf, &shape)) {
        enum ggml_type type = model_kv_type(load->kv_type);
        forecast_add(parts, PART_CACHE, "CPU",
                     forecast_cache_bytes(&shape, run->model.context_length, run->slots,
                                          LLM_BATCH_TOKENS, type, type, true));
    }
    gguf_free(gguf);
}

static bool collect(const struct msg_load *load, struct forecast_log *log,
                    const struct dry_run *run, struct forecast_parts *parts, struct err *err)
{
    if (!log->has_compute)
        return err_set(err, ERR_UNSUPPORTED,
                       "this version of libllama does not say what it allocates for %s",
                       load->path);
    *parts = log->parts;
    if (!log->has_cache && llama_get_memory(run->context))
        add_cache(load, run, parts);
    return forecast_weights(load->path, log, run->model.on_gpu, run->batch, parts, err);
}

/* ---------------------------------------------------------------- the file */

static bool finish(const struct forecast_parts *parts, const struct model *model, uint32_t slots,
                   struct arena *arena, struct msg_forecast *ret, struct err *err)
{
    struct msg_part *items = arena_array(arena, parts->count, sizeof(*items));
    for (uint32_t i = 0; items && i < parts->count; i++)
        items[i] = (struct msg_part){.part = parts->items[i].part,
                                     .device = arena_copy(arena, parts->items[i].device),
                                     .bytes = parts->items[i].bytes};
    if (!arena_ok(arena))
        return err_no_memory(err);
    *ret = (struct msg_forecast){
        .parts = items,
        .count = parts->count,
        .context_length = model->context_length,
        .train_context = model->train_context,
        .slots = slots,
    };
    return true;
}

/* The process as it is with the tables of the model open is what it will be, but for the large buffers. What earlier
 * dry runs and the reading left in the heap is given back first, as a load does. */
static bool forecast_llama(struct backend *backend, struct measure *measure,
                           const struct msg_load *load, struct arena *arena,
                           struct msg_forecast *ret, struct err *err)
{
    struct forecast_log log;
    struct forecast_parts parts = {0};
    struct dry_run run;
    backend_load(backend);
    if (!forecast_log_init(&log, err))
        return false;
    malloc_trim(0);
    backend_listen(backend, forecast_log_line, &log);
    bool ok = dry_run_open(backend, load, &run, err);
    backend_listen(backend, NULL, NULL);
    if (ok) {
        malloc_trim(0);
        uint64_t process = measure_anonymous(measure) + run.own_bytes + COMPUTING_BYTES;
        ok = collect(load, &log, &run, &parts, err);
        forecast_add(&parts, PART_PROCESS, "CPU", process);
        ok = ok && finish(&parts, &run.model, run.slots, arena, ret, err);
        dry_run_close(&run);
    }
    forecast_log_free(&log);
    return ok;
}

/* It is read into memory as it is, in milliseconds: so that is done. */
static bool forecast_table(struct measure *measure, const struct msg_load *load,
                           struct arena *arena, struct msg_forecast *ret, struct err *err)
{
    struct forecast_parts parts = {0};
    struct static_embed table;
    struct model model;
    malloc_trim(0);
    uint64_t before = measure_anonymous(measure);
    if (!static_role_open(load, &table, &model, err))
        return false;
    malloc_trim(0);
    uint64_t after = measure_anonymous(measure);
    forecast_add(&parts, PART_PROCESS, "CPU", before);
    forecast_add(&parts, PART_REPACKED, "CPU", after > before ? after - before : 0);
    bool ok = finish(&parts, &model, 1, arena, ret, err);
    static_embed_close(&table);
    return ok;
}

static bool forecast_sound(struct measure *measure, const struct msg_load *load,
                           struct arena *arena, struct msg_forecast *ret, struct err *err)
{
    struct forecast_parts parts = {0};
    const struct model model = {.role = ROLE_SPEECH};
    malloc_trim(0);
    uint64_t process = measure_anonymous(measure) + COMPUTING_BYTES;
    return forecast_speech(load->path, process, &parts, err) &&
           finish(&parts, &model, 1, arena, ret, err);
}

bool forecast_file(struct backend *backend, struct measure *measure, const struct msg_load *load,
                   struct arena *arena, struct msg_forecast *ret, struct err *err)
{
    if (load->role == ROLE_SPEECH)
        return forecast_sound(measure, load, arena, ret, err);
    if (static_embed_is(load->path))
        return forecast_table(measure, load, arena, ret, err);
    return forecast_llama(backend, measure, load, arena, ret, err);
}
