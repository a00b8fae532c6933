#include "server/handlers.h"

bool handle_health(struct http_request *request, struct err *err)
{
    (void)err;
    str_puts(&request->answer.body, "{\"status\":\"ok\"}");
    return true;
}

/* One role: ready or, when a model is missing, what to do about it. */
static void write_role(struct writer *writer, const char *name, bool ready)
{
    writer_object(writer, name);
    writer_bool(writer, "ready", ready);
    writer_end(writer);
}

static void write_missing(struct writer *writer, const struct runtime_readiness *ready,
                          enum lang lang)
{
    writer_array(writer, "missing");
    if (!ready->store)
        writer_text(writer, NULL, TR(lang, "the document store does not answer; see the log"));
    if (!ready->chat_model)
        writer_text(writer, NULL,
                    TR(lang, "no chat model: answers are quotations; add one with \"jarvis models "
                             "add FILE\""));
    if (!ready->embedding_model)
        writer_text(writer, NULL,
                    TR(lang, "no embedding model: search is by words alone; add one with \"jarvis "
                             "models add FILE\""));
    if (!ready->rerank_model)
        writer_text(writer, NULL,
                    TR(lang, "no rerank model: hits keep the order of the search; add one with "
                             "\"jarvis models add FILE\""));
    writer_end(writer);
}

/* Ready means that questions are answered, if only with quotations: the store is all that needs. */
bool handle_ready(struct http_request *request, struct err *err)
{
    (void)err;
    struct runtime_readiness ready = {0};
    struct writer writer;
    runtime_readiness(request->runtime, &ready);
    bool all = ready.chat_model && ready.embedding_model;
    writer_begin(&writer, &request->answer.body);
    writer_object(&writer, NULL);
    writer_text(&writer, "status", !ready.store ? "unavailable" : all ? "ready" : "degraded");
    writer_object(&writer, "roles");
    write_role(&writer, "store", ready.store);
    write_role(&writer, "chat", ready.chat_model);
    write_role(&writer, "embedding", ready.embedding_model);
    write_role(&writer, "rerank", ready.rerank_model);
    writer_end(&writer);
    write_missing(&writer, &ready, request->request.lang);
    writer_end(&writer);
    if (!ready.store)
        request->answer.status = MHD_HTTP_SERVICE_UNAVAILABLE;
    return true;
}
