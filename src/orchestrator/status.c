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
    if (model->load)
        return MODEL_LOADING;
    return model->failed ? MODEL_FAILED : MODEL_COLD;
}

/* With the lock. */
static void describe(struct model *model, struct model_status *row)
{
    *row = (struct model_status){
        .role = model->entry.role,
        .state = state_of(model),
        .predicted_bytes = model->forecast.bytes,
        .context_length = model->entry.context_length,
        .in_flight = model->leases,
        .uses = model->uses,
        .last_use_us = model->last_use_us,
    };
    snprintf(row->name, sizeof(row->name), "%s", model->entry.name);
    snprintf(row->path, sizeof(row->path), "%s", model->path);
    snprintf(row->why, sizeof(row->why), "%s", model->why);
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
        if (model->load->blocked.code != ERR_NONE)
            snprintf(row->why, sizeof(row->why), "waits for memory: %.230s",
                     err_message(&model->load->blocked, LANG_EN));
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
        describe(registry->models[i], &rows[i]);
    mutex_unlock(&registry->lock);
    for (size_t i = 0; i < count && i < max; i++) { /* a slow disk must not hold up the others */
        struct stat info;
        if (!rows[i].upstream && stat(rows[i].path, &info) == 0 && S_ISREG(info.st_mode))
            rows[i].file_bytes = (uint64_t)info.st_size;
    }
    return count;
}
