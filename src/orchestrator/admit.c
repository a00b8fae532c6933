/* admit.c - a load asks for memory: it fits, others are ended for it, it waits, or it is refused with the numbers.
 *
 * The decision itself is memory_decide() in memory.c. Here the table is turned into its facts, and its verdict into
 * deeds. A load that waits looks again whenever something in the table has changed.
 */
#include <stdlib.h>

#include "orchestrator/internal.h"

enum { RETRY_AFTER_MS = 5000, RETRY_SHORT_MS = 30000 };

/* What the budget is spent on now, as memory.h wants it, and which models the items are. */
struct spending {
    struct memory_item *items;
    struct model **models; /* of each item; NULL for what cannot be ended */
    bool *evict;
    size_t count;
};

static void spending_free(struct spending *spending)
{
    free(spending->items);
    free(spending->models);
    free(spending->evict);
}

/* With the lock. */
static bool spending_find(const struct registry *registry, struct spending *ret, struct err *err)
{
    size_t most = registry->model_count + 1;
    for (const struct load *load = registry->loads; load; load = load->next)
        most++;
    struct spending out = {
        .items = calloc(most, sizeof(*out.items)),
        .models = calloc(most, sizeof(struct model *)),
        .evict = calloc(most, sizeof(*out.evict)),
    };
    if (!out.items || !out.models || !out.evict) {
        spending_free(&out);
        return err_no_memory(err);
    }
    for (size_t i = 0; i < registry->model_count; i++) {
        struct model *model = registry->models[i];
        if (!model->instance)
            continue;
        out.models[out.count] = model;
        out.items[out.count++] = (struct memory_item){
            .bytes = model->instance->bytes,
            .last_use = model->last_use,
            .idle = model->leases == 0,
        };
    }
    for (const struct load *load = registry->loads; load; load = load->next)
        if (load->reserved > 0)
            out.items[out.count++] = (struct memory_item){.bytes = load->reserved};
    if (registry->ending_bytes > 0)
        out.items[out.count++] = (struct memory_item){.bytes = registry->ending_bytes};
    *ret = out;
    return true;
}

/* With the lock. */
static struct memory_budget budget_now(struct registry *registry)
{
    struct memory_machine machine;
    if (registry->available_fixed > 0)
        machine = (struct memory_machine){registry->available_fixed, registry->available_fixed};
    else
        memory_measure("", &machine);
    uint64_t used = registry_used(registry);
    if (registry->available_fixed > 0)
        machine.available -= used < machine.available ? used : machine.available;
    if (used == 0 || registry->unloaded_available == 0)
        registry->unloaded_available = machine.available;
    return memory_budget(&machine, registry->limit_bytes, registry->reserve_bytes, used,
                         registry->unloaded_available);
}

void registry_memory(struct registry *registry, struct registry_memory *ret)
{
    mutex_lock(&registry->lock);
    ret->limit_bytes = budget_now(registry).now;
    ret->used_bytes = registry_used(registry);
    mutex_unlock(&registry->lock);
}

static bool never_fits(const struct model *model, uint64_t need, uint64_t most, struct err *err)
{
    char needs[MEMORY_TEXT];
    char has[MEMORY_TEXT];
    memory_format(need, needs);
    memory_format(most, has);
    uint32_t context = memory_context_that_fits(&model->forecast, most);
    if (context > 0)
        return err_set_param(err, ERR_MODEL_TOO_LARGE, "model",
                             "model \"%s\" needs %s and %s is all that models may take; lower its "
                             "context_length to %u",
                             model->entry.name, needs, has, context);
    return err_set_param(err, ERR_MODEL_TOO_LARGE, "model",
                         "model \"%s\" needs %s and %s is all that models may take; use a smaller "
                         "one, or raise memory.limit_mib if the machine has more",
                         model->entry.name, needs, has);
}

/* The busy model that holds most: the one worth waiting for. NULL: only loads and ending processes are in the way. */
static const struct model *largest_busy(const struct spending *spending)
{
    const struct model *best = NULL;
    for (size_t i = 0; i < spending->count; i++) {
        const struct model *model = spending->models[i];
        if (model && !spending->items[i].idle &&
            (!best || model->instance->bytes > best->instance->bytes))
            best = model;
    }
    return best;
}

/* What an idle model leaves: the budget minus what is busy. */
static void format_free(const struct spending *spending, uint64_t now, char out[MEMORY_TEXT])
{
    for (size_t i = 0; i < spending->count; i++)
        if (!spending->items[i].idle)
            now -= spending->items[i].bytes < now ? spending->items[i].bytes : now;
    memory_format(now, out);
}

