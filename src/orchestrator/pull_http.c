/* pull_http.c - a transfer is driven through curl's multi interface, so that a cancel, which comes from another thread,
 * wakes it at once (curl_multi_wakeup is the one call of curl that any thread may make).
 *
 * Redirects are followed here and not by curl: a hub answers with the address of a store elsewhere, and three things
 * must hold on the way. The number is bounded; no step leads from https to http (or, from this machine's own http, to
 * another machine's); the token goes to the first host alone.
 */
#include "orchestrator/pull_http.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* curl's checks of setopt's argument types are macros that no analyser gets through. */
#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>

#include "config.h"
#include "orchestrator/pull_source.h"

enum {
    POLL_MS = 1000,
    SILENCE_S = 60,
    HTTP_OK = 200,
    HTTP_PARTIAL = 206,
    HTTP_UNAUTHORIZED = 401,
    HTTP_FORBIDDEN = 403,
    HTTP_NOT_FOUND = 404,
    HTTP_GONE = 410,
    HTTP_RANGE = 416,
    HTTP_MANY = 429,
    HTTP_BUSY = 503,
    HEADER_VALUE_MAX = 2048,
};

struct pull_http {
    CURLM *multi;
    CURL *easy;
};

/* One exchange: what curl's callbacks see. */
struct exchange {
    struct pull_http *http;
    const struct pull_get *get;
    struct pull_reply reply;
    uint64_t body_length; /* Content-Length; UINT64_MAX: not told */
    uint32_t retry_after_s;
    bool first_host; /* not redirected to another host yet */
    bool begun;      /* get->begin has been called */
    bool failed;     /* *err was set by a callback */
    struct err *err;
};

