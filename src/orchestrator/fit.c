/* fit.c - would a model fit, loaded in this way? What it takes, who would have to go for it, and the largest context
 * that fits. Nothing is loaded and nobody is ended. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "orchestrator/fit.h"
#include "orchestrator/internal.h"

enum { CONTEXT_STEP = 256, TRIES_MAX = 12, CONTEXT_UNKNOWN_MAX = 131072 };

const char *fit_verdict_name(enum fit_verdict verdict)
{
    static const char *const names[] = {"fits", "evict", "wait", "short", "never"};
    return names[verdict];
}

/* ---------------------------------------------------------------- the question */

static bool find_question(struct registry *registry, const char *name,
                          const struct fit_options *options, struct arena *arena,
                          struct memory_question *ret, struct err *err)
{
    struct file_identity none = {0};
    char *path = NULL;
    mutex_lock(&registry->lock);
    struct model *model = model_find(registry, name);
    bool is_file = model && !model->upstream;
    bool ok = is_file && model_file(model, &none, err);
    if (ok) {
        model_question(model, &none, ret);
        path = arena_copy(arena, model->path);
    }
    mutex_unlock(&registry->lock);
    if (!model)
        return err_set_param(err, ERR_MODEL_NOT_FOUND, "model",
                             "there is no model \"%s\"; \"jarvis models\" lists those there are",
                             name);
    if (!is_file)
        return err_set_param(err, ERR_UNSUPPORTED, "model",
                             "model \"%s\" is another server's: it takes no memory here", name);
    if (!ok)
        return false;
    if (!path)
        return err_no_memory(err);
    ret->name = name;
    ret->path = path;
    if (options->context > 0)
        ret->context = options->context;
    if (options->slots > 0)
        ret->slots = options->slots;
    if (options->has_kv_type)
        ret->kv_type = options->kv_type;
    return true;
}

/* ---------------------------------------------------------------- who would go */

/* Copies what the loaded models hold, the model in question left out: it would be loaded anew. With the lock. */
static size_t find_items(const struct registry *registry, const char *name,
                         struct memory_item *items, const struct model **models)
{
    size_t count = 0;
    for (size_t i = 0; i < registry->model_count; i++) {
        const struct model *model = registry->models[i];
        if (!model->instance || model->upstream || strcmp(model->entry.name, name) == 0)
            continue;
        models[count] = model;
        items[count++] = (struct memory_item){
            .bytes = model->plan.held.on[registry->cpu],
            .last_use = model->plan.last_use,
            .idle = model->plan.leases == 0 && !model->plan.pinned,
        };
    }
    return count;
}

static enum fit_verdict to_fit(enum memory_verdict verdict)
{
    static const enum fit_verdict verdicts[] = {
        [MEMORY_FITS] = FIT_FITS,   [MEMORY_EVICT] = FIT_EVICT, [MEMORY_WAIT] = FIT_WAIT,
        [MEMORY_SHORT] = FIT_SHORT, [MEMORY_NEVER] = FIT_NEVER,
    };
    return verdicts[verdict];
}

static void decide(const struct memory_budget *budget, const struct memory_item *items,
                   const struct model *const *models, size_t count, bool *evict,
                   struct model_fit *fit)
{
    uint64_t busy = 0;
    fit->used_bytes = 0;
    for (size_t i = 0; i < count; i++) {
        fit->used_bytes += items[i].bytes;
        busy += items[i].idle ? 0 : items[i].bytes;
    }
    fit->budget_bytes = budget->now;
    fit->free_bytes = budget->now > fit->used_bytes ? budget->now - fit->used_bytes : 0;
    fit->reachable_bytes = budget->now > busy ? budget->now - busy : 0;
    fit->verdict = to_fit(memory_decide(budget, fit->forecast.bound, items, count, evict));
    fit->evict_count = 0;
    for (size_t i = 0; i < count && fit->verdict == FIT_EVICT; i++) {
        if (!evict[i] || fit->evict_count == FIT_EVICT_MAX)
            continue;
        struct fit_eviction *eviction = &fit->evict[fit->evict_count++];
        snprintf(eviction->name, sizeof(eviction->name), "%s", models[i]->entry.name);
        eviction->bytes = items[i].bytes;
    }
}

