/* worker_queue.h - the requests that a worker has been given and has not answered.
 *
 * Purpose: the reader thread puts requests in and marks cancelled ones; the model thread takes them out one by one,
 *   works on several at once, and finishes them. Bounded in number and bytes.
 * Owner:   the queue owns its jobs until queue_finish(). A running job is only touched by the model thread, but for
 *   its `cancelled` flag.
 * Threads: as said; everything shared is locked.
 * Fails:   queue_push() with ERR_BUSY when the queue is full, ERR_NO_MEMORY.
 */
#ifndef JARVIS_ENGINE_WORKER_QUEUE_H
#define JARVIS_ENGINE_WORKER_QUEUE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/thread.h"
#include "engine/encoder.h"
#include "engine/pulse.h"
#include "ipc/frame.h"

enum {
    QUEUE_JOBS_MAX = 256,
    QUEUE_BYTES_MAX = 256 * 1024 * 1024, /* of all payloads together */
};

struct job {
    struct job *next;
    struct frame request;
    bool running; /* guarded by the queue's lock */
    atomic_bool cancelled;
    struct encode_job encode; /* of a running EMBED or RERANK */
};

struct queue {
    struct mutex lock;
    struct cond changed;
    struct job *first; /* all jobs, oldest first */
    size_t count;
    size_t bytes;
    struct pulse pulse;
};

void queue_init(struct queue *queue);

/* Takes over the frame's payload, also on failure. */
bool queue_push(struct queue *queue, struct frame *request, struct err *err);

/* Marks the job of this id, if there is one. */
void queue_cancel(struct queue *queue, uint64_t id);

/* The oldest waiting job that was cancelled or that `may_start` accepts; it is running from then on. Waits for one
 * until `until`; NULL then. `may_start` is called with the queue locked. */
struct job *queue_next(struct queue *queue, bool (*may_start)(void *user, const struct job *job),
                       void *user, deadline until);

/* Walks the running jobs: NULL begins and ends. Only for the model thread. */
struct job *queue_running(struct queue *queue, const struct job *after);

/* Ends a running job and frees it. */
void queue_finish(struct queue *queue, struct job *job);

size_t queue_count(struct queue *queue);

#endif
