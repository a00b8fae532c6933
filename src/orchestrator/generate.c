/* generate.c - text that is pulled token by token.
 *
 * The request is kept until the first token has come: when the worker dies before, it is sent once more to a fresh
 * one. After the first token has left there is no second try; the caller gets ERR_WORKER_DIED.
 */
#include <stdlib.h>

#include "orchestrator/internal.h"

enum { EVENT_ARENA_MAX = 1024 * 1024 };

struct generation {
    struct lease *lease;
    struct wait wait;
    struct str payload;      /* the request; empty after the first token */
    bool retriable;          /* nothing has come yet, and there was no second try */
    struct worker_call call; /* while `calling` */
    bool calling;
    struct arena arena; /* of the last event's text */
};

static bool start_call(struct generation *generation, struct err *err)
{
    const struct lease *lease = generation->lease;
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
}

/* After an error: does a fresh worker get the request? */
static bool try_again(struct generation *generation, struct err *err)
{
    if (err->code != ERR_WORKER_DIED || !generation->retriable)
        return false;
    generation->retriable = false;
    end_call(generation);
    return lease_renew(generation->lease, &generation->wait, err) && start_call(generation, err);
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
    generation->retriable = true;
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

bool generation_next(struct generation *generation, struct generation_event *ret, struct err *err)
{
    struct err own = {.code = ERR_NONE};
    struct err *told = err ? err : &own;
    struct frame frame;
    bool got;
    do
        got = worker_call_next(&generation->call, &frame, told);
    while (!got && try_again(generation, told));
    if (!got)
        return false;
    if (generation->retriable) {
        generation->retriable = false;
        str_free(&generation->payload);
    }
    arena_free(&generation->arena);
    arena_init(&generation->arena, EVENT_ARENA_MAX);
    bool ok = read_event(generation, &frame, ret, told);
    frame_free(&frame);
    return ok;
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