static bool weigh(struct registry *registry, const char *name, struct model_fit *fit,
                  struct err *err)
{
    mutex_lock(&registry->lock);
    size_t room = registry->model_count + 1;
    struct memory_item *items = calloc(room, sizeof(*items));
    const struct model **models = calloc(room, sizeof(struct model *));
    bool *evict = calloc(room, sizeof(*evict));
    bool ok = items && models && evict;
    if (ok) {
        struct memory_budget budget = registry_budget(registry);
        size_t count = find_items(registry, name, items, models);
        decide(&budget, items, models, count, evict, fit);
    }
    mutex_unlock(&registry->lock);
    free(items);
    free(models);
    free(evict);
    return ok ? true : err_no_memory(err);
}

/* ---------------------------------------------------------------- the largest context */

/* Between a context that fits (or 0) and one that does not. */
struct search {
    uint32_t fits;
    uint32_t too_much; /* 0: none is known */
    uint32_t next;
};

static void choose_next(struct search *search, const struct memory_forecast *forecast,
                        uint64_t bytes)
{
    uint32_t guess = memory_context_that_fits(forecast, bytes);
    uint32_t low = search->fits + CONTEXT_STEP, high = search->too_much - CONTEXT_STEP;
    if (guess < low || guess > high)
        guess = (uint32_t)(((uint64_t)low + high) / 2 / CONTEXT_STEP * CONTEXT_STEP);
    search->next = guess < low ? low : guess;
}

/* Tries contexts, each with a forecast of its own: the model's longest first, then by what a cell costs. */
static bool find_largest(struct registry *registry, struct memory_question *question,
                         const struct wait *wait, struct worker **warm, struct model_fit *fit,
                         struct err *err)
{
    uint32_t longest =
        fit->forecast.train_context > 0 ? fit->forecast.train_context : CONTEXT_UNKNOWN_MAX;
    struct search search = {.next = longest, .too_much = longest + CONTEXT_STEP};
    for (int tries = 0; tries < TRIES_MAX && search.too_much - search.fits > CONTEXT_STEP;
         tries++) {
        struct memory_forecast forecast;
        question->context = search.next;
        if (!memory_forecast(registry, question, wait, warm, &forecast, err))
            return false;
        if (forecast.bound <= fit->reachable_bytes)
            search.fits = search.next;
        else
            search.too_much = search.next;
        if (search.fits == longest)
            break;
        if (search.too_much - search.fits > CONTEXT_STEP)
            choose_next(&search, &forecast, fit->reachable_bytes);
    }
    fit->largest_context = search.fits;
    return true;
}

bool registry_fit(struct registry *registry, const char *name, const struct fit_options *options,
                  const struct wait *wait, struct arena *arena, struct model_fit *ret,
                  struct err *err)
{
    struct memory_question question;
    struct model_fit fit = {0};
    struct worker *warm = NULL;
    if (!find_question(registry, name, options, arena, &question, err))
        return false;
    fit.slots = question.slots;
    fit.kv_type = question.kv_type;
    bool ok = memory_forecast(registry, &question, wait, &warm, &fit.forecast, err) &&
              weigh(registry, name, &fit, err);
    if (ok && question.role != ROLE_SPEECH && fit.forecast.analysed)
        ok = find_largest(registry, &question, wait, &warm, &fit, err);
    if (warm)
        worker_kill(warm); /* it has read a file of unknown origin */
    worker_free(warm, deadline_in_ms(0));
    if (ok)
        *ret = fit;
    return ok;
}

bool registry_forecast(struct registry *registry, const char *name, const struct wait *wait,
                       struct memory_forecast *ret, struct err *err)
{
    enum { PATH_BYTES = 8192 };
    struct arena arena;
    struct memory_question question;
    const struct fit_options as_configured = {0};
    arena_init(&arena, PATH_BYTES);
    bool ok = find_question(registry, name, &as_configured, &arena, &question, err) &&
              memory_forecast(registry, &question, wait, NULL, ret, err);
    arena_free(&arena);
    return ok;
}
