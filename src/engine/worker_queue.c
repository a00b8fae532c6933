#include "engine/worker_queue.h"

#include <stdlib.h>

void queue_init(struct queue *queue)
{
    *queue = (struct queue){0};
    mutex_init(&queue->lock);
    cond_init(&queue->changed);
    atomic_init(&queue->pulse.interrupt, false);
    atomic_init(&queue->pulse.beats, 0);
    atomic_init(&queue->pulse.step_began_ns, 0);
}

/* Adds a job at the end, unless the queue is full. */
static bool add(struct queue *queue, struct job *job)
{
    mutex_lock(&queue->lock);
    bool room =
        queue->count < QUEUE_JOBS_MAX && job->request.length <= QUEUE_BYTES_MAX - queue->bytes;
    if (room) {
        struct job **end = &queue->first;
        while (*end)
            end = &(*end)->next;
        *end = job;
        queue->count++;
        queue->bytes += job->request.length;
        cond_signal(&queue->changed);
    }
    mutex_unlock(&queue->lock);
    return room;
}

bool queue_push(struct queue *queue, struct frame *request, struct err *err)
{
    struct job *job = calloc(1, sizeof(*job));
    if (!job) {
        frame_free(request);
        return err_no_memory(err);
    }
    job->request = *request;
    *request = (struct frame){0};
    atomic_init(&job->cancelled, false);
    if (add(queue, job))
        return true;
    frame_free(&job->request);
    free(job);
    err_set(err, ERR_BUSY, "the model has %d requests waiting; try again soon", QUEUE_JOBS_MAX);
    if (err)
        err->retry_after_ms = 1000;
    return false;
}

void queue_cancel(struct queue *queue, uint64_t id)
{
    mutex_lock(&queue->lock);
    for (struct job *job = queue->first; job; job = job->next) {
        if (job->request.id != id)
            continue;
        atomic_store(&job->cancelled, true);
        if (job->running)
            atomic_store(&queue->pulse.interrupt, true);
        cond_signal(&queue->changed);
    }
    mutex_unlock(&queue->lock);
}

struct job *queue_next(struct queue *queue, bool (*may_start)(void *user, const struct job *job),
                       void *user, deadline until)
{
    mutex_lock(&queue->lock);
    struct job *found = NULL;
    for (bool waiting = true; waiting && !found;) {
        for (found = queue->first; found; found = found->next)
            if (!found->running && (atomic_load(&found->cancelled) || may_start(user, found)))
                break;
        if (!found)
            waiting = !deadline_passed(until) && cond_wait(&queue->changed, &queue->lock, until);
    }
    if (found)
        found->running = true;
    mutex_unlock(&queue->lock);
    return found;
}

struct job *queue_running(struct queue *queue, const struct job *after)
{
    mutex_lock(&queue->lock);
    struct job *job = after ? after->next : queue->first;
    while (job && !job->running)
        job = job->next;
    mutex_unlock(&queue->lock);
    return job;
}

void queue_finish(struct queue *queue, struct job *job)
{
    mutex_lock(&queue->lock);
    struct job **link = &queue->first;
    while (*link != job)
        link = &(*link)->next;
    *link = job->next;
    queue->count--;
    queue->bytes -= job->request.length;
    mutex_unlock(&queue->lock);
    encode_job_free(&job->encode);
    frame_free(&job->request);
    free(job);
}

size_t queue_count(struct queue *queue)
{
    mutex_lock(&queue->lock);
    size_t count = queue->count;
    mutex_unlock(&queue->lock);
    return count;
}
