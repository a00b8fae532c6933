#include "server/handlers.h"

bool handle_health(struct http_request *request, struct err *err)
{
    (void)err;
    str_puts(&request->answer.body, "{\"status\":\"ok\"}");
    return true;
}

/* One role: whether there is something for it that works, else what is wrong with it. */
static void write_role(struct writer *writer, const char *name, bool there, const char *why)
{
    writer_object(writer, name);
    writer_bool(writer, "ready", there && !why[0]);
    if (why[0])
        writer_text(writer, "why", why);
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

/* What somebody must act upon; left out when there is nothing. */
static void write_alarm(struct writer *writer, const struct runtime_readiness *ready,
                        enum lang lang)
{
    if (!ready->critical)
        return;
    writer_object(writer, "critical");
    writer_text(writer, "code", err_info(ready->alarm.code)->name);
    writer_text(writer, "message", err_message(&ready->alarm, lang));
    writer_text(writer, "hint", err_hint(ready->alarm.code, lang));
    writer_end(writer);
}

/* Ready means that questions are answered, if only with quotations (the store is all that needs), and that nobody has
 * to act. */
bool handle_ready(struct http_request *request, struct err *err)
{
    (void)err;
    struct runtime_readiness ready = {0};
    struct writer writer;
    runtime_readiness(request->runtime, &ready);
    bool red = !ready.store || ready.critical;
    bool all =
        ready.chat_model && !ready.chat_why[0] && ready.embedding_model && !ready.embedding_why[0];
    writer_begin(&writer, &request->answer.body);
    writer_object(&writer, NULL);
    writer_text(&writer, "status", red ? "unavailable" : all ? "ready" : "degraded");
    writer_object(&writer, "roles");
    write_role(&writer, "store", ready.store, "");
    write_role(&writer, "chat", ready.chat_model, ready.chat_why);
    write_role(&writer, "embedding", ready.embedding_model, ready.embedding_why);
    write_role(&writer, "rerank", ready.rerank_model, ready.rerank_why);
    writer_end(&writer);
    write_missing(&writer, &ready, request->request.lang);
    write_alarm(&writer, &ready, request->request.lang);
    writer_end(&writer);
    if (red)
        request->answer.status = MHD_HTTP_SERVICE_UNAVAILABLE;
    return true;
}
