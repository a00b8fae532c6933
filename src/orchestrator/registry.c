/* registry.c - the table of models, and who may use them.
 *
 * Threads. Callers' threads acquire, use and release. Each load runs on a thread of its own (load.c), so it outlives
 * the caller who asked first, and several go on at once. The keeper (keeper.c) keeps a spare worker ready and frees
 * what others have left. Each worker has a reader thread (worker.c), which reports its death.
 *
 * Locks, in the order in which one thread may take them:
 *     1. the lock of a struct cancel (its hooks run under it)
 *     2. registry->lock
 *     3. the lock of a worker
 * So cancel_*() is never called with 2 or 3 held; cancel_is_set(), which takes no lock, may be. Nothing that waits
 * for a process (worker_free, a call) happens under 2. One condition, `changed`, tells everybody who waits for
 * something in the table; there are few waiters, and each looks again at what it waits for.
 *
 * A model's worker is ended only while it has no lease. When a load ends, its waiters get their leases in the same
 * critical section, so nothing can evict the model before those who waited for it have used it.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/vec.h"
#include "orchestrator/internal.h"

/* ---------------------------------------------------------------- models */

struct model *model_find(struct registry *registry, const char *name)
{
    for (size_t i = 0; i < registry->model_count; i++)
        if (strcmp(registry->models[i]->entry.name, name) == 0)
            return registry->models[i];
    return NULL;
}

