/* registry.c - the table of models, and who may use them.
 *
 * Who decides. Which model is loaded, waits or has to go is the scheduler's business (scheduler.h), which is pure. This
 * layer tells it what happens and does what it says: whoever causes an event calls it with the lock held and then
 * registry_decide() (decide.c).
 *
 * Threads. Callers' threads acquire, use and release. Each load runs on a thread of its own (load.c), so it outlives
 * the caller who asked first, and several go on at once. The reaper (reaper.c) ends, joins and frees; the keeper
 * (keeper.c) keeps a spare worker ready. Each worker has a reader thread (worker.c), which reports its death.
 *
 * Locks, in the order in which one thread may take them:
 *     1. the lock of a struct cancel (its hooks run under it)
 *     2. registry->lock
 *     3. the lock of a worker
 * So cancel_*() is never called with 2 or 3 held; cancel_is_set(), which takes no lock, may be. Nothing that waits
 * for a process (worker_free, a call) and no writing to the log happens under 2. One condition, `changed`, tells
 * everybody who waits for something in the table; there are few waiters, and each looks again at what it waits for.
 *
 * A model's worker is ended only while it has no lease. When a load ends, its waiters get their leases in the same
 * critical section, so nothing can evict the model before those who waited for it have used it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/vec.h"
#include "orchestrator/internal.h"

enum { UNLOAD_MS = 5 * WORKER_GRACE_MS };

/* ---------------------------------------------------------------- models */

struct model *model_find(struct registry *registry, const char *name)
{
    for (size_t i = 0; i < registry->model_count; i++)
        if (strcmp(registry->models[i]->entry.name, name) == 0)
            return registry->models[i];
    return NULL;
}

int64_t registry_now_us(void)
{
    return clock_now_ns() / 1000;
}

void model_free(struct model *model)
{
    if (!model)
        return;
    upstream_close(model->upstream);
    model_entry_free(&model->entry);
    free(model->path);
    free(model);
}

static bool model_new(const struct registry *registry, const struct model_entry *entry,
                      struct model **ret, struct err *err)
{
    struct model *model = calloc(1, sizeof(*model));
    if (!model)
        return err_no_memory(err);
    if (!model_entry_copy(entry, &model->entry, err)) {
        free(model);
        return false;
    }
    const struct upstream_options options = {
        .entry = &model->entry,
        .policy = registry->policy,
        .health_interval_ms = registry->health_interval_ms,
        .log = registry->log,
    };
    if (entry->upstream && !upstream_open(&options, &model->upstream, err)) {
        model_free(model);
        return false;
    }
    model->path =
        entry->path[0] == '/' ? strdup(entry->path) : fs_join(registry->models_dir, entry->path);
    if (!model->path) {
        model_free(model);
        return err_no_memory(err);
    }
    model->plan.user = model;
    model->plan.pinned = entry->pin;
    model->plan.ttl_us = (int64_t)entry->ttl_s * 1000000;
    for (uint32_t i = 0; i < entry->alternative_count; i++)
        if (entry->alternatives[i] == ALTERNATIVE_FALLBACK)
            model->plan.prefers_fallback = true;
    *ret = model;
    return true;
}

static bool in_use(const struct model *model, struct err *err)
{
    return err_set_param(err, ERR_BUSY, "model",
                         "model \"%s\" is in use; try again when its requests have ended",
                         model->entry.name);
}

static bool unknown_model(const char *name, struct err *err)
{
    return err_set_param(err, ERR_MODEL_NOT_FOUND, "model",
                         "there is no model \"%s\"; \"jarvis models\" lists those there are", name);
}

