/* generate.c - text that is pulled token by token.
 *
 * The request is kept until the first token has come: what fails before may be tried again, or another model may
 * answer (policy.c). After the first token has left there is no second try; the caller gets the error.
 */
#include <stdlib.h>

#include "orchestrator/internal.h"

enum { EVENT_ARENA_MAX = 1024 * 1024, REQUEST_ARENA_MAX = 256 * 1024 * 1024 };

struct generation {
    struct lease *lease;
    struct wait wait;
    struct str payload;      /* the request; empty after the first token */
    bool untold;             /* nothing has come yet */
    struct retry retry;      /* on the lease's model */
    struct worker_call call; /* while `calling` */
    bool calling;
    struct upstream_stream *stream; /* of an upstream, instead of a call */
    struct arena arena;             /* of the last event's text */
};

/* The request, which was encoded for a worker, to another server. */
static bool start_stream(struct generation *generation, struct err *err)
{
    struct arena arena;
    struct msg_generate request;
    arena_init(&arena, REQUEST_ARENA_MAX);
    const struct str *payload = &generation->payload;
    bool ok = str_check(payload, "the request", err) &&
              msg_get_generate(payload->data, payload->length, &arena, &request, err) &&
              upstream_generate(generation->lease->model->upstream, &request, &generation->wait,
                                &generation->stream, err);
    arena_free(&arena);
    return ok;
}

static bool start_call(struct generation *generation, struct err *err)
{
    const struct lease *lease = generation->lease;
    if (!lease->instance)
        return start_stream(generation, err);
    generation->calling =
        worker_call(lease->instance->worker, FRAME_GENERATE, &generation->payload,
                    lease->model->entry.name, &generation->wait, &generation->call, err);
    return generation->calling;
}

static void end_call(struct generation *generation)
{
    if (generation->calling)
        worker_call_end(&generation->call);
    generation->calling = false;
    upstream_stream_end(generation->stream);
    generation->stream = NULL;
}

/* After an error: is the request sent again, to the same model or to another one? */
static bool try_again(struct generation *generation, struct err *err)
{
    while (generation->untold) {
        end_call(generation);
        if (!lease_retry(generation->lease, &generation->retry, &generation->wait, err)) {
            generation->retry = (struct retry){0};
            if (!lease_fall_back(generation->lease, &generation->wait, err))
                break;
        }
        if (start_call(generation, err))
            return true;
    }
    return false;
}

bool lease_generate(struct lease *lease, const struct msg_generate *request,
                    const struct wait *wait, struct generation **ret, struct err *err)
{
    struct err own = {.code = ERR_NONE};
    struct err *told = err ? err : &own;
    struct generation *generation = calloc(1, sizeof(*generation));
    if (!generation)
        return err_no_memory(told);
    generation->lease = lease;
    generation->wait = *wait;
    generation->untold = true;
    arena_init(&generation->arena, EVENT_ARENA_MAX);
    str_init(&generation->payload, FRAME_PAYLOAD_MAX);
    msg_put_generate(&generation->payload, request);
    if (!start_call(generation, told) && !try_again(generation, told)) {
        generation_end(generation);
        return false;
    }
    *ret = generation;
    return true;
}

/* What a frame says, in the generation's arena. */
static bool read_event(struct generation *generation, const struct frame *frame,
                       struct generation_event *ret, struct err *err)
{
    struct msg_tokens tokens;
    struct generation_event event = {.done = frame->type == FRAME_DONE};
    bool ok = true;
    if (frame->type == FRAME_DONE) {
        ok = msg_get_done(frame->payload, frame->length, &generation->arena, &event.last, err);
    } else if (frame->type == FRAME_TOKENS) {
        ok = msg_get_tokens(frame->payload, frame->length, &generation->arena, &tokens, err);
        event.text = ok ? tokens.text : NULL;
    } else {
        ok = err_set(err, ERR_PROTOCOL,
                     "the worker process of \"%s\" answered with a message of type %u; restart the "
                     "service",
                     generation->lease->model->entry.name, (unsigned)frame->type);
    }
    if (ok)
        *ret = event;
    return ok;
}

/* The first event has come: there is no second try any more. */
static void note_told(struct generation *generation)
{
    if (generation->untold)
        str_free(&generation->payload);
    generation->untold = false;
}

/* The next event of a worker. */
static bool next_frame(struct generation *generation, struct generation_event *ret,
                       struct err *told)
{
    struct frame frame;
    if (!worker_call_next(&generation->call, &frame, told))
        return false;
    note_told(generation);
    arena_free(&generation->arena);
    arena_init(&generation->arena, EVENT_ARENA_MAX);
    bool ok = read_event(generation, &frame, ret, told);
    if (ok && frame.type == FRAME_DONE)
        lease_succeeded(generation->lease);
    frame_free(&frame);
    return ok;
}

bool generation_next(struct generation *generation, struct generation_event *ret, struct err *err)
{
    struct err own = {.code = ERR_NONE};
    struct err *told = err ? err : &own;
    bool got;
    do
        got = generation->stream ? upstream_stream_next(generation->stream, ret, told)
                                 : next_frame(generation, ret, told);
    while (!got && try_again(generation, told));
    if (got)
        note_told(generation);
    return got;
}

void generation_end(struct generation *generation)
{
    if (!generation)
        return;
    end_call(generation);
    str_free(&generation->payload);
    arena_free(&generation->arena);
    free(generation);
}
