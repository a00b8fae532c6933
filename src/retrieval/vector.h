/* vector.h - dense search: every vector compared with the question's.
 *
 * Purpose: vectors of norm 1 in flat arrays, found by cosine without a graph or a training. A number of a vector is kept
 *   as two bytes, the high and the low one; a search reads as little as decides it:
 *     1. past VECTOR_BITS_BYTES, the signs of every row (1 bit a number) against the query in 4 bits;
 *     2. high bytes of all rows, or of the many that are best by signs, against the query in 8 bits;
 *     3. both bytes of the best of these, more than are wanted, with the exact query.
 *   A cosine from both bytes is within 1e-4 of the one in 32-bit floats; the floats themselves stay in the store.
 * Owner:   vectors_free() ends it. Slots are those of bm25.h; a slot may be without a vector.
 * Threads: many may read; set, remove, compact and vectors_configure need it to themselves.
 * Fails:   ERR_INVALID_REQUEST for a vector of another length than the first or with a value that is not finite;
 *   ERR_NO_MEMORY. Nothing changes then.
 */
#ifndef JARVIS_RETRIEVAL_VECTOR_H
#define JARVIS_RETRIEVAL_VECTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "retrieval/top.h"
#include "retrieval/vector_kernel.h"

enum {
    VECTOR_DIMENSIONS_MAX = 16384,
    VECTOR_BITS_BYTES = 200000 * 384, /* of high bytes: more than a cache holds */
};

/* What vectors_cosines() writes for a slot without a vector: smaller than any cosine. */
#define VECTOR_NONE (-2.0f)

struct vectors;

bool vectors_new(struct vectors **ret, struct err *err);
void vectors_free(struct vectors *vectors);

/* For tests and measurements: with which kernel (NULL: the best) and from how many high bytes on signs are scanned first. */
void vectors_configure(struct vectors *vectors, const struct vector_kernel *kernel,
                       size_t bits_bytes);

/* Sets or replaces the vector of a slot: copied and scaled to norm 1. One that is all zero has no direction: the slot is
 * without a vector then. */
bool vectors_set(struct vectors *vectors, uint32_t slot, const float *values, uint32_t dimensions,
                 struct err *err);
void vectors_remove(struct vectors *vectors, uint32_t slot);

/* Renumbers slots: remap[old] is the new slot or UINT32_MAX for one that is gone; new slots keep the old order. */
void vectors_compact(struct vectors *vectors, const uint32_t *remap, uint32_t slots);

uint32_t vectors_count(const struct vectors *vectors);
uint32_t vectors_dimensions(const struct vectors *vectors); /* 0 before the first */
bool vectors_has(const struct vectors *vectors, uint32_t slot);

/* The slots of the `top->want` largest cosines with `query` into `top` (its items have that room), best first, the
 * smaller slot first among equals. `filter` may be NULL. A query without direction finds nothing. */
bool vectors_top(const struct vectors *vectors, const float *query, uint32_t dimensions,
                 const struct slot_filter *filter, struct top *top, struct err *err);

/* The cosine of `query` with the vector of each of `count` slots, -1..1; VECTOR_NONE for a slot without one, and for
 * all when the query has no direction. The same number as vectors_top() gives. */
bool vectors_cosines(const struct vectors *vectors, const float *query, uint32_t dimensions,
                     const uint32_t *slots, size_t count, float *ret, struct err *err);

/* ERR_INVALID_REQUEST for a length out of range or a value that is not finite. */
bool vector_check(const float *values, uint32_t dimensions, struct err *err);

#endif
