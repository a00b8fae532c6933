/* call.c - requests to a worker, as those who make them see it: send, wait for frames, end. */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "orchestrator/worker_parts.h"

enum { DEATH_NEWS_MS = 5000 };

static void free_queue(struct worker_call *call)
{
    while (call->first) {
        struct queued_frame *queued = call->first;
        call->first = queued->next;
        frame_free(&queued->frame);
        free(queued);
    }
    call->last = NULL;
    call->queued_bytes = 0;
}

static void wake_reader(struct worker *worker)
{
    const uint64_t one = 1;
    ssize_t written;
    do
        written = write(worker->wake, &one, sizeof(one));
    while (written < 0 && errno == EINTR);
}

static bool died(const struct worker *worker, const char *what, struct err *err)
{
    return err_set(err, ERR_WORKER_DIED, "the worker process of \"%s\" ended (%s); try again", what,
                   worker->cause);
}

static void fire_call(void *argument)
{
    struct worker_call *call = argument;
    mutex_lock(&call->worker->lock);
    call->cancelled = true;
    cond_signal(&call->changed);
    mutex_unlock(&call->worker->lock);
}

/* ---------------------------------------------------------------- threads */

void worker_flush_threads(struct worker *worker)
{
    enum { BYTES = FRAME_HEADER + sizeof(uint32_t) };
    struct str frame;
    struct str payload;
    if (worker->threads_due == 0 || worker->writing || worker->dead || worker->reaped)
        return;
    str_init(&payload, sizeof(uint32_t));
    str_init(&frame, BYTES);
    msg_put_threads(&payload, &(struct msg_threads){.threads = worker->threads_due});
    uint8_t header[FRAME_HEADER];
    frame_format_header(header, FRAME_THREADS, 0, (uint32_t)payload.length);
    str_append(&frame, header, sizeof(header));
    str_append(&frame, payload.data, payload.length);
    /* A socket that has no room for twenty bytes takes none of them: then it is tried again after the next frame. One
     * that took a part would be broken for good, and the next frame finds that out. */
    ssize_t sent = str_ok(&frame) ? send(worker->process.socket, frame.data, frame.length,
                                         MSG_DONTWAIT | MSG_NOSIGNAL)
                                  : 0;
    if (sent > 0)
        worker->threads_due = 0;
    str_free(&frame);
    str_free(&payload);
}

void worker_tell_threads(struct threads_user *user, uint32_t threads)
{
    struct worker *worker = (void *)((char *)user - offsetof(struct worker, thread_user));
    mutex_lock(&worker->lock);
    worker->threads_due = threads;
    worker_flush_threads(worker);
    mutex_unlock(&worker->lock);
}

static bool computes(enum frame_type type)
{
    return type == FRAME_EMBED || type == FRAME_RERANK || type == FRAME_GENERATE ||
           type == FRAME_TRANSCRIBE;
}

/* ---------------------------------------------------------------- calls */

/* Takes the call off the worker's list and, when the worker is still busy with it, notes until when it may be.
 * True: a CANCEL is due. */
static bool unlink_call(struct worker_call *call)
{
    struct worker *worker = call->worker;
    bool due = false;
    mutex_lock(&worker->lock);
    struct worker_call **at = &worker->calls;
    while (*at && *at != call)
        at = &(*at)->next;
    if (*at)
        *at = call->next;
    if (!call->ended && !worker->dead) {
        struct abandoned *abandoned = calloc(1, sizeof(*abandoned));
        if (abandoned) {
            *abandoned = (struct abandoned){.id = call->id,
                                            .until = deadline_in_ms(worker->options.cancel_ms),
                                            .next = worker->abandoned};
            worker->abandoned = abandoned;
            due = true;
        } else {
            worker_kill_locked(worker);
        }
    }
    mutex_unlock(&worker->lock);
    return due;
}

void worker_call_end(struct worker_call *call)
{
    cancel_unwatch(call->wait.cancel, &call->hook);
    if (call->computes)
        threads_end(call->worker->options.budget, &call->worker->thread_user);
    if (unlink_call(call)) {
        struct err ignored;
        worker_write(call->worker, FRAME_CANCEL, call->id, NULL, &ignored);
        wake_reader(call->worker);
    }
    free_queue(call);
    cond_destroy(&call->changed);
}

