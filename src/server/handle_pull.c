#include <stdio.h>
#include <string.h>

#include "assistant/pull.h"
#include "server/handlers.h"
#include "server/jarvis_parse.h"
#include "server/job.h"

enum { FILE_BYTES = 512 };

struct pull_job {
    struct models_pull asked;
    struct models_pulled pulled;
};

struct pull_news {
    char phase[16];
    char file[FILE_BYTES];
    uint64_t done;
    uint64_t total;
};

static void on_progress(void *user, const struct pull_progress *progress)
{
    struct pull_news news = {.done = progress->done, .total = progress->total};
    snprintf(news.phase, sizeof(news.phase), "%s", progress->phase);
    snprintf(news.file, sizeof(news.file), "%s", progress->file);
    job_tell(user, &news);
}

static bool run(struct job *job, struct request *request, void *asked, struct err *err)
{
    struct pull_job *pull = asked;
    pull->asked.progress = on_progress;
    pull->asked.user = job;
    return models_pull(job_runtime(job), request, &pull->asked, &pull->pulled, err);
}

static void write_progress(struct writer *writer, const void *told)
{
    const struct pull_news *news = told;
    writer_text(writer, "phase", news->phase);
    writer_text(writer, "file", news->file);
    writer_uint(writer, "bytes_done", news->done);
    writer_uint(writer, "bytes_total", news->total);
}

static void write_pulled(struct writer *writer, void *asked)
{
    const struct models_pulled *pulled = &((const struct pull_job *)asked)->pulled;
    writer_text(writer, "id", pulled->name);
    writer_text(writer, "role", model_role_name(pulled->role));
    writer_text(writer, "source", pulled->source);
    writer_text(writer, "path", pulled->file.path);
    writer_text(writer, "quantization", pulled->file.quant);
    writer_uint(writer, "files", pulled->file.files);
    writer_uint(writer, "bytes", pulled->file.bytes);
    writer_uint(writer, "bytes_fetched", pulled->file.fetched);
    writer_bool(writer, "verified", pulled->file.verified);
    writer_bool(writer, "added", pulled->added);
}

bool handle_models_pull(struct http_request *request, struct err *err)
{
    static const struct job_kind kind = {.name = "pull",
                                         .run = run,
                                         .write_progress = write_progress,
                                         .write_done = write_pulled,
                                         .news_size = sizeof(struct pull_news)};
    struct pull_job *pull = arena_alloc(&request->arena, sizeof(*pull));
    if (!pull)
        return err_no_memory(err);
    return jarvis_parse_pull(request->body.data, request->body.length, &request->arena,
                             &pull->asked, err) &&
           job_start(request, &kind, pull, err);
}

/* ---------------------------------------------------------------- the catalogue */

static void write_entry(struct writer *writer, const struct catalogue_entry *entry, size_t number,
                        const struct catalogue_machine *machine, enum lang lang)
{
    writer_object(writer, NULL);
    writer_uint(writer, "number", number);
    writer_text(writer, "name", entry->name);
    writer_text(writer, "role", model_role_name(entry->role));
    writer_text(writer, "source", entry->source);
    writer_text(writer, "license", entry->licence);
    writer_uint(writer, "bytes", (uint64_t)entry->mib << 20);
    writer_bool(writer, "multilingual", entry->multilingual);
    writer_bool(writer, "suits", catalogue_suits(entry, machine));
    writer_bool(writer, "recommended", entry == catalogue_recommend(entry->role, machine, lang));
    writer_text(writer, "note", lang_text(lang, entry->note));
    writer_end(writer);
}

bool handle_jarvis_catalogue(struct http_request *request, struct err *err)
{
    (void)err;
    struct catalogue_machine machine;
    models_machine(request->runtime, &request->request, &machine);
    struct writer writer;
    writer_begin(&writer, &request->answer.body);
    writer_object(&writer, NULL);
    writer_object(&writer, "machine");
    writer_uint(&writer, "memory_bytes", machine.memory_bytes);
    writer_uint(&writer, "gpu_bytes", machine.gpu_bytes);
    writer_uint(&writer, "cores", machine.cores);
    writer_end(&writer);
    writer_array(&writer, "models");
    const struct catalogue_entry *entry;
    for (size_t i = 0; (entry = catalogue_at(i)); i++)
        write_entry(&writer, entry, i + 1, &machine, request->request.lang);
    writer_end(&writer);
    writer_end(&writer);
    return true;
}
