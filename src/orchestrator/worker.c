/* worker.c - the reader thread and the calls.
 *
 * The reader thread polls three descriptors: the socket, the pipe with the process's output, and an eventfd by which
 * other threads tell it that a call was given up (so that it knows how long to wait for the worker to notice). It
 * ends when the socket does, whatever the reason; then it makes sure that the process is dead, reaps it, gives the
 * cause to all calls and tells the owner. It also keeps the heartbeat: it sends a PING when one is due and the socket
 * takes it at once (the reader must never wait for a writer), and any frame is a sign of life. Writers take turns (`writing`); a turn ends within WORKER_WRITE_MS.
 */
#include "orchestrator/worker_parts.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "config.h"

enum { READ_DEADLINE_MS = 30000, HELLO_ARENA = 4096 };

/* ---------------------------------------------------------------- the reader's side */

void worker_kill_locked(struct worker *worker)
{
    if (!worker->reaped)
        process_kill(&worker->process);
}

static bool is_last_frame(uint8_t type)
{
    return type != FRAME_PROGRESS && type != FRAME_TOKENS;
}

/* Puts a frame into the call's queue; a PROGRESS replaces the one before it. With the lock; takes the frame. */
static void enqueue(struct worker_call *call, struct frame *frame)
{
    call->ended = is_last_frame(frame->type);
    bool replaces =
        frame->type == FRAME_PROGRESS && call->last && call->last->frame.type == FRAME_PROGRESS;
    if (replaces) {
        frame_free(&call->last->frame);
        call->last->frame = *frame;
        cond_signal(&call->changed);
        return;
    }
    struct queued_frame *queued = calloc(1, sizeof(*queued));
    bool fits = call->ended || call->queued_bytes + frame->length <= WORKER_QUEUE_MAX;
    if (!queued || !fits || call->overflowed) { /* after a gap there is nothing more to tell */
        call->overflowed = true;
        free(queued);
        frame_free(frame);
    } else {
        queued->frame = *frame;
        call->queued_bytes += frame->length;
        *(call->last ? &call->last->next : &call->first) = queued;
        call->last = queued;
    }
    cond_signal(&call->changed);
}

static void forget_abandoned(struct worker *worker, uint64_t id)
{
    for (struct abandoned **at = &worker->abandoned; *at; at = &(*at)->next) {
        if ((*at)->id == id) {
            struct abandoned *gone = *at;
            *at = gone->next;
            free(gone);
            return;
        }
    }
}

/* The first frame of a worker. Another version is another program: it is ended. With the lock. */
static bool accept_hello(struct worker *worker, const struct frame *frame)
{
    struct arena arena;
    arena_init(&arena, HELLO_ARENA);
    struct msg_hello hello;
    struct err err;
    bool ok = frame->type == FRAME_HELLO &&
              msg_get_hello(frame->payload, frame->length, &arena, &hello, &err) &&
              strcmp(hello.version, JARVIS_VERSION) == 0;
    arena_free(&arena);
    if (!ok)
        snprintf(worker->cause, sizeof(worker->cause), "is not of version %s", JARVIS_VERSION);
    worker->hello = ok;
    cond_broadcast(&worker->changed);
    return ok;
}

/* What the model thread is doing. With the lock. */
static void note_pong(struct worker *worker, const struct frame *frame)
{
    struct arena none;
    struct msg_pong pong;
    arena_init(&none, 0);
    if (msg_get_pong(frame->payload, frame->length, &none, &pong, NULL)) {
        if (!pong.busy || !worker->busy || pong.beats != worker->beats)
            worker->beats_since_ns = clock_now_ns();
        worker->busy = pong.busy;
        worker->beats = pong.beats;
    }
    arena_free(&none);
}

