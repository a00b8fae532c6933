/* Loading, unloading, pinning, and what was decided about models. Only load loads; the rest never does. */
#include <string.h>

#include "assistant/chat.h"
#include "base/json.h"
#include "server/handlers.h"
#include "server/job.h"
#include "server/models_write.h"

enum { DECISIONS_MAX = 64 };

/* ---------------------------------------------------------------- one model */

static bool unknown(const char *name, struct err *err)
{
    return err_set_param(err, ERR_MODEL_NOT_FOUND, "model",
                         "there is no model \"%s\"; GET /v1/models lists the models", name);
}

/* The state of one model, in `arena`. */
static bool read_model(struct runtime *runtime, struct arena *arena, const char *name,
                       const struct model_status **ret, struct err *err)
{
    struct registry *registry = runtime_registry(runtime);
    size_t room = registry_status(registry, NULL, 0);
    struct model_status *rows = arena_array(arena, room + 1, sizeof(*rows));
    if (!rows)
        return err_no_memory(err);
    size_t count = registry_status(registry, rows, room);
    for (size_t i = 0; i < count && i < room; i++) {
        if (strcmp(rows[i].name, name) == 0) {
            *ret = &rows[i];
            return true;
        }
    }
    return unknown(name, err);
}

/* The answer of what has changed a model: the model. */
static bool answer_model(struct http_request *request, struct err *err)
{
    const struct model_status *model;
    struct writer writer;
    if (!read_model(request->runtime, &request->arena, request->params[0], &model, err))
        return false;
    writer_begin(&writer, &request->answer.body);
    models_write_model(&writer, model, request->request.lang);
    return true;
}

/* ---------------------------------------------------------------- load */

struct load_job {
    const char *name;
    enum lang lang;
    const struct model_status *loaded; /* at the end */
};

struct load_news {
    bool reading;
    float fraction;
    uint64_t bytes_total;
    struct why why;
};

struct teller {
    struct job *job;
    struct registry *registry;
};

/* 0 of 0 bytes: it waits for something; why is the last decision about it. */
static void on_progress(void *user, const char *name, float fraction, uint64_t bytes_total)
{
    const struct teller *teller = user;
    struct load_news news = {
        .reading = bytes_total > 0, .fraction = fraction, .bytes_total = bytes_total};
    struct why last[1];
    size_t count;
    if (!news.reading && registry_explain(teller->registry, name, last, 1, &count, NULL) &&
        count == 1)
        news.why = last[0];
    job_tell(teller->job, &news);
}

static bool run_load(struct job *job, struct request *request, void *asked, struct err *err)
{
    struct load_job *load = asked;
    struct registry *registry = runtime_registry(job_runtime(job));
    struct teller teller = {.job = job, .registry = registry};
    const struct wait wait = {.cancel = request->cancel, .until = request->until};
    load->lang = request->lang;
    return registry_load(registry, load->name, &wait, on_progress, &teller, err) &&
           read_model(job_runtime(job), request->arena, load->name, &load->loaded, err);
}

static void write_progress(struct writer *writer, const void *told)
{
    const struct load_news *news = told;
    writer_text(writer, "phase", news->reading ? "load" : "memory");
    writer_uint(writer, "bytes_done",
                (uint64_t)((double)news->fraction * (double)news->bytes_total));
    writer_uint(writer, "bytes_total", news->bytes_total);
    writer_number(writer, "percent", (double)news->fraction * 100);
    if (!news->reading)
        models_write_why(writer, &news->why, LANG_EN);
}

static void write_loaded(struct writer *writer, void *asked)
{
    const struct load_job *load = asked;
    writer_text(writer, "id", load->loaded->name);
    writer_text(writer, "object", "model");
    models_write_jarvis(writer, load->loaded, load->lang);
}

/* Whether the body, which may be empty, says "stream": true. */
static bool wants_stream(const struct http_request *request, bool *ret, struct err *err)
{
    *ret = false;
    if (request->body.length == 0)
        return true;
    yyjson_doc *doc;
    if (!json_parse(request->body.data, request->body.length, "the request", &doc, err))
        return false;
    yyjson_val *stream = yyjson_obj_get(yyjson_doc_get_root(doc), "stream");
    bool ok = !stream || yyjson_is_bool(stream);
    *ret = yyjson_is_true(stream);
    yyjson_doc_free(doc);
    return ok ||
           err_set_param(err, ERR_INVALID_REQUEST, "stream", "\"stream\" must be true or false");
}

bool handle_models_load(struct http_request *request, struct err *err)
{
    static const struct job_kind kind = {.name = "load",
                                         .run = run_load,
                                         .write_progress = write_progress,
                                         .write_done = write_loaded,
                                         .news_size = sizeof(struct load_news)};
    bool stream;
    if (!wants_stream(request, &stream, err))
        return false;
    if (!stream) {
        const struct wait wait = {.cancel = &request->cancel, .until = request->request.until};
        return registry_load(runtime_registry(request->runtime), request->params[0], &wait, NULL,
                             NULL, err) &&
               answer_model(request, err);
    }
    struct load_job *load = arena_alloc(&request->arena, sizeof(*load));
    if (!load)
        return err_no_memory(err);
    *load = (struct load_job){.name = request->params[0]};
    return job_start(request, &kind, load, err);
}

/* ---------------------------------------------------------------- the others */

bool handle_models_unload(struct http_request *request, struct err *err)
{
    return registry_unload(runtime_registry(request->runtime), request->params[0], err) &&
           answer_model(request, err);
}

bool handle_models_pin(struct http_request *request, struct err *err)
{
    return registry_pin(runtime_registry(request->runtime), request->params[0], true, err) &&
           answer_model(request, err);
}

bool handle_models_unpin(struct http_request *request, struct err *err)
{
    return registry_pin(runtime_registry(request->runtime), request->params[0], false, err) &&
           answer_model(request, err);
}

bool handle_models_explain(struct http_request *request, struct err *err)
{
    const char *name = request->params[0];
    const struct model_status *model;
    struct why rows[DECISIONS_MAX];
    size_t count;
    struct writer writer;
    if (!read_model(request->runtime, &request->arena, name, &model, err) ||
        !registry_explain(runtime_registry(request->runtime), name, rows, DECISIONS_MAX, &count,
                          err))
        return false;
    writer_begin(&writer, &request->answer.body);
    writer_object(&writer, NULL);
    writer_text(&writer, "id", name);
    writer_text(&writer, "object", "model.explanation");
    models_write_jarvis(&writer, model, request->request.lang);
    writer_array(&writer, "decisions");
    for (size_t i = 0; i < count; i++) {
        writer_object(&writer, NULL);
        models_write_why(&writer, &rows[i], request->request.lang);
        writer_end(&writer);
    }
    writer_end(&writer);
    writer_end(&writer);
    return true;
}
