#include "retrieval/evaluate.h"

#include <math.h>
#include <stdlib.h>

enum { NDCG_RANKS = 10, MRR_RANKS = 10 };

const char *evaluate_name(enum evaluate_measure measure)
{
#define EVALUATE_NAME(symbol, name) name,
    static const char *const names[] = {EVALUATE_TABLE(EVALUATE_NAME)};
#undef EVALUATE_NAME
    return names[measure];
}

static double discounted_gain(const double *grades, size_t count, size_t ranks)
{
    double gain = 0;
    for (size_t i = 0; i < count && i < ranks; i++)
        gain += grades[i] / log2((double)i + 2);
    return gain;
}

static double recall(const double *grades, size_t count, size_t relevant, size_t ranks)
{
    size_t found = 0;
    for (size_t i = 0; i < count && i < ranks; i++)
        found += grades[i] > 0;
    return (double)found / (double)relevant;
}

static double reciprocal_rank(const double *grades, size_t count)
{
    for (size_t i = 0; i < count && i < MRR_RANKS; i++)
        if (grades[i] > 0)
            return 1.0 / ((double)i + 1);
    return 0;
}

void evaluate_ranking(const double *grades, size_t count, const double *relevant,
                      size_t relevant_count, struct evaluate_values *ret)
{
    ret->of[EVALUATE_NDCG_10] = discounted_gain(grades, count, NDCG_RANKS) /
                                discounted_gain(relevant, relevant_count, NDCG_RANKS);
    ret->of[EVALUATE_RECALL_3] = recall(grades, count, relevant_count, 3);
    ret->of[EVALUATE_RECALL_10] = recall(grades, count, relevant_count, 10);
    ret->of[EVALUATE_RECALL_100] = recall(grades, count, relevant_count, 100);
    ret->of[EVALUATE_MRR_10] = reciprocal_rank(grades, count);
}

uint64_t evaluate_random(uint64_t *state)
{
    uint64_t z = *state += 0x9E3779B97F4A7C15U;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31);
}

static double mean_of(const double *values, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += values[i];
    return sum / (double)count;
}

bool evaluate_bootstrap(const double *values, size_t count, uint64_t seed,
                        struct evaluate_interval *ret, struct err *err)
{
    double *means = calloc(EVALUATE_BOOTSTRAP_ROUNDS, sizeof(*means));
    if (!means)
        return err_no_memory(err);
    for (size_t round = 0; round < EVALUATE_BOOTSTRAP_ROUNDS; round++) {
        double sum = 0;
        for (size_t i = 0; i < count; i++)
            sum += values[evaluate_random(&seed) % count];
        means[round] = sum / (double)count;
    }
    ret->mean = mean_of(values, count);
    ret->low = evaluate_quantile(means, EVALUATE_BOOTSTRAP_ROUNDS, 0.025);
    ret->high = evaluate_quantile(means, EVALUATE_BOOTSTRAP_ROUNDS, 0.975);
    free(means);
    return true;
}

static int compare(const void *left, const void *right)
{
    double a = *(const double *)left;
    double b = *(const double *)right;
    return a < b ? -1 : a > b;
}

double evaluate_quantile(double *values, size_t count, double q)
{
    if (count == 0)
        return 0;
    qsort(values, count, sizeof(*values), compare);
    double place = q * (double)(count - 1);
    size_t below = (size_t)place;
    size_t above = below + 1 < count ? below + 1 : below;
    return values[below] + (values[above] - values[below]) * (place - (double)below);
}
