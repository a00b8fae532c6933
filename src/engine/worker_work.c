#include <stdlib.h>

#include "engine/embed.h"
#include "engine/parse.h"
#include "engine/rerank.h"
#include "engine/static_role.h"
#include "engine/worker.h"
#include "ipc/protocol.h"

enum {
    ENCODES_MAX = 16, /* EMBED and RERANK at work side by side; the others wait */
    ARENA_EXTRA = 1 << 20,
};

static void fail(struct worker *worker, struct job *job, const struct err *error)
{
    reply_error(worker, job->request.id, error);
    queue_finish(&worker->queue, job);
}

/* An arena large enough for whatever a request of this length decodes to. */
static void arena_for(const struct job *job, struct arena *arena)
{
    arena_init(arena, (size_t)job->request.length * 16 + ARENA_EXTRA);
}

static bool need_role(const struct worker *worker, enum model_role role, struct err *err)
{
    if (worker->loaded && worker->role == role)
        return true;
    return err_set(err, ERR_UNSUPPORTED,
                   "this worker holds no model for %s; load one with that role first",
                   model_role_name(role));
}

/* ---------------------------------------------------------------- embedding, reranking, counting */

static bool start_embed(struct worker *worker, struct job *job, struct arena *arena,
                        struct err *err)
{
    struct msg_texts texts;
    return need_role(worker, ROLE_EMBEDDING, err) &&
           msg_get_texts(job->request.payload, job->request.length, arena, &texts, err) &&
           (worker->table.rows
                ? static_role_embed(&worker->table, &worker->encoder, &texts, &job->encode, err)
                : embed_start(&worker->encoder, &texts, &job->encode, err));
}

static bool start_rerank(struct worker *worker, struct job *job, struct arena *arena,
                         struct err *err)
{
    struct msg_rerank request;
    return need_role(worker, ROLE_RERANK, err) &&
           msg_get_rerank(job->request.payload, job->request.length, arena, &request, err) &&
           rerank_start(&worker->encoder, &request, &job->encode, err);
}

static void answer_vectors(struct worker *worker, struct job *job)
{
    struct msg_vectors vectors;
    embed_finish(&job->encode, &vectors);
    struct str payload;
    str_init(&payload, FRAME_PAYLOAD_MAX);
    msg_put_vectors(&payload, &vectors);
    reply_send(worker, FRAME_VECTORS, job->request.id, &payload);
    queue_finish(&worker->queue, job);
}

static void answer_scores(struct worker *worker, struct job *job)
{
    struct arena arena;
    arena_for(job, &arena);
    struct msg_scores scores;
    struct err err;
    if (rerank_finish(&job->encode, &arena, &scores, &err)) {
        struct str payload;
        str_init(&payload, FRAME_PAYLOAD_MAX);
        msg_put_scores(&payload, &scores);
        reply_send(worker, FRAME_SCORES, job->request.id, &payload);
        queue_finish(&worker->queue, job);
    } else {
        fail(worker, job, &err);
    }
    arena_free(&arena);
}

/* Answers an EMBED or RERANK that has nothing left to compute. */
static void finish_encode(struct worker *worker, struct job *job)
{
    if (job->request.type == FRAME_EMBED)
        answer_vectors(worker, job);
    else
        answer_scores(worker, job);
}

static void start_encode(struct worker *worker, struct job *job)
{
    struct arena arena;
    arena_for(job, &arena);
    struct err err;
    bool ok = job->request.type == FRAME_EMBED ? start_embed(worker, job, &arena, &err)
                                               : start_rerank(worker, job, &arena, &err);
    arena_free(&arena);
    if (!ok)
        fail(worker, job, &err);
    else if (encode_job_done(&job->encode))
        finish_encode(worker, job);
}

