#include "orchestrator/memory_predict.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "orchestrator/internal.h"
#include "orchestrator/memory_learn.h"

enum {
    KEPT_MAX = 256,      /* forecasts; the oldest makes room */
    CONTEXT_CHAT = 8192, /* of models that do not say (protocol.h) */
    CONTEXT_ENCODER = 2048,
    CONTEXT_STEP = 256,      /* as libllama rounds */
    ARENA_BYTES = 64 * 1024, /* of an answer */
};

#define TOKEN_BYTES UINT64_C(100000) /* the rule: 100 MB for 1,000 tokens */

/* A forecast as the worker gave it, before what was learned. */
struct kept {
    struct file_identity file;
    struct hash hash; /* memory_file_hash() */
    struct memory_forecast forecast;
    enum model_role role;
    uint32_t context;
    uint32_t slots;
    enum kv_type kv_type;
    int32_t gpu_layers;
};

struct forecasts {
    struct mutex lock; /* of kept, count and next */
    struct kept *kept;
    size_t count;
    size_t next; /* where the next one goes when all are full */
    struct memory_learn *learn;
    bool exact;
};

bool forecasts_open(const char *learned, bool exact, struct log *log, struct forecasts **ret,
                    struct err *err)
{
    struct forecasts *forecasts = calloc(1, sizeof(*forecasts));
    if (!forecasts)
        return err_no_memory(err);
    mutex_init(&forecasts->lock);
    forecasts->exact = exact;
    forecasts->kept = calloc(KEPT_MAX, sizeof(*forecasts->kept));
    if (!forecasts->kept || !memory_learn_open(learned, log, &forecasts->learn, err)) {
        forecasts_close(forecasts);
        return err_no_memory(err);
    }
    *ret = forecasts;
    return true;
}

void forecasts_close(struct forecasts *forecasts)
{
    if (!forecasts)
        return;
    memory_learn_close(forecasts->learn);
    free(forecasts->kept);
    mutex_destroy(&forecasts->lock);
    free(forecasts);
}

/* ---------------------------------------------------------------- forecasts that are kept */

bool file_identity_equal(const struct file_identity *a, const struct file_identity *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           a->modified_ns == b->modified_ns;
}

static bool answers(const struct kept *kept, const struct memory_question *question)
{
    return file_identity_equal(&kept->file, &question->file) && kept->role == question->role &&
           kept->context == question->context && kept->slots == question->slots &&
           kept->kv_type == question->kv_type && kept->gpu_layers == question->gpu_layers;
}

static bool find(struct forecasts *forecasts, const struct memory_question *question,
                 struct kept *ret)
{
    bool found = false;
    mutex_lock(&forecasts->lock);
    for (size_t i = 0; i < forecasts->count && !found; i++) {
        found = answers(&forecasts->kept[i], question);
        if (found)
            *ret = forecasts->kept[i];
    }
    mutex_unlock(&forecasts->lock);
    return found;
}

static void keep(struct forecasts *forecasts, const struct kept *kept)
{
    mutex_lock(&forecasts->lock);
    if (forecasts->count < KEPT_MAX)
        forecasts->kept[forecasts->count++] = *kept;
    else
        forecasts->kept[forecasts->next++ % KEPT_MAX] = *kept;
    mutex_unlock(&forecasts->lock);
}

/* ---------------------------------------------------------------- the rule, and sums */

static bool is_host(const struct memory_forecast_part *part)
{
    return strcmp(part->device, "CPU") == 0;
}

static void add_part(struct memory_forecast *forecast, enum memory_part kind, const char *device,
                     uint64_t bytes)
{
    if (bytes == 0 || forecast->part_count == MEMORY_PARTS_MAX)
        return;
    struct memory_forecast_part *part = &forecast->parts[forecast->part_count++];
    part->part = kind;
    part->bytes = bytes;
    snprintf(part->device, sizeof(part->device), "%s", device);
    if (is_host(part) && __builtin_add_overflow(forecast->bytes, bytes, &forecast->bytes))
        forecast->bytes = UINT64_MAX;
}

void memory_rule(uint64_t file_bytes, enum model_role role, uint32_t context, uint32_t slots,
                 struct memory_forecast *ret)
{
    uint32_t usual = role == ROLE_CHAT ? CONTEXT_CHAT : CONTEXT_ENCODER;
    *ret = (struct memory_forecast){.context_length = context ? context : usual};
    uint64_t cells = (uint64_t)ret->context_length * (slots ? slots : 1);
    uint64_t cache = cells < UINT64_MAX / TOKEN_BYTES ? cells * TOKEN_BYTES : UINT64_MAX / 2;
    add_part(ret, PART_WEIGHTS, "CPU", file_bytes);
    add_part(ret, PART_CACHE, "CPU", cache);
    add_part(ret, PART_PROCESS, "CPU", ret->bytes / 20);
}

void memory_from_message(const struct msg_forecast *message, struct memory_forecast *ret)
{
    *ret = (struct memory_forecast){.analysed = true,
                                    .context_length = message->context_length,
                                    .train_context = message->train_context};
    for (uint32_t i = 0; i < message->count; i++)
        add_part(ret, message->parts[i].part, message->parts[i].device, message->parts[i].bytes);
}