/* Hands a frame to whom it is for. False: the worker makes no sense. Takes the frame. */
static bool dispatch(struct worker *worker, struct frame *frame)
{
    bool ok = true;
    mutex_lock(&worker->lock);
    worker->pings = 0;
    if (!worker->hello) {
        ok = accept_hello(worker, frame);
        worker->ping_at = deadline_in_ms(worker->options.heartbeat_ms);
        frame_free(frame);
    } else if (frame->type == FRAME_PONG) {
        note_pong(worker, frame);
        frame_free(frame);
    } else {
        struct worker_call *call = worker->calls;
        while (call && call->id != frame->id)
            call = call->next;
        if (is_last_frame(frame->type))
            forget_abandoned(worker, frame->id);
        if (call && !call->ended)
            enqueue(call, frame);
        else
            frame_free(frame); /* of a call that was given up */
    }
    mutex_unlock(&worker->lock);
    return ok;
}

/* When the first abandoned call is late. A late one ends the worker. With the lock. */
static deadline watch_abandoned(struct worker *worker)
{
    deadline first = INT64_MAX;
    for (const struct abandoned *call = worker->abandoned; call; call = call->next)
        first = deadline_earlier(first, call->until);
    if (first != INT64_MAX && deadline_passed(first) && !worker->cause[0]) {
        snprintf(worker->cause, sizeof(worker->cause), "did not react for %lld ms and was killed",
                 (long long)worker->options.cancel_ms);
        worker_kill_locked(worker);
        first = INT64_MAX;
    }
    return first;
}

/* Sends a PING if the socket takes it at once. It is small: a socket that can be written to takes it whole. Called
 * with the lock, leaves it meanwhile. */
static void send_ping(struct worker *worker)
{
    struct pollfd fd = {.fd = worker->process.socket, .events = POLLOUT};
    if (worker->writing || poll(&fd, 1, 0) != 1 || !(fd.revents & POLLOUT))
        return;
    worker->writing = true;
    mutex_unlock(&worker->lock);
    struct err ignored;
    frame_write(worker->process.socket, FRAME_PING, 0, NULL, 0, deadline_in_ms(WORKER_GRACE_MS),
                &ignored);
    mutex_lock(&worker->lock);
    worker->writing = false;
    worker_flush_threads(worker);
    cond_broadcast(&worker->changed);
}

/* Ends a worker that is silent or stands still, sends the next PING when it is due, and tells when to look again.
 * With the lock. */
static deadline watch_heart(struct worker *worker)
{
    int64_t interval_ms = worker->options.heartbeat_ms;
    if (interval_ms <= 0 || !worker->hello || worker->cause[0])
        return INT64_MAX;
    double still_ms = worker->busy ? clock_ms_since(worker->beats_since_ns) : 0;
    if (worker->pings == 0 && still_ms > (double)worker->options.hang_ms) {
        snprintf(worker->cause, sizeof(worker->cause),
                 "computed for %.0f s without getting on and was killed", still_ms / 1000);
        worker_kill_locked(worker);
        return INT64_MAX;
    }
    if (!deadline_passed(worker->ping_at))
        return worker->ping_at;
    if (worker->pings >= WORKER_PINGS_MAX) {
        snprintf(worker->cause, sizeof(worker->cause),
                 "gave no sign of life for %.1f s and was killed",
                 (double)(interval_ms * WORKER_PINGS_MAX) / 1000);
        worker_kill_locked(worker);
        return INT64_MAX;
    }
    worker->pings++;
    worker->ping_at = deadline_in_ms(interval_ms);
    send_ping(worker);
    return worker->ping_at;
}

/* How long poll() may wait. */
static int patience(struct worker *worker)
{
    mutex_lock(&worker->lock);
    deadline first = deadline_earlier(watch_abandoned(worker), watch_heart(worker));
    mutex_unlock(&worker->lock);
    return first == INT64_MAX ? -1 : deadline_left_ms(first);
}

static void clear_wake(struct worker *worker)
{
    uint64_t count;
    while (read(worker->wake, &count, sizeof(count)) < 0 && errno == EINTR)
        continue;
}

