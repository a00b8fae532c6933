#include "server/job.h"

#include <string.h>

#include "server/openai_write.h"
#include "server/sse.h"

enum {
    EVENT_PAUSE_MS = 50,   /* between two events of progress */
    KEEP_ALIVE_MS = 10000, /* silence after which a comment is sent */
    JOB_ARENA = 256 * 1024 * 1024,
};

struct job {
    const struct job_kind *kind;
    void *asked;
    struct http_request *http;
    pthread_t thread;
    struct arena arena;
    struct trace trace;
    struct request request;
    deadline pause_until; /* the connection's thread: no progress is sent before */

    struct mutex lock; /* guards what follows */
    struct cond changed;
    void *news;
    bool has_news; /* since the last event */
    bool finished;
    bool ok;
    struct err problem; /* when not */
};

/* ---------------------------------------------------------------- the work's thread */

struct runtime *job_runtime(const struct job *job)
{
    return job->http->runtime;
}

void job_tell(struct job *job, const void *news)
{
    mutex_lock(&job->lock);
    memcpy(job->news, news, job->kind->news_size);
    job->has_news = true;
    cond_signal(&job->changed);
    mutex_unlock(&job->lock);
}

static void *run(void *argument)
{
    struct job *job = argument;
    struct err problem;
    bool ok = job->kind->run(job, &job->request, job->asked, &problem);
    mutex_lock(&job->lock);
    job->finished = true;
    job->ok = ok;
    if (!ok)
        job->problem = problem;
    cond_signal(&job->changed);
    mutex_unlock(&job->lock);
    return NULL;
}

/* ---------------------------------------------------------------- events */

static void write_event(const struct job *job, struct str *out)
{
    struct writer writer;
    sse_begin(out, job->finished ? "done" : "progress");
    writer_begin(&writer, out);
    writer_object(&writer, NULL);
    if (job->finished) {
        job->kind->write_done(&writer, job->asked);
        openai_write_timings(&writer, &job->trace);
    } else {
        job->kind->write_progress(&writer, job->news);
    }
    writer_end(&writer);
    sse_end(out);
}

static void write_problem(const struct job *job, struct str *out)
{
    sse_begin(out, "error");
    openai_write_error(out, &job->problem, job->request.lang);
    sse_end(out);
}

/* Whether there is something to send now. The lock must be held. */
static bool is_due(const struct job *job)
{
    return job->finished || (job->has_news && deadline_passed(job->pause_until));
}

static bool next_event(void *state, struct str *out)
{
    struct job *job = state;
    deadline silence = deadline_in_ms(KEEP_ALIVE_MS);
    mutex_lock(&job->lock);
    while (!is_due(job) && !deadline_passed(silence))
        cond_wait(&job->changed, &job->lock,
                  job->has_news ? deadline_earlier(job->pause_until, silence) : silence);
    bool finished = job->finished;
    if (finished && !job->ok)
        write_problem(job, out);
    else if (finished || job->has_news)
        write_event(job, out);
    else
        sse_keep_alive(out);
    job->has_news = false;
    job->pause_until = deadline_in_ms(EVENT_PAUSE_MS);
    job->http->record.failed = finished && !job->ok;
    mutex_unlock(&job->lock);
    return !finished;
}

/* ---------------------------------------------------------------- beginning and end */

static void free_parts(struct job *job)
{
    cond_destroy(&job->changed);
    mutex_destroy(&job->lock);
    arena_free(&job->arena);
}

static void end(void *state)
{
    struct job *job = state;
    cancel_fire(&job->http->cancel);
    pthread_join(job->thread, NULL);
    free_parts(job);
}

static bool begin(struct job *job, struct err *err)
{
    arena_init(&job->arena, JOB_ARENA);
    job->trace = job->http->trace;
    job->request = job->http->request;
    job->request.arena = &job->arena;
    job->request.trace = &job->trace;
    mutex_init(&job->lock);
    cond_init(&job->changed);
    if (thread_start(&job->thread, job->kind->name, run, job, err))
        return true;
    free_parts(job);
    return false;
}

/* Waits for the first sign of life. */
static bool began_well(struct job *job, struct err *err)
{
    deadline silence = deadline_in_ms(KEEP_ALIVE_MS);
    mutex_lock(&job->lock);
    while (!job->finished && !job->has_news && !deadline_passed(silence))
        cond_wait(&job->changed, &job->lock, silence);
    bool failed = job->finished && !job->ok;
    if (failed)
        *err = job->problem;
    mutex_unlock(&job->lock);
    return !failed;
}

bool job_start(struct http_request *http, const struct job_kind *kind, void *asked, struct err *err)
{
    struct job *job = arena_alloc(&http->arena, sizeof(*job));
    void *news = arena_alloc(&http->arena, kind->news_size);
    if (!job || !news)
        return err_no_memory(err);
    *job = (struct job){.kind = kind, .asked = asked, .http = http, .news = news};
    if (!begin(job, err))
        return false;
    if (!began_well(job, err)) {
        end(job);
        return false;
    }
    http_send_stream(http, &(struct http_stream){next_event, end, job});
    return true;
}
