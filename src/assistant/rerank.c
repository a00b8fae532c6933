/* How it works: what the cache does not know is sent to the worker in parts. Without a budget there is one part. With
 * one, the first part is a single pair, which shows what a pair costs; each further part is half of what then still
 * fits, so that a long passage at the end of it does little harm. */
#include "assistant/rerank.h"

#include <math.h>
#include <string.h>

#include "assistant/internal.h"
#include "assistant/pair_cache.h"
#include "base/clock.h"

/* A question at work. Arrays have one entry a text, but `missing`, which lists the texts still to compute. */
struct work {
    struct runtime *runtime;
    struct request *request;
    const struct rerank_question *question;
    struct lease *lease;
    struct hash *keys; /* NULL: the model's file has no known hash, nothing is cached */
    float *scores;
    bool *scored;
    size_t *missing;
    size_t missing_count;
    const char **part; /* texts of one call */
    struct rerank_answer answer;
};

static bool allocate(struct work *work, struct err *err)
{
    size_t count = work->question->count;
    struct arena *arena = work->request->arena;
    work->scores = arena_array(arena, count, sizeof(*work->scores));
    work->scored = arena_array(arena, count, sizeof(*work->scored));
    work->missing = arena_array(arena, count, sizeof(*work->missing));
    work->part = arena_array(arena, count, sizeof(*work->part));
    if (!work->scores || !work->scored || !work->missing || !work->part)
        return err_no_memory(err);
    if (lease_model_hash(work->lease) &&
        !(work->keys = arena_array(arena, count, sizeof(*work->keys))))
        return err_no_memory(err);
    return true;
}

/* Fills in what is known and lists what is not. */
static bool look_up(struct work *work, struct err *err)
{
    const struct rerank_question *question = work->question;
    const struct hash *model = lease_model_hash(work->lease);
    for (size_t i = 0; i < question->count; i++) {
        if (work->keys &&
            !pair_cache_key(model, question->query, question->texts[i], &work->keys[i]))
            return err_no_memory(err);
        work->scored[i] =
            work->keys && pair_cache_get(work->runtime->pairs, &work->keys[i], &work->scores[i]);
        if (!work->scored[i])
            work->missing[work->missing_count++] = i;
    }
    work->answer.cached = question->count - work->missing_count;
    return true;
}

/* A cross-encoder gives a logit; clients of Cohere's and Jina's shape expect 0..1. The order stays. */
static float to_probability(float logit)
{
    return 1 / (1 + expf(-logit));
}

/* Computes missing[from .. from + count). */
static bool compute(struct work *work, size_t from, size_t count, struct err *err)
{
    for (size_t i = 0; i < count; i++)
        work->part[i] = work->question->texts[work->missing[from + i]];
    struct wait wait = request_wait(work->request);
    struct msg_scores found;
    if (!lease_rerank(work->lease, work->question->query, work->part, count, &wait,
                      work->request->arena, &found, err))
        return false;
    bool fallback = lease_degraded(work->lease); /* another model did answer */
    if (fallback)
        work->answer.model = arena_copy(work->request->arena, lease_entry(work->lease)->name);
    for (size_t i = 0; i < count; i++) {
        size_t at = work->missing[from + i];
        work->scores[at] = to_probability(found.scores[i]);
        work->scored[at] = true;
        if (work->keys && !fallback)
            pair_cache_put(work->runtime->pairs, &work->keys[at], work->scores[at]);
    }
    work->answer.tokens += found.tokens;
    work->answer.truncated += found.truncated;
    return true;
}

/* How many pairs to compute next, when `done` took so long; 0: the budget is used up. */
static size_t next_part(const struct work *work, size_t done, double spent_ms)
{
    size_t left = work->missing_count - done;
    double budget = (double)work->question->budget_ms;
    if (budget <= 0)
        return left;
    if (done == 0)
        return left > 0;
    double fitting = (budget - spent_ms) * (double)done / (spent_ms > 0.001 ? spent_ms : 0.001);
    if (fitting < 1)
        return 0;
    size_t half = (size_t)(fitting < 2 ? 1 : fitting / 2 > (double)left ? left : fitting / 2);
    return half < left ? half : left;
}

static bool compute_missing(struct work *work, struct err *err)
{
    int64_t start = clock_now_ns();
    size_t done = 0, part;
    while ((part = next_part(work, done, clock_ms_since(start))) > 0) {
        if (!compute(work, done, part, err))
            return false;
        done += part;
    }
    work->answer.scored_count = work->answer.cached + done;
    return true;
}

bool rerank_run(struct runtime *runtime, struct request *request,
                const struct rerank_question *question, struct rerank_answer *ret, struct err *err)
{
    struct work work = {.runtime = runtime, .request = request, .question = question};
    if (!model_lease(runtime, request, question->model, ROLE_RERANK, &work.lease,
                     &work.answer.model, err))
        return false;
    int span = trace_begin(request->trace, "rerank");
    bool ok = allocate(&work, err) && look_up(&work, err) && compute_missing(&work, err);
    trace_end(request->trace, span);
    lease_release(work.lease);
    if (!ok)
        return false;
    work.answer.scores = work.scores;
    work.answer.scored = work.scored;
    *ret = work.answer;
    return true;
}
