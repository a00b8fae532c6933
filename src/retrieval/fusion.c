#include "retrieval/fusion.h"

#include <stdlib.h>
#include <string.h>

static const char *const names[] = {"convex", "rrf", "max"};

bool fusion_parse(const char *name, enum fusion_method *ret)
{
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        if (strcmp(names[i], name) != 0)
            continue;
        *ret = (enum fusion_method)i;
        return true;
    }
    return false;
}

const char *fusion_name(enum fusion_method method)
{
    return names[method];
}

double fusion_alpha(double alpha, double coverage)
{
    if (alpha == 0 || coverage >= 1)
        return alpha;
    return 1 - (1 - alpha) * coverage;
}

double fusion_norm(double score, double minimum, double maximum)
{
    if (maximum <= minimum)
        return 0;
    double norm = (score - minimum) / (maximum - minimum);
    return norm < 0 ? 0 : norm > 1 ? 1 : norm;
}

/* Ties: by list, then by slot. */
static int compare_numbers(const struct fusion_candidate *a, const struct fusion_candidate *b)
{
    if (a->list != b->list)
        return a->list < b->list ? -1 : 1;
    return a->slot < b->slot ? -1 : a->slot > b->slot;
}

static int compare_fused(const void *left, const void *right)
{
    const struct fusion_candidate *a = left;
    const struct fusion_candidate *b = right;
    if (a->fused != b->fused)
        return a->fused > b->fused ? -1 : 1;
    return compare_numbers(a, b);
}

static int compare_sparse(const void *left, const void *right)
{
    const struct fusion_candidate *a = left;
    const struct fusion_candidate *b = right;
    if (a->sparse != b->sparse)
        return a->sparse > b->sparse ? -1 : 1;
    return compare_numbers(a, b);
}

static int compare_dense(const void *left, const void *right)
{
    const struct fusion_candidate *a = left;
    const struct fusion_candidate *b = right;
    if (a->has_dense != b->has_dense)
        return a->has_dense ? -1 : 1;
    if (a->has_dense && a->dense != b->dense)
        return a->dense > b->dense ? -1 : 1;
    return compare_numbers(a, b);
}

static void sort(struct fusion_candidate *candidates, size_t count,
                 int (*compare)(const void *, const void *))
{
    if (count > 0) /* qsort() wants an array even then */
        qsort(candidates, count, sizeof(*candidates), compare);
}

/* The extremes of both scores. A candidate without a vector is taken to have dense_min. */
struct range {
    double sparse_max;
    double dense_max;
    double dense_min;
    bool any_dense;
};

static struct range range_of(const struct fusion_candidate *candidates, size_t count)
{
    struct range range = {.dense_max = -1, .dense_min = 1};
    for (size_t i = 0; i < count; i++) {
        const struct fusion_candidate *candidate = &candidates[i];
        if (candidate->sparse > range.sparse_max)
            range.sparse_max = candidate->sparse;
        if (!candidate->has_dense)
            continue;
        range.any_dense = true;
        if (candidate->dense > range.dense_max)
            range.dense_max = candidate->dense;
        if (candidate->dense < range.dense_min)
            range.dense_min = candidate->dense;
    }
    return range;
}

/* alpha · norm(dense) + (1 - alpha) · norm(sparse), where the cosine `dense_zero` becomes 0. */
static void combine(struct fusion_candidate *candidates, size_t count, double alpha,
                    double dense_zero)
{
    struct range range = range_of(candidates, count);
    if (!range.any_dense)
        alpha = 0;
    for (size_t i = 0; i < count; i++) {
        struct fusion_candidate *candidate = &candidates[i];
        double dense = candidate->has_dense ? candidate->dense : range.dense_min;
        candidate->fused = alpha * fusion_norm(dense, dense_zero, range.dense_max) +
                           (1 - alpha) * fusion_norm(candidate->sparse, 0, range.sparse_max);
    }
    sort(candidates, count, compare_fused);
}

void fusion_convex(struct fusion_candidate *candidates, size_t count, double alpha)
{
    combine(candidates, count, alpha, -1);
}

void fusion_max(struct fusion_candidate *candidates, size_t count, double alpha)
{
    combine(candidates, count, alpha, 0);
}

void fusion_rrf(struct fusion_candidate *candidates, size_t count)
{
    sort(candidates, count, compare_sparse);
    for (size_t i = 0; i < count; i++)
        candidates[i].fused = candidates[i].sparse > 0 ? 1.0 / (FUSION_RRF_K + (double)i + 1) : 0;
    sort(candidates, count, compare_dense);
    for (size_t i = 0; i < count && candidates[i].has_dense; i++)
        candidates[i].fused += 1.0 / (FUSION_RRF_K + (double)i + 1);
    sort(candidates, count, compare_fused);
}
