/* keeper.c - the thread that keeps a spare worker ready.
 *
 * A spare is started, has loaded its back ends and has no model yet: a load that takes it does not wait for a
 * process to start. When starting one fails (no memory, no processes), the keeper tries again after 1 s, then 2 s,
 * at most a minute; loads start their own workers meanwhile and report the error.
 */
#include <stdlib.h>

#include "orchestrator/internal.h"

enum { BACK_OFF_MS = 1000, BACK_OFF_DOUBLINGS = 6 };

static bool start_worker(struct registry *registry, const struct wait *wait, struct worker **ret,
                         struct err *err)
{
    const struct worker_options options = {
        .program = registry->program,
        .threads = registry->threads,
        .budget = &registry->thread_budget,
        .cancel_ms = registry->cancel_ms,
        .heartbeat_ms = registry->heartbeat_ms,
        .hang_ms = registry->hang_ms,
        .on_death = keeper_worker_died,
        .user = registry,
    };
    struct worker *worker;
    if (!worker_start(&options, &worker, err))
        return false;
    if (!worker_await_hello(worker, wait, err)) {
        worker_free(worker, deadline_in_ms(0));
        return false;
    }
    *ret = worker;
    return true;
}

bool keeper_take_worker(struct registry *registry, const struct wait *wait, struct worker **ret,
                        struct err *err)
{
    mutex_lock(&registry->lock);
    struct worker *spare = registry->spare;
    registry->spare = NULL;
    cond_signal(&registry->keeper_wake);
    mutex_unlock(&registry->lock);
    if (spare && !worker_is_dead(spare)) {
        *ret = spare;
        return true;
    }
    worker_free(spare, deadline_in_ms(0));
    return start_worker(registry, wait, ret, err);
}

void keeper_worker_died(void *user, struct worker *worker)
{
    struct registry *registry = user;
    mutex_lock(&registry->lock);
    for (size_t i = 0; i < registry->model_count; i++) {
        struct model *model = registry->models[i];
        if (model->instance && model->instance->worker == worker) {
            model_lost(registry, model);
            break;
        }
    }
    for (struct instance *instance = registry->ending; instance; instance = instance->next)
        if (instance->worker == worker)
            reaper_left(registry, instance);
    if (registry->spare == worker) {
        registry->spare = NULL;
        registry->dead_spare = worker;
        cond_signal(&registry->keeper_wake);
    }
    cond_broadcast(&registry->changed);
    mutex_unlock(&registry->lock);
}

/* Frees a spare that has died. Called with the lock, leaves it meanwhile; false: there was none. */
static bool bury_spare(struct registry *registry)
{
    struct worker *worker = registry->dead_spare;
    if (!worker)
        return false;
    registry->dead_spare = NULL;
    mutex_unlock(&registry->lock);
    worker_free(worker, deadline_in_ms(0));
    mutex_lock(&registry->lock);
    return true;
}

/* Starts the spare. Called with the lock, leaves it meanwhile. */
static void make_spare(struct registry *registry)
{
    struct worker *worker = NULL;
    struct err err;
    mutex_unlock(&registry->lock);
    const struct wait wait = {.cancel = &registry->closing_cancel, .until = INT64_MAX};
    bool ok = start_worker(registry, &wait, &worker, &err);
    if (!ok && err.code != ERR_CANCELLED)
        log_error(registry->log, NULL, "spare worker", &err);
    mutex_lock(&registry->lock);
    ok = ok && !worker_is_dead(worker);
    if (ok) {
        registry->spare = worker;
        registry->spare_failures = 0;
        cond_broadcast(&registry->changed);
        return;
    }
    registry->dead_spare = worker; /* it is buried before the next one is made */
    int doublings = registry->spare_failures < BACK_OFF_DOUBLINGS ? registry->spare_failures
                                                                  : BACK_OFF_DOUBLINGS;
    registry->spare_failures++;
    registry->spare_not_before = deadline_in_ms((int64_t)BACK_OFF_MS << doublings);
}

static void *run_keeper(void *argument)
{
    struct registry *registry = argument;
    mutex_lock(&registry->lock);
    while (!registry->closing) {
        bool wants_spare = registry->keep_spare && !registry->spare;
        if (bury_spare(registry)) {
            continue;
        } else if (wants_spare && deadline_passed(registry->spare_not_before)) {
            make_spare(registry);
        } else {
            cond_wait(&registry->keeper_wake, &registry->lock,
                      wants_spare ? registry->spare_not_before : INT64_MAX);
        }
    }
    mutex_unlock(&registry->lock);
    return NULL;
}

bool keeper_start(struct registry *registry, struct err *err)
{
    return thread_start(&registry->keeper, "keeper", run_keeper, registry, err);
}

void keeper_stop(struct registry *registry)
{
    pthread_join(registry->keeper, NULL);
    mutex_lock(&registry->lock);
    struct worker *spare = registry->spare;
    registry->spare = NULL;
    while (bury_spare(registry))
        continue;
    mutex_unlock(&registry->lock);
    if (spare)
        worker_leave(spare);
    worker_free(spare, deadline_in_ms(WORKER_GRACE_MS));
}
