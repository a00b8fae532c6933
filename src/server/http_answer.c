#include "server/http.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "server/openai_write.h"

void http_limit_silence(struct MHD_Connection *connection, unsigned seconds)
{
    MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT, seconds);
}

/* ---------------------------------------------------------------- headers and bodies */

/* "00-<trace id>-<a new span id>-01" (W3C Trace Context). */
static const char *traceparent(struct http_request *request)
{
    uint64_t span = 0;
    hash_random(&span, sizeof(span));
    return arena_printf(&request->arena, "00-%s-%016" PRIx64 "-01", request->trace.id, span | 1);
}

static void add_headers(struct http_request *request, struct MHD_Response *response)
{
    struct str timing;
    str_init(&timing, 4096);
    trace_server_timing(&request->trace, &timing);
    if (str_ok(&timing) && timing.length > 0)
        MHD_add_response_header(response, "Server-Timing", timing.data);
    str_free(&timing);
    MHD_add_response_header(response, "Content-Type", request->answer.content_type);
    MHD_add_response_header(response, "X-Request-Id", request->trace.id);
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    const char *parent = traceparent(request);
    if (parent)
        MHD_add_response_header(response, "traceparent", parent);
    for (size_t i = 0; i < request->answer.header_count; i++)
        MHD_add_response_header(response, request->answer.headers[i].name,
                                request->answer.headers[i].value);
    if (request->answer.close)
        MHD_add_response_header(response, "Connection", "close");
}

/* libmicrohttpd asks for the next bytes of a stream. Waiting here is fine: the thread is this connection's alone. */
static ssize_t read_stream(void *cls, uint64_t position, char *out, size_t max)
{
    (void)position;
    struct http_request *request = cls;
    struct http_stream *stream = &request->answer.stream;
    http_limit_silence(request->connection, 0);
    if (request->chunk_sent == request->chunk.length) {
        str_truncate(&request->chunk, 0);
        request->chunk_sent = 0;
        while (!request->stream_ended && str_ok(&request->chunk) && request->chunk.length == 0)
            request->stream_ended = !stream->next(stream->state, &request->chunk);
    }
    http_limit_silence(request->connection, request->http->idle_timeout_s);
    if (!str_ok(&request->chunk))
        return MHD_CONTENT_READER_END_WITH_ERROR;
    size_t left = request->chunk.length - request->chunk_sent;
    if (left == 0)
        return MHD_CONTENT_READER_END_OF_STREAM;
    size_t taken = left < max ? left : max;
    memcpy(out, request->chunk.data + request->chunk_sent, taken);
    request->chunk_sent += taken;
    return (ssize_t)taken;
}

static struct MHD_Response *make_response(struct http_request *request)
{
    struct http_answer *answer = &request->answer;
    if (answer->stream.next)
        return MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, HTTP_POOL / 4, read_stream,
                                                 request, NULL);
    size_t length = answer->body.length;
    char *body = str_take(&answer->body);
    if (!body)
        return MHD_create_response_from_buffer_static(0, "");
    struct MHD_Response *response =
        MHD_create_response_from_buffer_with_free_callback(length, body, free);
    if (!response)
        free(body);
    return response;
}

enum MHD_Result http_send_answer(struct http_request *request)
{
    struct MHD_Response *response = make_response(request);
    if (!response)
        return MHD_NO;
    add_headers(request, response);
    enum MHD_Result result =
        MHD_queue_response(request->connection, request->answer.status, response);
    MHD_destroy_response(response);
    return result;
}

/* ---------------------------------------------------------------- errors and the log */

static void log_problem(const struct http_request *request, const struct err *problem)
{
    if (problem->code == ERR_UNAUTHORIZED || problem->code == ERR_FORBIDDEN)
        log_write(request->http->log, LOG_WARN, LOG_EVENT_SECURITY, request->trace.id, NULL, 0,
                  "%s", err_message(problem, LANG_EN));
    else
        log_error(request->http->log, request->trace.id, request->path, problem);
}

void http_write_error(struct http_request *request, struct err *problem)
{
    struct http *http = request->http;
    struct http_answer *answer = &request->answer;
    mutex_lock(&http->lock);
    bool stopping = http->stopping;
    mutex_unlock(&http->lock);
    if (problem->code == ERR_CANCELLED && stopping) {
        err_set(problem, ERR_UNAVAILABLE, "the service is stopping; try again in a moment");
        problem->retry_after_ms = 1000;
    }
    log_problem(request, problem);
    answer->status = (unsigned)err_info(problem->code)->http_status;
    answer->content_type = "application/json";
    str_free(&answer->body);
    str_init(&answer->body, HTTP_ANSWER_MAX);
    openai_write_error(&answer->body, problem, request->request.lang);
    uint32_t retry_ms = err_retry_after_ms(problem);
    if (retry_ms > 0)
        http_add_header(request, "Retry-After",
                        arena_printf(&request->arena, "%u", (retry_ms + 999) / 1000));
}

void http_log(const struct http_request *request, bool success)
{
    const struct http *http = request->http;
    const struct http_record *record = &request->record;
    char hash[HASH_HEX] = "";
    if (record->query) {
        struct hash full = hash_bytes(record->query, strlen(record->query));
        hash_hex(&full, hash);
        hash[16] = '\0';
    }
    struct log_field fields[] = {
        log_text("method", request->method),
        log_text("path", request->path),
        log_int("status", request->answer.status),
        log_number("latency_ms", trace_total_ms(&request->trace)),
        log_bool("success", success),
        log_text("model", record->model),
        log_int("tokens", (int64_t)record->tokens),
        log_text("query_hash", hash),
        log_text("query", http->log_query_text ? record->query : NULL),
    };
    size_t count = sizeof(fields) / sizeof(*fields);
    if (record->query)
        log_write(http->log, LOG_INFO, LOG_EVENT_QUERY, request->trace.id, fields,
                  http->log_query_text ? count : count - 1, "%s %s", request->method,
                  request->path);
    else
        log_write(http->log, LOG_DEBUG, LOG_EVENT_SERVICE, request->trace.id, fields, 5, "%s %s",
                  request->method, request->path);
}
