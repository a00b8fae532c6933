/* worker.h - a worker process and the conversation with it.
 *
 * Purpose: private to src/orchestrator. A worker answers several calls at once; its reader thread hands each frame
 *   to the call of that id. Whoever made the call waits for its frames with a deadline and a cancel flag.
 * Owner:   worker_start() gives the worker to the caller; worker_free() ends the process. A call lives in a struct of
 *   the caller's between worker_call() and worker_call_end(), and the worker must live as long.
 * Threads: all functions from any thread; a call is used by one thread at a time. Lock order: a cancel's lock, the
 *   registry's, a worker's. on_death is called once from the reader thread, with no lock held.
 * Fails:   ERR_WORKER_DIED names the cause of death; ERR_TIMEOUT, ERR_CANCELLED; an ERROR frame is that error.
 *
 * What keeps a worker from hurting the service: a call that is given up is cancelled in the worker, and a worker
 * that does not end it within cancel_ms is killed; so is one that leaves WORKER_PINGS_MAX heartbeats in a row without
 * a sign of life, or whose model thread says in its PONGs that it is at work but no beat further for hang_ms; a worker that does not read for WORKER_WRITE_MS is
 * killed; the frames that wait for a slow consumer are bounded by WORKER_QUEUE_MAX bytes, past which the call is
 * cancelled (the reader never waits for one consumer: the others' tokens come through the same socket).
 */
#ifndef JARVIS_ORCHESTRATOR_WORKER_H
#define JARVIS_ORCHESTRATOR_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/thread.h"
#include "ipc/frame.h"
#include "orchestrator/process.h"
#include "orchestrator/registry.h"
#include "orchestrator/threads.h"

enum {
    WORKER_HELLO_MS = 30000,            /* longest from start to HELLO */
    WORKER_CANCEL_MS = 15000,           /* longest from CANCEL to the last frame */
    WORKER_WRITE_MS = 10000,            /* longest that a frame may take to be written */
    WORKER_GRACE_MS = 1000,             /* from SHUTDOWN to SIGKILL */
    WORKER_PINGS_MAX = 3,               /* unanswered, each a heartbeat after the one before */
    WORKER_QUEUE_MAX = 8 * 1024 * 1024, /* bytes of TOKENS that wait for their consumer */
};

struct worker;

typedef void worker_death(void *user, struct worker *worker);

struct worker_options {
    const char *program;
    uint32_t threads;
    int64_t cancel_ms;      /* longest from CANCEL to the last frame */
    int64_t heartbeat_ms;   /* between two PINGs; 0: none are sent */
    int64_t hang_ms;        /* longest that the model thread may work without getting on */
    struct threads *budget; /* of threads, which calls that compute are counted in; may be NULL */
    worker_death *on_death; /* may be NULL */
    void *user;
};

/* Starts the process and returns at once; worker_await_hello() waits until it can be used. */
bool worker_start(const struct worker_options *options, struct worker **ret, struct err *err);
bool worker_await_hello(struct worker *worker, const struct wait *wait, struct err *err);

pid_t worker_pid(const struct worker *worker);
bool worker_is_dead(struct worker *worker);

/* The cause of death in English, once worker_is_dead(). True: by a fault of its own (an assertion, a bad access), not
 * by a kill. */
bool worker_cause(struct worker *worker, char cause[PROCESS_CAUSE_MAX]);

/* The last lines that it wrote, once worker_is_dead(). */
void worker_last_words(struct worker *worker, char words[PROCESS_WORDS_MAX]);

void worker_kill(struct worker *worker);

/* Asks it to leave, without waiting. */
void worker_leave(struct worker *worker);

/* Waits for its end until `grace`, kills it then, frees everything. NULL is fine. Never with the registry's lock. */
void worker_free(struct worker *worker, deadline grace);

/* --- calls --- */

struct queued_frame {
    struct frame frame;
    struct queued_frame *next;
};

struct worker_call {
    struct worker *worker;
    uint64_t id;
    const char *what; /* name of the model or document, for messages; the caller's */
    struct wait wait;
    struct cancel_hook hook;
    struct cond changed;
    struct queued_frame *first;
    struct queued_frame *last;
    size_t queued_bytes;
    bool computes; /* counted in the budget of threads */
    bool ended;    /* the last frame has come */
    bool cancelled;
    bool overflowed;
    struct worker_call *next;
};

/* Sends a request. wait->cancel must live until worker_call_end(). After false there is nothing to end. */
bool worker_call(struct worker *worker, enum frame_type type, const struct str *payload,
                 const char *what, const struct wait *wait, struct worker_call *call,
                 struct err *err);

/* The next frame of the answer, the caller's to free. */
bool worker_call_next(struct worker_call *call, struct frame *ret, struct err *err);

/* As worker_call_next, for a request with one answer: of this type, or ERR_PROTOCOL. PROGRESS is skipped. */
bool worker_call_answer(struct worker_call *call, enum frame_type type, struct frame *ret,
                        struct err *err);

/* Ends the call; what has not been answered is cancelled. */
void worker_call_end(struct worker_call *call);

/* One request, one answer. */
bool worker_ask(struct worker *worker, enum frame_type type, const struct str *payload,
                enum frame_type answer, const char *what, const struct wait *wait,
                struct frame *ret, struct err *err);

#endif