bool registry_add(struct registry *registry, const struct model_entry *entry, struct err *err)
{
    struct model *made = NULL;
    if (!model_new(registry, entry, &made, err))
        return false;
    struct model *gone = NULL;
    mutex_lock(&registry->lock);
    struct model *same = model_find(registry, entry->name);
    bool ok = true;
    if (same && !scheduler_remove(&registry->scheduler, &same->plan)) {
        ok = in_use(same, err);
    } else if (same) {
        for (size_t i = 0; i < registry->model_count; i++)
            if (registry->models[i] == same)
                registry->models[i] = made;
        gone = same;
    } else if (vec_reserve(&registry->models, &registry->model_capacity, registry->model_count + 1,
                           sizeof(struct model *), REGISTRY_MODELS_MAX, err)) {
        registry->models[registry->model_count++] = made;
    } else {
        ok = false;
    }
    if (ok)
        scheduler_add(&registry->scheduler, &made->plan);
    mutex_unlock(&registry->lock);
    model_free(ok ? gone : made);
    return ok;
}

/* Takes the model off the table. With the lock. */
static void unlist(struct registry *registry, const struct model *model)
{
    size_t at = 0;
    while (registry->models[at] != model)
        at++;
    registry->model_count--;
    memmove(&registry->models[at], &registry->models[at + 1],
            (registry->model_count - at) * sizeof(struct model *));
}

/* A model that names this one in its "fallback"; NULL: none. With the lock. */
static const struct model *leaning_on(const struct registry *registry, const char *name)
{
    for (size_t i = 0; i < registry->model_count; i++) {
        const struct model_entry *entry = &registry->models[i]->entry;
        for (size_t k = 0; k < entry->fallback_count; k++)
            if (strcmp(entry->fallback[k], name) == 0)
                return registry->models[i];
    }
    return NULL;
}

/* Asks the scheduler to let the model go, and waits until its process has ended. With the lock, which it leaves
 * meanwhile: the model may be gone afterwards. */
static bool let_go(struct registry *registry, const char *name, struct model *model,
                   struct err *err)
{
    deadline until = deadline_in_ms(UNLOAD_MS);
    if (!scheduler_unload(&registry->scheduler, &model->plan, registry_now_us()))
        return in_use(model, err);
    registry_decide(registry);
    while (model && model->plan.state == SCHEDULER_UNLOADING && !registry->closing &&
           cond_wait(&registry->changed, &registry->lock, until))
        model = model_find(registry, name);
    return true;
}

static bool put_away(struct registry *registry, const char *name, bool remove, struct err *err)
{
    mutex_lock(&registry->lock);
    struct model *model = model_find(registry, name);
    const struct model *leans = remove ? leaning_on(registry, name) : NULL;
    bool ok = model ? true : unknown_model(name, err);
    if (ok && leans)
        ok = err_set_param(err, ERR_CONFLICT, "model",
                           "model \"%s\" is a fallback of \"%s\"; take it out of that one's "
                           "\"fallback\" first",
                           name, leans->entry.name);
    ok = ok && let_go(registry, name, model, err);
    if (ok && remove) {
        model = model_find(registry, name); /* somebody else may have removed it meanwhile */
        ok = model ? scheduler_remove(&registry->scheduler, &model->plan) || in_use(model, err)
                   : unknown_model(name, err);
        if (ok)
            unlist(registry, model);
    }
    mutex_unlock(&registry->lock);
    if (ok && remove)
        model_free(model);
    return ok;
}

bool registry_remove(struct registry *registry, const char *name, struct err *err)
{
    return put_away(registry, name, true, err);
}

bool registry_unload(struct registry *registry, const char *name, struct err *err)
{
    return put_away(registry, name, false, err);
}

/* What a model is for; *ret_remote: another server answers for it, so there is nothing to load. */
static bool role_of(struct registry *registry, const char *name, enum model_role *ret,
                    bool *ret_remote, struct err *err)
{
    mutex_lock(&registry->lock);
    const struct model *model = model_find(registry, name);
    if (model) {
        *ret = model->entry.role;
        *ret_remote = model->upstream != NULL;
    }
    mutex_unlock(&registry->lock);
    return model || unknown_model(name, err);
}