/* Reads until the socket ends or says something that is not the protocol. */
static void read_frames(struct worker *worker)
{
    for (;;) {
        struct pollfd fds[3] = {
            {.fd = worker->process.socket, .events = POLLIN},
            {.fd = worker->process.output, .events = POLLIN},
            {.fd = worker->wake, .events = POLLIN},
        };
        if (poll(fds, 3, patience(worker)) < 0 && errno != EINTR)
            return;
        if (fds[1].revents)
            process_drain(&worker->process);
        if (fds[2].revents)
            clear_wake(worker);
        if (!fds[0].revents)
            continue;
        struct frame frame;
        struct err err;
        if (!frame_read(worker->process.socket, &frame, deadline_in_ms(READ_DEADLINE_MS), &err)) {
            if (err.code != ERR_WORKER_DIED) {
                mutex_lock(&worker->lock);
                if (!worker->cause[0])
                    snprintf(worker->cause, sizeof(worker->cause), "broke the protocol: %.400s",
                             err_message(&err, LANG_EN));
                mutex_unlock(&worker->lock);
            }
            return;
        }
        if (!dispatch(worker, &frame))
            return;
    }
}

/* The process is ended if it has not, and its cause of death becomes known to all. */
static void bury(struct worker *worker)
{
    char cause[PROCESS_CAUSE_MAX];
    process_kill(&worker->process);
    process_await_end(&worker->process);
    mutex_lock(&worker->lock);
    while (worker->writing) /* the socket is about to be closed */
        cond_wait(&worker->changed, &worker->lock, deadline_in_ms(WORKER_WRITE_MS));
    worker->reaped = true;
    process_reap(&worker->process, cause);
    if (!worker->cause[0])
        memcpy(worker->cause, cause, sizeof(worker->cause));
    process_last_words(&worker->process, worker->words);
    worker->dead = true;
    for (struct worker_call *call = worker->calls; call; call = call->next)
        cond_signal(&call->changed);
    cond_broadcast(&worker->changed);
    mutex_unlock(&worker->lock);
}

static void *run_reader(void *argument)
{
    struct worker *worker = argument;
    read_frames(worker);
    bury(worker);
    if (worker->options.on_death)
        worker->options.on_death(worker->options.user, worker);
    return NULL;
}

/* ---------------------------------------------------------------- start and end */

static void free_parts(struct worker *worker)
{
    while (worker->abandoned)
        forget_abandoned(worker, worker->abandoned->id);
    if (worker->wake >= 0)
        close(worker->wake);
    cond_destroy(&worker->changed);
    mutex_destroy(&worker->lock);
    free(worker);
}

bool worker_start(const struct worker_options *options, struct worker **ret, struct err *err)
{
    struct worker *worker = calloc(1, sizeof(*worker));
    if (!worker)
        return err_no_memory(err);
    worker->options = *options;
    worker->thread_user =
        (struct threads_user){.tell = worker_tell_threads, .share = options->threads};
    worker->next_id = 1;
    mutex_init(&worker->lock);
    cond_init(&worker->changed);
    worker->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (worker->wake < 0) {
        err_set_errno(err, ERR_UNAVAILABLE, errno, "cannot start a worker process (\"%s worker\")",
                      options->program);
        free_parts(worker);
        return false;
    }
    if (!process_start(options->program, options->threads, &worker->process, err)) {
        free_parts(worker);
        return false;
    }
    worker->pid = worker->process.pid;
    if (!thread_start(&worker->reader, "worker-reader", run_reader, worker, err)) {
        char cause[PROCESS_CAUSE_MAX];
        process_kill(&worker->process);
        process_await_end(&worker->process);
        process_reap(&worker->process, cause);
        free_parts(worker);
        return false;
    }
    *ret = worker;
    return true;
}

