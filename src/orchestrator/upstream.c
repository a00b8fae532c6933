#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/hash.h"
#include "orchestrator/upstream_parts.h"

enum { CONTEXT_DEFAULT = 8192 };

bool upstream_open(const struct upstream_options *options, struct upstream **ret, struct err *err)
{
    const struct upstream_entry *entry = options->entry->upstream;
    struct upstream *upstream = calloc(1, sizeof(*upstream));
    if (!upstream)
        return err_no_memory(err);
    upstream->entry = options->entry;
    upstream->policy = options->policy;
    upstream->policy.backoff_ms =
        0; /* another address is tried at once; requests have waits of their own */
    upstream->health_interval_ms = options->health_interval_ms;
    upstream->log = options->log;
    upstream->count = entry->url_count;
    for (size_t i = 0; i < entry->url_count; i++)
        upstream->addresses[i].url = entry->urls[i];
    mutex_init(&upstream->lock);
    cond_init(&upstream->changed);
    cancel_init(&upstream->closing);
    if (!upstream_health_start(upstream, err)) {
        cancel_destroy(&upstream->closing);
        cond_destroy(&upstream->changed);
        mutex_destroy(&upstream->lock);
        free(upstream);
        return false;
    }
    *ret = upstream;
    return true;
}

void upstream_close(struct upstream *upstream)
{
    if (!upstream)
        return;
    upstream_health_stop(upstream);
    for (size_t i = 0; i < upstream->count; i++)
        while (upstream->addresses[i].idle_count > 0)
            exchange_close(upstream->addresses[i].idle[--upstream->addresses[i].idle_count]);
    cancel_destroy(&upstream->closing);
    cond_destroy(&upstream->changed);
    mutex_destroy(&upstream->lock);
    free(upstream);
}

void upstream_describe(struct upstream *upstream, struct msg_loaded *ret)
{
    const struct model_entry *entry = upstream->entry;
    uint32_t context = entry->context_length > 0 ? entry->context_length : CONTEXT_DEFAULT;
    mutex_lock(&upstream->lock);
    uint32_t dimensions = upstream->dimensions;
    mutex_unlock(&upstream->lock);
    *ret = (struct msg_loaded){
        .description = "upstream",
        .context_length = context,
        .train_context = context,
        .slots = entry->slots,
        .dimensions = dimensions,
        .pooling = "",
        .has_template = true,
    };
}

void upstream_learn_dimensions(struct upstream *upstream, uint32_t dimensions)
{
    mutex_lock(&upstream->lock);
    upstream->dimensions = dimensions;
    mutex_unlock(&upstream->lock);
}

void upstream_look(struct upstream *upstream, struct upstream_status *ret)
{
    int64_t now = clock_now_ns();
    struct upstream_status status = {.circuit = BREAKER_OPEN, .retry_in_ms = UINT32_MAX};
    mutex_lock(&upstream->lock);
    for (size_t i = 0; i < upstream->count; i++) {
        const struct breaker *breaker = &upstream->addresses[i].breaker;
        uint32_t wait_ms;
        enum breaker_state state = breaker_look(breaker, now, &wait_ms);
        bool better = state == BREAKER_CLOSED ||
                      (state == BREAKER_HALF_OPEN && status.circuit == BREAKER_OPEN);
        if (i == 0 || better || (state == status.circuit && wait_ms < status.retry_in_ms)) {
            status.circuit = state;
            status.retry_in_ms = wait_ms;
            status.failures = breaker->failures;
        }
        status.usable += state == BREAKER_CLOSED;
    }
    status.addresses = (uint32_t)upstream->count;
    status.failed_us = upstream->failed_us;
    memcpy(status.cause, upstream->cause, sizeof(status.cause));
    mutex_unlock(&upstream->lock);
    *ret = status;
}

/* ---------------------------------------------------------------- the key */

static bool key_is_clean(const char *key)
{
    for (const char *c = key; *c; c++)
        if ((unsigned char)*c <= ' ' || *c == 0x7f)
            return false;
    return *key != '\0';
}