static bool does_not_fit_now(const struct model *model, uint64_t need, uint64_t now,
                             const struct spending *spending, struct err *err)
{
    char needs[MEMORY_TEXT];
    char has[MEMORY_TEXT];
    memory_format(need, needs);
    format_free(spending, now, has);
    const struct model *busy = largest_busy(spending);
    if (busy)
        err_set_param(err, ERR_OUT_OF_MEMORY_BUDGET, "model",
                      "model \"%s\" needs %s, %s can be freed while \"%s\" is in use; try again "
                      "later, lower context_length, or use a smaller model",
                      model->entry.name, needs, has, busy->entry.name);
    else
        err_set_param(err, ERR_OUT_OF_MEMORY_BUDGET, "model",
                      "model \"%s\" needs %s, %s is free now; close other programs, lower "
                      "context_length, or try again later",
                      model->entry.name, needs, has);
    if (err)
        err->retry_after_ms = busy ? RETRY_AFTER_MS : RETRY_SHORT_MS;
    return false;
}

/* Ends the marked models. Called with the lock, leaves it meanwhile. */
static void evict(struct load *load, const struct spending *spending)
{
    struct registry *registry = load->registry;
    struct instance *ending = NULL;
    for (size_t i = 0; i < spending->count; i++) {
        if (!spending->evict[i])
            continue;
        struct model *victim = spending->models[i];
        model_note(registry, victim, LOG_INFO, "unloaded to make room for \"%s\"",
                   load->model->entry.name);
        struct instance *instance = model_evict(registry, victim);
        instance->next = ending;
        ending = instance;
    }
    mutex_unlock(&registry->lock);
    for (struct instance *instance = ending; instance; instance = instance->next)
        worker_leave(instance->worker);
    while (ending) {
        struct instance *instance = ending;
        ending = instance->next;
        instance_end(registry, instance);
    }
    mutex_lock(&registry->lock);
}

/* A load may pass others that wait for memory, but each of those only so often: nobody starves. */
static bool may_pass(const struct load *load)
{
    for (const struct load *other = load->registry->loads; other != load; other = other->next)
        if (!other->done && other->blocked.code != ERR_NONE && other->overtaken >= OVERTAKES_MAX)
            return false;
    return true;
}

static void note_passed(struct load *load, uint64_t need)
{
    for (struct load *other = load->registry->loads; other != load; other = other->next)
        if (!other->done && other->blocked.code != ERR_NONE)
            other->overtaken++;
    load->reserved = need;
    load->blocked.code = ERR_NONE;
    load->stage = LOAD_WORKER;
}

enum admission { ADMITTED, REFUSED, AGAIN, BLOCKED };

/* One look at the budget. With the lock, which it may leave meanwhile (AGAIN). */
static enum admission try_admit(struct load *load, struct err *err)
{
    struct registry *registry = load->registry;
    struct model *model = load->model;
    uint64_t need = model->forecast.bound;
    struct spending spending = {0};
    if (!spending_find(registry, &spending, err))
        return REFUSED;
    struct memory_budget budget = budget_now(registry);
    enum memory_verdict verdict =
        memory_decide(&budget, need, spending.items, spending.count, spending.evict);
    if (!may_pass(load) && (verdict == MEMORY_FITS || verdict == MEMORY_EVICT))
        verdict = MEMORY_WAIT;
    enum admission admission = REFUSED;
    switch (verdict) {
    case MEMORY_FITS:
        note_passed(load, need);
        admission = ADMITTED;
        break;
    case MEMORY_EVICT:
        evict(load, &spending);
        admission = AGAIN;
        break;
    case MEMORY_WAIT:
        does_not_fit_now(model, need, budget.now, &spending, &load->blocked);
        admission = BLOCKED;
        break;
    case MEMORY_SHORT: does_not_fit_now(model, need, budget.now, &spending, err); break;
    case MEMORY_NEVER: never_fits(model, need, budget.most, err); break;
    }
    spending_free(&spending);
    return admission;
}

bool load_admit(struct load *load, const struct file_identity *file, const struct wait *wait,
                struct err *err)
{
    struct registry *registry = load->registry;
    struct model *model = load->model;
    bool admitted = false;
    bool on_time = true;
    struct memory_question question;
    struct memory_forecast forecast;
    model_question(model, file, &question);
    if (!memory_forecast(registry, &question, wait, &load->warm, &forecast, err))
        return false;
    mutex_lock(&registry->lock);
    model->forecast = forecast;
    for (;;) {
        if (cancel_is_set(wait->cancel)) {
            cancel_error(err);
            break;
        }
        enum admission admission = try_admit(load, err);
        admitted = admission == ADMITTED;
        if (admitted || admission == REFUSED)
            break;
        if (admission == AGAIN)
            continue;
        if (!on_time) {
            *err = load->blocked;
            break;
        }
        on_time = cond_wait(&registry->changed, &registry->lock, wait->until);
    }
    mutex_unlock(&registry->lock);
    return admitted;
}
