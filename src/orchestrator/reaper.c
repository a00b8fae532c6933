/* reaper.c - the thread that does what nobody may wait for: it cancels loads that nobody wants any more, ends the
 * processes of models that have to go, joins and frees what has ended, lets time pass for the scheduler, measures the
 * machine's memory now and then, and writes the log.
 *
 * It never waits for one thing while another could be done: a process that was told to leave reports its end through
 * its reader thread (keeper_worker_died()); one that does not leave in time is killed when the time has come.
 */
#include <stdlib.h>

#include "orchestrator/internal.h"

enum { MEASURE_MS = 2000 };

void reaper_end(struct registry *registry, struct instance *instance)
{
    instance->leave_by = deadline_in_ms(WORKER_GRACE_MS);
    instance->next = registry->ending;
    registry->ending = instance;
    cond_signal(&registry->reaper_wake);
}

void reaper_left(struct registry *registry, struct instance *instance)
{
    if (instance->gone)
        return;
    instance->gone = true;
    cond_signal(&registry->reaper_wake);
    if (registry->closing)
        return;
    scheduler_unloaded(&registry->scheduler, &instance->model->plan, registry_now_us());
    registry_decide(registry);
}

/* ---------------------------------------------------------------- the log */

/* Writes some of the lines that are due. Called with the lock, leaves it meanwhile; false: there was none. */
static bool write_log(struct registry *registry)
{
    if (registry->logged == registry->event_count)
        return false;
    uint64_t oldest = registry->event_count > REGISTRY_EVENTS_MAX
                          ? registry->event_count - REGISTRY_EVENTS_MAX
                          : 0;
    if (registry->logged < oldest)
        registry->logged = oldest;
    const struct registry_event event = registry->events[registry->logged++ % REGISTRY_EVENTS_MAX];
    mutex_unlock(&registry->lock);
    char words[WHY_TEXT_MAX];
    why_render(&event.why, LANG_EN, words);
    const struct log_field fields[] = {log_text("model", event.model),
                                       log_text("reason", why_name(event.why.code))};
    log_write(registry->log, why_level(event.why.code), LOG_EVENT_MODEL, NULL, fields, 2, "%s",
              words);
    mutex_lock(&registry->lock);
    return true;
}

/* ---------------------------------------------------------------- loads */

/* Cancels a load that was called off, or frees one that is done. Called with the lock, leaves it meanwhile; false:
 * there was none. */
static bool see_to_loads(struct registry *registry)
{
    for (struct load **at = &registry->loads; *at; at = &(*at)->next) {
        struct load *load = *at;
        if (load->done) {
            *at = load->next;
            cond_broadcast(&registry->changed);
            mutex_unlock(&registry->lock);
            load_free(load);
            mutex_lock(&registry->lock);
            return true;
        }
        if (load->stop && !load->cancelled) {
            load->cancelled = true;
            mutex_unlock(&registry->lock);
            cancel_fire(&load->cancel);
            mutex_lock(&registry->lock);
            return true;
        }
    }
    return false;
}

/* ---------------------------------------------------------------- processes */

/* The same for a process that has to end, or has ended. */
static bool see_to_ending(struct registry *registry)
{
    for (struct instance **at = &registry->ending; *at; at = &(*at)->next) {
        struct instance *instance = *at;
        if (!instance->gone && worker_is_dead(instance->worker)) {
            reaper_left(registry, instance); /* it died before it came here: nobody told us */
            return true;
        }
        if (instance->gone) {
            *at = instance->next;
            instance_drop(registry, instance);
            cond_broadcast(&registry->changed);
            return true;
        }
        bool late = deadline_passed(instance->leave_by) && !instance->killed;
        if (!late && instance->told_to_leave)
            continue;
        bool kill = instance->told_to_leave;
        instance->told_to_leave = true;
        instance->killed = kill;
        mutex_unlock(&registry->lock); /* it stays in the list: only this thread takes it off */
        if (kill)
            worker_kill(instance->worker);
        else
            worker_leave(instance->worker);
        mutex_lock(&registry->lock);
        return true;
    }
    return false;
}

static bool free_dead(struct registry *registry)
{
    struct instance *instance = registry->dead;
    if (!instance)
        return false;
    registry->dead = instance->next;
    mutex_unlock(&registry->lock);
    instance_free(instance);
    mutex_lock(&registry->lock);
    return true;
}

/* ---------------------------------------------------------------- time */

static bool anything_loaded(const struct registry *registry)
{
    return scheduler_held(&registry->scheduler, registry->cpu) > 0;
}

/* When there is something to do again. */
static deadline wake_at(const struct registry *registry, deadline measure_at)
{
    int64_t wake_us = scheduler_wake_us(&registry->scheduler);
    deadline at = wake_us < INT64_MAX / 1000 ? wake_us * 1000 : INT64_MAX;
    if (anything_loaded(registry))
        at = deadline_earlier(at, measure_at);
    for (const struct instance *instance = registry->ending; instance; instance = instance->next)
        if (!instance->killed)
            at = deadline_earlier(at, instance->leave_by);
    return at;
}

static void let_time_pass(struct registry *registry, deadline *measure_at)
{
    if (registry->closing)
        return;
    if (scheduler_wake_us(&registry->scheduler) <= registry_now_us()) {
        scheduler_tick(&registry->scheduler, registry_now_us());
        registry_decide(registry);
    }
    if (deadline_passed(*measure_at)) {
        admit_measure(registry);
        *measure_at = deadline_in_ms(MEASURE_MS);
    }
}

static void *run_reaper(void *argument)
{
    struct registry *registry = argument;
    deadline measure_at = deadline_in_ms(MEASURE_MS);
    mutex_lock(&registry->lock);
    for (;;) {
        let_time_pass(registry, &measure_at);
        bool busy = see_to_loads(registry) || see_to_ending(registry) || free_dead(registry) ||
                    write_log(registry);
        if (!busy && registry->reaper_ends)
            break;
        if (!busy)
            cond_wait(&registry->reaper_wake, &registry->lock, wake_at(registry, measure_at));
    }
    mutex_unlock(&registry->lock);
    return NULL;
}

bool reaper_start(struct registry *registry, struct err *err)
{
    return thread_start(&registry->reaper, "reaper", run_reaper, registry, err);
}

void reaper_stop(struct registry *registry)
{
    mutex_lock(&registry->lock);
    while (registry->loads || registry->ending)
        cond_wait(&registry->changed, &registry->lock, deadline_in_ms(WORKER_GRACE_MS));
    registry->reaper_ends = true;
    cond_signal(&registry->reaper_wake);
    mutex_unlock(&registry->lock);
    pthread_join(registry->reaper, NULL);
}
