/* lease.c - the work that is done with a lease, but for generation: embed, count, rerank, transcribe.
 *
 * Long lists go to the worker in parts of bounded size, so that a cancel takes effect soon, progress is even, and no
 * message is near the limit. A part whose worker dies is sent once more, to a fresh one: nothing of it has left yet.
 */
#include <stdlib.h>
#include <string.h>

#include "orchestrator/internal.h"

enum {
    PART_TEXTS = 256,
    PART_BYTES = 1024 * 1024,
    PART_ARENA_MAX = FRAME_PAYLOAD_MAX,
};

const struct msg_loaded *lease_model(const struct lease *lease)
{
    return lease->instance ? &lease->instance->loaded : &lease->remote;
}

const struct model_entry *lease_entry(const struct lease *lease)
{
    return &lease->model->entry;
}

bool lease_is_house(const struct lease *lease)
{
    return lease->model->house; /* set before anybody can have a lease */
}

const struct hash *lease_model_hash(const struct lease *lease)
{
    struct registry *registry = lease->registry;
    struct instance *instance = lease->instance;
    if (!instance)
        return &lease->remote_hash;
    mutex_lock(&registry->lock);
    bool known = instance->hash_known;
    mutex_unlock(&registry->lock);
    if (known)
        return &instance->hash;
    struct hash hash;
    if (!hash_file(lease->model->path, &hash, NULL))
        return NULL;
    mutex_lock(&registry->lock);
    if (!instance->hash_known) {
        instance->hash = hash;
        instance->hash_known = true;
    }
    mutex_unlock(&registry->lock);
    return &instance->hash;
}

bool lease_renew(struct lease *lease, const struct wait *wait, struct err *err)
{
    struct registry *registry = lease->registry;
    struct lease *fresh;
    if (lease->renewals == LEASE_RENEWALS_MAX)
        return err_set(err, ERR_WORKER_DIED,
                       "the worker process of \"%s\" keeps ending; \"jarvis ps\" tells the cause",
                       lease->model->entry.name);
    if (!registry_acquire_one(registry, lease->model->entry.name, lease->model->entry.role, wait,
                              NULL, NULL, &fresh, err))
        return false;
    mutex_lock(&registry->lock);
    lease->previous[lease->renewals++] = lease->instance;
    lease->instance->references++; /* of `previous`; of the two leases that we hold now, one goes */
    model_release(registry, lease->model, lease->instance);
    lease->instance = fresh->instance;
    mutex_unlock(&registry->lock);
    free(fresh);
    return true;
}

/* Sends a request, and again where it may work then. */
static bool ask(struct lease *lease, enum frame_type type, const struct str *payload,
                enum frame_type answer, const struct wait *wait, struct frame *ret, struct err *err)
{
    const char *name = lease->model->entry.name;
    struct retry retry = {0};
    do {
        if (worker_ask(lease->instance->worker, type, payload, answer, name, wait, ret, err)) {
            lease_succeeded(lease);
            return true;
        }
    } while (lease_retry(lease, &retry, wait, err));
    return false;
}

/* ---------------------------------------------------------------- parts */

/* A list of texts on its way to the worker. */
struct job {
    struct lease *lease;
    const char *prefix; /* before each text, or "" */
    const char *query;  /* RERANK */
    const char *const *texts;
    size_t count;
    const struct wait *wait;
    struct arena *arena; /* the caller's */
};

/* How many texts from `from` on make the next part. */
static uint32_t part_size(const struct job *job, size_t from)
{
    size_t bytes = 0;
    uint32_t count = 0;
    size_t prefix = strlen(job->prefix);
    while (count < PART_TEXTS && from + count < job->count) {
        bytes += prefix + strlen(job->texts[from + count]);
        if (count > 0 && bytes > PART_BYTES)
            break;
        count++;
    }
    return count;
}

/* The texts of a part, the prefix in front of each, in `arena`. NULL on no memory. */
static const char *const *prefixed(const struct job *job, size_t from, uint32_t count,
                                   struct arena *arena)
{
    if (job->prefix[0] == '\0')
        return job->texts + from;
    const char **texts = arena_array(arena, count, sizeof(*texts));
    for (uint32_t i = 0; texts && i < count; i++) {
        texts[i] = arena_printf(arena, "%s%s", job->prefix, job->texts[from + i]);
        if (!texts[i])
            return NULL;
    }
    return texts;
}

