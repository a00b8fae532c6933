/* policy.c - which model answers: circuits, retries, fallbacks.
 *
 * A request goes through three questions. May its model be tried at all? Its circuit breaker knows; a cold model that
 * has failed is loaded again only after a back-off, and one that keeps failing not before its circuit lets a try
 * through. Is a failure before the first word tried again? The table of errors says for which codes, the setting
 * errors.retries how often; a worker's death only once, because the request may be what kills it. Does another model
 * answer? When the fault is the model's own and it names some in "fallback"; their own fallbacks are not followed, so
 * there are no circles. If none can, the error is that of the model that was asked for.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "orchestrator/internal.h"

enum { RETRY_FIRST_MS = 250, RETRY_MAX_MS = 4000, RETRY_PATIENCE_MS = 10000 };

static uint32_t random_number(void)
{
    uint32_t number;
    hash_random(&number, sizeof(number));
    return number;
}

/* Waits without the lock of anything, as long as nobody cancels. The deadline is earlier than the request's. */
static bool rest(struct registry *registry, const struct wait *wait, deadline until,
                 struct err *err)
{
    struct cancel_hook hook = {.fire = registry_wake, .argument = registry};
    cancel_watch(wait->cancel, &hook);
    mutex_lock(&registry->lock);
    while (!cancel_is_set(wait->cancel) && !registry->closing &&
           cond_wait(&registry->changed, &registry->lock, until))
        continue;
    bool closing = registry->closing;
    mutex_unlock(&registry->lock);
    cancel_unwatch(wait->cancel, &hook);
    if (cancel_is_set(wait->cancel))
        return cancel_error(err);
    return !closing || err_set(err, ERR_UNAVAILABLE, "the service is stopping; try again later");
}

/* ---------------------------------------------------------------- circuits */

void model_trouble(struct registry *registry, struct model *model, struct worker *worker,
                   const char *cause)
{
    uint32_t wait_ms;
    int64_t now = clock_now_ns();
    breaker_failure(&model->breaker, &registry->policy, now, random_number());
    snprintf(model->cause, sizeof(model->cause), "%.*s", PROCESS_CAUSE_MAX - 1, cause);
    model->last_words[0] = '\0';
    if (worker)
        worker_last_words(worker, model->last_words);
    model->failed_us = clock_wall_us();
    if (breaker_look(&model->breaker, now, &wait_ms) != BREAKER_OPEN)
        return;
    struct why why = {
        .code = WHY_CIRCUIT_OPEN,
        .seconds = (double)wait_ms / 1000,
        .have = model->breaker.failures,
    };
    why_put_cause(&why, model->cause);
    model_note(registry, model, &why);
}

void lease_succeeded(struct lease *lease)
{
    mutex_lock(&lease->registry->lock);
    breaker_success(&lease->model->breaker);
    mutex_unlock(&lease->registry->lock);
}

static bool circuit_open(const struct model *model, uint32_t wait_ms, struct err *err)
{
    err_set_param(err, ERR_CIRCUIT_OPEN, "model",
                  "model \"%s\" has failed %u times in a row and is tried again in %u s; the last "
                  "time: %.200s",
                  model->entry.name, model->breaker.failures, (wait_ms + 999) / 1000, model->cause);
    if (err)
        err->retry_after_ms = wait_ms;
    return false;
}

enum gate { GATE_GO, GATE_WAIT, GATE_SHUT };

/* Asks the circuit of a cold model. What is loaded, or being loaded, needs no leave. */
static enum gate ask_circuit(struct registry *registry, const char *name, const struct wait *wait,
                             deadline *ret_until, struct err *err)
{
    enum gate gate = GATE_GO;
    uint32_t wait_ms = 0;
    int64_t now = clock_now_ns();
    mutex_lock(&registry->lock);
    struct model *model = model_find(registry, name);
    if (model && model->instance && worker_is_dead(model->instance->worker))
        model_lost(registry, model); /* its reader thread is about to tell us */
    if (model && !model->upstream && !model->instance && !model->load) {
        enum breaker_verdict verdict =
            breaker_try(&model->breaker, &registry->policy, now, &wait_ms);
        *ret_until = deadline_in_ms(wait_ms);
        if (verdict == BREAKER_WAIT && *ret_until < wait->until)
            gate = GATE_WAIT;
        else if (verdict != BREAKER_GO)
            gate = GATE_SHUT;
        if (gate == GATE_SHUT)
            circuit_open(model, wait_ms, err);
    }
    mutex_unlock(&registry->lock);
    return gate;
}

/* Waits until the model's circuit lets a try through. */
static bool pass_circuit(struct registry *registry, const char *name, const struct wait *wait,
                         struct err *err)
{
    for (;;) {
        deadline until;
        enum gate gate = ask_circuit(registry, name, wait, &until, err);
        if (gate != GATE_WAIT)
            return gate == GATE_GO;
        if (!rest(registry, wait, until, err))
            return false;
    }
}

/* The load that the circuit let through has ended: it failed and was counted, or there is an instance whose first
 * request will tell. */
static void end_probe(struct registry *registry, const char *name)
{
    mutex_lock(&registry->lock);
    struct model *model = model_find(registry, name);
    if (model && !model->load)
        breaker_release(&model->breaker);
    mutex_unlock(&registry->lock);
}

enum remote { REMOTE_NONE, REMOTE_ACQUIRED, REMOTE_FAILED };

