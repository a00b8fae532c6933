/* scheduler.c - events, the queue, and the decisions that come of them.
 *
 * Each event changes the state that it is about; then plan() looks at everybody who waits for memory, in the order in
 * which they came, and gives what can be given. A model that cannot be served does not hold up those behind it, but
 * each who passes it is counted: at overtakes_max it is the model's turn. From then on nobody who wants memory of the
 * same device starts before it, and the models in its way give no new leases ("draining"), so that they become idle.
 * If they do not within drain_us (a lease may last as long as it likes) the others go on, and counting begins anew.
 *
 * A decision waits in the model or ticket that it is about until scheduler_next() takes it; no event makes two for the
 * same one.
 */
#include <stdio.h>
#include <string.h>

#include "orchestrator/scheduler_parts.h"

/* ---------------------------------------------------------------- decisions */

static void tell(struct scheduler *scheduler, struct scheduler_model *model,
                 enum scheduler_verb verb, struct scheduler_block why)
{
    model->verb = verb;
    model->why = why;
    model->told = true;
    model->next_told = NULL;
    *(scheduler->told_last ? &scheduler->told_last->next_told : &scheduler->told_first) = model;
    scheduler->told_last = model;
}

static const struct scheduler_block no_reason = {.reason = SCHEDULER_NO_REASON};

/* Takes the ticket off its model's list. */
static void unlink_ticket(struct scheduler *scheduler, struct scheduler_ticket *ticket)
{
    struct scheduler_model *model = ticket->model;
    struct scheduler_ticket *before = NULL;
    for (struct scheduler_ticket *at = model->first; at != ticket; at = at->next)
        before = at;
    *(before ? &before->next : &model->first) = ticket->next;
    if (model->last == ticket)
        model->last = before;
    ticket->next = NULL;
    model->waiting--;
    scheduler->waiting--;
}

static void finish(struct scheduler *scheduler, struct scheduler_ticket *ticket)
{
    ticket->next = NULL;
    *(scheduler->done_last ? &scheduler->done_last->next : &scheduler->done_first) = ticket;
    scheduler->done_last = ticket;
}

static void refuse(struct scheduler *scheduler, struct scheduler_ticket *ticket,
                   struct scheduler_block why)
{
    ticket->granted = false;
    ticket->why = why;
    finish(scheduler, ticket);
}

static void refuse_all(struct scheduler *scheduler, struct scheduler_model *model,
                       struct scheduler_block why)
{
    while (model->first) {
        struct scheduler_ticket *ticket = model->first;
        unlink_ticket(scheduler, ticket);
        refuse(scheduler, ticket, why);
    }
}

static void note_use(struct scheduler *scheduler, struct scheduler_model *model)
{
    model->last_use = ++scheduler->uses;
    model->last_use_us = scheduler->now_us;
}

static void grant(struct scheduler *scheduler, struct scheduler_ticket *ticket)
{
    ticket->model->leases++;
    ticket->granted = true;
    note_use(scheduler, ticket->model);
    ticket->use = ticket->model->last_use;
    finish(scheduler, ticket);
}

static void grant_all(struct scheduler *scheduler, struct scheduler_model *model)
{
    while (model->first) {
        struct scheduler_ticket *ticket = model->first;
        unlink_ticket(scheduler, ticket);
        grant(scheduler, ticket);
    }
}

bool scheduler_next(struct scheduler *scheduler, struct scheduler_decision *ret)
{
    struct scheduler_model *model = scheduler->told_first;
    struct scheduler_ticket *ticket = scheduler->done_first;
    if (model) {
        scheduler->told_first = model->next_told;
        if (!scheduler->told_first)
            scheduler->told_last = NULL;
        model->told = false;
        *ret = (struct scheduler_decision){.verb = model->verb, .model = model, .why = model->why};
        return true;
    }
    if (!ticket)
        return false;
    scheduler->done_first = ticket->next;
    if (!scheduler->done_first)
        scheduler->done_last = NULL;
    ticket->next = NULL;
    *ret = (struct scheduler_decision){
        .verb = ticket->granted ? SCHEDULER_GRANT : SCHEDULER_REFUSE,
        .model = ticket->model,
        .ticket = ticket,
        .why = ticket->why,
    };
    return true;
}

/* ---------------------------------------------------------------- states */

static void set_cold(struct scheduler_model *model)
{
    model->state = SCHEDULER_COLD;
    model->held = (struct scheduler_bytes){{0}};
    model->claim = (struct scheduler_bytes){{0}};
    model->draining_for = NULL;
}