/* For waiters on worker->changed. */
static void wake_waiters(void *argument)
{
    struct worker *worker = argument;
    mutex_lock(&worker->lock);
    cond_broadcast(&worker->changed);
    mutex_unlock(&worker->lock);
}

bool worker_await_hello(struct worker *worker, const struct wait *wait, struct err *err)
{
    deadline late = deadline_in_ms(WORKER_HELLO_MS);
    deadline until = deadline_earlier(wait->until, late);
    struct cancel_hook hook = {.fire = wake_waiters, .argument = worker};
    cancel_watch(wait->cancel, &hook);
    mutex_lock(&worker->lock);
    bool on_time = true;
    while (on_time && !worker->hello && !worker->dead && !cancel_is_set(wait->cancel))
        on_time = cond_wait(&worker->changed, &worker->lock, until);
    bool ok = worker->hello;
    if (!ok && worker->dead)
        err_set(err, ERR_UNAVAILABLE,
                "a worker process ended as it started (%s); run "
                "\"jarvis doctor\"",
                worker->cause);
    else if (!ok && cancel_is_set(wait->cancel))
        cancel_error(err);
    else if (!ok)
        err_set(err, ERR_TIMEOUT, "a worker process did not get ready in time; try again");
    mutex_unlock(&worker->lock);
    cancel_unwatch(wait->cancel, &hook);
    return ok;
}

pid_t worker_pid(const struct worker *worker)
{
    return worker->pid;
}

bool worker_is_dead(struct worker *worker)
{
    mutex_lock(&worker->lock);
    bool dead = worker->dead;
    mutex_unlock(&worker->lock);
    return dead;
}

bool worker_cause(struct worker *worker, char cause[PROCESS_CAUSE_MAX])
{
    mutex_lock(&worker->lock);
    memcpy(cause, worker->cause, PROCESS_CAUSE_MAX);
    bool crashed = worker->reaped && worker->process.crashed;
    mutex_unlock(&worker->lock);
    return crashed;
}

void worker_last_words(struct worker *worker, char words[PROCESS_WORDS_MAX])
{
    mutex_lock(&worker->lock);
    memcpy(words, worker->words, PROCESS_WORDS_MAX);
    mutex_unlock(&worker->lock);
}

void worker_kill(struct worker *worker)
{
    mutex_lock(&worker->lock);
    worker_kill_locked(worker);
    mutex_unlock(&worker->lock);
}

/* ---------------------------------------------------------------- writing */

bool worker_write(struct worker *worker, enum frame_type type, uint64_t id,
                  const struct str *payload, struct err *err)
{
    deadline until = deadline_in_ms(WORKER_WRITE_MS);
    bool on_time = true;
    mutex_lock(&worker->lock);
    while (worker->writing && !worker->dead && on_time)
        on_time = cond_wait(&worker->changed, &worker->lock, until);
    bool turn = !worker->writing && !worker->dead;
    worker->writing = worker->writing || turn;
    mutex_unlock(&worker->lock);
    if (!turn)
        return err_set(err, ERR_TIMEOUT, "a worker process does not take requests; try again");

    bool ok = frame_write(worker->process.socket, (uint8_t)type, id, payload ? payload->data : NULL,
                          payload ? payload->length : 0, until, err);
    mutex_lock(&worker->lock);
    worker->writing = false;
    if (!ok)
        worker_kill_locked(worker);
    cond_broadcast(&worker->changed);
    mutex_unlock(&worker->lock);
    return ok;
}

void worker_leave(struct worker *worker)
{
    struct err ignored;
    worker_write(worker, FRAME_SHUTDOWN, 0, NULL, &ignored);
}

void worker_free(struct worker *worker, deadline grace)
{
    if (!worker)
        return;
    mutex_lock(&worker->lock);
    while (!worker->dead && cond_wait(&worker->changed, &worker->lock, grace))
        continue;
    worker_kill_locked(worker);
    mutex_unlock(&worker->lock);
    pthread_join(worker->reader, NULL);
    free_parts(worker);
}
