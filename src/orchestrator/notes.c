/* notes.c - what is remembered of decisions: the last ones of each model, and the last ones of all.
 *
 * Those who listen each keep the number of the last event they have seen; the ring is theirs together, so that many of
 * them cost nothing and a slow one holds up nobody. The log is one more of them: the reaper writes it.
 */
#include <stdio.h>

#include "orchestrator/internal.h"

static enum model_state state_after(const struct model *model)
{
    switch (model->plan.state) {
    case SCHEDULER_READY: return MODEL_READY;
    case SCHEDULER_PREPARING:
    case SCHEDULER_QUEUED:
    case SCHEDULER_CLAIMING:
    case SCHEDULER_LOADING: return MODEL_LOADING;
    case SCHEDULER_COLD:
    case SCHEDULER_STOPPING:
    case SCHEDULER_UNLOADING: break;
    }
    return model->failed ? MODEL_FAILED : MODEL_COLD;
}

void model_note(struct registry *registry, struct model *model, const struct why *why)
{
    struct registry_event *event = &registry->events[registry->event_count % REGISTRY_EVENTS_MAX];
    *event = (struct registry_event){
        .number = ++registry->event_count, .state = state_after(model), .why = *why};
    event->why.at_us = clock_wall_us();
    snprintf(event->model, sizeof(event->model), "%.*s", WHY_NAME_MAX - 1, model->entry.name);
    if (why->code != WHY_READING)
        model->notes.ring[model->notes.count++ % REGISTRY_NOTES_MAX] = event->why;
    cond_signal(&registry->reaper_wake);
    cond_broadcast(&registry->changed);
}

void model_note_code(struct registry *registry, struct model *model, enum why_code code)
{
    const struct why why = {.code = code};
    model_note(registry, model, &why);
}

const struct why *model_why(const struct model *model)
{
    if (model->notes.count == 0)
        return NULL;
    return &model->notes.ring[(model->notes.count - 1) % REGISTRY_NOTES_MAX];
}

bool registry_explain(struct registry *registry, const char *name, struct why *rows, size_t max,
                      size_t *ret_count, struct err *err)
{
    mutex_lock(&registry->lock);
    const struct model *model = model_find(registry, name);
    size_t count = 0;
    if (model) {
        uint64_t known = model->notes.count;
        uint64_t kept = known < REGISTRY_NOTES_MAX ? known : REGISTRY_NOTES_MAX;
        for (uint64_t i = kept > max ? known - max : known - kept; i < known; i++)
            rows[count++] = model->notes.ring[i % REGISTRY_NOTES_MAX];
    }
    mutex_unlock(&registry->lock);
    if (!model)
        return err_set_param(err, ERR_MODEL_NOT_FOUND, "model",
                             "there is no model \"%s\"; \"jarvis models\" lists those there are",
                             name);
    *ret_count = count;
    return true;
}

uint64_t registry_event_last(struct registry *registry)
{
    mutex_lock(&registry->lock);
    uint64_t last = registry->event_count;
    mutex_unlock(&registry->lock);
    return last;
}

size_t registry_events(struct registry *registry, uint64_t after, const struct wait *wait,
                       struct registry_event *rows, size_t max)
{
    struct cancel_hook hook = {.fire = registry_wake, .argument = registry};
    cancel_watch(wait->cancel, &hook);
    mutex_lock(&registry->lock);
    while (registry->event_count <= after && !registry->closing && !cancel_is_set(wait->cancel) &&
           cond_wait(&registry->changed, &registry->lock, wait->until))
        continue;
    uint64_t newest = registry->event_count;
    uint64_t oldest = newest > REGISTRY_EVENTS_MAX ? newest - REGISTRY_EVENTS_MAX : 0;
    uint64_t next = after > oldest ? after : oldest; /* events count from 1: event n is at n - 1 */
    size_t count = 0;
    for (; next < newest && count < max; next++)
        rows[count++] = registry->events[next % REGISTRY_EVENTS_MAX];
    mutex_unlock(&registry->lock);
    cancel_unwatch(wait->cancel, &hook);
    return count;
}
