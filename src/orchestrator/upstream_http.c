#include "orchestrator/upstream_http.h"

/* curl's checks of setopt's argument types are macros that no analyser gets through. */
#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"

enum { POLL_MAX_MS = 60000, KEY_HEADER_MAX = 8192 };

struct exchange {
    CURLM *multi;
    CURL *easy;
    struct curl_slist *headers;
    struct str buffer; /* has come, was not taken */
    const char *url;   /* the request's, for messages */
    uint32_t silence_ms;
    deadline silent_until;
    bool running; /* the easy handle is in the multi handle */
    bool answered;
    bool ended;
    CURLcode result; /* ended */
};

bool exchange_open(struct exchange **ret, struct err *err)
{
    struct exchange *exchange = calloc(1, sizeof(*exchange));
    if (!exchange)
        return err_no_memory(err);
    str_init(&exchange->buffer, EXCHANGE_BUFFER_MAX);
    exchange->multi = curl_multi_init();
    exchange->easy = curl_easy_init();
    if (!exchange->multi || !exchange->easy) {
        exchange_close(exchange);
        return err_no_memory(err);
    }
    *ret = exchange;
    return true;
}

void exchange_close(struct exchange *exchange)
{
    if (!exchange)
        return;
    exchange_stop(exchange);
    curl_easy_cleanup(exchange->easy);
    curl_multi_cleanup(exchange->multi);
    str_free(&exchange->buffer);
    free(exchange);
}

/* ---------------------------------------------------------------- libcurl calls in */

static size_t on_header(char *line, size_t size, size_t count, void *user)
{
    struct exchange *exchange = user;
    size_t length = size * count;
    long status = 0;
    curl_easy_getinfo(exchange->easy, CURLINFO_RESPONSE_CODE, &status);
    bool last = length > 0 && (line[0] == '\r' || line[0] == '\n');
    exchange->answered = exchange->answered || (last && status >= 200);
    return length;
}

static size_t on_bytes(char *bytes, size_t size, size_t count, void *user)
{
    struct exchange *exchange = user;
    str_append(&exchange->buffer, bytes, size * count);
    return str_ok(&exchange->buffer) ? size * count : 0;
}

/* ---------------------------------------------------------------- starting */

static bool set_headers(struct exchange *exchange, const struct exchange_request *request)
{
    char key[KEY_HEADER_MAX];
    const char *accept = request->stream ? "Accept: text/event-stream" : "Accept: application/json";
    const char *wanted[] = {accept, "Content-Type: application/json", "Expect:", key};
    int length = snprintf(key, sizeof(key), "Authorization: Bearer %s", request->key);
    bool ok = length < (int)sizeof(key);
    size_t count = request->key[0] ? 4 : 3;
    for (size_t i = 0; ok && i < count; i++) {
        struct curl_slist *longer = curl_slist_append(exchange->headers, wanted[i]);
        ok = longer != NULL;
        exchange->headers = ok ? longer : exchange->headers;
    }
    explicit_bzero(key, sizeof(key));
    return ok;
}

static bool set_options(struct exchange *exchange, const struct exchange_request *request)
{
    CURL *easy = exchange->easy;
    bool ok = curl_easy_setopt(easy, CURLOPT_URL, request->url) == CURLE_OK &&
              curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
              curl_easy_setopt(easy, CURLOPT_HTTPHEADER, exchange->headers) == CURLE_OK;
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "jarvis/" JARVIS_VERSION);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)request->connect_ms);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, exchange);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, exchange);
    if (request->body) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->body);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_length);
    }
    return ok;
}

bool exchange_start(struct exchange *exchange, const struct exchange_request *request,
                    struct err *err)
{
    str_free(&exchange->buffer);
    str_init(&exchange->buffer, EXCHANGE_BUFFER_MAX);
    exchange->answered = exchange->ended = false;
    exchange->result = CURLE_OK;
    exchange->url = request->url;
    exchange->silence_ms = request->silence_ms;
    exchange_alive(exchange);
    curl_easy_reset(exchange->easy);
    if (!set_headers(exchange, request) || !set_options(exchange, request) ||
        curl_multi_add_handle(exchange->multi, exchange->easy) != CURLM_OK)
        return err_no_memory(err);
    exchange->running = true;
    return true;
}

void exchange_alive(struct exchange *exchange)
{
    exchange->silent_until = deadline_in_ms(exchange->silence_ms);
}