bool registry_load(struct registry *registry, const char *name, const struct wait *wait,
                   registry_progress *progress, void *user, struct err *err)
{
    enum model_role role = ROLE_CHAT;
    bool remote = false;
    struct lease *lease;
    if (!role_of(registry, name, &role, &remote, err))
        return false;
    if (remote)
        return true;
    if (!registry_acquire_one(registry, name, role, wait, progress, user, &lease, err))
        return false;
    lease_release_one(lease);
    return true;
}

bool registry_pin(struct registry *registry, const char *name, bool pinned, struct err *err)
{
    mutex_lock(&registry->lock);
    struct model *model = model_find(registry, name);
    if (model && model->plan.pinned != pinned) {
        scheduler_pin(&registry->scheduler, &model->plan, pinned, registry_now_us());
        model_note_code(registry, model, pinned ? WHY_PINNED : WHY_UNPINNED);
        registry_decide(registry);
    }
    mutex_unlock(&registry->lock);
    return model || unknown_model(name, err);
}

bool registry_default(struct registry *registry, enum model_role role, char *out, size_t size)
{
    const struct model *found = NULL;
    mutex_lock(&registry->lock);
    for (size_t i = 0; i < registry->model_count; i++) {
        const struct model *model = registry->models[i];
        if (model->entry.role == role && (!found || (found->house && !model->house)))
            found = model;
    }
    if (found)
        snprintf(out, size, "%s", found->entry.name);
    mutex_unlock(&registry->lock);
    return found != NULL;
}

/* ---------------------------------------------------------------- instances */

void model_lost(struct registry *registry, struct model *model)
{
    struct instance *instance = model->instance;
    struct why why = {.code = WHY_DIED};
    char cause[PROCESS_CAUSE_MAX];
    worker_cause(instance->worker, cause);
    why_put_cause(&why, cause);
    model->instance = NULL;
    scheduler_unloaded(&registry->scheduler, &model->plan, registry_now_us());
    model_note(registry, model, &why);
    model_trouble(registry, model, instance->worker, cause);
    instance_drop(registry, instance);
    registry_decide(registry);
}

void instance_drop(struct registry *registry, struct instance *instance)
{
    if (--instance->references > 0)
        return;
    instance->next = registry->dead;
    registry->dead = instance;
    cond_signal(&registry->reaper_wake);
}

void instance_free(struct instance *instance)
{
    worker_free(instance->worker, deadline_in_ms(0));
    arena_free(&instance->arena);
    free(instance);
}

/* ---------------------------------------------------------------- leases */

void registry_wake(void *argument)
{
    struct registry *registry = argument;
    mutex_lock(&registry->lock);
    cond_broadcast(&registry->changed);
    mutex_unlock(&registry->lock);
}

void model_used(struct registry *registry, struct model *model, uint64_t order)
{
    model->last_use_us = clock_wall_us();
    if (registry->on_use)
        registry->on_use(registry->on_use_user, model->entry.name, order);
}

void model_release(struct registry *registry, struct model *model, struct instance *instance)
{
    instance_drop(registry, instance);
    model_used(registry, model,
               scheduler_release(&registry->scheduler, &model->plan, registry_now_us()));
    registry_decide(registry);
    if (model->plan.leases == 0 && model->plan.ttl_us > 0)
        cond_signal(&registry->reaper_wake); /* its time begins */
}

struct progress {
    registry_progress *tell;
    void *user;
    float told;
    bool told_wait; /* that it waits for memory */
};

/* Tells how far the load is, when that is news. Called with the lock, leaves it meanwhile; false: no news. */
static bool tell_progress(struct registry *registry, const struct model *model,
                          struct progress *progress)
{
    const struct load *load = model->load;
    if (!progress->tell || !load)
        return false;
    bool reading = load->stage == LOAD_READING;
    bool waiting = model->plan.block.reason != SCHEDULER_NO_REASON && !progress->told_wait;
    if (!waiting && (!reading || load->fraction <= progress->told))
        return false;
    progress->told_wait = progress->told_wait || waiting;
    progress->told = reading ? load->fraction : progress->told;
    uint64_t bytes_total = reading ? load->bytes_total : 0;
    float fraction = reading ? load->fraction : 0;
    mutex_unlock(&registry->lock);
    progress->tell(progress->user, model->entry.name, fraction, bytes_total);
    mutex_lock(&registry->lock);
    return true;
}

