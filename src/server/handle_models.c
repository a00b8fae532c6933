#include <string.h>

#include "assistant/chat.h"
#include "assistant/models.h"
#include "server/handlers.h"
#include "server/jarvis_parse.h"

/* The state of all models, in the request's arena. */
static bool read_models(struct http_request *request, struct model_status **ret, size_t *ret_count,
                        struct err *err)
{
    struct registry *registry = runtime_registry(request->runtime);
    size_t room = registry_status(registry, NULL, 0);
    struct model_status *rows = arena_array(&request->arena, room + 1, sizeof(*rows));
    if (!rows)
        return err_no_memory(err);
    size_t count = registry_status(registry, rows, room);
    *ret = rows;
    *ret_count = count < room ? count : room;
    return true;
}

static void begin_model(struct writer *writer, const char *name)
{
    writer_object(writer, NULL);
    writer_text(writer, "id", name);
    writer_text(writer, "object", "model");
    writer_int(writer, "created", 0);
    writer_text(writer, "owned_by", "jarvis");
}

/* Why the model is as it is: in words, and as a code with its parameters. */
static void write_why(struct writer *writer, const struct why *why, enum lang lang)
{
    char words[WHY_TEXT_MAX];
    why_render(why, lang, words);
    writer_text(writer, "why", words);
    writer_object(writer, "reason");
    writer_text(writer, "code", why_name(why->code));
    writer_number(writer, "at", (double)why->at_us / 1e6);
    if (why->other[0])
        writer_text(writer, "other", why->other);
    if (why->need > 0)
        writer_uint(writer, "need_bytes", why->need);
    if (why->have > 0)
        writer_uint(writer, "have_bytes", why->have);
    if (why->context > 0)
        writer_uint(writer, "context_length", why->context);
    if (why->seconds > 0)
        writer_number(writer, "seconds", why->seconds);
    if (why->code == WHY_READING)
        writer_float(writer, "fraction", why->fraction);
    if (why->detail[lang][0])
        writer_text(writer, "detail", why->detail[lang]);
    writer_end(writer);
}

static void write_use(struct writer *writer, const struct model_status *model)
{
    writer_uint(writer, "in_flight", model->in_flight);
    writer_uint(writer, "queue", model->queue);
    writer_uint(writer, "overtaken", model->overtaken);
    writer_uint(writer, "uses", model->uses);
    writer_int(writer, "last_use", model->last_use_us / 1000000);
    writer_uint(writer, "order", model->order);
    writer_bool(writer, "pinned", model->pinned);
    writer_bool(writer, "preload", model->preload);
    writer_uint(writer, "ttl_s", model->ttl_s);
}

static void write_model(struct writer *writer, const struct model_status *model, enum lang lang)
{
    begin_model(writer, model->name);
    writer_object(writer, "jarvis");
    writer_text(writer, "role", model_role_name(model->role));
    writer_text(writer, "state", model_state_name(model->state));
    writer_text(writer, "stage", model->stage);
    writer_float(writer, "progress", model->progress);
    writer_uint(writer, "bytes_total", model->bytes_total);
    writer_text(writer, "path", model->path);
    writer_text(writer, "device", model->device);
    writer_uint(writer, "file_bytes", model->file_bytes);
    writer_uint(writer, "predicted_bytes", model->predicted_bytes);
    writer_uint(writer, "resident_bytes", model->resident_bytes);
    writer_uint(writer, "reserved_bytes", model->reserved_bytes);
    writer_uint(writer, "context_length", model->context_length);
    writer_uint(writer, "dimensions", model->dimensions);
    writer_number(writer, "load_ms", model->load_ms);
    writer_int(writer, "pid", model->pid);
    write_use(writer, model);
    write_why(writer, &model->why, lang);
    writer_bool(writer, "upstream", model->upstream);
    writer_text(writer, "circuit", model->circuit);
    writer_uint(writer, "retry_in_ms", model->retry_in_ms);
    writer_uint(writer, "failures", model->failures);
    writer_int(writer, "last_failure", model->failed_us / 1000000);
    writer_text(writer, "cause", model->cause);
    writer_text(writer, "last_words", model->last_words);
    writer_end(writer);
    writer_end(writer);
}

/* "jarvis" is no file: it means the user's documents, and the best chat model there is. */
static void write_jarvis_model(struct http_request *request, struct writer *writer)
{
    char chat[128] = "";
    bool has_chat =
        registry_default(runtime_registry(request->runtime), ROLE_CHAT, chat, sizeof(chat));
    begin_model(writer, CHAT_MODEL_JARVIS);
    writer_object(writer, "jarvis");
    writer_text(writer, "role", model_role_name(ROLE_CHAT));
    writer_text(writer, "state", "ready");
    writer_bool(writer, "documents", true);
    writer_text(writer, "chat_model", has_chat ? chat : NULL);
    writer_end(writer);
    writer_end(writer);
}

bool handle_models_write(struct http_request *request, struct writer *writer, struct err *err)
{
    struct model_status *models = NULL;
    size_t count = 0;
    if (!read_models(request, &models, &count, err))
        return false;
    for (size_t i = 0; i < count; i++)
        write_model(writer, &models[i], request->request.lang);
    return true;
}

bool handle_models_list(struct http_request *request, struct err *err)
{
    struct writer writer;
    writer_begin(&writer, &request->answer.body);
    writer_object(&writer, NULL);
    writer_text(&writer, "object", "list");
    writer_array(&writer, "data");
    write_jarvis_model(request, &writer);
    if (!handle_models_write(request, &writer, err))
        return false;
    writer_end(&writer);
    writer_end(&writer);
    return true;
}

bool handle_models_get(struct http_request *request, struct err *err)
{
    const char *name = request->params[0];
    struct model_status *models = NULL;
    size_t count = 0;
    struct writer writer;
    writer_begin(&writer, &request->answer.body);
    if (strcmp(name, CHAT_MODEL_JARVIS) == 0) {
        write_jarvis_model(request, &writer);
        return true;
    }
    if (!read_models(request, &models, &count, err))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(models[i].name, name) == 0) {
            write_model(&writer, &models[i], request->request.lang);
            return true;
        }
    }
    return err_set_param(err, ERR_MODEL_NOT_FOUND, "model",
                         "there is no model \"%s\"; GET /v1/models lists the models", name);
}

bool handle_models_add(struct http_request *request, struct err *err)
{
    struct jarvis_model model;
    struct model_entry added = {0};
    if (!jarvis_parse_model(request->body.data, request->body.length, &request->arena, &model, err))
        return false;
    if (!models_add(request->runtime, &request->request, model.path, model.name, model.role, &added,
                    err))
        return false;
    struct writer writer;
    writer_begin(&writer, &request->answer.body);
    begin_model(&writer, added.name);
    writer_object(&writer, "jarvis");
    writer_text(&writer, "role", model_role_name(added.role));
    writer_text(&writer, "path", added.path);
    writer_uint(&writer, "context_length", added.context_length);
    writer_end(&writer);
    writer_end(&writer);
    return true;
}

bool handle_models_remove(struct http_request *request, struct err *err)
{
    const char *name = request->params[0];
    if (!models_remove(request->runtime, &request->request, name, err))
        return false;
    struct writer writer;
    writer_begin(&writer, &request->answer.body);
    writer_object(&writer, NULL);
    writer_text(&writer, "id", name);
    writer_text(&writer, "object", "model");
    writer_bool(&writer, "deleted", true);
    writer_end(&writer);
    return true;
}