static void leave_queue(struct scheduler_model *model)
{
    model->overtaken = 0;
    model->drain_until_us = 0;
    model->block = no_reason;
}

static void prepare(struct scheduler *scheduler, struct scheduler_model *model)
{
    model->state = SCHEDULER_PREPARING;
    tell(scheduler, model, SCHEDULER_PREPARE, no_reason);
}

/* Nobody waits for the model any more, and it is on its way. */
static void stop(struct scheduler *scheduler, struct scheduler_model *model,
                 struct scheduler_block why)
{
    leave_queue(model);
    model->claim = (struct scheduler_bytes){{0}};
    model->state = SCHEDULER_STOPPING;
    tell(scheduler, model, SCHEDULER_STOP, why);
}

static bool is_on_its_way(const struct scheduler_model *model)
{
    return model->state == SCHEDULER_PREPARING || model->state == SCHEDULER_QUEUED ||
           model->state == SCHEDULER_CLAIMING || model->state == SCHEDULER_LOADING;
}

static void evict(struct scheduler *scheduler, struct scheduler_model *model,
                  struct scheduler_block why)
{
    model->state = SCHEDULER_UNLOADING;
    model->draining_for = NULL;
    tell(scheduler, model, SCHEDULER_EVICT, why);
}

static void start(struct scheduler *scheduler, struct scheduler_model *model)
{
    model->held = model->shapes[model->shape].bytes;
    model->claim = (struct scheduler_bytes){{0}};
    model->state = SCHEDULER_LOADING;
    leave_queue(model);
    tell(scheduler, model, SCHEDULER_START, no_reason);
}

/* ---------------------------------------------------------------- the queue */

/* The model that waits for memory and came next after that arrival; NULL: none. */
static struct scheduler_model *queue_after(const struct scheduler *scheduler, uint64_t arrived)
{
    struct scheduler_model *best = NULL;
    for (struct scheduler_model *model = scheduler->models; model; model = model->next)
        if (model->state == SCHEDULER_QUEUED && model->first->arrived > arrived &&
            (!best || model->first->arrived < best->first->arrived))
            best = model;
    return best;
}

static bool is_its_turn(const struct scheduler *scheduler, const struct scheduler_model *model)
{
    return model->overtaken >= scheduler->overtakes_max;
}

/* Who has waited longer, wants memory of the same device, and must not be passed any more. */
static struct scheduler_model *whose_turn(const struct scheduler *scheduler,
                                          const struct scheduler_model *model)
{
    for (struct scheduler_model *other = scheduler->models; other; other = other->next)
        if (other->state == SCHEDULER_QUEUED && other->first->arrived < model->first->arrived &&
            is_its_turn(scheduler, other) && placing_competes(other, model))
            return other;
    return NULL;
}

/* The model has been served before others that came earlier. */
static void count_overtaking(struct scheduler *scheduler, const struct scheduler_model *model)
{
    for (struct scheduler_model *other = scheduler->models; other; other = other->next)
        if (other != model && other->state == SCHEDULER_QUEUED &&
            other->first->arrived < model->first->arrived && placing_competes(other, model))
            other->overtaken++;
}

/* A lease on a warm model keeps it in the way of those who wait for its memory. */
static void count_lease(struct scheduler *scheduler, const struct scheduler_model *model)
{
    for (struct scheduler_model *other = scheduler->models; other; other = other->next)
        if (other->state == SCHEDULER_QUEUED && !model->pinned && !is_its_turn(scheduler, other) &&
            placing_is_in_the_way(model, other))
            other->overtaken++;
}

static void evict_chosen(struct scheduler *scheduler, struct scheduler_model *model)
{
    const struct scheduler_block why = {.reason = SCHEDULER_FOR_ANOTHER, .other = model};
    for (struct scheduler_model *victim = scheduler->models; victim; victim = victim->next)
        if (victim->chosen)
            evict(scheduler, victim, why);
}

static void take_place(struct scheduler *scheduler, struct scheduler_model *model,
                       const struct scheduler_place *place)
{
    count_overtaking(scheduler, model);
    leave_queue(model);
    model->shape = place->shape;
    if (place->evicts)
        evict_chosen(scheduler, model);
    if (placing_is_free(scheduler, model)) {
        start(scheduler, model);
        return;
    }
    model->state = SCHEDULER_CLAIMING;
    model->claim = model->shapes[place->shape].bytes;
    model->block = (struct scheduler_block){.reason = SCHEDULER_LEAVING};
}

