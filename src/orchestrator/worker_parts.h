/* worker_parts.h - a worker as worker.c (process, reader, writing) and call.c (calls) share it.
 *
 * Purpose: private to those two files. Owner: worker.c makes and frees it; a call belongs to its caller.
 * Threads: see the fields. Fails: see worker.h.
 */
#ifndef JARVIS_ORCHESTRATOR_WORKER_PARTS_H
#define JARVIS_ORCHESTRATOR_WORKER_PARTS_H

#include "orchestrator/worker.h"

/* A call that was given up, until the worker has ended it. */
struct abandoned {
    uint64_t id;
    deadline until;
    struct abandoned *next;
};

struct worker {
    struct worker_options options;
    struct process process; /* the reader's; pid and socket do not change until `reaped` */
    pid_t pid;
    int wake; /* eventfd */
    pthread_t reader;
    struct mutex lock;   /* of all that follows */
    struct cond changed; /* hello, dead, or the end of a writer's turn */
    bool hello;
    bool reaped; /* the process's number is no longer ours */
    bool dead;   /* no frame will come or go any more */
    bool writing;
    struct threads_user thread_user;
    uint32_t
        threads_due; /* to be told to the worker when the one who writes has ended; 0: nothing is */
    char cause[PROCESS_CAUSE_MAX];
    uint64_t next_id;
    char words[PROCESS_WORDS_MAX];
    deadline ping_at;
    uint32_t pings;         /* since the last sign of life */
    bool busy;              /* as the last PONG said, with … */
    uint64_t beats;         /* … so many beats … */
    int64_t beats_since_ns; /* … since then */
    struct worker_call *calls;
    struct abandoned *abandoned;
};

/* With the lock. */
void worker_kill_locked(struct worker *worker);

/* Tells the worker its share of the threads, now or after the frame that is being written; never waits. */
void worker_tell_threads(struct threads_user *user, uint32_t threads);

/* Does so if it is due and possible. With the lock, while nobody writes. */
void worker_flush_threads(struct worker *worker);

/* Writes a frame when it is this thread's turn. A frame that could be written only in part leaves nothing to say
 * that the worker would understand, so a failure ends the worker. */
bool worker_write(struct worker *worker, enum frame_type type, uint64_t id,
                  const struct str *payload, struct err *err);

#endif
