#include "engine/worker_main.h"

#include <fcntl.h>
#include <ggml.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "config.h"
#include "engine/sandbox.h"
#include "engine/worker.h"
#include "ipc/protocol.h"

/* ---------------------------------------------------------------- the reader thread */

static void send_pong(struct worker *worker, uint64_t id)
{
    struct pulse *pulse = &worker->queue.pulse;
    int64_t began_ns = atomic_load(&pulse->step_began_ns);
    struct msg_pong pong = {
        .busy = began_ns > 0,
        .beats = atomic_load(&pulse->beats),
        .step_ms = began_ns > 0 ? (uint64_t)clock_ms_since(began_ns) : 0,
    };
    struct str payload;
    str_init(&payload, FRAME_PAYLOAD_MAX);
    msg_put_pong(&payload, &pong);
    reply_send(worker, FRAME_PONG, id, &payload);
}

static void send_stats(struct worker *worker, uint64_t id)
{
    struct msg_stats stats = {
        .resident_bytes = measure_resident(&worker->measure),
        .peak_bytes = measure_peak(),
        .held_bytes = measure_held(&worker->measure),
        .busy = (uint32_t)queue_count(&worker->queue),
    };
    struct str payload;
    str_init(&payload, FRAME_PAYLOAD_MAX);
    msg_put_stats(&payload, &stats);
    reply_send(worker, FRAME_STATED, id, &payload);
}

static void send_probed(struct worker *worker, uint64_t id)
{
    struct msg_probed probed;
    sandbox_probe(&probed);
    struct str payload;
    str_init(&payload, FRAME_PAYLOAD_MAX);
    msg_put_probed(&payload, &probed);
    reply_send(worker, FRAME_PROBED, id, &payload);
}

/* The model thread looks at it before its next step. */
static void take_threads(struct worker *worker, const struct frame *frame)
{
    struct msg_threads message;
    if (msg_get_threads(frame->payload, frame->length, NULL, &message, NULL))
        atomic_store(&worker->threads_wanted, message.threads);
}

static void handle(struct worker *worker, struct frame *frame)
{
    uint64_t id = frame->id;
    struct err err;
    switch (frame->type) {
    case FRAME_PING: send_pong(worker, id); break;
    case FRAME_STATS: send_stats(worker, id); break;
    case FRAME_PROBE: send_probed(worker, id); break;
    case FRAME_CANCEL: queue_cancel(&worker->queue, id); break;
    case FRAME_THREADS: take_threads(worker, frame); break;
    case FRAME_SHUTDOWN: _exit(WORKER_EXIT_DONE);
    default:
        if (!queue_push(&worker->queue, frame, &err))
            reply_error(worker, id, &err);
    }
    frame_free(frame);
}

static void *read_requests(void *argument)
{
    struct worker *worker = argument;
    struct frame frame;
    struct err err;
    while (frame_read(worker->fd, &frame, INT64_MAX, &err))
        handle(worker, &frame);
    /* At once, whatever the model thread is doing: nobody is left to hear of it. */
    _exit(err.code == ERR_WORKER_DIED ? WORKER_EXIT_DONE : WORKER_EXIT_PROTOCOL);
}

/* ---------------------------------------------------------------- the model thread */

static void send_hello(struct worker *worker)
{
    struct str payload;
    str_init(&payload, FRAME_PAYLOAD_MAX);
    msg_put_hello(&payload,
                  &(struct msg_hello){.pid = (uint32_t)getpid(), .version = JARVIS_VERSION});
    reply_send(worker, FRAME_HELLO, 0, &payload);
}

/* How long to wait for a request: not at all with work to do, and a spare not long before it warms up. */
static deadline patience(struct worker *worker)
{
    if (work_is_left(worker))
        return 0;
    bool warm = worker->loaded || worker->backend.loaded;
    return warm ? INT64_MAX : deadline_in_ms(WORKER_IDLE_MS);
}

static void serve(struct worker *worker)
{
    for (;;) {
        /* Cleared before the look at who was cancelled, so that no cancel is lost. */
        struct pulse *pulse = &worker->queue.pulse;
        atomic_store(&pulse->interrupt, false);
        work_drop_cancelled(worker);
        struct job *job = queue_next(&worker->queue, work_may_begin, worker, patience(worker));
        atomic_store(&pulse->step_began_ns, clock_now_ns());
        atomic_fetch_add(&pulse->beats, 1);
        if (job)
            work_begin(worker, job);
        else if (work_is_left(worker))
            work_step(worker);
        else if (!worker->loaded)
            backend_load(&worker->backend);
        atomic_store(&pulse->step_began_ns, 0);
    }
}

/* The terminal's and the init system's signals are meant for the service, which then ends its workers. */
static void ignore_signals(void)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        sigaction(signals[i], &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
}

/* Sanitizers report on standard error and must be heard. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { KEEP_STDERR = true };
#else
enum { KEEP_STDERR = false };
#endif

static bool hush_stderr(void)
{
    if (dup3(STDERR_FILENO, WORKER_WORDS_FD, O_CLOEXEC) < 0)
        return false;
    int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (nowhere < 0)
        return false;
    bool ok = KEEP_STDERR || dup2(nowhere, STDERR_FILENO) >= 0;
    close(nowhere);
    return ok;
}

/* A failed assertion in ggml: says which and ends, without a core file and without starting a debugger. */
static void leave_at_once(const char *message)
{
    const struct iovec parts[] = {
        {.iov_base = (char *)(uintptr_t)message, .iov_len = strlen(message)},
        {.iov_base = (char *)(uintptr_t) "\n", .iov_len = 1}};
    ssize_t ignored = writev(WORKER_WORDS_FD, parts, 2);
    (void)ignored;
    _exit(WORKER_EXIT_ASSERT);
}

int worker_main(int fd)
{
    ignore_signals();
    if (!hush_stderr())
        return WORKER_EXIT_START;
    ggml_set_abort_callback(leave_at_once);
    charset_find_modules();
    struct worker *worker = calloc(1, sizeof(*worker));
    if (!worker)
        return WORKER_EXIT_START;
    worker->fd = fd;
    mutex_init(&worker->write_lock);
    queue_init(&worker->queue);
    measure_open(&worker->measure);
    backend_init(&worker->backend);
    pthread_t reader;
    struct err err;
    send_hello(worker);
    if (!thread_start(&reader, "worker reader", read_requests, worker, &err))
        return WORKER_EXIT_START;
    serve(worker);
    return WORKER_EXIT_DONE;
}