static bool may_wait(const struct scheduler_model *model, enum scheduler_reason reason)
{
    return (reason == SCHEDULER_BUSY || reason == SCHEDULER_ITS_TURN) && !model->prefers_fallback;
}

/* Serves one model of the queue, leaves it there, or refuses its requests. */
static void serve(struct scheduler *scheduler, struct scheduler_model *model)
{
    struct scheduler_place place = placing_find(scheduler, model);
    struct scheduler_model *other = whose_turn(scheduler, model);
    if (place.possible && other)
        place = (struct scheduler_place){.block = {.reason = SCHEDULER_ITS_TURN, .other = other}};
    if (place.possible) {
        take_place(scheduler, model, &place);
    } else if (may_wait(model, place.block.reason)) {
        model->block = place.block;
    } else {
        if (place.block.reason == SCHEDULER_BUSY || place.block.reason == SCHEDULER_ITS_TURN)
            place.block.reason = SCHEDULER_FALLBACK;
        refuse_all(scheduler, model, place.block);
        stop(scheduler, model, place.block);
    }
}

/* Models that claim what others leave start as soon as it is free. When nobody is leaving any more and it is not (the
 * budget has shrunk), they wait like the others. */
static void serve_claims(struct scheduler *scheduler)
{
    bool leaving = false;
    for (struct scheduler_model *model = scheduler->models; model; model = model->next) {
        if (model->state == SCHEDULER_CLAIMING && placing_is_free(scheduler, model))
            start(scheduler, model);
        leaving =
            leaving || model->state == SCHEDULER_UNLOADING || model->state == SCHEDULER_STOPPING;
    }
    for (struct scheduler_model *model = scheduler->models; model && !leaving;
         model = model->next) {
        if (model->state == SCHEDULER_CLAIMING) {
            model->state = SCHEDULER_QUEUED;
            model->claim = (struct scheduler_bytes){{0}};
        }
    }
}

/* ---------------------------------------------------------------- draining */

static bool is_drained_for(const struct scheduler *scheduler, const struct scheduler_model *model)
{
    for (const struct scheduler_model *other = scheduler->models; other; other = other->next)
        if (other->draining_for == model)
            return true;
    return false;
}

/* Those in the model's way give no leases any more. */
static void drain_for(struct scheduler *scheduler, struct scheduler_model *model)
{
    if (model->drain_until_us == 0)
        model->drain_until_us = scheduler->now_us + scheduler->drain_us;
    if (!placing_find_busy(scheduler, model))
        return;
    for (struct scheduler_model *other = scheduler->models; other; other = other->next)
        if (other->chosen && !other->draining_for)
            other->draining_for = model;
}

static void drain(struct scheduler *scheduler)
{
    for (struct scheduler_model *model = scheduler->models; model; model = model->next) {
        if (model->state != SCHEDULER_QUEUED || !is_its_turn(scheduler, model))
            continue;
        if (model->drain_until_us > 0 && scheduler->now_us >= model->drain_until_us) {
            model->drain_until_us = 0;
            model->overtaken = 0;
        } else if (!is_drained_for(scheduler, model)) {
            drain_for(scheduler, model);
        }
    }
    for (struct scheduler_model *model = scheduler->models; model; model = model->next) {
        const struct scheduler_model *turn = model->draining_for;
        if (turn && (turn->state != SCHEDULER_QUEUED || turn->drain_until_us == 0))
            model->draining_for = NULL;
        if (model->state == SCHEDULER_READY && !model->draining_for)
            grant_all(scheduler, model);
    }
}

/* ---------------------------------------------------------------- planning */

/* Idle models go while more is committed than a device may give. */
static void give_way(struct scheduler *scheduler)
{
    struct scheduler_model *model;
    for (uint32_t device = 0; device < scheduler->device_count; device++)
        while ((model = placing_find_surplus(scheduler, device)))
            evict(scheduler, model,
                  (struct scheduler_block){.reason = SCHEDULER_FOR_OTHERS, .device = device});
}

static void plan(struct scheduler *scheduler)
{
    serve_claims(scheduler);
    uint64_t last = 0;
    struct scheduler_model *model;
    while ((model = queue_after(scheduler, last))) {
        last = model->first->arrived;
        serve(scheduler, model);
    }
    drain(scheduler);
}

static void come_to(struct scheduler *scheduler, int64_t now_us)
{
    if (now_us > scheduler->now_us)
        scheduler->now_us = now_us;
}

