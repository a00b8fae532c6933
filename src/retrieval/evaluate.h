/* evaluate.h - how well a ranking answers questions whose answers are known.
 *
 * Purpose: the measures that search is compared by, from the grades of what was ranked, and how sure one may be of
 *   their means. A document is relevant when its grade is above 0; what nobody judged has grade 0.
 * Owner:   works on the caller's arrays.
 * Threads: pure functions; evaluate_quantile() sorts the caller's array.
 * Fails:   ERR_NO_MEMORY, evaluate_bootstrap() only.
 */
#ifndef JARVIS_RETRIEVAL_EVALUATE_H
#define JARVIS_RETRIEVAL_EVALUATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* EVALUATE_TABLE: symbol, the name that reports use. */
#define EVALUATE_TABLE(X)                \
    X(EVALUATE_NDCG_10, "ndcg@10")       \
    X(EVALUATE_RECALL_3, "recall@3")     \
    X(EVALUATE_RECALL_10, "recall@10")   \
    X(EVALUATE_RECALL_100, "recall@100") \
    X(EVALUATE_MRR_10, "mrr@10")

#define EVALUATE_ENUM(symbol, name) symbol,
enum evaluate_measure { EVALUATE_TABLE(EVALUATE_ENUM) EVALUATE_COUNT };
#undef EVALUATE_ENUM

enum {
    EVALUATE_DEPTH = 100,            /* ranks that the measures look at */
    EVALUATE_BOOTSTRAP_ROUNDS = 2000 /* resamplings behind an interval */
};

const char *evaluate_name(enum evaluate_measure measure);

/* What one question's ranking is worth; each value is 0..1. */
struct evaluate_values {
    double of[EVALUATE_COUNT];
};

/* grades[0..count): of the documents ranked, best first; relevant[0..relevant_count): every grade above 0 that the
 * question has, largest first, at least one.
 *   nDCG@10:  sum of grade / log2(rank + 1) over the first 10, by what the best order would get; gains are the
 *             grades themselves, as in trec_eval (Järvelin and Kekäläinen, TOIS 2002).
 *   Recall@k: relevant documents among the first k, by all relevant ones.
 *   MRR@10:   1 / rank of the first relevant document, 0 when it is not among the first 10. */
void evaluate_ranking(const double *grades, size_t count, const double *relevant,
                      size_t relevant_count, struct evaluate_values *ret);

struct evaluate_interval {
    double mean;
    double low; /* 95% */
    double high;
};

/* The mean of values[0..count), count > 0, and its percentile bootstrap interval (Efron and Tibshirani 1993): the
 * questions are drawn anew, with replacement, EVALUATE_BOOTSTRAP_ROUNDS times. For two systems give the differences
 * question by question: an interval above 0 says that the first is better. The same seed gives the same interval. */
bool evaluate_bootstrap(const double *values, size_t count, uint64_t seed,
                        struct evaluate_interval *ret, struct err *err);

/* The q-quantile (0..1) by linear interpolation between order statistics; sorts the values. 0 for none. */
double evaluate_quantile(double *values, size_t count, double q);

/* The next of a stream of 64-bit pseudo-random numbers: SplitMix64 (Steele, Lea and Flood 2014). */
uint64_t evaluate_random(uint64_t *state);

#endif