/* Sends one part; the answer's frame is the caller's. */
static bool ask_part(const struct job *job, enum frame_type type, enum frame_type answer,
                     size_t from, uint32_t count, struct frame *ret, struct err *err)
{
    struct arena arena;
    arena_init(&arena, PART_ARENA_MAX);
    const struct msg_texts texts = {.texts = prefixed(job, from, count, &arena), .count = count};
    bool ok = texts.texts || err_set(err, ERR_TOO_LARGE,
                                     "a text is longer than the limit of %d bytes; send less at a "
                                     "time",
                                     FRAME_PAYLOAD_MAX);
    if (ok) {
        struct str payload;
        str_init(&payload, FRAME_PAYLOAD_MAX);
        if (type == FRAME_RERANK) {
            const struct msg_rerank message = {.query = job->query, .documents = texts};
            msg_put_rerank(&payload, &message);
        } else {
            msg_put_texts(&payload, &texts);
        }
        ok = str_check(&payload, "the request", err) &&
             ask(job->lease, type, &payload, answer, job->wait, ret, err);
        str_free(&payload);
    }
    arena_free(&arena);
    return ok;
}

static bool wrong_answer(const struct lease *lease, struct err *err)
{
    return err_set(err, ERR_PROTOCOL,
                   "the worker process of \"%s\" gave an answer of the wrong size; restart the "
                   "service",
                   lease->model->entry.name);
}

static bool no_room(struct err *err)
{
    return err_set(err, ERR_TOO_LARGE,
                   "the answer is larger than one request may hold; send less at a time");
}

/* ---------------------------------------------------------------- embed */

/* Copies one part's vectors to their rows; the first part tells the dimensions, and makes the table. */
static bool add_vectors(const struct job *job, size_t from, uint32_t count,
                        const struct frame *frame, struct msg_vectors *out, struct err *err)
{
    struct arena arena;
    struct msg_vectors part;
    arena_init(&arena, PART_ARENA_MAX);
    bool ok = msg_get_vectors(frame->payload, frame->length, &arena, &part, err);
    if (ok && (part.count != count || (from > 0 && part.dimensions != out->dimensions)))
        ok = wrong_answer(job->lease, err);
    if (ok && from == 0) {
        out->dimensions = part.dimensions;
        out->values = arena_array(job->arena, job->count, part.dimensions * sizeof(float));
        ok = out->values || no_room(err);
    }
    if (ok) {
        float *rows = (float *)(uintptr_t)out->values;
        memcpy(rows + from * part.dimensions, part.values,
               (size_t)count * part.dimensions * sizeof(float));
        out->tokens += part.tokens;
        out->truncated += part.truncated;
    }
    arena_free(&arena);
    return ok;
}

bool lease_embed(struct lease *lease, const char *prefix, const char *const *texts, size_t count,
                 const struct wait *wait, struct arena *arena, struct msg_vectors *ret,
                 struct err *err)
{
    struct err own = {.code = ERR_NONE};
    struct err *told = err ? err : &own;
    if (!lease->instance)
        return upstream_lease_embed(lease, prefix ? prefix : "", texts, count, wait, arena, ret,
                                    told);
    const struct job job = {.lease = lease,
                            .prefix = prefix ? prefix : "",
                            .texts = texts,
                            .count = count,
                            .wait = wait,
                            .arena = arena};
    struct msg_vectors out = {.dimensions = lease_model(lease)->dimensions};
    uint32_t part;
    for (size_t from = 0; from < count; from += part) {
        struct frame frame;
        part = part_size(&job, from);
        if (!ask_part(&job, FRAME_EMBED, FRAME_VECTORS, from, part, &frame, told))
            return false;
        bool ok = add_vectors(&job, from, part, &frame, &out, told);
        frame_free(&frame);
        if (!ok)
            return false;
    }
    out.count = (uint32_t)count;
    *ret = out;
    return true;
}

/* ---------------------------------------------------------------- count */

static bool add_counts(const struct job *job, uint32_t count, const struct frame *frame,
                       uint32_t *to, struct err *err)
{
    struct arena arena;
    struct msg_counts part;
    arena_init(&arena, PART_ARENA_MAX);
    bool ok = msg_get_counts(frame->payload, frame->length, &arena, &part, err) &&
              (part.count == count || wrong_answer(job->lease, err));
    if (ok)
        memcpy(to, part.tokens, count * sizeof(*to));
    arena_free(&arena);
    return ok;
}

