/* fusion.h - one ranking out of two.
 *
 * Purpose: candidates are the union of the best by words and the best by meaning; each has both
 *   exact scores. Two ways to make one score of them:
 *   - convex (the default): alpha · norm(dense) + (1 - alpha) · norm(sparse), where norm maps the
 *     theoretical minimum (BM25: 0, cosine: -1) to 0 and the largest score observed to 1; Bruch,
 *     Gai and Ingber, "An Analysis of Fusion Functions for Hybrid Retrieval", arXiv 2210.11934;
 *   - RRF: the sum of 1 / (60 + rank) over both rankings; Cormack, Clarke and Büttcher, SIGIR 2009.
 * Owner:   works on the caller's array.
 * Threads: pure functions.
 * Fails:   never.
 */
#ifndef JARVIS_RETRIEVAL_FUSION_H
#define JARVIS_RETRIEVAL_FUSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FUSION_RRF_K 60

enum fusion_method { FUSION_CONVEX, FUSION_RRF };

struct fusion_candidate {
    uint32_t list; /* the caller's numbers: of the index … */
    uint32_t slot; /* … and of the passage; they break ties, smaller first */
    float sparse;  /* >= 0 */
    float dense;   /* -1..1, meaningless unless has_dense */
    bool has_dense;
    double fused; /* result */
};

/* (score - minimum) / (maximum - minimum), cut to 0..1; 0 when maximum <= minimum. */
double fusion_norm(double score, double minimum, double maximum);

/* Fills `fused` (0..1, by the candidates' own maxima) and sorts the candidates, best first.
 * A candidate without a vector (it is being embedded) is taken to mean as little as the least
 * similar candidate that has one. When no candidate has one, `fused` is norm(sparse), whatever
 * alpha says. */
void fusion_convex(struct fusion_candidate *candidates, size_t count, double alpha);

/* The same by reciprocal ranks; a score that a candidate lacks (no vector, sparse 0) adds nothing.
 */
void fusion_rrf(struct fusion_candidate *candidates, size_t count);

#endif
