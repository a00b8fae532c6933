#include "cli/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* curl's checks of setopt's argument types are macros that no analyser gets through. */
#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>

#include "config.h"

enum { POLL_MS = 1000, STATUS_OK = 200, STATUS_ERROR = 400 };

struct client {
    CURLM *multi; /* keeps the connection between requests */
    CURL *easy;
    struct curl_slist *headers;
    int interrupt_fd;
};

/* One request on its way: what the callbacks need. */
struct exchange {
    struct client *client;
    struct str body;             /* an answer that is not a stream */
    struct event_reader *events; /* NULL: no stream is expected */
    struct err *err;
    bool failed; /* *err was set by a callback */
    event_handler *handler;
    void *user;
};

static bool make_headers(enum lang lang, struct curl_slist **ret, struct err *err)
{
    char language[64];
    snprintf(language, sizeof(language), "Accept-Language: %s", lang_code(lang));
    const char *const lines[] = {"Content-Type: application/json", "Expect:", language};
    struct curl_slist *list = NULL;
    for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
        struct curl_slist *longer = curl_slist_append(list, lines[i]);
        if (!longer) {
            curl_slist_free_all(list);
            return err_no_memory(err);
        }
        list = longer;
    }
    *ret = list;
    return true;
}

bool client_open(const char *socket, enum lang lang, struct client **ret, struct err *err)
{
    struct client *client = calloc(1, sizeof(*client));
    if (!client)
        return err_no_memory(err);
    client->interrupt_fd = -1;
    client->multi = curl_multi_init();
    client->easy = curl_easy_init();
    bool ok = client->multi && client->easy ? make_headers(lang, &client->headers, err)
                                            : err_no_memory(err);
    if (!ok) {
        client_close(client);
        return false;
    }
    curl_easy_setopt(client->easy, CURLOPT_UNIX_SOCKET_PATH, socket);
    curl_easy_setopt(client->easy, CURLOPT_HTTPHEADER, client->headers);
    curl_easy_setopt(client->easy, CURLOPT_USERAGENT, "jarvis/" JARVIS_VERSION);
    curl_easy_setopt(client->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(client->easy, CURLOPT_PROXY, "");
    curl_easy_setopt(client->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CLIENT_CONNECT_MS);
    curl_easy_setopt(client->easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(client->easy, CURLOPT_LOW_SPEED_TIME, (long)CLIENT_SILENCE_S);
    *ret = client;
    return true;
}

void client_close(struct client *client)
{
    if (!client)
        return;
    curl_easy_cleanup(client->easy);
    curl_multi_cleanup(client->multi);
    curl_slist_free_all(client->headers);
    free(client);
}

void client_interrupt_by(struct client *client, int fd)
{
    client->interrupt_fd = fd;
}

bool client_escape(struct client *client, const char *text, struct str *out, struct err *err)
{
    char *escaped = curl_easy_escape(client->easy, text, 0);
    if (!escaped)
        return err_no_memory(err);
    str_puts(out, escaped);
    curl_free(escaped);
    return str_check(out, "the path", err);
}

/* --- errors --- */

static enum err_code code_named(const char *name)
{
    for (int code = 0; name && code < ERR_CODE_COUNT; code++)
        if (code != ERR_NONE && strcmp(err_info((enum err_code)code)->name, name) == 0)
            return (enum err_code)code;
    return ERR_INTERNAL;
}

bool client_error(yyjson_val *error, struct err *err)
{
    const char *message = yyjson_get_str(yyjson_obj_get(error, "message"));
    const char *param = yyjson_get_str(yyjson_obj_get(error, "param"));
    uint64_t retry = yyjson_get_uint(yyjson_obj_get(error, "retry_after_ms"));
    enum err_code code = code_named(yyjson_get_str(yyjson_obj_get(error, "code")));
    if (!message)
        return err_set(err, ERR_PROTOCOL, "the service failed and did not say why; see its log");
    err_restore(err, (uint32_t)code, message, message, param ? param : "",
                retry > UINT32_MAX ? UINT32_MAX : (uint32_t)retry);
    return false;
}

/* The answer to a request that the service refused. */
static bool refused(const struct str *body, long status, struct err *err)
{
    yyjson_doc *doc = NULL;
    yyjson_val *error = NULL;
    if (json_parse(str_text(body), body->length, "the service's answer", &doc, NULL))
        error = yyjson_obj_get(yyjson_doc_get_root(doc), "error");
    if (yyjson_is_obj(error))
        client_error(error, err);
    else
        err_set(err, ERR_PROTOCOL, "the service refused with status %ld and did not say why",
                status);
    yyjson_doc_free(doc);
    return false;
}

static bool transport_error(CURLcode code, struct err *err)
{
    switch (code) {
    case CURLE_COULDNT_CONNECT:
        return err_set(
            err, ERR_UNAVAILABLE,
            "the service does not answer on its socket; try again, or run: jarvis doctor");
    case CURLE_OPERATION_TIMEDOUT:
        return err_set(err, ERR_TIMEOUT,
                       "the service said nothing for too long; run: jarvis ps, jarvis stop");
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
        return err_set(err, ERR_UNAVAILABLE,
                       "the service went away in the middle of the answer; try again");
    case CURLE_OUT_OF_MEMORY: return err_no_memory(err);
    default:
        return err_set(err, ERR_PROTOCOL, "the service cannot be understood: %s",
                       curl_easy_strerror(code));
    }
}

/* --- exchanges --- */

/* A piece of the answer: an event stream goes through the reader, all else is collected. */
static size_t on_bytes(char *bytes, size_t size, size_t count, void *user)
{
    struct exchange *exchange = user;
    size_t length = size * count;
    long status = 0;
    const char *type = NULL;
    curl_easy_getinfo(exchange->client->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(exchange->client->easy, CURLINFO_CONTENT_TYPE, &type);
    bool stream = exchange->events && status == STATUS_OK && type &&
                  strncmp(type, "text/event-stream", strlen("text/event-stream")) == 0;
    if (stream) {
        exchange->failed = !event_reader_feed(exchange->events, bytes, length, exchange->err);
    } else {
        str_append(&exchange->body, bytes, length);
        exchange->failed = !str_check(&exchange->body, "the service's answer", exchange->err);
    }
    return exchange->failed ? CURL_WRITEFUNC_ERROR : length;
}

/* Drives the request to its end; the interrupt is one more descriptor to wait for. */
static bool transfer(struct client *client, CURLcode *ret_code, struct err *err)
{
    struct curl_waitfd interrupt = {.fd = client->interrupt_fd, .events = CURL_WAIT_POLLIN};
    unsigned extra = client->interrupt_fd >= 0;
    int running = 1;
    while (running) {
        CURLMcode code = curl_multi_perform(client->multi, &running);
        if (code == CURLM_OK && running)
            code = curl_multi_poll(client->multi, &interrupt, extra, POLL_MS, NULL);
        if (code != CURLM_OK)
            return err_set(err, ERR_INTERNAL, "cannot talk to the service: %s",
                           curl_multi_strerror(code));
        if (running && interrupt.revents & CURL_WAIT_POLLIN)
            return err_set(err, ERR_CANCELLED, "stopped");
    }
    int left;
    CURLMsg *message = curl_multi_info_read(client->multi, &left);
    if (!message)
        return err_set(err, ERR_INTERNAL, "cannot talk to the service: %s", "no result");
    *ret_code = message->data.result;
    return true;
}

static void set_request(struct exchange *exchange, const char *method, const char *path,
                        const struct str *body)
{
    CURL *easy = exchange->client->easy;
    char url[512];
    snprintf(url, sizeof(url), "http://jarvis%s", path);
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
    if (body) {
        curl_easy_setopt(easy, CURLOPT_POST, 1L);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body->length);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, str_text(body));
    }
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, exchange);
}

