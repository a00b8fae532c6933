/* tune.h - choosing how a store is searched from questions whose answers are known.
 *
 * Purpose: each question comes with its candidates, every one with both scores, so that any weight of meaning can be
 *   tried without searching again; and with the rerank model's scores of the first ones, so that any depth can be.
 *   A value is chosen on every other question (0, 2, 4, …) and must then show itself on the rest: where the interval
 *   of the gain, question by question, does not lie above 0, the value in force stays. So a choice is never made of
 *   chance, and the gain that is told is not that of the questions it was chosen on.
 *   tune_question_text() makes a question out of a passage, for stores that nobody has labelled.
 * Owner:   works on the caller's arrays.
 * Threads: pure functions.
 * Fails:   ERR_NO_MEMORY.
 */
#ifndef JARVIS_RETRIEVAL_TUNE_H
#define JARVIS_RETRIEVAL_TUNE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "retrieval/evaluate.h"

enum {
    TUNE_STEPS = 21,           /* alpha 0, 0.05 … 1 */
    TUNE_DEPTHS = 6,           /* see tune_depths */
    TUNE_DEPTH_MAX = 50,       /* candidates whose rerank score is wanted */
    TUNE_QUESTIONS_MIN = 20,   /* fewer say nothing */
    TUNE_CANDIDATES_MAX = 1000 /* of a question; further ones are not looked at */
};

/* Depths tried: 0 (no reranking), 5, 10, 20, 30, 50. */
extern const size_t tune_depths[TUNE_DEPTHS];

struct tune_candidate {
    uint32_t document; /* a number of the caller's: the first passage of a document counts */
    float sparse;
    float dense;
    bool has_dense;
    double grade; /* of the document, 0: not relevant */
    double rerank;
    bool reranked;
};

struct tune_question {
    const struct tune_candidate *candidates;
    size_t count;
    double coverage;
    const double *relevant; /* grades above 0, largest first */
    size_t relevant_count;
};

struct tune_choice {
    double quality[TUNE_STEPS];    /* mean nDCG@10 by value, over all questions */
    size_t values;                 /* of them that were tried */
    size_t best;                   /* value that was best on the questions to choose on */
    struct evaluate_interval gain; /* of it over the value in force, on the other questions */
    bool shown;                    /* the gain lies above 0: take it */
};

/* The order of a question's candidates at this alpha, as places in question->candidates: at most TUNE_CANDIDATES_MAX
 * of them into order[]; returns how many. */
size_t tune_order(const struct tune_question *question, double alpha,
                  size_t order[TUNE_CANDIDATES_MAX]);

/* Tries alpha = i / 20; `current` is the one in force. */
bool tune_alpha(const struct tune_question *questions, size_t count, double current,
                struct tune_choice *ret, struct err *err);

/* Tries tune_depths at this alpha; `current` is the depth in force. */
bool tune_depth(const struct tune_question *questions, size_t count, double alpha, size_t current,
                struct tune_choice *ret, struct err *err);

/* A question that the passage should answer, appended to `out`: one of its sentences, from the middle (the ends may
 * stand in neighbouring passages too), with every other word left out when `hide` is true, so that finding the very
 * sentence is not all it takes. False when the passage has no sentence of at least six words. */
bool tune_question_text(const char *passage, size_t length, bool hide, uint64_t *random,
                        struct str *out);

#endif
