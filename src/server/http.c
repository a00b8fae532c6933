#include "server/http.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* One open connection. */
struct connection {
    watch_slot slot;
    bool refused; /* there are too many */
};

static const char *header(struct http_request *request, const char *name)
{
    return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

const char *http_query(struct http_request *request, const char *name)
{
    return MHD_lookup_connection_value(request->connection, MHD_GET_ARGUMENT_KIND, name);
}

void http_add_header(struct http_request *request, const char *name, const char *value)
{
    struct http_answer *answer = &request->answer;
    if (answer->header_count < HTTP_EXTRA_HEADERS && value)
        answer->headers[answer->header_count++] = (struct http_header){name, value};
}

void http_send_stream(struct http_request *request, const struct http_stream *stream)
{
    request->answer.stream = *stream;
    request->answer.content_type = "text/event-stream; charset=utf-8";
    http_add_header(request, "Cache-Control", "no-cache");
}

/* ---------------------------------------------------------------- connections */

static struct connection *connection_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

static deadline idle_deadline(const struct http *http)
{
    return deadline_in_ms((int64_t)http->idle_timeout_s * 1000);
}

void http_on_connection(void *cls, struct MHD_Connection *connection, void **context,
                        enum MHD_ConnectionNotificationCode what)
{
    struct http_listener *listener = cls;
    struct http *http = listener->http;
    struct connection *own = *context;
    if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
        atomic_fetch_sub(&listener->connections, 1);
        if (own)
            watch_remove(http->watch, own->slot);
        free(own);
        *context = NULL;
        return;
    }
    bool refused = atomic_fetch_add(&listener->connections, 1) >= http->max_connections;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    own = calloc(1, sizeof(*own));
    if (!own || !info) {
        free(own); /* the request will be refused for want of it */
        return;
    }
    own->refused = refused;
    own->slot = watch_add(http->watch, info->connect_fd,
                          refused ? deadline_in_ms(HTTP_SPARE_MS) : idle_deadline(http));
    *context = own;
}

/* ---------------------------------------------------------------- the beginning of a request */

static void count_begin(struct http *http)
{
    mutex_lock(&http->lock);
    http->running++;
    mutex_unlock(&http->lock);
}

static void count_end(struct http *http, size_t weighed)
{
    mutex_lock(&http->lock);
    http->running--;
    http->served++;
    http->body_bytes -= weighed;
    http->last_end_ns = clock_now_ns();
    cond_broadcast(&http->done);
    mutex_unlock(&http->lock);
}

static struct http_request *begin(struct http_listener *listener, struct MHD_Connection *connection,
                                  const char *url, const char *method)
{
    struct http_request *request = calloc(1, sizeof(*request));
    if (!request)
        return NULL;
    struct http *http = listener->http;
    request->http = http;
    request->runtime = http->runtime;
    request->connection = connection;
    request->local = listener->local;
    arena_init(&request->arena, HTTP_ARENA_MAX);
    cancel_init(&request->cancel);
    str_init(&request->body, http->max_body);
    str_init(&request->chunk, HTTP_STREAM_MAX);
    str_init(&request->answer.body, HTTP_ANSWER_MAX);
    request->answer.status = MHD_HTTP_OK;
    request->answer.content_type = "application/json";
    trace_init(&request->trace, header(request, "traceparent"));
    request->request =
        (struct request){.arena = &request->arena,
                         .trace = &request->trace,
                         .cancel = &request->cancel,
                         .lang = lang_from_header(header(request, "Accept-Language"))};
    const char *method_copy = arena_copy(&request->arena, method);
    const char *path_copy = arena_copy(&request->arena, url);
    request->method = method_copy ? method_copy : "";
    request->path = path_copy ? path_copy : "";
    count_begin(http);
    return request;
}

/* From here on the client's leaving and the deadline end the request. */
static void start_clock(struct http_request *request)
{
    struct http *http = request->http;
    bool is_long = request->route && (request->route->flags & ROUTE_LONG);
    int64_t limit_ms = (int64_t)(is_long ? HTTP_LONG_S : http->request_timeout_s) * 1000;
    struct connection *own = connection_of(request->connection);
    request->request.until = deadline_in_ms(limit_ms);
    if (own)
        watch_busy(http->watch, own->slot, &request->cancel,
                   deadline_in_ms(limit_ms + HTTP_SLACK_MS));
}

