#include "retrieval/fusion.h"

#include <stdlib.h>

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

void fusion_convex(struct fusion_candidate *candidates, size_t count, double alpha)
{
    bool any_dense = false;
    double sparse_max = 0;
    double dense_max = -1;
    double dense_min = 1; /* of those that have one: stands for the others */
    for (size_t i = 0; i < count; i++) {
        const struct fusion_candidate *candidate = &candidates[i];
        if (candidate->sparse > sparse_max)
            sparse_max = candidate->sparse;
        if (!candidate->has_dense)
            continue;
        any_dense = true;
        if (candidate->dense > dense_max)
            dense_max = candidate->dense;
        if (candidate->dense < dense_min)
            dense_min = candidate->dense;
    }
    if (!any_dense)
        alpha = 0;
    for (size_t i = 0; i < count; i++) {
        struct fusion_candidate *candidate = &candidates[i];
        double dense = candidate->has_dense ? candidate->dense : dense_min;
        candidate->fused = alpha * fusion_norm(dense, -1, dense_max) +
                           (1 - alpha) * fusion_norm(candidate->sparse, 0, sparse_max);
    }
    sort(candidates, count, compare_fused);
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