bool pull_http_open(uint32_t silence_s, struct pull_http **ret, struct err *err)
{
    struct pull_http *http = calloc(1, sizeof(*http));
    if (!http)
        return err_no_memory(err);
    http->multi = curl_multi_init();
    http->easy = curl_easy_init();
    if (!http->multi || !http->easy) {
        pull_http_close(http);
        return err_no_memory(err);
    }
    curl_easy_setopt(http->easy, CURLOPT_USERAGENT, "jarvis/" JARVIS_VERSION);
    curl_easy_setopt(http->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(http->easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(http->easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(http->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)PULL_CONNECT_MS);
    curl_easy_setopt(http->easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(http->easy, CURLOPT_LOW_SPEED_TIME, (long)(silence_s ? silence_s : SILENCE_S));
    *ret = http;
    return true;
}

void pull_http_close(struct pull_http *http)
{
    if (!http)
        return;
    curl_easy_cleanup(http->easy);
    curl_multi_cleanup(http->multi);
    free(http);
}

bool pull_http_escape(const char *text, struct str *out, struct err *err)
{
    static const char hex[] = "0123456789ABCDEF";
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (isalnum(*c) || strchr("-._~/", *c))
            str_putc(out, (char)*c);
        else
            str_printf(out, "%%%c%c", hex[*c >> 4], hex[*c & 15]);
    }
    return str_check(out, "the address", err);
}

/* ---------------------------------------------------------------- headers */

static uint64_t read_number(const char *text)
{
    return isdigit((unsigned char)*text) ? strtoull(text, NULL, 10) : 0;
}

/* "bytes 100-199/5000"; a 416 has a star for the range. */
static void read_content_range(const char *value, struct pull_reply *reply)
{
    if (strncasecmp(value, "bytes ", 6) != 0)
        return;
    const char *slash = strchr(value, '/');
    reply->offset = read_number(value + 6);
    reply->total = slash ? read_number(slash + 1) : 0;
}

/* The SHA-256 that the hub gives as the tag of a large file: 64 hexadecimal digits in quotes. */
static void read_linked_etag(const char *value, struct pull_reply *reply)
{
    const char *digits = value + (*value == '"');
    size_t length = strspn(digits, "0123456789abcdefABCDEF");
    if (length == PULL_SHA256_HEX - 1 && (digits[length] == '"' || digits[length] == '\0'))
        snprintf(reply->sha256, sizeof(reply->sha256), "%.*s", (int)length, digits);
}

/* <https://…>; rel="next" */
static void read_link(const char *value, struct pull_reply *reply)
{
    const char *end = strchr(value, '>');
    if (*value == '<' && end && strstr(end, "rel=\"next\"") &&
        (size_t)(end - value) < sizeof(reply->next))
        snprintf(reply->next, sizeof(reply->next), "%.*s", (int)(end - value - 1), value + 1);
}

static void read_header(struct exchange *exchange, const char *name, const char *value)
{
    struct pull_reply *reply = &exchange->reply;
    if (strcasecmp(name, "content-range") == 0)
        read_content_range(value, reply);
    else if (strcasecmp(name, "content-length") == 0)
        exchange->body_length = read_number(value);
    else if (strcasecmp(name, "etag") == 0 && *value == '"' && strlen(value) < PULL_ETAG_MAX)
        snprintf(reply->etag, sizeof(reply->etag), "%s", value);
    else if (strcasecmp(name, "x-linked-etag") == 0 && exchange->first_host)
        read_linked_etag(value, reply);
    else if (strcasecmp(name, "link") == 0)
        read_link(value, reply);
    else if (strcasecmp(name, "retry-after") == 0)
        exchange->retry_after_s =
            (uint32_t)(read_number(value) < PULL_RETRY_AFTER_MAX_S ? read_number(value)
                                                                   : PULL_RETRY_AFTER_MAX_S);
}

/* What an answer says of itself is forgotten with the next answer; the checksum of the first hop is kept. */
static void begin_answer(struct exchange *exchange)
{
    char sha256[PULL_SHA256_HEX];
    memcpy(sha256, exchange->reply.sha256, sizeof(sha256));
    exchange->reply = (struct pull_reply){0};
    memcpy(exchange->reply.sha256, sha256, sizeof(sha256));
    exchange->body_length = UINT64_MAX;
    exchange->retry_after_s = 0;
}

static size_t on_header(char *bytes, size_t size, size_t count, void *user)
{
    struct exchange *exchange = user;
    size_t length = size * count;
    char line[HEADER_VALUE_MAX];
    if (length >= 5 && strncmp(bytes, "HTTP/", 5) == 0)
        begin_answer(exchange);
    if (length >= sizeof(line))
        return length; /* nothing that is of use here is that long */
    memcpy(line, bytes, length);
    line[length] = '\0';
    line[strcspn(line, "\r\n")] = '\0';
    char *colon = strchr(line, ':');
    if (colon) {
        *colon = '\0';
        read_header(exchange, line, colon + 1 + strspn(colon + 1, " \t"));
    }
    return length;
}

/* ---------------------------------------------------------------- bytes */

static bool begin(struct exchange *exchange)
{
    struct pull_reply *reply = &exchange->reply;
    exchange->begun = true;
    if (reply->status != HTTP_PARTIAL)
        reply->offset = 0;
    if (reply->status == HTTP_OK)
        reply->total = exchange->body_length == UINT64_MAX ? 0 : exchange->body_length;
    const struct pull_get *get = exchange->get;
    if (get->begin && !get->begin(get->user, reply, exchange->err))
        exchange->failed = true;
    return !exchange->failed;
}

static bool has_content(const struct exchange *exchange)
{
    return exchange->reply.status == HTTP_OK || exchange->reply.status == HTTP_PARTIAL;
}

static void read_status(struct exchange *exchange)
{
    long status = 0;
    curl_easy_getinfo(exchange->http->easy, CURLINFO_RESPONSE_CODE, &status);
    exchange->reply.status = (int)status;
}

static size_t on_bytes(char *bytes, size_t size, size_t count, void *user)
{
    struct exchange *exchange = user;
    const struct pull_get *get = exchange->get;
    size_t length = size * count;
    read_status(exchange);
    if (!has_content(exchange))
        return length; /* an error page, a redirect's words */
    if (!exchange->begun && !begin(exchange))
        return CURL_WRITEFUNC_ERROR;
    exchange->failed = !get->bytes(get->user, bytes, length, exchange->err);
    return exchange->failed ? CURL_WRITEFUNC_ERROR : length;
}

/* ---------------------------------------------------------------- one hop */

static void wake(void *multi)
{
    curl_multi_wakeup(multi);
}

static bool give_up(const struct wait *wait, struct err *err)
{
    if (cancel_is_set(wait->cancel))
        cancel_error(err);
    else if (deadline_passed(wait->until))
        err_set(err, ERR_TIMEOUT,
                "the download did not end in time; run the same command again to go on with it");
    else
        return false;
    return true;
}

/* Drives the transfer to its end. False with *err: given up. */
static bool drive(struct pull_http *http, const struct wait *wait, CURLcode *ret, struct err *err)
{
    int running = 1;
    while (running) {
        if (give_up(wait, err))
            return false;
        CURLMcode code = curl_multi_perform(http->multi, &running);
        int pause = deadline_left_ms(wait->until);
        if (code == CURLM_OK && running)
            code = curl_multi_poll(http->multi, NULL, 0, pause < POLL_MS ? pause : POLL_MS, NULL);
        if (code != CURLM_OK)
            return err_set(err, ERR_INTERNAL, "cannot download: %s", curl_multi_strerror(code));
    }
    int left;
    const CURLMsg *message = curl_multi_info_read(http->multi, &left);
    *ret = message ? message->data.result : CURLE_RECV_ERROR;
    return true;
}

static bool run_hop(struct exchange *exchange, const struct wait *wait, CURLcode *ret,
                    struct err *err)
{
    struct pull_http *http = exchange->http;
    struct cancel_hook hook = {.fire = wake, .argument = http->multi};
    curl_multi_add_handle(http->multi, http->easy);
    cancel_watch(wait->cancel, &hook);
    bool ok = drive(http, wait, ret, err);
    cancel_unwatch(wait->cancel, &hook);
    curl_multi_remove_handle(http->multi, http->easy);
    return ok;
}

/* The host of an address, for messages: without path and query, which may hold a signature. */
static const char *host_of(const char *url, char out[256])
{
    const char *host = strstr(url, "://");
    host = host ? host + 3 : url;
    snprintf(out, 256, "%.*s", (int)strcspn(host, "/?#"), host);
    return out;
}

static bool network_error(CURLcode code, const char *url, struct err *err)
{
    char host[256];
    switch (code) {
    case CURLE_OUT_OF_MEMORY: return err_no_memory(err);
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
        return err_set(err, ERR_FORBIDDEN,
                       "%s cannot prove that it is who it says (%s); nothing was fetched",
                       host_of(url, host), curl_easy_strerror(code));
    case CURLE_OPERATION_TIMEDOUT:
        return err_set(err, ERR_UNAVAILABLE, "%s said nothing for too long; try again",
                       host_of(url, host));
    default:
        return err_set(err, ERR_UNAVAILABLE, "the connection to %s failed (%s); try again",
                       host_of(url, host), curl_easy_strerror(code));
    }
}

/* ---------------------------------------------------------------- answers */

static bool refused(const struct exchange *exchange, const char *url, struct err *err)
{
    char host[256];
    int status = exchange->reply.status;
    bool has_token = exchange->get->token && *exchange->get->token;
    host_of(url, host);
    switch (status) {
    case HTTP_UNAUTHORIZED:
    case HTTP_FORBIDDEN:
        if (has_token)
            return err_set(err, ERR_FORBIDDEN,
                           "%s does not give this with your token; open the model's page in a "
                           "browser and accept its terms, or check the token",
                           host);
        return err_set(
            err, ERR_UNAUTHORIZED,
            "%s does not give this to everybody; set pull.token_file to a file with your "
            "token (or HF_TOKEN), and accept the model's terms on its page",
            host);
    case HTTP_NOT_FOUND:
    case HTTP_GONE:
        return err_set(err, ERR_NOT_FOUND, "%s does not have it; check the spelling", host);
    case HTTP_MANY:
    case HTTP_BUSY:
        err_set(err, ERR_BUSY, "%s is busy (status %d); try again later", host, status);
        break;
    default:
        if (status < 500)
            return err_set(err, ERR_PROTOCOL, "%s answered with status %d", host, status);
        err_set(err, ERR_UNAVAILABLE, "%s has a fault (status %d); try again later", host, status);
    }
    if (err)
        err->retry_after_ms = exchange->retry_after_s * 1000;
    return false;
}

static bool same_host(const char *a, const char *b)
{
    const char *x = strstr(a, "://");
    const char *y = strstr(b, "://");
    if (!x || !y || x - a != y - b || strncasecmp(a, b, (size_t)(x - a)) != 0)
        return false;
    size_t length = strcspn(x + 3, "/?#");
    return length == strcspn(y + 3, "/?#") && strncasecmp(x + 3, y + 3, length) == 0;
}

/* Where a redirect leads: *ret is the caller's to free. */
static bool redirected(struct exchange *exchange, const char *from, char **ret, struct err *err)
{
    const char *to = NULL;
    char host[256];
    curl_easy_getinfo(exchange->http->easy, CURLINFO_REDIRECT_URL, &to);
    if (!to)
        return err_set(err, ERR_PROTOCOL, "%s sends us on to nowhere", host_of(from, host));
    if (!pull_url_allowed(to) ||
        (strncasecmp(from, "https:", 6) == 0 && strncasecmp(to, "https:", 6) != 0))
        return err_set(err, ERR_FORBIDDEN,
                       "%s sends us on to an address that is not safe; nothing was fetched from "
                       "there",
                       host_of(from, host));
    exchange->first_host = exchange->first_host && same_host(from, to);
    return str_copy(to, ret, err);
}

static bool is_redirect(int status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* ---------------------------------------------------------------- the exchange */

static bool append(struct curl_slist **list, const char *line)
{
    struct curl_slist *longer = curl_slist_append(*list, line);
    if (longer)
        *list = longer;
    return longer != NULL;
}

static bool make_headers(const struct exchange *exchange, struct curl_slist **ret)
{
    const struct pull_get *get = exchange->get;
    char line[PULL_ETAG_MAX + 64];
    bool ok = true;
    if (get->offset > 0) {
        snprintf(line, sizeof(line), "Range: bytes=%llu-", (unsigned long long)get->offset);
        ok = append(ret, line);
        snprintf(line, sizeof(line), "If-Range: %s", get->if_range ? get->if_range : "");
        if (get->if_range && *get->if_range)
            ok = ok && append(ret, line);
    }
    if (get->token && *get->token && exchange->first_host) {
        char *authorization = str_format(8192, "Authorization: Bearer %s", get->token);
        ok = ok && authorization && append(ret, authorization);
        free(authorization);
    }
    return ok;
}

static bool visit(struct exchange *exchange, const char *url, const struct wait *wait,
                  struct err *err)
{
    CURL *easy = exchange->http->easy;
    struct curl_slist *headers = NULL;
    if (!make_headers(exchange, &headers)) {
        curl_slist_free_all(headers);
        return err_no_memory(err);
    }
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, exchange);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, exchange);
    CURLcode code = CURLE_OK;
    bool ok = run_hop(exchange, wait, &code, err);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, NULL);
    curl_slist_free_all(headers);
    if (!ok || exchange->failed)
        return false;
    read_status(exchange);
    return code == CURLE_OK || network_error(code, url, err);
}