void exchange_stop(struct exchange *exchange)
{
    if (exchange->running)
        curl_multi_remove_handle(exchange->multi, exchange->easy);
    exchange->running = false;
    curl_slist_free_all(exchange->headers);
    exchange->headers = NULL;
}

/* ---------------------------------------------------------------- waiting */

static bool transfer_failed(const struct exchange *exchange, struct err *err)
{
    const char *why = curl_easy_strerror(exchange->result);
    switch (exchange->result) {
    case CURLE_OK: return true;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
        return err_set(err, ERR_UPSTREAM_REFUSED, "%s cannot be trusted or named so: %s",
                       exchange->url, why);
    case CURLE_WRITE_ERROR:
        return err_set(err, ERR_PROTOCOL,
                       "the other server answers faster than it is read, or too much");
    default:
        if (exchange->answered)
            return err_set(err, ERR_UPSTREAM, "%s broke off its answer: %s", exchange->url, why);
        return err_set(err, ERR_UPSTREAM, "%s cannot be reached: %s; is the server running?",
                       exchange->url, why);
    }
}

static void take_results(struct exchange *exchange)
{
    int left;
    const CURLMsg *message;
    while ((message = curl_multi_info_read(exchange->multi, &left))) {
        if (message->msg != CURLMSG_DONE)
            continue;
        exchange->ended = exchange->answered = true;
        exchange->result = message->data.result;
    }
}

static bool has_news(const struct exchange *exchange, bool wants_bytes)
{
    return exchange->ended || (wants_bytes ? exchange->buffer.length > 0 : exchange->answered);
}

static bool waited_too_long(const struct exchange *exchange, const struct wait *wait,
                            struct err *err)
{
    if (cancel_is_set(wait->cancel))
        return !cancel_error(err);
    if (deadline_passed(wait->until))
        return !err_set(err, ERR_TIMEOUT,
                        "the other server did not answer in time; try again, or allow more time");
    if (deadline_passed(exchange->silent_until))
        return !err_set(err, ERR_UPSTREAM, "%s said nothing for %u s", exchange->url,
                        exchange->silence_ms / 1000);
    return false;
}

static void wake(void *multi)
{
    curl_multi_wakeup(multi);
}

/* Lets libcurl work until there is something to tell. */
static bool pump(struct exchange *exchange, const struct wait *wait, bool wants_bytes,
                 struct err *err)
{
    struct cancel_hook hook = {.fire = wake, .argument = exchange->multi};
    bool late = false;
    cancel_watch(wait->cancel, &hook);
    while (!has_news(exchange, wants_bytes)) {
        int running;
        curl_multi_perform(exchange->multi, &running);
        bool answered = exchange->answered;
        take_results(exchange);
        if (exchange->ended && exchange->result != CURLE_OK)
            exchange->answered = answered; /* for the message */
        if (has_news(exchange, wants_bytes))
            break;
        late = waited_too_long(exchange, wait, err);
        if (late)
            break;
        int ms = deadline_left_ms(deadline_earlier(wait->until, exchange->silent_until));
        curl_multi_poll(exchange->multi, NULL, 0, ms < POLL_MAX_MS ? ms : POLL_MAX_MS, NULL);
    }
    cancel_unwatch(wait->cancel, &hook);
    return !late;
}

bool exchange_status(struct exchange *exchange, const struct wait *wait, long *ret_status,
                     struct err *err)
{
    if (!pump(exchange, wait, false, err))
        return false;
    if (exchange->ended && exchange->result != CURLE_OK && !exchange->answered)
        return transfer_failed(exchange, err);
    *ret_status = 0;
    curl_easy_getinfo(exchange->easy, CURLINFO_RESPONSE_CODE, ret_status);
    return true;
}

bool exchange_read(struct exchange *exchange, const struct wait *wait, struct str *out,
                   bool *ret_end, struct err *err)
{
    if (!pump(exchange, wait, true, err))
        return false;
    if (exchange->buffer.length == 0 && !transfer_failed(exchange, err))
        return false;
    *ret_end = exchange->buffer.length == 0;
    str_append(out, exchange->buffer.data, exchange->buffer.length);
    str_truncate(&exchange->buffer, 0);
    return true;
}

uint32_t exchange_retry_after_ms(struct exchange *exchange)
{
    curl_off_t seconds = 0;
    curl_easy_getinfo(exchange->easy, CURLINFO_RETRY_AFTER, &seconds);
    return seconds <= 0 ? 0 : seconds < UINT32_MAX / 1000 ? (uint32_t)seconds * 1000 : UINT32_MAX;
}