bool upstream_key(const struct upstream_entry *entry, char out[UPSTREAM_KEY_MAX], struct err *err)
{
    out[0] = '\0';
    if (entry->api_key_env[0]) {
        const char *value = getenv(entry->api_key_env);
        if (!value || !key_is_clean(value) || strlen(value) >= UPSTREAM_KEY_MAX)
            return err_set(err, ERR_UPSTREAM_REFUSED,
                           "the environment variable \"%s\" holds no API key", entry->api_key_env);
        snprintf(out, UPSTREAM_KEY_MAX, "%s", value);
    } else if (entry->api_key_file[0]) {
        char *text;
        size_t length;
        if (!fs_read(entry->api_key_file, UPSTREAM_KEY_MAX, &text, &length, err)) {
            if (err)
                err->code = ERR_UPSTREAM_REFUSED;
            return false;
        }
        size_t line = strcspn(text, "\r\n");
        text[line < UPSTREAM_KEY_MAX ? line : 0] = '\0';
        bool ok = key_is_clean(text);
        if (ok)
            snprintf(out, UPSTREAM_KEY_MAX, "%s", text);
        explicit_bzero(text, length);
        free(text);
        if (!ok)
            return err_set(err, ERR_UPSTREAM_REFUSED, "the first line of \"%s\" is no API key",
                           entry->api_key_file);
    }
    return true;
}

/* ---------------------------------------------------------------- addresses */

/* Why none of the addresses may be tried now. With the lock. */
static bool none_usable(const struct upstream *upstream, uint32_t wait_ms, bool paused,
                        struct err *err)
{
    const char *name = upstream->entry->name;
    uint32_t seconds = wait_ms / 1000 + (wait_ms % 1000 > 0);
    if (paused)
        err_set_param(err, ERR_RATE_LIMITED, "model",
                      "the server of model \"%s\" asks to be left alone for %u s", name, seconds);
    else
        err_set_param(err, ERR_CIRCUIT_OPEN, "model",
                      "no server of model \"%s\" can be used; tried again in %u s; the last time: "
                      "%.200s",
                      name, seconds, upstream->cause);
    if (err)
        err->retry_after_ms = wait_ms;
    return false;
}

/* The address with the fewest requests in flight, then the fewest ever, of those that may be tried. With the lock. */
static bool choose(struct upstream *upstream, address_set tried, struct address **ret,
                   struct err *err)
{
    struct address *best = NULL;
    uint32_t least_ms = UINT32_MAX;
    bool paused = false;
    int64_t now = clock_now_ns();
    for (size_t i = 0; i < upstream->count; i++) {
        struct address *address = &upstream->addresses[i];
        uint32_t wait_ms;
        enum breaker_state state = breaker_look(&address->breaker, now, &wait_ms);
        if (tried & (address_set)1 << i)
            continue;
        if (wait_ms > 0) {
            paused = paused || state == BREAKER_CLOSED;
            least_ms = wait_ms < least_ms ? wait_ms : least_ms;
        } else if (!best || address->in_flight < best->in_flight ||
                   (address->in_flight == best->in_flight && address->served < best->served)) {
            best = address;
        }
    }
    if (!best)
        return none_usable(upstream, least_ms == UINT32_MAX ? 1000 : least_ms, paused, err);
    uint32_t none;
    breaker_try(&best->breaker, &upstream->policy, now, &none);
    best->in_flight++;
    best->served++;
    *ret = best;
    return true;
}

/* An exchange to this address, with a connection if one is idle. */
static bool take_exchange(struct upstream *upstream, struct address *address, struct exchange **ret,
                          struct err *err)
{
    struct exchange *idle = NULL;
    mutex_lock(&upstream->lock);
    if (address->idle_count > 0)
        idle = address->idle[--address->idle_count];
    mutex_unlock(&upstream->lock);
    if (!idle && !exchange_open(&idle, err))
        return false;
    *ret = idle;
    return true;
}

bool attempt_begin(struct upstream *upstream, address_set *tried, const char *path,
                   const struct str *body, bool stream, struct attempt *ret, struct err *err)
{
    const struct upstream_entry *entry = upstream->entry->upstream;
    *ret = (struct attempt){.upstream = upstream};
    if (!upstream_key(entry, ret->key, err))
        return false;
    mutex_lock(&upstream->lock);
    bool chosen = choose(upstream, *tried, &ret->address, err);
    mutex_unlock(&upstream->lock);
    if (!chosen)
        return false;
    *tried |= (address_set)1 << (ret->address - upstream->addresses);
    snprintf(ret->url, sizeof(ret->url), "%s%s", ret->address->url, path);
    ret->request = (struct exchange_request){
        .url = ret->url,
        .key = ret->key,
        .body = body ? str_text(body) : NULL,
        .body_length = body ? body->length : 0,
        .stream = stream,
        .connect_ms = entry->connect_timeout_s * 1000,
        .silence_ms = entry->timeout_s * 1000,
    };
    struct err failed;
    if (take_exchange(upstream, ret->address, &ret->exchange, &failed) &&
        exchange_start(ret->exchange, &ret->request, &failed))
        return true;
    attempt_end(ret, &failed);
    if (err)
        *err = failed;
    return false;
}