/* ---------------------------------------------------------------- setting up */

void scheduler_init(struct scheduler *scheduler, uint32_t overtakes_max, int64_t drain_us)
{
    *scheduler = (struct scheduler){.overtakes_max = overtakes_max, .drain_us = drain_us};
}

uint32_t scheduler_device_add(struct scheduler *scheduler, const char *name)
{
    uint32_t number = scheduler->device_count++;
    snprintf(scheduler->devices[number].name, SCHEDULER_DEVICE_NAME_MAX, "%s", name);
    return number;
}

void scheduler_add(struct scheduler *scheduler, struct scheduler_model *model)
{
    struct scheduler_model **end = &scheduler->models;
    while (*end)
        end = &(*end)->next;
    *end = model;
    model->next = NULL;
}

bool scheduler_remove(struct scheduler *scheduler, struct scheduler_model *model)
{
    if (model->state != SCHEDULER_COLD || model->first || model->leases > 0)
        return false;
    struct scheduler_model **at = &scheduler->models;
    while (*at != model)
        at = &(*at)->next;
    *at = model->next;
    return true;
}

/* ---------------------------------------------------------------- requests */

void scheduler_request(struct scheduler *scheduler, struct scheduler_model *model,
                       struct scheduler_ticket *ticket, int64_t until_us, int64_t now_us)
{
    come_to(scheduler, now_us);
    *ticket = (struct scheduler_ticket){.user = ticket->user,
                                        .model = model,
                                        .arrived = ++scheduler->arrivals,
                                        .until_us = until_us};
    if (model->state == SCHEDULER_READY && !model->draining_for) {
        grant(scheduler, ticket);
        if (scheduler->waiting > 0) {
            count_lease(scheduler, model);
            drain(scheduler);
        }
        return;
    }
    if (scheduler->waiting == SCHEDULER_TICKETS_MAX) {
        refuse(scheduler, ticket, (struct scheduler_block){.reason = SCHEDULER_FULL});
        return;
    }
    *(model->last ? &model->last->next : &model->first) = ticket;
    model->last = ticket;
    model->waiting++;
    scheduler->waiting++;
    if (model->state == SCHEDULER_COLD)
        prepare(scheduler, model);
}

/* After tickets have gone: a load that nobody waits for is called off. */
static void check_wanted(struct scheduler *scheduler, struct scheduler_model *model)
{
    if (!model->first && is_on_its_way(model))
        stop(scheduler, model, (struct scheduler_block){.reason = SCHEDULER_CALLED_OFF});
}

void scheduler_withdraw(struct scheduler *scheduler, struct scheduler_ticket *ticket,
                        int64_t now_us)
{
    come_to(scheduler, now_us);
    unlink_ticket(scheduler, ticket);
    check_wanted(scheduler, ticket->model);
    plan(scheduler);
}

uint64_t scheduler_lend(struct scheduler *scheduler, struct scheduler_model *model, int64_t now_us)
{
    come_to(scheduler, now_us);
    model->leases++;
    note_use(scheduler, model);
    return model->last_use;
}

uint64_t scheduler_release(struct scheduler *scheduler, struct scheduler_model *model,
                           int64_t now_us)
{
    come_to(scheduler, now_us);
    model->leases--;
    note_use(scheduler, model);
    uint64_t use = model->last_use;
    if (model->leases == 0) {
        give_way(scheduler);
        plan(scheduler);
    }
    return use;
}

/* ---------------------------------------------------------------- loads */

void scheduler_prepared(struct scheduler *scheduler, struct scheduler_model *model,
                        const struct scheduler_shape *shapes, size_t count, int64_t now_us)
{
    come_to(scheduler, now_us);
    if (model->state != SCHEDULER_PREPARING)
        return; /* stopped meanwhile */
    memcpy(model->shapes, shapes, count * sizeof(*shapes));
    model->shape_count = count;
    model->state = SCHEDULER_QUEUED;
    leave_queue(model);
    plan(scheduler);
}

void scheduler_load_done(struct scheduler *scheduler, struct scheduler_model *model,
                         const struct scheduler_bytes *held, int64_t load_us, int64_t now_us)
{
    come_to(scheduler, now_us);
    model->state = SCHEDULER_READY;
    model->held = *held;
    model->load_us = load_us;
    model->last_use_us = scheduler->now_us;
    grant_all(scheduler, model);
    give_way(scheduler);
    plan(scheduler);
}