/* After a failed write: the cause is known as soon as the reader has buried the process. */
static bool died_while_writing(struct worker *worker, const char *what, struct err *err)
{
    deadline until = deadline_in_ms(DEATH_NEWS_MS);
    mutex_lock(&worker->lock);
    while (!worker->dead && cond_wait(&worker->changed, &worker->lock, until))
        continue;
    bool ok = died(worker, what, err);
    mutex_unlock(&worker->lock);
    return ok;
}

bool worker_call(struct worker *worker, enum frame_type type, const struct str *payload,
                 const char *what, const struct wait *wait, struct worker_call *call,
                 struct err *err)
{
    if (payload && !str_check(payload, what, err))
        return false;
    if (cancel_is_set(wait->cancel)) {
        cancel_error(err);
        return false;
    }
    *call = (struct worker_call){
        .worker = worker, .what = what, .wait = *wait, .computes = computes(type)};
    call->hook = (struct cancel_hook){.fire = fire_call, .argument = call};
    cond_init(&call->changed);
    mutex_lock(&worker->lock);
    call->id = worker->next_id++;
    call->next = worker->calls;
    worker->calls = call;
    mutex_unlock(&worker->lock);
    cancel_watch(wait->cancel, &call->hook);
    if (call->computes)
        threads_begin(worker->options.budget, &worker->thread_user);

    if (worker_write(worker, type, call->id, payload, err))
        return true;
    died_while_writing(worker, what, err);
    worker_call_end(call);
    return false;
}

/* The frame at the head of the queue. With the lock. */
static bool take_first(struct worker_call *call, struct frame *ret)
{
    struct queued_frame *queued = call->first;
    if (!queued)
        return false;
    call->first = queued->next;
    if (!call->first)
        call->last = NULL;
    call->queued_bytes -= queued->frame.length;
    *ret = queued->frame;
    free(queued);
    return true;
}

/* Waits for a frame; why there is none goes to *err. */
static bool await_frame(struct worker_call *call, struct frame *ret, struct err *err)
{
    struct worker *worker = call->worker;
    mutex_lock(&worker->lock);
    bool on_time = true;
    while (on_time && !call->first && !call->cancelled && !call->overflowed && !worker->dead)
        on_time = cond_wait(&call->changed, &worker->lock, call->wait.until);
    bool ok = false;
    if (call->cancelled)
        cancel_error(err);
    else if (take_first(call, ret))
        ok = true;
    else if (call->overflowed)
        err_set(err, ERR_BUSY,
                "\"%s\" answers faster than the client reads; the answer was "
                "stopped",
                call->what);
    else if (worker->dead)
        died(worker, call->what, err);
    else
        err_set(err, ERR_TIMEOUT, "\"%s\" did not answer in time; try again, or allow more time",
                call->what);
    mutex_unlock(&worker->lock);
    return ok;
}

bool worker_call_next(struct worker_call *call, struct frame *ret, struct err *err)
{
    struct frame frame;
    if (!await_frame(call, &frame, err))
        return false;
    if (frame.type != FRAME_ERROR) {
        *ret = frame;
        return true;
    }
    struct err told;
    if (!msg_get_err(frame.payload, frame.length, &told, err)) {
        frame_free(&frame);
        return false;
    }
    if (err)
        *err = told;
    frame_free(&frame);
    return false;
}

bool worker_call_answer(struct worker_call *call, enum frame_type type, struct frame *ret,
                        struct err *err)
{
    struct frame frame;
    for (;;) {
        if (!worker_call_next(call, &frame, err))
            return false;
        if (frame.type == type) {
            *ret = frame;
            return true;
        }
        bool progress = frame.type == FRAME_PROGRESS;
        unsigned got = frame.type;
        frame_free(&frame);
        if (!progress)
            return err_set(err, ERR_PROTOCOL,
                           "the worker process of \"%s\" answered with a message of type %u; "
                           "restart the service",
                           call->what, got);
    }
}

bool worker_ask(struct worker *worker, enum frame_type type, const struct str *payload,
                enum frame_type answer, const char *what, const struct wait *wait,
                struct frame *ret, struct err *err)
{
    struct worker_call call;
    if (!worker_call(worker, type, payload, what, wait, &call, err))
        return false;
    bool ok = worker_call_answer(&call, answer, ret, err);
    worker_call_end(&call);
    return ok;
}
