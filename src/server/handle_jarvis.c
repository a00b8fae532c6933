#include <unistd.h>

#include "assistant/search.h"
#include "assistant/stores.h"
#include "config.h"
#include "server/handlers.h"
#include "server/jarvis_parse.h"
#include "server/openai_write.h"
#include "server/stores_write.h"

bool handle_jarvis_search(struct http_request *request, struct err *err)
{
    struct search_request search;
    struct search_result result = {0};
    if (!jarvis_parse_search(request->body.data, request->body.length, &request->arena, &search,
                             err))
        return false;
    request->record.query = search.query;
    if (!search_run(request->runtime, &request->request, &search, &result, err))
        return false;
    struct writer writer;
    writer_begin(&writer, &request->answer.body);
    writer_object(&writer, NULL);
    writer_array(&writer, "hits");
    for (size_t i = 0; i < result.count; i++)
        stores_write_jarvis_hit(&writer, &result.hits[i]);
    writer_end(&writer);
    writer_text(&writer, "notice", result.notice);
    writer_number(&writer, "alpha", result.outcome.alpha);
    writer_number(&writer, "coverage", result.outcome.coverage);
    writer_bool(&writer, "used_embedder", result.used_embedder);
    writer_bool(&writer, "reranked", result.reranked);
    openai_write_house(&writer, request->request.house);
    writer_uint(&writer, "reranked_count", result.reranked_count);
    writer_uint(&writer, "rerank_asked", result.rerank_asked);
    openai_write_timings(&writer, &request->trace);
    writer_end(&writer);
    return true;
}

/* ---------------------------------------------------------------- status */

static void write_service(struct writer *writer, const struct http_request *request)
{
    struct http *http = request->http;
    mutex_lock(&http->lock);
    size_t running = http->running;
    uint64_t served = http->served;
    size_t body_bytes = http->body_bytes;
    mutex_unlock(&http->lock);
    writer_text(writer, "version", JARVIS_VERSION);
    writer_int(writer, "pid", getpid());
    writer_number(writer, "uptime_s", clock_ms_since(http->start_ns) / 1000);
    writer_text(writer, "address", http->address);
    writer_object(writer, "requests");
    writer_uint(writer, "in_flight", running);
    writer_uint(writer, "served", served);
    writer_uint(writer, "body_bytes", body_bytes);
    writer_end(writer);
}

static void write_readiness(struct writer *writer, const struct http_request *request)
{
    struct runtime_readiness ready = {0};
    runtime_readiness(request->runtime, &ready);
    writer_object(writer, "readiness");
    writer_bool(writer, "store", ready.store);
    writer_bool(writer, "chat_model", ready.chat_model);
    writer_bool(writer, "embedding_model", ready.embedding_model);
    writer_bool(writer, "rerank_model", ready.rerank_model);
    writer_end(writer);
}

static void write_memory(struct writer *writer, const struct http_request *request)
{
    struct registry_memory memory = {0};
    registry_memory(runtime_registry(request->runtime), &memory);
    writer_object(writer, "memory");
    writer_uint(writer, "limit_bytes", memory.limit_bytes);
    writer_uint(writer, "used_bytes", memory.used_bytes);
    writer_end(writer);
}

bool handle_jarvis_status(struct http_request *request, struct err *err)
{
    struct store_info *stores = NULL;
    size_t count = 0;
    struct writer writer;
    if (!stores_list(request->runtime, &request->request, &stores, &count, err))
        return false;
    writer_begin(&writer, &request->answer.body);
    writer_object(&writer, NULL);
    write_service(&writer, request);
    write_readiness(&writer, request);
    write_memory(&writer, request);
    writer_array(&writer, "models");
    if (!handle_models_write(request, &writer, err))
        return false;
    writer_end(&writer);
    writer_array(&writer, "stores");
    for (size_t i = 0; i < count; i++)
        stores_write_store(&writer, &stores[i], 0);
    writer_end(&writer);
    writer_end(&writer);
    return true;
}

/* ---------------------------------------------------------------- configuration, sandbox, end */

bool handle_jarvis_config(struct http_request *request, struct err *err)
{
    struct str value;
    struct writer writer;
    str_init(&value, 1024 * 1024);
    bool ok = config_get(runtime_config(request->runtime), request->params[0], &value, err);
    if (ok) {
        writer_begin(&writer, &request->answer.body);
        writer_object(&writer, NULL);
        writer_text(&writer, "key", request->params[0]);
        writer_text(&writer, "value", str_text(&value));
        writer_end(&writer);
    }
    str_free(&value);
    return ok;
}

bool handle_jarvis_probe(struct http_request *request, struct err *err)
{
    struct msg_probed probed = {0};
    struct wait wait = {.cancel = &request->cancel, .until = request->request.until};
    struct writer writer;
    if (!registry_probe(runtime_registry(request->runtime), &wait, &probed, err))
        return false;
    writer_begin(&writer, &request->answer.body);
    writer_object(&writer, NULL);
    writer_bool(&writer, "sandboxed",
                probed.open_errno != 0 && probed.socket_errno != 0 && probed.exec_errno != 0);
    writer_int(&writer, "open_errno", probed.open_errno);
    writer_int(&writer, "socket_errno", probed.socket_errno);
    writer_int(&writer, "exec_errno", probed.exec_errno);
    writer_bool(&writer, "no_new_privileges", probed.no_new_privileges);
    writer_end(&writer);
    return true;
}

/* The service is told when this answer has left. */
bool handle_jarvis_shutdown(struct http_request *request, struct err *err)
{
    (void)err;
    request->wants_shutdown = true;
    request->answer.close = true;
    str_puts(&request->answer.body, "{\"status\":\"stopping\"}");
    return true;
}