/* ---------------------------------------------------------------- checks before the body */

static bool check_room(struct http_request *request, struct err *err)
{
    struct http *http = request->http;
    struct connection *own = connection_of(request->connection);
    mutex_lock(&http->lock);
    bool stopping = http->stopping;
    mutex_unlock(&http->lock);
    if (!stopping && own && !own->refused)
        return true;
    request->answer.close = true;
    if (stopping)
        err_set(err, ERR_UNAVAILABLE, "the service is stopping; try again in a moment");
    else
        err_set(err, ERR_BUSY, "all %zu connections are in use; try again in a moment",
                http->max_connections);
    err->retry_after_ms = 1000;
    return false;
}

static bool check_headers(struct http_request *request, struct err *err)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    if (info && info->header_size > HTTP_HEADERS_MAX)
        return err_set(err, ERR_HEADER_TOO_LARGE, "the request's headers are longer than %d bytes",
                       HTTP_HEADERS_MAX);
    if (header(request, "Transfer-Encoding") && header(request, "Content-Length")) {
        request->answer.close =
            true; /* two readers could see two different requests in these bytes */
        return err_set(err, ERR_INVALID_REQUEST,
                       "Content-Length and Transfer-Encoding exclude each other");
    }
    return true;
}

static bool check_route(struct http_request *request, struct err *err)
{
    struct http *http = request->http;
    struct route_match match = {0};
    if (!route_find(http->routes, http->route_count, request->method, request->path,
                    &request->arena, &match, err)) {
        if (err->code == ERR_METHOD)
            http_add_header(request, "Allow", arena_copy(&request->arena, match.allow));
        return false;
    }
    request->route = match.route;
    memcpy(request->params, match.params, sizeof(request->params));
    return true;
}

/* Its fault is told before that of a missing route: a stranger learns nothing about what there is. */
static bool check_guard(struct http_request *request, struct err *err)
{
    const struct guard *guard = &request->http->guard;
    bool is_open = request->route && (request->route->flags & ROUTE_OPEN);
    if (request->local)
        return true;
    if (!guard_check_host(guard, header(request, "Host"), err) ||
        !guard_check_origin(guard, header(request, "Origin"), err))
        return false;
    if (is_open || guard_check_key(guard, header(request, "Authorization"), err))
        return true;
    http_add_header(request, "WWW-Authenticate", "Bearer");
    return false;
}

static bool check_local(const struct http_request *request, struct err *err)
{
    if (request->local || !(request->route->flags & ROUTE_LOCAL))
        return true;
    return err_set(err, ERR_FORBIDDEN,
                   "\"%s\" is open to the local socket only; use the jarvis command",
                   request->path);
}

/* The length that the client has announced; -1 when it has not. */
static int64_t announced_length(struct http_request *request)
{
    const char *text = header(request, "Content-Length");
    char *end = NULL;
    if (!text)
        return -1;
    errno = 0;
    long long length = strtoll(text, &end, 10);
    return errno != 0 || *end != '\0' || length < 0 ? INT64_MAX : length;
}

static bool too_large(const struct http_request *request, struct err *err)
{
    return err_set(err, ERR_TOO_LARGE,
                   "the request body is larger than %zu MiB; send less, or raise "
                   "server.max_body_mib",
                   request->http->max_body >> 20);
}

static bool check_body(struct http_request *request, struct err *err)
{
    if (announced_length(request) > (int64_t)request->http->max_body)
        return too_large(request, err);
    if (request->route->flags & ROUTE_UPLOAD)
        return upload_open(request->connection, request->http->max_body, &request->upload, err);
    return true;
}

static bool check_beginning(struct http_request *request, struct err *err)
{
    struct err no_route;
    bool found = check_route(request, &no_route);
    if (!check_room(request, err) || !check_headers(request, err) || !check_guard(request, err))
        return false;
    if (!found) {
        *err = no_route;
        return false;
    }
    return check_local(request, err) && check_body(request, err);
}

/* ---------------------------------------------------------------- the body */

static enum MHD_Result refuse(struct http_request *request)
{
    http_write_error(request, &request->problem);
    return http_send_answer(request);
}

/* Whether a refused request should be read to its end before it is answered. A client that still sends would
 * otherwise find its connection reset, and not read why. */
