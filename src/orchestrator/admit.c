/* admit.c - memory as the scheduler wants it: what the machine can give, what a model needs in each way in which it may
 * be loaded; and as people want it: why there is none, with the numbers.
 */
#include <stdlib.h>

#include "orchestrator/internal.h"

enum { RETRY_AFTER_MS = 5000, RETRY_SHORT_MS = 30000, RETRY_FULL_MS = 1000, CONTEXT_LEAST = 512 };

/* ---------------------------------------------------------------- the machine */

struct memory_budget registry_budget(struct registry *registry)
{
    struct memory_machine machine;
    if (registry->available_fixed > 0)
        machine = (struct memory_machine){registry->available_fixed, registry->available_fixed};
    else
        memory_measure("", &machine);
    uint64_t used = scheduler_held(&registry->scheduler, registry->cpu);
    if (registry->available_fixed > 0)
        machine.available -= used < machine.available ? used : machine.available;
    if (used == 0 || registry->unloaded_available == 0)
        registry->unloaded_available = machine.available;
    return memory_budget(&machine, registry->limit_bytes, registry->reserve_bytes, used,
                         registry->unloaded_available);
}

void admit_measure(struct registry *registry)
{
    struct memory_budget budget = registry_budget(registry);
    scheduler_budget(&registry->scheduler, registry->cpu, budget.most, budget.now,
                     registry_now_us());
    registry_decide(registry);
}

void registry_memory(struct registry *registry, struct registry_memory *ret)
{
    mutex_lock(&registry->lock);
    ret->limit_bytes = registry_budget(registry).now;
    ret->used_bytes = scheduler_held(&registry->scheduler, registry->cpu);
    mutex_unlock(&registry->lock);
}

/* ---------------------------------------------------------------- what a model needs */

static bool may_shrink(const struct model_entry *entry)
{
    for (uint32_t i = 0; i < entry->alternative_count; i++)
        if (entry->alternatives[i] == ALTERNATIVE_SMALLER_CONTEXT)
            return true;
    return false;
}

/* How much it is forecast to take with that context. */
static bool forecast(struct load *load, const struct file_identity *file, uint32_t context,
                     struct memory_forecast *ret, struct err *err)
{
    const struct wait wait = {.cancel = &load->cancel,
                              .until = deadline_in_ms(load->registry->load_timeout_ms)};
    struct memory_question question;
    model_question(load->model, file, &question);
    question.context = context;
    return memory_forecast(load->registry, &question, &wait, &load->warm, ret, err);
}

bool admit_shapes(struct load *load, const struct file_identity *file, struct scheduler_shape *ret,
                  size_t *ret_count, struct err *err)
{
    struct registry *registry = load->registry;
    struct model *model = load->model;
    const struct model_entry *entry = &model->entry;
    struct memory_forecast expected;
    if (!forecast(load, file, entry->context_length, &expected, err))
        return false;
    mutex_lock(&registry->lock);
    model->forecast = expected;
    mutex_unlock(&registry->lock);
    size_t count = 0;
    uint32_t context =
        expected.context_length > 0 ? expected.context_length : entry->context_length;
    ret[count++] =
        (struct scheduler_shape){.context = entry->context_length, .gpu_layers = entry->gpu_layers};
    ret[0].bytes.on[registry->cpu] = expected.bound;
    while (may_shrink(entry) && count < SCHEDULER_SHAPES_MAX && (context /= 2) >= CONTEXT_LEAST) {
        struct scheduler_shape smaller = {
            .rank = (uint32_t)count, .context = context, .gpu_layers = entry->gpu_layers};
        if (!forecast(load, file, context, &expected, err))
            return false;
        smaller.bytes.on[registry->cpu] = expected.bound;
        if (expected.bound < ret[count - 1].bytes.on[registry->cpu])
            ret[count++] = smaller;
    }
    *ret_count = count;
    return true;
}

/* ---------------------------------------------------------------- why there is none */

static bool never_fits(const struct model *model, const char *needs, const char *has, uint64_t most,
                       struct err *err)
{
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

static void out_of_budget(const struct model *model, const struct scheduler_block *why,
                          const char *needs, const char *has, struct err *err)
{
    const struct model *other = why->other ? why->other->user : NULL;
    if (other && why->reason == SCHEDULER_PINNED)
        err_set_param(err, ERR_OUT_OF_MEMORY_BUDGET, "model",
                      "model \"%s\" needs %s, %s is left beside pinned models; unpin \"%s\", lower "
                      "context_length, or use a smaller model",
                      model->entry.name, needs, has, other->entry.name);
    else if (other)
        err_set_param(err, ERR_OUT_OF_MEMORY_BUDGET, "model",
                      "model \"%s\" needs %s, %s can be freed while \"%s\" is in use; try again "
                      "later, lower context_length, or use a smaller model",
                      model->entry.name, needs, has, other->entry.name);
    else
        err_set_param(err, ERR_OUT_OF_MEMORY_BUDGET, "model",
                      "model \"%s\" needs %s, %s is free now; close other programs, lower "
                      "context_length, or try again later",
                      model->entry.name, needs, has);
}

/* It waited until its deadline, for memory or for the load itself. */
static bool too_late(const struct model *model, struct err *err)
{
    return err_set_param(err, ERR_TIMEOUT, "model",
                         "model \"%s\" was not loaded in time (%d%% done); try again, or allow "
                         "more time",
                         model->entry.name, model->load ? (int)(model->load->fraction * 100) : 0);
}

bool admit_refusal(const struct model *model, const struct scheduler_block *why, struct err *err)
{
    char needs[MEMORY_TEXT];
    char has[MEMORY_TEXT];
    memory_format(why->need > 0 ? why->need : model->forecast.bound, needs);
    memory_format(why->have, has);
    uint32_t retry_ms = RETRY_AFTER_MS;
    switch (why->reason) {
    case SCHEDULER_NEVER: return never_fits(model, needs, has, why->have, err);
    case SCHEDULER_CALLED_OFF: return cancel_error(err);
    case SCHEDULER_FULL:
        err_set(err, ERR_BUSY, "too many requests wait for models; try again later");
        retry_ms = RETRY_FULL_MS;
        break;
    case SCHEDULER_LATE:
        if (why->need == 0)
            return too_late(model, err);
        out_of_budget(model, why, needs, has, err);
        break;
    case SCHEDULER_SHORT:
        out_of_budget(model, why, needs, has, err);
        retry_ms = RETRY_SHORT_MS;
        break;
    default: out_of_budget(model, why, needs, has, err); break;
    }
    err->retry_after_ms = retry_ms;
    return false;
}