static void count(struct worker *worker, struct job *job)
{
    struct arena arena;
    arena_for(job, &arena);
    struct msg_texts texts;
    struct msg_counts counts;
    struct err err;
    bool ok =
        worker->loaded && worker->role != ROLE_PARSER && worker->role != ROLE_SPEECH
            ? msg_get_texts(job->request.payload, job->request.length, &arena, &texts, &err) &&
                  (worker->table.rows
                       ? static_role_count(&worker->table, &texts, &arena, &counts, &err)
                       : embed_count(&worker->model, &texts, &arena, &counts, &err))
            : need_role(worker, ROLE_EMBEDDING, &err);
    if (ok) {
        struct str payload;
        str_init(&payload, FRAME_PAYLOAD_MAX);
        msg_put_counts(&payload, &counts);
        reply_send(worker, FRAME_COUNTS, job->request.id, &payload);
        queue_finish(&worker->queue, job);
    } else {
        fail(worker, job, &err);
    }
    arena_free(&arena);
}

/* ---------------------------------------------------------------- generating */

static void start_generate(struct worker *worker, struct job *job)
{
    struct arena arena;
    arena_for(job, &arena);
    struct msg_generate request;
    struct err err;
    if (!need_role(worker, ROLE_CHAT, &err) ||
        !msg_get_generate(job->request.payload, job->request.length, &arena, &request, &err) ||
        !llm_start(worker->llm, &request, job, &err))
        fail(worker, job, &err);
    arena_free(&arena);
}

static void on_text(void *user, void *request, const char *text, uint32_t completed)
{
    const struct job *job = request;
    struct str payload;
    str_init(&payload, FRAME_PAYLOAD_MAX);
    msg_put_tokens(&payload, &(struct msg_tokens){.text = text, .completed = completed});
    reply_send(user, FRAME_TOKENS, job->request.id, &payload);
}

static void on_done(void *user, void *request, const struct msg_done *done)
{
    struct worker *worker = user;
    struct job *job = request;
    struct str payload;
    str_init(&payload, FRAME_PAYLOAD_MAX);
    msg_put_done(&payload, done);
    reply_send(worker, FRAME_DONE, job->request.id, &payload);
    queue_finish(&worker->queue, job);
}

static void on_failed(void *user, void *request, const struct err *error)
{
    fail(user, request, error);
}

/* ---------------------------------------------------------------- threads */

/* What the service has told last, but never more than the model was loaded with: those threads exist, and the sandbox
 * may have been closed on them. */
static uint32_t threads_to_use(struct worker *worker)
{
    uint32_t loaded = worker->model.threads > 0 ? (uint32_t)worker->model.threads : 1;
    uint32_t wanted = atomic_load(&worker->threads_wanted);
    return wanted == 0 || wanted > loaded ? loaded : wanted;
}

static void follow_threads(struct worker *worker)
{
    uint32_t threads = threads_to_use(worker);
    if (threads == worker->threads)
        return;
    worker->threads = threads;
    if (worker->llm)
        llm_set_threads(worker->llm, (int32_t)threads);
    if (worker->encoder.context)
        encoder_set_threads(&worker->encoder, (int32_t)threads);
}

/* ---------------------------------------------------------------- speech */

static void transcribe(struct worker *worker, struct job *job)
{
    struct arena arena;
    arena_for(job, &arena);
    struct msg_transcribe request;
    struct msg_transcribed result;
    struct err err;
    if (need_role(worker, ROLE_SPEECH, &err) &&
        msg_get_transcribe(job->request.payload, job->request.length, &arena, &request, &err) &&
        speech_transcribe(&worker->speech, &request, (int)threads_to_use(worker), &job->cancelled,
                          &arena, &result, &err)) {
        struct str payload;
        str_init(&payload, FRAME_PAYLOAD_MAX);
        msg_put_transcribed(&payload, &result);
        reply_send(worker, FRAME_TRANSCRIBED, job->request.id, &payload);
        queue_finish(&worker->queue, job);
    } else {
        fail(worker, job, &err);
    }
    arena_free(&arena);
}

/* ---------------------------------------------------------------- parsing */

