#include <string.h>

#include "assistant/chat.h"
#include "assistant/models.h"
#include "server/handlers.h"
#include "server/jarvis_parse.h"
#include "server/models_write.h"

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

/* "jarvis" is no file: it means the user's documents, and the best chat model there is. */
static void write_jarvis_model(struct http_request *request, struct writer *writer)
{
    char chat[128] = "";
    bool has_chat =
        registry_default(runtime_registry(request->runtime), ROLE_CHAT, chat, sizeof(chat));
    models_write_begin(writer, CHAT_MODEL_JARVIS);
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
        models_write_model(writer, &models[i], request->request.lang);
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
            models_write_model(&writer, &models[i], request->request.lang);
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
    models_write_begin(&writer, added.name);
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
