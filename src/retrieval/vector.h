/* vector.h - dense search: every vector compared with the question's, exactly.
 *
 * Purpose: cosines by dot products of normalised float vectors in one flat array; plain C that
 *   compilers vectorise.
 * Owner:   vectors_free() ends it. Slots are those of bm25.h; a slot may be without a vector.
 * Threads: many may read; set, remove and compact need the array to themselves.
 * Fails:   ERR_INVALID_REQUEST for a vector of another length than the first or with a value that
 * is not finite; ERR_NO_MEMORY. Nothing changes then.
 */
#ifndef JARVIS_RETRIEVAL_VECTOR_H
#define JARVIS_RETRIEVAL_VECTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { VECTOR_DIMENSIONS_MAX = 16384 };

/* What vector_scores() writes for a slot without a vector: smaller than any cosine. */
#define VECTOR_NONE (-2.0f)

struct vectors;

bool vectors_new(struct vectors **ret, struct err *err);
void vectors_free(struct vectors *vectors);

/* Sets or replaces the vector of a slot: copied and scaled to norm 1. One that is all zero has no
 * direction: the slot is without a vector then. */
bool vectors_set(struct vectors *vectors, uint32_t slot, const float *values, uint32_t dimensions,
                 struct err *err);
void vectors_remove(struct vectors *vectors, uint32_t slot);

/* Renumbers slots: remap[old] is the new slot or UINT32_MAX for one that is gone; new slots keep
 * the old order. */
void vectors_compact(struct vectors *vectors, const uint32_t *remap, uint32_t slots);

uint32_t vectors_count(const struct vectors *vectors);
uint32_t vectors_dimensions(const struct vectors *vectors); /* 0 before the first */
bool vectors_has(const struct vectors *vectors, uint32_t slot);

/* The cosine of `query` with every vector into scores[0 .. slots), clamped to -1..1; VECTOR_NONE
 * elsewhere. */
bool vectors_score(const struct vectors *vectors, const float *query, uint32_t dimensions,
                   float *scores, uint32_t slots, struct err *err);

/* ERR_INVALID_REQUEST for a length out of range or a value that is not finite. */
bool vector_check(const float *values, uint32_t dimensions, struct err *err);

/* The dot product, summed in a fixed order: the same result on every call. */
float vector_dot(const float *a, const float *b, uint32_t dimensions);

#endif
