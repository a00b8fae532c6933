/* Ingest reports by calling back, a streamed answer is pulled: between the two stands a small mailbox. The work runs
 * on a thread of its own and leaves its latest progress there; the connection's thread takes it and sends it. Progress
 * that nobody has taken yet is replaced, so that a slow client never slows the work. */

#include <stdio.h>
#include <string.h>

#include "assistant/ingest.h"
#include "server/handlers.h"
#include "server/jarvis_parse.h"
#include "server/openai_write.h"
#include "server/sse.h"

enum {
    PATH_BYTES = 4096,
    EVENT_PAUSE_MS = 50,   /* between two events of progress */
    KEEP_ALIVE_MS = 10000, /* silence after which a comment is sent */
    JOB_ARENA = 256 * 1024 * 1024,
};

struct job {
    struct http_request *http;
    pthread_t thread;
    struct arena arena; /* the work's own: the connection's thread uses the request's meanwhile */
    struct trace trace;
    struct request request;
    struct ingest_request asked;
    deadline pause_until; /* the connection's thread: no progress is sent before */

    struct mutex lock; /* guards what follows */
    struct cond news;
    struct ingest_progress progress;
    char path[PATH_BYTES];
    bool has_progress; /* since the last event */
    bool finished;
    bool ok;
    struct ingest_summary summary; /* when ok */
    struct err problem;            /* when not */
};

/* ---------------------------------------------------------------- the work's thread */

static void on_progress(void *user, const struct ingest_progress *progress)
{
    struct job *job = user;
    mutex_lock(&job->lock);
    job->progress = *progress;
    snprintf(job->path, sizeof(job->path), "%s", progress->path ? progress->path : "");
    job->has_progress = true;
    cond_signal(&job->news);
    mutex_unlock(&job->lock);
}

static void *run(void *argument)
{
    struct job *job = argument;
    struct ingest_summary summary = {0};
    struct err problem;
    bool ok = ingest_run(job->http->runtime, &job->request, &job->asked, &summary, &problem);
    mutex_lock(&job->lock);
    job->finished = true;
    job->ok = ok;
    if (ok)
        job->summary = summary;
    else
        job->problem = problem;
    cond_signal(&job->news);
    mutex_unlock(&job->lock);
    return NULL;
}

/* ---------------------------------------------------------------- events */

static void write_progress(const struct job *job, struct str *out)
{
    struct writer writer;
    sse_begin(out, "progress");
    writer_begin(&writer, out);
    writer_object(&writer, NULL);
    writer_text(&writer, "phase", job->progress.phase);
    writer_uint(&writer, "done", job->progress.done);
    writer_uint(&writer, "total", job->progress.total);
    writer_uint(&writer, "bytes_done", job->progress.bytes_done);
    writer_text(&writer, "path", job->path);
    writer_end(&writer);
    sse_end(out);
}

static void write_failures(struct writer *writer, const struct ingest_summary *summary)
{
    writer_array(writer, "failures");
    for (size_t i = 0; i < summary->failure_count; i++) {
        writer_object(writer, NULL);
        writer_text(writer, "path", summary->failures[i].path);
        writer_text(writer, "reason", summary->failures[i].reason);
        writer_text(writer, "code", summary->failures[i].code);
        writer_end(writer);
    }
    writer_end(writer);
}

static void write_summary(const struct job *job, struct str *out)
{
    const struct ingest_summary *summary = &job->summary;
    struct writer writer;
    sse_begin(out, "done");
    writer_begin(&writer, out);
    writer_object(&writer, NULL);
    writer_uint(&writer, "added", summary->added);
    writer_uint(&writer, "changed", summary->changed);
    writer_uint(&writer, "unchanged", summary->unchanged);
    writer_uint(&writer, "removed", summary->removed);
    writer_uint(&writer, "skipped", summary->skipped);
    writer_uint(&writer, "failed", summary->failed);
    writer_uint(&writer, "passages", summary->passages);
    writer_uint(&writer, "embedded", summary->embedded);
    write_failures(&writer, summary);
    writer_text(&writer, "notice", summary->notice);
    openai_write_timings(&writer, &job->trace);
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
static bool has_news(const struct job *job)
{
    return job->finished || (job->has_progress && deadline_passed(job->pause_until));
}

static bool next_event(void *state, struct str *out)
{
    struct job *job = state;
    deadline silence = deadline_in_ms(KEEP_ALIVE_MS);
    mutex_lock(&job->lock);
    while (!has_news(job) && !deadline_passed(silence))
        cond_wait(&job->news, &job->lock,
                  job->has_progress ? deadline_earlier(job->pause_until, silence) : silence);
    bool finished = job->finished;
    if (finished && job->ok)
        write_summary(job, out);
    else if (finished)
        write_problem(job, out);
    else if (job->has_progress)
        write_progress(job, out);
    else
        sse_keep_alive(out);
    job->has_progress = false;
    job->pause_until = deadline_in_ms(EVENT_PAUSE_MS);
    job->http->record.failed = finished && !job->ok;
    mutex_unlock(&job->lock);
    return !finished;
}

/* ---------------------------------------------------------------- beginning and end */

static void end_job(void *state)
{
    struct job *job = state;
    cancel_fire(&job->http->cancel);
    pthread_join(job->thread, NULL);
    cond_destroy(&job->news);
    mutex_destroy(&job->lock);
    arena_free(&job->arena);
}

static bool start_job(struct job *job, const struct jarvis_ingest *asked, struct err *err)
{
    struct http_request *http = job->http;
    arena_init(&job->arena, JOB_ARENA);
    job->trace = http->trace;
    job->request = http->request;
    job->request.arena = &job->arena;
    job->request.trace = &job->trace;
    job->asked = (struct ingest_request){.paths = asked->paths,
                                         .path_count = asked->path_count,
                                         .store = asked->store,
                                         .progress = on_progress,
                                         .user = job};
    mutex_init(&job->lock);
    cond_init(&job->news);
    if (thread_start(&job->thread, "ingest", run, job, err))
        return true;
    cond_destroy(&job->news);
    mutex_destroy(&job->lock);
    arena_free(&job->arena);
    return false;
}

/* Waits for the first sign of life: what fails at once is an error with a status, not an event. */
static bool started_well(struct job *job, struct err *err)
{
    deadline silence = deadline_in_ms(KEEP_ALIVE_MS);
    mutex_lock(&job->lock);
    while (!job->finished && !job->has_progress && !deadline_passed(silence))
        cond_wait(&job->news, &job->lock, silence);
    bool failed = job->finished && !job->ok;
    if (failed)
        *err = job->problem;
    mutex_unlock(&job->lock);
    return !failed;
}

bool handle_ingest(struct http_request *request, struct err *err)
{
    struct jarvis_ingest asked;
    if (!jarvis_parse_ingest(request->body.data, request->body.length, &request->arena, &asked,
                             err))
        return false;
    struct job *job = arena_alloc(&request->arena, sizeof(*job));
    if (!job)
        return err_no_memory(err);
    job->http = request;
    if (!start_job(job, &asked, err))
        return false;
    if (!started_well(job, err)) {
        end_job(job);
        return false;
    }
    http_send_stream(request, &(struct http_stream){next_event, end_job, job});
    return true;
}