void scheduler_load_failed(struct scheduler *scheduler, struct scheduler_model *model,
                           int64_t now_us)
{
    come_to(scheduler, now_us);
    if (model->state != SCHEDULER_STOPPING)
        refuse_all(scheduler, model, (struct scheduler_block){.reason = SCHEDULER_FAILED});
    leave_queue(model);
    set_cold(model);
    if (model->first) /* came after it was stopped */
        prepare(scheduler, model);
    plan(scheduler);
}

void scheduler_unloaded(struct scheduler *scheduler, struct scheduler_model *model, int64_t now_us)
{
    come_to(scheduler, now_us);
    set_cold(model);
    if (model->first)
        prepare(scheduler, model);
    plan(scheduler);
}

void scheduler_measured(struct scheduler *scheduler, struct scheduler_model *model,
                        const struct scheduler_bytes *held, int64_t now_us)
{
    come_to(scheduler, now_us);
    if (model->state == SCHEDULER_READY)
        model->held = *held;
    give_way(scheduler);
    plan(scheduler);
}

/* ---------------------------------------------------------------- the rest */

void scheduler_budget(struct scheduler *scheduler, uint32_t device, uint64_t most, uint64_t now,
                      int64_t now_us)
{
    come_to(scheduler, now_us);
    scheduler->devices[device].most = most;
    scheduler->devices[device].now = now < most ? now : most;
    give_way(scheduler);
    plan(scheduler);
}

void scheduler_pin(struct scheduler *scheduler, struct scheduler_model *model, bool pinned,
                   int64_t now_us)
{
    come_to(scheduler, now_us);
    model->pinned = pinned;
    if (pinned)
        model->draining_for = NULL;
    else
        give_way(scheduler);
    plan(scheduler);
}

bool scheduler_unload(struct scheduler *scheduler, struct scheduler_model *model, int64_t now_us)
{
    come_to(scheduler, now_us);
    if (model->leases > 0 || is_on_its_way(model))
        return false;
    if (model->state == SCHEDULER_READY) {
        evict(scheduler, model, (struct scheduler_block){.reason = SCHEDULER_ASKED});
        plan(scheduler);
    }
    return true;
}

static void end_late(struct scheduler *scheduler, struct scheduler_model *model)
{
    struct scheduler_block why = model->block;
    why.reason = SCHEDULER_LATE;
    struct scheduler_ticket *next;
    for (struct scheduler_ticket *ticket = model->first; ticket; ticket = next) {
        next = ticket->next;
        if (ticket->until_us > scheduler->now_us)
            continue;
        unlink_ticket(scheduler, ticket);
        refuse(scheduler, ticket, why);
    }
    check_wanted(scheduler, model);
}

/* When an idle model's time is over; INT64_MAX: never. */
static int64_t idle_until(const struct scheduler_model *model)
{
    if (!placing_is_idle(model) || model->ttl_us == 0)
        return INT64_MAX;
    return model->last_use_us + model->ttl_us;
}

void scheduler_tick(struct scheduler *scheduler, int64_t now_us)
{
    come_to(scheduler, now_us);
    for (struct scheduler_model *model = scheduler->models; model; model = model->next) {
        end_late(scheduler, model);
        if (idle_until(model) <= scheduler->now_us)
            evict(scheduler, model, (struct scheduler_block){.reason = SCHEDULER_IDLE});
    }
    plan(scheduler);
}

int64_t scheduler_wake_us(const struct scheduler *scheduler)
{
    int64_t first = INT64_MAX;
    for (const struct scheduler_model *model = scheduler->models; model; model = model->next) {
        int64_t idle = idle_until(model);
        first = idle < first ? idle : first;
        if (model->drain_until_us > 0 && model->drain_until_us < first)
            first = model->drain_until_us;
        for (const struct scheduler_ticket *ticket = model->first; ticket; ticket = ticket->next)
            first = ticket->until_us < first ? ticket->until_us : first;
    }
    return first;
}

/* ---------------------------------------------------------------- names */

const char *scheduler_state_name(enum scheduler_state state)
{
    static const char *const names[] = {"cold",    "preparing", "queued",   "claiming",
                                        "loading", "ready",     "stopping", "unloading"};
    return names[state];
}

const char *scheduler_reason_name(enum scheduler_reason reason)
{
    static const char *const names[] = {
        "none",     "for_another", "for_others", "idle",       "asked", "busy",
        "its_turn", "leaving",     "pinned",     "short",      "never", "fallback",
        "late",     "full",        "failed",     "called_off",
    };
    return names[reason];
}