/* A lease of a model that another server answers for: there is nothing to load. REMOTE_NONE: it is none of these. */
static enum remote acquire_remote(struct registry *registry, const char *name, enum model_role role,
                                  struct lease **ret, struct err *err)
{
    enum remote remote = REMOTE_NONE;
    mutex_lock(&registry->lock);
    struct model *model = model_find(registry, name);
    if (model && model->upstream && model->entry.role == role && !registry->closing)
        remote = upstream_acquire(registry, model, ret, err) ? REMOTE_ACQUIRED : REMOTE_FAILED;
    mutex_unlock(&registry->lock);
    return remote;
}

static bool acquire(struct registry *registry, const char *name, enum model_role role,
                    const struct wait *wait, registry_progress *progress, void *user,
                    struct lease **ret, struct err *err)
{
    if (!pass_circuit(registry, name, wait, err))
        return false;
    enum remote remote = acquire_remote(registry, name, role, ret, err);
    if (remote != REMOTE_NONE)
        return remote == REMOTE_ACQUIRED;
    bool ok = registry_acquire_one(registry, name, role, wait, progress, user, ret, err);
    end_probe(registry, name);
    return ok;
}

/* ---------------------------------------------------------------- fallbacks */

/* The name of a model's `index`th fallback; false: it has no such. */
static bool fallback_name(struct registry *registry, const char *name, size_t index,
                          char out[LEASE_NAME_MAX])
{
    mutex_lock(&registry->lock);
    const struct model *model = model_find(registry, name);
    bool found = model && index < model->entry.fallback_count;
    if (found)
        snprintf(out, LEASE_NAME_MAX, "%s", model->entry.fallback[index]);
    mutex_unlock(&registry->lock);
    return found;
}

/* A lease of the first of the asked model's fallbacks, from `index` on, that can be had. */
static bool acquire_fallback(struct registry *registry, const char *asked, size_t index,
                             enum model_role role, const struct wait *wait,
                             registry_progress *progress, void *user, const struct err *why,
                             struct lease **ret)
{
    char name[LEASE_NAME_MAX];
    struct lease *lease;
    struct err err;
    for (; fallback_name(registry, asked, index, name); index++) {
        if (!acquire(registry, name, role, wait, progress, user, &lease, &err)) {
            if (err.code == ERR_CANCELLED || deadline_passed(wait->until))
                return false;
            log_error(registry->log, NULL, "fallback", &err);
            continue;
        }
        const struct log_field field = log_text("model", asked);
        log_write(registry->log, LOG_WARN, LOG_EVENT_MODEL, NULL, &field, 1,
                  "\"%s\" answers instead: %s", name, err_message(why, LANG_EN));
        snprintf(lease->asked, sizeof(lease->asked), "%s", asked);
        lease->why = *why;
        lease->fallbacks = index + 1;
        *ret = lease;
        return true;
    }
    return false;
}

bool registry_acquire(struct registry *registry, const char *name, enum model_role role,
                      const struct wait *wait, registry_progress *progress, void *user,
                      struct lease **ret, struct err *err)
{
    struct err own = {.code = ERR_NONE};
    struct err *told = err ? err : &own;
    if (acquire(registry, name, role, wait, progress, user, ret, told))
        return true;
    return err_info(told->code)->fallback &&
           acquire_fallback(registry, name, 0, role, wait, progress, user, told, ret);
}

bool lease_fall_back(struct lease *lease, const struct wait *wait, struct err *err)
{
    char asked[LEASE_NAME_MAX];
    bool fell = lease->asked[0] != '\0';
    snprintf(asked, sizeof(asked), "%s", fell ? lease->asked : lease->model->entry.name);
    const struct err why = fell ? lease->why : *err;
    bool over = err->code == ERR_CANCELLED || err->code == ERR_TIMEOUT;
    struct lease *fresh = NULL;
    if (!over && (fell || err_info(err->code)->fallback) &&
        acquire_fallback(lease->registry, asked, lease->fallbacks, lease->model->entry.role, wait,
                         NULL, NULL, &why, &fresh)) {
        struct lease old = *lease;
        *lease = *fresh;
        *fresh = old;
        lease->before = fresh;
        return true;
    }
    if (fell && !over)
        *err = why;
    return false;
}

const struct err *lease_degraded(const struct lease *lease)
{
    return lease->asked[0] ? &lease->why : NULL;
}

void lease_release(struct lease *lease)
{
    while (lease) {
        struct lease *before = lease->before;
        if (lease->instance)
            lease_release_one(lease);
        else
            upstream_release(lease);
        lease = before;
    }
}

/* ---------------------------------------------------------------- retries */

/* A worker has died under a request: a fresh one, when the circuit allows. */
static bool renew(struct lease *lease, struct retry *retry, const struct wait *wait,
                  struct err *err)
{
    struct err refused;
    if (retry->renewed)
        return false;
    retry->renewed = true;
    if (!pass_circuit(lease->registry, lease->model->entry.name, wait, &refused)) {
        if (refused.code == ERR_CANCELLED)
            *err = refused;
        return false;
    }
    bool ok = lease_renew(lease, wait, err);
    end_probe(lease->registry, lease->model->entry.name);
    return ok;
}

bool lease_retry(struct lease *lease, struct retry *retry, const struct wait *wait, struct err *err)
{
    if (err->code == ERR_WORKER_DIED)
        return renew(lease, retry, wait, err);
    if (!err_info(err->code)->retry || retry->tries >= lease->registry->retries)
        return false;
    uint32_t full = breaker_doubled(RETRY_FIRST_MS, retry->tries, RETRY_MAX_MS);
    uint32_t wait_ms = breaker_jitter(full, random_number());
    if (wait_ms < err->retry_after_ms)
        wait_ms = err->retry_after_ms;
    deadline until = deadline_in_ms(wait_ms);
    if (wait_ms > RETRY_PATIENCE_MS || until >= wait->until)
        return false;
    retry->tries++;
    return rest(lease->registry, wait, until, err);
}
