/* upstream_health.c - the thread that asks the addresses of an upstream whether they are there.
 *
 * GET <url>/models: every server that speaks OpenAI's API has it, and it computes nothing. A sign of life lets an open
 * circuit try one request; it does not close it, because a server may list its models and still not answer. None
 * counts as a failure, so that an address that is down is known before a request finds out. A single address that
 * works is not asked: its requests tell enough.
 */
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "orchestrator/upstream_parts.h"

/* Is it worth asking? With the lock. */
static bool wants_check(const struct upstream *upstream, const struct address *address)
{
    uint32_t wait_ms;
    int64_t now = clock_now_ns();
    if (breaker_look(&address->breaker, now, &wait_ms) != BREAKER_CLOSED)
        return true;
    bool heard = address->heard_ns > 0 &&
                 clock_ms_since(address->heard_ns) < (double)upstream->health_interval_ms;
    return upstream->count > 1 && !heard;
}

/* True: it answered like a server that can be used. */
static bool is_alive(struct upstream *upstream, const struct address *address)
{
    const struct upstream_entry *entry = upstream->entry->upstream;
    char url[UPSTREAM_URL_MAX];
    char key[UPSTREAM_KEY_MAX];
    struct exchange *exchange;
    if (!upstream_key(entry, key, NULL) || !exchange_open(&exchange, NULL))
        return true; /* says nothing of the server */
    snprintf(url, sizeof(url), "%s/models", address->url);
    uint32_t limit_ms = entry->connect_timeout_s * 1000;
    const struct exchange_request request = {
        .url = url, .key = key, .connect_ms = limit_ms, .silence_ms = limit_ms};
    const struct wait wait = {.cancel = &upstream->closing, .until = deadline_in_ms(limit_ms)};
    struct err err = {.code = ERR_NONE};
    long status = 0;
    bool ok = exchange_start(exchange, &request, &err) &&
              exchange_status(exchange, &wait, &status, &err) && status < 500;
    exchange_close(exchange);
    explicit_bzero(key, sizeof(key));
    return ok || err.code == ERR_CANCELLED;
}

static void note(struct upstream *upstream, struct address *address, bool alive)
{
    uint32_t random;
    hash_random(&random, sizeof(random));
    mutex_lock(&upstream->lock);
    enum breaker_state before = address->breaker.state;
    if (alive)
        breaker_alive(&address->breaker);
    else if (before == BREAKER_CLOSED)
        breaker_failure(&address->breaker, &upstream->policy, clock_now_ns(), random);
    bool opened = before == BREAKER_CLOSED && address->breaker.state == BREAKER_OPEN;
    if (opened)
        snprintf(upstream->cause, sizeof(upstream->cause), "%.150s: gives no sign of life",
                 address->url);
    mutex_unlock(&upstream->lock);
    const struct log_field field = log_text("model", upstream->entry->name);
    if (opened || (alive && before == BREAKER_OPEN))
        log_write(upstream->log, LOG_WARN, LOG_EVENT_MODEL, NULL, &field, 1, "%s: %s", address->url,
                  opened ? "gives no sign of life" : "is there again");
}

static void *run_health(void *argument)
{
    struct upstream *upstream = argument;
    mutex_lock(&upstream->lock);
    while (!upstream->stop) {
        for (size_t i = 0; i < upstream->count && !upstream->stop; i++) {
            struct address *address = &upstream->addresses[i];
            if (!wants_check(upstream, address))
                continue;
            mutex_unlock(&upstream->lock);
            bool alive = is_alive(upstream, address);
            note(upstream, address, alive);
            mutex_lock(&upstream->lock);
        }
        deadline next = deadline_in_ms(upstream->health_interval_ms);
        while (!upstream->stop && cond_wait(&upstream->changed, &upstream->lock, next))
            continue;
    }
    mutex_unlock(&upstream->lock);
    return NULL;
}

bool upstream_health_start(struct upstream *upstream, struct err *err)
{
    return thread_start(&upstream->health, "upstream", run_health, upstream, err);
}

void upstream_health_stop(struct upstream *upstream)
{
    mutex_lock(&upstream->lock);
    upstream->stop = true;
    cond_broadcast(&upstream->changed);
    mutex_unlock(&upstream->lock);
    cancel_fire(&upstream->closing);
    pthread_join(upstream->health, NULL);
}