static void parse(struct worker *worker, struct job *job)
{
    struct str payload;
    str_init(&payload, FRAME_PAYLOAD_MAX);
    struct err err;
    if (need_role(worker, ROLE_PARSER, &err) &&
        parse_frame(job->request.payload, job->request.length, worker->charset, &payload, &err)) {
        reply_send(worker, FRAME_PARSED, job->request.id, &payload);
        queue_finish(&worker->queue, job);
    } else {
        str_free(&payload);
        fail(worker, job, &err);
    }
}

/* ---------------------------------------------------------------- all of them */

/* The running EMBED or RERANK whose turn it is: the one after the last, so that a question is not held up by a
 * thousand passages. NULL when there is none. */
static struct job *next_encode(struct worker *worker)
{
    struct job *first = NULL;
    for (struct job *job = queue_running(&worker->queue, NULL); job;
         job = queue_running(&worker->queue, job)) {
        if (job->request.type != FRAME_EMBED && job->request.type != FRAME_RERANK)
            continue;
        if (job->request.id > worker->last_turn)
            return job;
        if (!first)
            first = job;
    }
    return first;
}

static size_t running_count(struct worker *worker)
{
    size_t running = 0;
    for (struct job *job = queue_running(&worker->queue, NULL); job;
         job = queue_running(&worker->queue, job))
        running++;
    return running;
}

bool work_may_begin(void *user, const struct job *job)
{
    const struct worker *worker = user;
    switch (job->request.type) {
    case FRAME_GENERATE: return !worker->llm || llm_has_room(worker->llm);
    case FRAME_EMBED:
    case FRAME_RERANK: return worker->running < ENCODES_MAX;
    default: return true;
    }
}

void work_begin(struct worker *worker, struct job *job)
{
    struct err err;
    if (atomic_load(&job->cancelled)) {
        cancel_error(&err);
        fail(worker, job, &err);
        return;
    }
    switch (job->request.type) {
    case FRAME_LOAD:
        load_answer(worker, job);
        queue_finish(&worker->queue, job);
        break;
    case FRAME_DEVICES:
        load_devices(worker, job);
        queue_finish(&worker->queue, job);
        break;
    case FRAME_INSPECT:
        load_inspect(worker, job);
        queue_finish(&worker->queue, job);
        break;
    case FRAME_FORECAST:
        load_forecast(worker, job);
        queue_finish(&worker->queue, job);
        break;
    case FRAME_EMBED:
    case FRAME_RERANK: start_encode(worker, job); break;
    case FRAME_COUNT: count(worker, job); break;
    case FRAME_GENERATE: start_generate(worker, job); break;
    case FRAME_PARSE: parse(worker, job); break;
    case FRAME_TRANSCRIBE: transcribe(worker, job); break;
    default:
        err_set(&err, ERR_PROTOCOL, "this worker does not know requests of type %d",
                job->request.type);
        fail(worker, job, &err);
    }
    worker->running = running_count(worker);
}

bool work_is_left(struct worker *worker)
{
    return (worker->llm && llm_busy(worker->llm)) || next_encode(worker);
}

static void step_encode(struct worker *worker)
{
    struct job *job = next_encode(worker);
    if (!job)
        return;
    worker->last_turn = job->request.id;
    struct err err;
    if (!encoder_step(&worker->encoder, &job->encode, &err))
        fail(worker, job, &err);
    else if (encode_job_done(&job->encode))
        finish_encode(worker, job);
}

void work_step(struct worker *worker)
{
    follow_threads(worker);
    const struct llm_events events = {
        .user = worker, .text = on_text, .done = on_done, .failed = on_failed};
    if (worker->llm && llm_busy(worker->llm))
        llm_step(worker->llm, &events);
    else
        step_encode(worker);
    worker->running = running_count(worker);
}

void work_drop_cancelled(struct worker *worker)
{
    struct job *next;
    for (struct job *job = queue_running(&worker->queue, NULL); job; job = next) {
        next = queue_running(&worker->queue, job);
        if (!atomic_load(&job->cancelled))
            continue;
        if (worker->llm)
            llm_cancel(worker->llm, job);
        struct err err;
        cancel_error(&err);
        fail(worker, job, &err);
    }
    worker->running = running_count(worker);
}
