/* fusion.h - one ranking out of two.
 *
 * Purpose: candidates are the union of the best by words and the best by meaning; each has both
 *   exact scores. Three ways to make one score of them:
 *   - convex (the default): alpha · norm(dense) + (1 - alpha) · norm(sparse), where norm maps the
 *     theoretical minimum (BM25: 0, cosine: -1) to 0 and the largest score observed to 1; Bruch,
 *     Gai and Ingber, "An Analysis of Fusion Functions for Hybrid Retrieval", arXiv 2210.11934;
 *   - RRF: the sum of 1 / (60 + rank) over both rankings; Cormack, Clarke and Büttcher, SIGIR 2009;
 *   - max: as convex, but each score is divided by the largest, negative cosines being 0. For
 *     comparison: cosines of one question differ little, so they weigh less than alpha says.
 *
 * How alpha follows the question: the largest BM25 score observed becomes 1 even when it stands for
 *   one chance word of a question in another language, and then words outvote meaning. What words
 *   can say about a question is known: a passage of average length that has each of its words once
 *   scores the sum of their idf. The best passage's share of that is the question's coverage, and
 *   words get that share of their weight: alpha' = 1 - (1 - alpha) · min(1, coverage). A question
 *   whose words the corpus has keeps alpha; one whose words it lacks is left to meaning.
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

enum fusion_method { FUSION_CONVEX, FUSION_RRF, FUSION_MAX };

/* "convex", "rrf" or "max". */
bool fusion_parse(const char *name, enum fusion_method *ret);
const char *fusion_name(enum fusion_method method);

struct fusion_candidate {
    uint32_t list; /* the caller's numbers: of the index … */
    uint32_t slot; /* … and of the passage; they break ties, smaller first */
    float sparse;  /* >= 0 */
    float dense;   /* -1..1, meaningless unless has_dense */
    bool has_dense;
    double fused; /* result */
};

/* The weight of meaning for a question of which words cover this much (>= 0); see above. Exactly 0
 * (words alone) and exactly 1 (meaning alone) stay what they are. */
double fusion_alpha(double alpha, double coverage);

/* (score - minimum) / (maximum - minimum), cut to 0..1; 0 when maximum <= minimum. */
double fusion_norm(double score, double minimum, double maximum);

/* Fills `fused` (0..1, by the candidates' own maxima) and sorts the candidates, best first.
 * A candidate without a vector (it is being embedded) is taken to mean as little as the least
 * similar candidate that has one. When no candidate has one, `fused` is norm(sparse), whatever
 * alpha says. */
void fusion_convex(struct fusion_candidate *candidates, size_t count, double alpha);

/* The same with each score divided by the largest one. */
void fusion_max(struct fusion_candidate *candidates, size_t count, double alpha);

/* The same by reciprocal ranks; a score that a candidate lacks (no vector, sparse 0) adds nothing.
 */
void fusion_rrf(struct fusion_candidate *candidates, size_t count);

#endif
