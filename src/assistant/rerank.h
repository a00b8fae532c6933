/* rerank.h - the step RERANK: a cross-encoder reads a question beside each of some passages.
 *
 * Purpose: asks the cache of pairs first (pair_cache.h), then the model for what is missing, in the order given and,
 *   with a budget, only as far as that reaches. At least one pair is always scored.
 * Owner:   answers live in the request's arena. Threads: any; a request is one thread's.
 * Fails:   as registry.h; ERR_MODEL_NOT_FOUND without a rerank model, ERR_CANCELLED, ERR_TIMEOUT.
 */
#ifndef JARVIS_ASSISTANT_RERANK_H
#define JARVIS_ASSISTANT_RERANK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "assistant/runtime.h"

struct rerank_question {
    const char *model; /* NULL or "jarvis": the default */
    const char *query;
    const char *const *texts; /* most promising first */
    size_t count;
    int64_t budget_ms; /* for computing, not for loading the model; 0: no limit */
};

struct rerank_answer {
    const float *
        scores; /* 0..1 in the order of the texts: the model's logit through the logistic function */
    const bool *scored; /* which of them the budget reached, or the cache had */
    size_t scored_count;
    size_t cached;      /* of these, known before */
    uint64_t tokens;    /* computed now */
    uint32_t truncated; /* texts computed now that the model could not read in full */
    const char *model;
};

bool rerank_run(struct runtime *runtime, struct request *request,
                const struct rerank_question *question, struct rerank_answer *ret, struct err *err);

#endif