uint32_t memory_context_that_fits(const struct memory_forecast *forecast, uint64_t bytes)
{
    uint64_t cache = 0;
    for (uint32_t i = 0; i < forecast->part_count; i++)
        if (forecast->parts[i].part == PART_CACHE && is_host(&forecast->parts[i]))
            cache += forecast->parts[i].bytes;
    uint64_t rest = forecast->bound > cache ? forecast->bound - cache : 0;
    if (cache == 0 || bytes <= rest)
        return 0;
    double context = (double)(bytes - rest) / (double)cache * forecast->context_length;
    uint32_t whole = context > (double)(UINT32_MAX / 2) ? UINT32_MAX / 2 : (uint32_t)context;
    return whole / CONTEXT_STEP * CONTEXT_STEP;
}

/* ---------------------------------------------------------------- asking a worker */

static bool ask(struct registry *registry, struct worker *worker,
                const struct memory_question *question, const struct wait *wait,
                struct memory_forecast *ret, struct err *err)
{
    const struct msg_load message = {
        .role = question->role,
        .path = question->path,
        .context_length = question->context,
        .slots = question->slots,
        .threads = registry->threads,
        .gpu_layers = question->gpu_layers,
        .kv_type = question->kv_type,
        .charset = "",
        .devices = question->devices,
        .rpc_hosts = registry->rpc_hosts,
    };
    struct str payload;
    struct frame frame;
    str_init(&payload, FRAME_PAYLOAD_MAX);
    msg_put_load(&payload, &message);
    bool ok = worker_ask(worker, FRAME_FORECAST, &payload, FRAME_FORECASTED, question->name, wait,
                         &frame, err);
    str_free(&payload);
    if (!ok)
        return false;
    struct arena arena;
    struct msg_forecast told;
    arena_init(&arena, ARENA_BYTES);
    ok = msg_get_forecast(frame.payload, frame.length, &arena, &told, err);
    if (ok)
        memory_from_message(&told, ret);
    arena_free(&arena);
    frame_free(&frame);
    return ok;
}

/* Whether somebody gave up, in which case there is no answer; other failures have the rule. */
static bool gave_up(const struct err *err)
{
    return err->code == ERR_CANCELLED || err->code == ERR_TIMEOUT;
}

static bool look_into(struct registry *registry, const struct memory_question *question,
                      const struct wait *wait, struct worker **warm, struct kept *kept,
                      struct err *err)
{
    struct worker *worker = *warm;
    *warm = NULL;
    if (!worker && !keeper_take_worker(registry, wait, &worker, err))
        return false;
    struct err why;
    bool ok = ask(registry, worker, question, wait, &kept->forecast, &why);
    if (ok || (!gave_up(&why) && !worker_is_dead(worker))) {
        *warm = worker;
    } else {
        worker_kill(worker);
        worker_free(worker, deadline_in_ms(0));
    }
    if (!ok && gave_up(&why)) {
        *err = why;
        return false;
    }
    if (!ok)
        memory_rule(question->file.size, question->role, question->context, question->slots,
                    &kept->forecast);
    return true;
}

static void to_way(const struct memory_question *question, const struct hash *hash,
                   struct memory_way *ret)
{
    *ret = (struct memory_way){
        .path = question->path,
        .hash = *hash,
        .role = question->role,
        .context = question->context,
        .slots = question->slots,
        .kv_type = question->kv_type,
        .gpu_layers = question->gpu_layers,
    };
}

bool memory_forecast(struct registry *registry, const struct memory_question *question,
                     const struct wait *wait, struct worker **warm, struct memory_forecast *ret,
                     struct err *err)
{
    struct forecasts *forecasts = registry->forecasts;
    struct worker *own = NULL;
    struct kept kept;
    if (!find(forecasts, question, &kept)) {
        kept = (struct kept){.file = question->file,
                             .role = question->role,
                             .context = question->context,
                             .slots = question->slots,
                             .kv_type = question->kv_type,
                             .gpu_layers = question->gpu_layers};
        bool ok = look_into(registry, question, wait, warm ? warm : &own, &kept, err);
        if (own) {
            worker_kill(own); /* it has read a file of unknown origin */
            worker_free(own, deadline_in_ms(0));
        }
        if (!ok)
            return false;
        memory_file_hash(question->path, &kept.hash, NULL); /* zeros when it cannot be read */
        if (kept.forecast.analysed)
            keep(forecasts, &kept);
    }
    struct memory_way way;
    uint64_t samples[MEMORY_SAMPLES_MAX];
    to_way(question, &kept.hash, &way);
    *ret = kept.forecast;
    uint32_t count = memory_learn_samples(forecasts->learn, &way, samples);
    memory_learn_apply(ret, samples, count);
    if (forecasts->exact)
        ret->bound = ret->bytes;
    return true;
}

void memory_seen(struct registry *registry, const struct memory_question *question, uint64_t held,
                 int64_t *sample)
{
    struct kept kept;
    struct memory_way way;
    struct hash hash;
    if (find(registry->forecasts, question, &kept))
        hash = kept.hash;
    else if (!memory_file_hash(question->path, &hash, NULL))
        return;
    to_way(question, &hash, &way);
    memory_learn_note(registry->forecasts->learn, &way, held, sample);
}