/* Waits until the scheduler has answered. With the lock, which it leaves while it waits. */
static void await_answer(struct registry *registry, struct waiter *waiter, const struct wait *wait,
                         struct progress *progress)
{
    while (!waiter->done) {
        bool give_up = cancel_is_set(wait->cancel) || registry->closing;
        if (give_up) {
            scheduler_withdraw(&registry->scheduler, &waiter->ticket, registry_now_us());
            waiter->done = true;
            if (registry->closing)
                err_set(&waiter->err, ERR_UNAVAILABLE, "the service is stopping; try again later");
            else
                cancel_error(&waiter->err);
            registry_decide(registry);
        } else if (!tell_progress(registry, waiter->model, progress) &&
                   !cond_wait(&registry->changed, &registry->lock, wait->until)) {
            scheduler_tick(&registry->scheduler, registry_now_us());
            registry_decide(registry);
        }
    }
}

static bool check_role(const struct model *model, enum model_role role, struct err *err)
{
    if (model->entry.role == role)
        return true;
    return err_set_param(
        err, ERR_INVALID_REQUEST, "model", "model \"%s\" is for %s, not for %s; name another model",
        model->entry.name, model_role_name(model->entry.role), model_role_name(role));
}

/* With the lock. */
static bool acquire(struct registry *registry, const char *name, enum model_role role,
                    const struct wait *wait, struct progress *progress, struct lease *lease,
                    struct err *err)
{
    struct model *model = model_find(registry, name);
    if (!model)
        return unknown_model(name, err);
    if (!check_role(model, role, err))
        return false;
    if (cancel_is_set(wait->cancel))
        return cancel_error(err);
    if (registry->closing)
        return err_set(err, ERR_UNAVAILABLE, "the service is stopping; try again later");
    if (model->instance && worker_is_dead(model->instance->worker))
        model_lost(registry, model); /* its reader thread is about to tell us */
    struct waiter waiter = {.model = model};
    waiter.ticket.user = &waiter;
    int64_t until_us = wait->until == INT64_MAX ? INT64_MAX : wait->until / 1000;
    scheduler_request(&registry->scheduler, &model->plan, &waiter.ticket, until_us,
                      registry_now_us());
    registry_decide(registry);
    await_answer(registry, &waiter, wait, progress);
    if (!waiter.ok) {
        if (err)
            *err = waiter.err;
        return false;
    }
    lease->model = model;
    lease->instance = waiter.instance;
    return true;
}

bool registry_acquire_one(struct registry *registry, const char *name, enum model_role role,
                          const struct wait *wait, registry_progress *progress, void *user,
                          struct lease **ret, struct err *err)
{
    struct lease *lease = calloc(1, sizeof(*lease));
    if (!lease)
        return err_no_memory(err);
    lease->registry = registry;
    struct progress told = {.tell = progress, .user = user, .told = -1};
    struct cancel_hook hook = {.fire = registry_wake, .argument = registry};
    cancel_watch(wait->cancel, &hook);
    mutex_lock(&registry->lock);
    bool ok = acquire(registry, name, role, wait, &told, lease, err);
    mutex_unlock(&registry->lock);
    cancel_unwatch(wait->cancel, &hook);
    if (!ok) {
        free(lease);
        return false;
    }
    *ret = lease;
    return true;
}

void lease_release_one(struct lease *lease)
{
    struct registry *registry = lease->registry;
    memory_watch(lease);
    mutex_lock(&registry->lock);
    for (int i = 0; i < lease->renewals; i++)
        instance_drop(registry, lease->previous[i]);
    model_release(registry, lease->model, lease->instance);
    mutex_unlock(&registry->lock);
    free(lease);
}