bool lease_count(struct lease *lease, const char *const *texts, size_t count,
                 const struct wait *wait, struct arena *arena, struct msg_counts *ret,
                 struct err *err)
{
    struct err own = {.code = ERR_NONE};
    struct err *told = err ? err : &own;
    if (!lease->instance)
        return upstream_lease_count(texts, count, arena, ret, told);
    const struct job job = {
        .lease = lease, .prefix = "", .texts = texts, .count = count, .wait = wait, .arena = arena};
    uint32_t *tokens = arena_array(arena, count, sizeof(*tokens));
    if (!tokens && count > 0)
        return no_room(told);
    uint32_t part;
    for (size_t from = 0; from < count; from += part) {
        struct frame frame;
        part = part_size(&job, from);
        if (!ask_part(&job, FRAME_COUNT, FRAME_COUNTS, from, part, &frame, told))
            return false;
        bool ok = add_counts(&job, part, &frame, tokens + from, told);
        frame_free(&frame);
        if (!ok)
            return false;
    }
    *ret = (struct msg_counts){.count = (uint32_t)count, .tokens = tokens};
    return true;
}

/* ---------------------------------------------------------------- rerank */

static bool add_scores(const struct job *job, uint32_t count, const struct frame *frame, float *to,
                       struct msg_scores *out, struct err *err)
{
    struct arena arena;
    struct msg_scores part;
    arena_init(&arena, PART_ARENA_MAX);
    bool ok = msg_get_scores(frame->payload, frame->length, &arena, &part, err) &&
              (part.count == count || wrong_answer(job->lease, err));
    if (ok) {
        memcpy(to, part.scores, count * sizeof(*to));
        out->tokens += part.tokens;
        out->truncated += part.truncated;
    }
    arena_free(&arena);
    return ok;
}

/* The scores of all documents by the model that the lease is of now. */
static bool rerank(struct lease *lease, const char *query, const char *const *documents,
                   size_t count, const struct wait *wait, struct arena *arena,
                   struct msg_scores *ret, struct err *told)
{
    const struct job job = {.lease = lease,
                            .prefix = "",
                            .query = query,
                            .texts = documents,
                            .count = count,
                            .wait = wait,
                            .arena = arena};
    float *scores = arena_array(arena, count, sizeof(*scores));
    if (!scores && count > 0)
        return no_room(told);
    struct msg_scores out = {.count = (uint32_t)count, .scores = scores};
    uint32_t part;
    for (size_t from = 0; from < count; from += part) {
        struct frame frame;
        part = part_size(&job, from);
        if (!ask_part(&job, FRAME_RERANK, FRAME_SCORES, from, part, &frame, told))
            return false;
        bool ok = add_scores(&job, part, &frame, scores + from, &out, told);
        frame_free(&frame);
        if (!ok)
            return false;
    }
    *ret = out;
    return true;
}

bool lease_rerank(struct lease *lease, const char *query, const char *const *documents,
                  size_t count, const struct wait *wait, struct arena *arena,
                  struct msg_scores *ret, struct err *err)
{
    struct err own = {.code = ERR_NONE};
    struct err *told = err ? err : &own;
    bool ok;
    do /* scores of two models cannot be compared: another model begins anew */
        ok = lease->instance
                 ? rerank(lease, query, documents, count, wait, arena, ret, told)
                 : upstream_lease_rerank(lease, query, documents, count, wait, arena, ret, told);
    while (!ok && lease_fall_back(lease, wait, told));
    return ok;
}

/* ---------------------------------------------------------------- transcribe */

bool lease_transcribe(struct lease *lease, const struct msg_transcribe *request,
                      const struct wait *wait, struct arena *arena, struct msg_transcribed *ret,
                      struct err *err)
{
    struct err own = {.code = ERR_NONE};
    struct err *told = err ? err : &own;
    if (!lease->instance)
        return err_set(told, ERR_UNSUPPORTED, "speech is not sent to another server; name a file");
    struct str payload;
    struct frame frame;
    str_init(&payload, FRAME_PAYLOAD_MAX);
    msg_put_transcribe(&payload, request);
    bool ok = ask(lease, FRAME_TRANSCRIBE, &payload, FRAME_TRANSCRIBED, wait, &frame, told);
    str_free(&payload);
    if (!ok)
        return false;
    ok = msg_get_transcribed(frame.payload, frame.length, arena, ret, told);
    frame_free(&frame);
    return ok;
}