static bool worth_draining(struct http_request *request)
{
    return !request->answer.close && !header(request, "Expect") &&
           announced_length(request) <= HTTP_DRAIN_MAX;
}

/* Adds to the memory that all bodies take together; false when there is too much of it. */
static bool weigh(struct http_request *request, size_t length, struct err *err)
{
    struct http *http = request->http;
    size_t weight = length * (request->upload ? 1 : HTTP_JSON_WEIGHT);
    mutex_lock(&http->lock);
    bool fits = http->body_bytes + weight <= http->max_body * HTTP_BODIES_MAX;
    if (fits) {
        http->body_bytes += weight;
        request->weighed += weight;
    }
    mutex_unlock(&http->lock);
    if (fits)
        return true;
    err_set(err, ERR_BUSY, "too many large requests at once; try again in a moment");
    err->retry_after_ms = 1000;
    return false;
}

static void take_body(struct http_request *request, const char *bytes, size_t length)
{
    request->received += length;
    if (request->received > request->http->max_body) {
        too_large(request, &request->problem);
        return;
    }
    if (!weigh(request, length, &request->problem))
        return;
    if (request->upload) {
        upload_feed(request->upload, bytes, length);
        return;
    }
    str_append(&request->body, bytes, length);
    if (!str_ok(&request->body))
        err_no_memory(&request->problem);
}

/* ---------------------------------------------------------------- libmicrohttpd's side */

static enum MHD_Result on_headers(struct http_request *request)
{
    bool fine = check_beginning(request, &request->problem);
    start_clock(request);
    if (fine || worth_draining(request))
        return MHD_YES;
    request->answer.close = true;
    return refuse(request);
}

static enum MHD_Result on_body(struct http_request *request, const char *bytes, size_t length)
{
    if (request->problem.code == ERR_NONE) {
        take_body(request, bytes, length);
        return MHD_YES;
    }
    request->drained += length;
    return request->drained > HTTP_DRAIN_MAX ? MHD_NO : MHD_YES;
}

static enum MHD_Result on_complete(struct http_request *request)
{
    if (request->problem.code != ERR_NONE)
        return refuse(request);
    http_limit_silence(request->connection, 0);
    struct err err;
    bool done = request->route->handle(request, &err);
    if (done && !str_ok(&request->answer.body))
        done = str_check(&request->answer.body, "the answer", &err);
    if (!done)
        http_write_error(request, &err);
    http_limit_silence(request->connection, request->http->idle_timeout_s);
    return http_send_answer(request);
}

enum MHD_Result http_on_request(void *cls, struct MHD_Connection *connection, const char *url,
                                const char *method, const char *version, const char *upload_data,
                                size_t *upload_size, void **context)
{
    (void)version;
    struct http_request *request = *context;
    if (!request) {
        request = begin(cls, connection, url, method);
        *context = request;
        return request ? on_headers(request) : MHD_NO;
    }
    if (*upload_size == 0)
        return on_complete(request);
    enum MHD_Result result = on_body(request, upload_data, *upload_size);
    *upload_size = 0;
    return result;
}

/* ---------------------------------------------------------------- the end of a request */

static void release(struct http_request *request)
{
    if (request->answer.stream.end)
        request->answer.stream.end(request->answer.stream.state);
    upload_close(request->upload);
    str_free(&request->chunk);
    str_free(&request->answer.body);
    str_free(&request->body);
    cancel_destroy(&request->cancel);
    arena_free(&request->arena);
    free(request);
}

void http_on_completed(void *cls, struct MHD_Connection *connection, void **context,
                       enum MHD_RequestTerminationCode how)
{
    (void)cls;
    struct http_request *request = *context;
    if (!request)
        return;
    *context = NULL;
    struct http *http = request->http;
    struct connection *own = connection_of(connection);
    if (own)
        watch_idle(http->watch, own->slot, idle_deadline(http));
    bool sent = how == MHD_REQUEST_TERMINATED_COMPLETED_OK;
    http_log(request, sent && request->answer.status < 400 && !request->record.failed);
    bool wants_shutdown = request->wants_shutdown;
    size_t weighed = request->weighed;
    release(request);
    count_end(http, weighed);
    if (wants_shutdown && http->on_shutdown)
        http->on_shutdown(http->user);
}
