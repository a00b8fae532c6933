/* decide.c - the scheduler's decisions become deeds.
 *
 * Here is only what takes no time: a thread is started, a flag is set, a lease is given. Ending processes and cancelling
 * calls is left to the reaper. A deed that fails, or that is an event itself, is remembered in the model (follow_up)
 * and told to the scheduler when it has nothing more to say, because events must not come between its decisions.
 */
#include <stdio.h>

#include "orchestrator/internal.h"

static struct model *model_of(const struct scheduler_model *plan)
{
    return plan->user;
}

static void follow(struct registry *registry, struct model *model, enum follow_up follow_up)
{
    model->follow_up = follow_up;
    registry->follows = true;
}

static void put_name(struct why *why, const struct scheduler_model *other)
{
    if (other)
        snprintf(why->other, sizeof(why->other), "%.*s", WHY_NAME_MAX - 1,
                 model_of(other)->entry.name);
}

/* ---------------------------------------------------------------- deeds */

static void do_prepare(struct registry *registry, struct model *model)
{
    model_note_code(registry, model, WHY_WANTED);
    if (!load_start(registry, model, &model->load_err))
        follow(registry, model, FOLLOW_FAILED);
}

/* The device that gets most of the model. */
static uint32_t main_device(const struct registry *registry, const struct scheduler_bytes *bytes)
{
    uint32_t best = registry->cpu;
    for (uint32_t device = 0; device < registry->scheduler.device_count; device++)
        if (bytes->on[device] > bytes->on[best])
            best = device;
    return best;
}

static void do_start(struct registry *registry, struct model *model)
{
    const struct scheduler_shape *shape = &model->plan.shapes[model->plan.shape];
    uint32_t device = main_device(registry, &shape->bytes);
    struct why why = {
        .code = shape->rank > 0 ? WHY_LOADING_SMALLER : WHY_LOADING,
        .need = shape->bytes.on[device],
        .context = shape->context,
    };
    snprintf(why.other, sizeof(why.other), "%s", registry->scheduler.devices[device].name);
    model_note(registry, model, &why);
    model->load->admitted = true;
    cond_broadcast(&registry->changed);
}

static void do_stop(struct registry *registry, struct model *model, enum scheduler_reason reason)
{
    if (reason == SCHEDULER_CALLED_OFF)
        model_note_code(registry, model, WHY_CALLED_OFF);
    if (model->load)
        model->load->stop = true;
    cond_signal(&registry->reaper_wake);
    cond_broadcast(&registry->changed);
}

static void do_evict(struct registry *registry, struct model *model,
                     const struct scheduler_block *reason)
{
    struct why why = {.code = WHY_UNLOADED};
    if (reason->reason == SCHEDULER_FOR_ANOTHER)
        why.code = WHY_EVICTED_FOR;
    else if (reason->reason == SCHEDULER_FOR_OTHERS)
        why.code = WHY_EVICTED_SHORT;
    else if (reason->reason == SCHEDULER_IDLE)
        why.code = WHY_EVICTED_IDLE;
    why.seconds = (double)model->plan.ttl_us / 1e6;
    put_name(&why, reason->other);
    model_note(registry, model, &why);
    struct instance *instance = model->instance;
    model->instance = NULL;
    reaper_end(registry, instance);
}

static void do_grant(struct registry *registry, struct model *model, struct waiter *waiter)
{
    if (!waiter) { /* preloaded: nobody is there to use it */
        follow(registry, model, FOLLOW_RELEASE);
        return;
    }
    model->uses++;
    model_used(registry, model, waiter->ticket.use);
    model->instance->references++;
    waiter->instance = model->instance;
    waiter->ok = true;
    waiter->done = true;
    cond_broadcast(&registry->changed);
}

static void do_refuse(struct registry *registry, struct model *model, struct waiter *waiter,
                      const struct scheduler_block *reason)
{
    struct err err;
    if (reason->reason == SCHEDULER_FAILED)
        err = model->load_err;
    else
        admit_refusal(model, reason, &err);
    if (reason->reason != SCHEDULER_FAILED && reason->reason != SCHEDULER_LATE) {
        struct why why = {.code = WHY_REFUSED};
        why_put_error(&why, &err);
        model_note(registry, model, &why);
    }
    if (!waiter)
        return;
    waiter->err = err;
    waiter->done = true;
    cond_broadcast(&registry->changed);
}

/* ---------------------------------------------------------------- all of them */

static void obey(struct registry *registry, const struct scheduler_decision *decision)
{
    struct model *model = model_of(decision->model);
    switch (decision->verb) {
    case SCHEDULER_PREPARE: do_prepare(registry, model); break;
    case SCHEDULER_START: do_start(registry, model); break;
    case SCHEDULER_STOP: do_stop(registry, model, decision->why.reason); break;
    case SCHEDULER_EVICT: do_evict(registry, model, &decision->why); break;
    case SCHEDULER_GRANT: do_grant(registry, model, decision->ticket->user); break;
    case SCHEDULER_REFUSE:
        do_refuse(registry, model, decision->ticket->user, &decision->why);
        break;
    }
}

static void take_all(struct registry *registry)
{
    struct scheduler_decision decision;
    while (scheduler_next(&registry->scheduler, &decision))
        obey(registry, &decision);
}

/* A model that begins to wait, or waits for something else than before, says so. */
static void note_waits(struct registry *registry)
{
    for (struct scheduler_model *plan = registry->scheduler.models; plan; plan = plan->next) {
        struct why why = {.need = plan->block.need, .have = plan->block.have};
        const struct why *last = model_why(model_of(plan));
        if (plan->block.reason == SCHEDULER_BUSY)
            why.code = WHY_WAITS_BUSY;
        else if (plan->block.reason == SCHEDULER_ITS_TURN)
            why.code = WHY_WAITS_TURN;
        else if (plan->block.reason == SCHEDULER_LEAVING)
            why.code = WHY_WAITS_LEAVING;
        if (why.code == WHY_NONE || (last && last->code == why.code))
            continue;
        put_name(&why, plan->block.other);
        model_note(registry, model_of(plan), &why);
    }
}

void registry_decide(struct registry *registry)
{
    take_all(registry);
    while (registry->follows) {
        registry->follows = false;
        for (size_t i = 0; i < registry->model_count; i++) {
            struct model *model = registry->models[i];
            enum follow_up follow_up = model->follow_up;
            model->follow_up = FOLLOW_NOTHING;
            if (follow_up == FOLLOW_FAILED)
                scheduler_load_failed(&registry->scheduler, &model->plan, registry_now_us());
            else if (follow_up == FOLLOW_RELEASE)
                scheduler_release(&registry->scheduler, &model->plan, registry_now_us());
            take_all(registry);
        }
    }
    if (registry->scheduler.waiting > 0)
        note_waits(registry);
}