void model_note(struct registry *registry, struct model *model, enum log_level level,
                const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(model->why, sizeof(model->why), format, arguments);
    va_end(arguments);
    const struct log_field field = log_text("model", model->entry.name);
    log_write(registry->log, level, LOG_EVENT_MODEL, NULL, &field, 1, "%s", model->why);
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
    if (same && (same->leases > 0 || same->load || same->instance)) {
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

/* Ends the worker of an idle model, if it has one, and takes the model off the table if asked. */
static bool put_away(struct registry *registry, const char *name, bool remove, struct err *err)
{
    mutex_lock(&registry->lock);
    struct model *model = model_find(registry, name);
    struct instance *instance = NULL;
    bool ok = false;
    const struct model *leans = remove ? leaning_on(registry, name) : NULL;
    if (!model) {
        unknown_model(name, err);
    } else if (leans) {
        err_set_param(err, ERR_CONFLICT, "model",
                      "model \"%s\" is a fallback of \"%s\"; take it out of that one's "
                      "\"fallback\" first",
                      name, leans->entry.name);
    } else if (model->leases > 0 || model->load) {
        in_use(model, err);
    } else {
        ok = true;
        instance = model_evict(registry, model);
        if (instance)
            model_note(registry, model, LOG_INFO, "unloaded on request");
        if (remove)
            unlist(registry, model);
    }
    mutex_unlock(&registry->lock);
    if (instance)
        instance_end(registry, instance);
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

uint64_t registry_used(const struct registry *registry)
{
    uint64_t used = registry->ending_bytes;
    for (size_t i = 0; i < registry->model_count; i++)
        if (registry->models[i]->instance)
            used += registry->models[i]->instance->bytes;
    for (const struct load *load = registry->loads; load; load = load->next)
        used += load->reserved;
    return used;
}

struct instance *model_take_instance(struct model *model)
{
    struct instance *instance = model->instance;
    model->instance = NULL;
    return instance;
}

void model_lost(struct registry *registry, struct model *model)
{
    struct instance *instance = model_take_instance(model);
    char cause[PROCESS_CAUSE_MAX];
    worker_cause(instance->worker, cause);
    model_note(registry, model, LOG_WARN, "its worker process ended: %s", cause);
    model_trouble(registry, model, instance->worker, cause);
    instance_drop(registry, instance);
}

struct instance *model_evict(struct registry *registry, struct model *model)
{
    struct instance *instance = model_take_instance(model);
    if (instance)
        registry->ending_bytes += instance->bytes;
    return instance;
}

void instance_drop(struct registry *registry, struct instance *instance)
{
    if (--instance->references > 0)
        return;
    instance->next = registry->dead;
    registry->dead = instance;
    cond_signal(&registry->keeper_wake);
}

void instance_free(struct instance *instance)
{
    worker_free(instance->worker, deadline_in_ms(0));
    arena_free(&instance->arena);
    free(instance);
}

void instance_end(struct registry *registry, struct instance *instance)
{
    worker_leave(instance->worker);
    worker_free(instance->worker, deadline_in_ms(WORKER_GRACE_MS));
    mutex_lock(&registry->lock);
    instance->worker = NULL;
    registry->ending_bytes -= instance->bytes;
    instance_drop(registry, instance);
    cond_broadcast(&registry->changed);
    mutex_unlock(&registry->lock);
}

/* ---------------------------------------------------------------- leases */

void registry_wake(void *argument)
{
    struct registry *registry = argument;
    mutex_lock(&registry->lock);
    cond_broadcast(&registry->changed);
    mutex_unlock(&registry->lock);
}

void model_grant(struct registry *registry, struct model *model, uint32_t count)
{
    model->leases += count;
    model->uses += count;
    model->instance->references += count;
    model->last_use = ++registry->tick;
    model->last_use_us = clock_wall_us();
}

/* Gives a lease back. */
static void give_back(struct registry *registry, struct model *model, struct instance *instance)
{
    model->leases--;
    model->last_use = ++registry->tick;
    model->last_use_us = clock_wall_us();
    instance_drop(registry, instance);
    if (model->leases == 0)
        cond_broadcast(&registry->changed);
}

/* Leaves a load that is still going on. The last to leave cancels it; it counts as waiter until that is done, so
 * that the load stays. */
static void leave_load(struct registry *registry, struct load *load)
{
    if (load->waiters == 1 && !load->done) {
        load->abandoned = true;
        mutex_unlock(&registry->lock);
        cancel_fire(&load->cancel);
        mutex_lock(&registry->lock);
    }
    load->waiters--;
    if (load->done && load->ok) /* it ended meanwhile, and gave us a lease */
        give_back(registry, load->model, load->instance);
    if (load->done && load->waiters == 0)
        cond_signal(&registry->keeper_wake);
}

/* Why a wait in the table has ended without what was waited for. */
static bool wait_failed(const struct load *load, const struct wait *wait, struct err *err)
{
    if (cancel_is_set(wait->cancel))
        return cancel_error(err);
    if (load->stage == LOAD_MEMORY && load->blocked.code != ERR_NONE) {
        if (err)
            *err = load->blocked;
        return false;
    }
    return err_set_param(err, ERR_TIMEOUT, "model",
                         "model \"%s\" was not loaded in time (%d%% done); try again, or allow "
                         "more time",
                         load->model->entry.name, (int)(load->fraction * 100));
}

struct progress {
    registry_progress *tell;
    void *user;
};

/* Waits for the model's load. With the lock, which it leaves while it waits or tells of progress. */
static bool await_load(struct registry *registry, struct load *load, const struct wait *wait,
                       const struct progress *progress, struct lease *lease, struct err *err)
{
    float told = -1;
    bool on_time = true;
    load->waiters++;
    while (!load->done && on_time && !cancel_is_set(wait->cancel)) {
        if (progress->tell && load->stage == LOAD_READING && load->fraction > told) {
            told = load->fraction;
            uint64_t bytes_total = load->bytes_total;
            mutex_unlock(&registry->lock);
            progress->tell(progress->user, load->model->entry.name, told, bytes_total);
            mutex_lock(&registry->lock);
        } else {
            on_time = cond_wait(&registry->changed, &registry->lock, wait->until);
        }
    }
    if (!load->done) {
        wait_failed(load, wait, err);
        leave_load(registry, load);
        return false;
    }
    load->waiters--;
    if (load->waiters == 0)
        cond_signal(&registry->keeper_wake);
    if (!load->ok) {
        if (err)
            *err = load->err;
        return false;
    }
    lease->model = load->model;
    lease->instance = load->instance;
    return true;
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
                    const struct wait *wait, const struct progress *progress, struct lease *lease,
                    struct err *err)
{
    for (;;) {
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
        if (model->instance) {
            model_grant(registry, model, 1);
            lease->model = model;
            lease->instance = model->instance;
            return true;
        }
        if (!model->load && !load_start(registry, model, err))
            return false;
        if (!model->load->abandoned)
            return await_load(registry, model->load, wait, progress, lease, err);
        /* Its waiters have left and it is being cancelled: the next load is ours. */
        if (!cond_wait(&registry->changed, &registry->lock, wait->until))
            return err_set_param(err, ERR_TIMEOUT, "model",
                                 "model \"%s\" was not loaded in time; try again", name);
    }
}

bool registry_acquire_one(struct registry *registry, const char *name, enum model_role role,
                          const struct wait *wait, registry_progress *progress, void *user,
                          struct lease **ret, struct err *err)
{
    struct lease *lease = calloc(1, sizeof(*lease));
    if (!lease)
        return err_no_memory(err);
    lease->registry = registry;
    const struct progress told = {.tell = progress, .user = user};
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
    give_back(registry, lease->model, lease->instance);
    mutex_unlock(&registry->lock);
    free(lease);
}
