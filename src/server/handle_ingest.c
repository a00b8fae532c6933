#include <stdio.h>
#include <string.h>

#include "assistant/ingest.h"
#include "server/handlers.h"
#include "server/jarvis_parse.h"
#include "server/job.h"
#include "server/openai_write.h"

enum { PATH_BYTES = 4096 };

struct ingest_job {
    struct ingest_request asked;
    struct ingest_summary summary;
    unsigned house; /* as in struct request */
};

struct ingest_news {
    const char *phase; /* a constant */
    uint64_t done;
    uint64_t total;
    uint64_t bytes_done;
    char path[PATH_BYTES];
};

static void on_progress(void *user, const struct ingest_progress *progress)
{
    struct ingest_news news = {.phase = progress->phase,
                               .done = progress->done,
                               .total = progress->total,
                               .bytes_done = progress->bytes_done};
    snprintf(news.path, sizeof(news.path), "%s", progress->path ? progress->path : "");
    job_tell(user, &news);
}

static bool run(struct job *job, struct request *request, void *asked, struct err *err)
{
    struct ingest_job *ingest = asked;
    ingest->asked.progress = on_progress;
    ingest->asked.user = job;
    bool ok = ingest_run(job_runtime(job), request, &ingest->asked, &ingest->summary, err);
    ingest->house = request->house;
    return ok;
}

static void write_progress(struct writer *writer, const void *told)
{
    const struct ingest_news *news = told;
    writer_text(writer, "phase", news->phase);
    writer_uint(writer, "done", news->done);
    writer_uint(writer, "total", news->total);
    writer_uint(writer, "bytes_done", news->bytes_done);
    writer_text(writer, "path", news->path);
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

static void write_summary(struct writer *writer, void *asked)
{
    const struct ingest_job *ingest = asked;
    const struct ingest_summary *summary = &ingest->summary;
    writer_uint(writer, "added", summary->added);
    writer_uint(writer, "changed", summary->changed);
    writer_uint(writer, "unchanged", summary->unchanged);
    writer_uint(writer, "removed", summary->removed);
    writer_uint(writer, "skipped", summary->skipped);
    writer_uint(writer, "failed", summary->failed);
    writer_uint(writer, "passages", summary->passages);
    writer_uint(writer, "embedded", summary->embedded);
    write_failures(writer, summary);
    writer_text(writer, "notice", summary->notice);
    openai_write_house(writer, ingest->house);
}

bool handle_ingest(struct http_request *request, struct err *err)
{
    static const struct job_kind kind = {.name = "ingest",
                                         .run = run,
                                         .write_progress = write_progress,
                                         .write_done = write_summary,
                                         .news_size = sizeof(struct ingest_news)};
    struct jarvis_ingest asked;
    if (!jarvis_parse_ingest(request->body.data, request->body.length, &request->arena, &asked,
                             err))
        return false;
    struct ingest_job *ingest = arena_alloc(&request->arena, sizeof(*ingest));
    if (!ingest)
        return err_no_memory(err);
    ingest->asked = (struct ingest_request){
        .paths = asked.paths, .path_count = asked.path_count, .store = asked.store};
    return job_start(request, &kind, ingest, err);
}