/* Sends and receives; what came is in the exchange. */
static bool run_exchange(struct exchange *exchange, const char *method, const char *path,
                         const yyjson_mut_doc *json, struct err *err)
{
    struct client *client = exchange->client;
    struct str body;
    str_init(&body, CLIENT_ANSWER_MAX);
    if (json && !json_write(json, false, &body, err)) {
        str_free(&body);
        return false;
    }
    bool has_body = json || strcmp(method, "POST") == 0;
    set_request(exchange, method, path, has_body ? &body : NULL);
    CURLcode code = CURLE_OK;
    bool ok = curl_multi_add_handle(client->multi, client->easy) == CURLM_OK
                  ? transfer(client, &code, err)
                  : err_no_memory(err);
    curl_multi_remove_handle(client->multi, client->easy);
    str_free(&body);
    if (!ok || exchange->failed)
        return false;
    if (code != CURLE_OK)
        return transport_error(code, err);
    long status = 0;
    curl_easy_getinfo(client->easy, CURLINFO_RESPONSE_CODE, &status);
    return status < STATUS_ERROR || refused(&exchange->body, status, err);
}

bool client_call(struct client *client, const char *method, const char *path,
                 const yyjson_mut_doc *body, yyjson_doc **ret_answer, struct err *err)
{
    struct exchange exchange = {.client = client, .err = err};
    str_init(&exchange.body, CLIENT_ANSWER_MAX);
    yyjson_doc *doc = NULL;
    bool ok = run_exchange(&exchange, method, path, body, err);
    if (ok && ret_answer)
        ok = json_parse(str_text(&exchange.body), exchange.body.length, "the service's answer",
                        &doc, err);
    str_free(&exchange.body);
    if (ok && ret_answer)
        *ret_answer = doc;
    return ok;
}

/* Keeps errors and OpenAI's end mark from the caller's handler. */
static bool on_event(void *user, const struct event *event, struct err *err)
{
    struct exchange *exchange = user;
    if (strcmp(event->data, "[DONE]") == 0)
        return true;
    bool named = strcmp(event->name, "error") == 0;
    if (!named && !strstr(event->data, "\"error\""))
        return exchange->handler(exchange->user, event, err);
    yyjson_doc *doc;
    if (!json_parse(event->data, event->length, "an event of the service", &doc, err))
        return false;
    yyjson_val *root = yyjson_doc_get_root(doc);
    yyjson_val *error = yyjson_obj_get(root, "error");
    bool is_error = named || yyjson_is_obj(error);
    if (is_error)
        client_error(yyjson_is_obj(error) ? error : root, err);
    yyjson_doc_free(doc);
    return !is_error && exchange->handler(exchange->user, event, err);
}

bool client_stream(struct client *client, const char *path, const yyjson_mut_doc *body,
                   event_handler *handler, void *user, struct err *err)
{
    struct exchange exchange = {.client = client, .err = err, .handler = handler, .user = user};
    struct event_reader reader;
    event_reader_init(&reader, EVENT_MAX, on_event, &exchange);
    exchange.events = &reader;
    str_init(&exchange.body, CLIENT_ANSWER_MAX);
    bool ok = run_exchange(&exchange, "POST", path, body, err);
    event_reader_free(&reader);
    str_free(&exchange.body);
    return ok;
}
