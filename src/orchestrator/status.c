/* status.c - what the registry tells of itself. Nothing here loads a model or counts as a use. */
#include <stdio.h>
#include <sys/stat.h>

#include "orchestrator/internal.h"

const char *model_state_name(enum model_state state)
{
    switch (state) {
    case MODEL_COLD: return "cold";
    case MODEL_LOADING: return "loading";
    case MODEL_READY: return "ready";
    case MODEL_FAILED: break;
    }
    return "failed";
}

static enum model_state state_of(const struct model *model)
{
    if (model->instance)
        return MODEL_READY;
    if (model->load || model->plan.waiting > 0)
        return MODEL_LOADING;
    return model->failed ? MODEL_FAILED : MODEL_COLD;
}

/* The device that holds, or will hold, most of the model; NULL: none does. */
static const struct scheduler_device *device_of(const struct registry *registry,
                                                const struct scheduler_model *plan)
{
    uint64_t most = 0;
    const struct scheduler_device *best = NULL;
    for (uint32_t device = 0; device < registry->scheduler.device_count; device++) {
        uint64_t bytes = plan->held.on[device] + plan->claim.on[device];
        if (bytes > most) {
            most = bytes;
            best = &registry->scheduler.devices[device];
        }
    }
    return best;
}

/* What the scheduler knows of it. With the lock. */
static void describe_plan(const struct registry *registry, const struct scheduler_model *plan,
                          struct model_status *row)
{
    const struct scheduler_device *device = device_of(registry, plan);
    row->stage = scheduler_state_name(plan->state);
    row->order = plan->last_use;
    row->in_flight = plan->leases;
    row->queue = plan->waiting;
    row->overtaken = plan->overtaken;
    row->pinned = plan->pinned;
    row->load_ms = (double)plan->load_us / 1000;
    for (uint32_t i = 0; i < registry->scheduler.device_count; i++)
        row->reserved_bytes += plan->held.on[i] + plan->claim.on[i];
    if (device)
        snprintf(row->device, sizeof(row->device), "%s", device->name);
}

/* With the lock. */
static void describe(const struct registry *registry, struct model *model, struct model_status *row)
{
    const struct why *why = model_why(model);
    *row = (struct model_status){
        .role = model->entry.role,
        .state = state_of(model),
        .predicted_bytes = model->forecast.bytes,
        .context_length = model->entry.context_length,
        .uses = model->uses,
        .last_use_us = model->last_use_us,
        .preload = model->entry.preload,
        .ttl_s = model->entry.ttl_s,
    };
    describe_plan(registry, &model->plan, row);
    snprintf(row->name, sizeof(row->name), "%s", model->entry.name);
    snprintf(row->path, sizeof(row->path), "%s", model->path);
    if (why)
        row->why = *why;
    row->circuit =
        breaker_state_name(breaker_look(&model->breaker, clock_now_ns(), &row->retry_in_ms));
    row->failures = model->breaker.failures;
    row->failed_us = model->failed_us;
    snprintf(row->cause, sizeof(row->cause), "%.255s", model->cause);
    snprintf(row->last_words, sizeof(row->last_words), "%s", model->last_words);
    if (model->upstream)
        upstream_status(model, row);
    if (model->load) {
        row->progress = model->load->fraction;
        row->bytes_total = model->load->bytes_total;
    }
    if (model->instance) {
        row->pid = worker_pid(model->instance->worker);
        row->resident_bytes = model->instance->held > 0 ? model->instance->held
                                                        : model->instance->loaded.resident_bytes;
        row->context_length = model->instance->loaded.context_length;
        row->dimensions = model->instance->loaded.dimensions;
    }
}

size_t registry_status(struct registry *registry, struct model_status *rows, size_t max)
{
    mutex_lock(&registry->lock);
    size_t count = registry->model_count;
    for (size_t i = 0; i < count && i < max; i++)
        describe(registry, registry->models[i], &rows[i]);
    mutex_unlock(&registry->lock);
    for (size_t i = 0; i < count && i < max; i++) { /* a slow disk must not hold up the others */
        struct stat info;
        if (!rows[i].upstream && stat(rows[i].path, &info) == 0 && S_ISREG(info.st_mode))
            rows[i].file_bytes = (uint64_t)info.st_size;
    }
    return count;
}