bool attempt_accepted(struct attempt *attempt, const struct wait *wait, struct err *err)
{
    long status;
    if (!exchange_status(attempt->exchange, wait, &status, err))
        return false;
    if (status >= 200 && status < 300)
        return true;
    struct str body;
    struct err ignored;
    bool end = false;
    str_init(&body, UPSTREAM_ERROR_MAX);
    while (!end && str_ok(&body) && exchange_read(attempt->exchange, wait, &body, &end, &ignored))
        continue;
    const char *name = attempt->upstream->entry->name;
    upstream_refusal(name, status, str_text(&body), body.length,
                     exchange_retry_after_ms(attempt->exchange), err);
    str_free(&body);
    return false;
}

/* Is it the server's fault, so that it counts against its address? */
static bool is_fault(enum err_code code)
{
    return code == ERR_UPSTREAM || code == ERR_PROTOCOL;
}

/* With the lock. */
static void count_outcome(struct upstream *upstream, struct address *address, const struct err *err)
{
    int64_t now = clock_now_ns();
    uint32_t random;
    hash_random(&random, sizeof(random));
    if (!err) {
        breaker_success(&address->breaker);
        address->heard_ns = now;
        return;
    }
    bool refused = err->code == ERR_INVALID_REQUEST || err->code == ERR_CONTEXT_LENGTH;
    if (refused) { /* the request is at fault, the server is well */
        breaker_success(&address->breaker);
        return;
    }
    if (is_fault(err->code))
        breaker_failure(&address->breaker, &upstream->policy, now, random);
    else
        breaker_release(&address->breaker);
    bool pause = err->code == ERR_RATE_LIMITED || err->retry_after_ms > 0;
    if (pause)
        breaker_pause(&address->breaker, &upstream->policy, now, err_retry_after_ms(err));
    if (err->code != ERR_CANCELLED && err->code != ERR_TIMEOUT) {
        upstream->failed_us = clock_wall_us();
        snprintf(upstream->cause, sizeof(upstream->cause), "%.255s", err_message(err, LANG_EN));
    }
}

bool attempt_end(struct attempt *attempt, const struct err *err)
{
    struct upstream *upstream = attempt->upstream;
    struct address *address = attempt->address;
    if (!address)
        return false;
    if (attempt->exchange)
        exchange_stop(attempt->exchange);
    mutex_lock(&upstream->lock);
    address->in_flight--;
    count_outcome(upstream, address, err);
    bool keep = attempt->exchange && !err && address->idle_count < IDLE_MAX;
    if (keep)
        address->idle[address->idle_count++] = attempt->exchange;
    mutex_unlock(&upstream->lock);
    if (!keep)
        exchange_close(attempt->exchange);
    explicit_bzero(attempt->key, sizeof(attempt->key));
    attempt->address = NULL;
    attempt->exchange = NULL;
    return err && (is_fault(err->code) || err->code == ERR_RATE_LIMITED);
}

/* ---------------------------------------------------------------- a whole answer */

static bool read_answer(struct attempt *attempt, const struct wait *wait, yyjson_doc **ret,
                        struct err *err)
{
    struct str body;
    bool end = false;
    bool ok = true;
    str_init(&body, UPSTREAM_ANSWER_MAX);
    while (ok && !end)
        ok = exchange_read(attempt->exchange, wait, &body, &end, err) &&
             (str_ok(&body) ||
              err_set(err, ERR_PROTOCOL, "the answer of the other server is longer than %d bytes",
                      UPSTREAM_ANSWER_MAX));
    if (ok && !json_parse(str_text(&body), body.length, "the answer", ret, NULL))
        ok = err_set(err, ERR_PROTOCOL, "the answer of the other server is no JSON");
    str_free(&body);
    return ok;
}

bool upstream_ask(struct upstream *upstream, const char *path, const struct str *body,
                  const struct wait *wait, yyjson_doc **ret, struct err *err)
{
    address_set tried = 0;
    struct err first = {.code = ERR_NONE};
    for (bool again = true; again;) {
        struct attempt attempt;
        struct err failed;
        if (!attempt_begin(upstream, &tried, path, body, false, &attempt, &failed)) {
            *err = first.code != ERR_NONE ? first : failed;
            return false;
        }
        bool ok =
            attempt_accepted(&attempt, wait, &failed) && read_answer(&attempt, wait, ret, &failed);
        again = attempt_end(&attempt, ok ? NULL : &failed);
        if (ok)
            return true;
        if (first.code == ERR_NONE || !again)
            first = failed;
    }
    *err = first;
    return false;
}