/* Follows redirects from `url` (which it frees) until an answer. */
static bool follow(struct exchange *exchange, char *url, const struct wait *wait, struct err *err)
{
    char host[256];
    for (int hop = 0;; hop++) {
        bool ok = visit(exchange, url, wait, err);
        if (ok && is_redirect(exchange->reply.status)) {
            char *next = NULL;
            ok = hop < PULL_REDIRECTS_MAX
                     ? redirected(exchange, url, &next, err)
                     : err_set(err, ERR_PROTOCOL, "%s sends us on and on (%d times)",
                               host_of(url, host), PULL_REDIRECTS_MAX + 1);
            free(url);
            url = next;
            if (ok)
                continue;
        } else if (ok && exchange->reply.status != HTTP_RANGE) {
            ok = has_content(exchange) ? exchange->begun || begin(exchange)
                                       : refused(exchange, url, err);
        }
        free(url);
        return ok;
    }
}

bool pull_http_get(struct pull_http *http, const struct pull_get *get, const struct wait *wait,
                   struct pull_reply *ret, struct err *err)
{
    struct err own = {0};
    struct exchange exchange = {
        .http = http, .get = get, .first_host = true, .err = err ? err : &own};
    char *url;
    if (!str_copy(get->url, &url, err) || !follow(&exchange, url, wait, exchange.err))
        return false;
    if (ret)
        *ret = exchange.reply;
    return true;
}
