/* vector_kernel.h - the inner loops of dense search, one set for each kind of processor.
 *
 * Purpose: private to vector.c: products of 8-bit rows with an 8-bit query, and of 1-bit rows with a
 *   4-bit query. All are sums of whole numbers, so every kernel gives the very same results; which
 *   one is used changes the time alone.
 * Owner:   nothing is kept; the sets are constants.
 * Threads: pure functions.
 * Fails:   never.
 */
#ifndef JARVIS_RETRIEVAL_VECTOR_KERNEL_H
#define JARVIS_RETRIEVAL_VECTOR_KERNEL_H

#include <stddef.h>
#include <stdint.h>

enum {
    VECTOR_STRIDE = 64,      /* rows are padded with zeros to a multiple of so many numbers */
    VECTOR_QUERY_PLANES = 4, /* bits of a query's number against 1-bit rows */
    VECTOR_GROUP = 8,        /* rows whose bits are kept side by side */
};

struct vector_kernel {
    const char *name;

    /* ret[i] = sum over j of query[j] * rows[i * stride + j], for `count` rows of `stride` numbers, a
     * multiple of VECTOR_STRIDE. All numbers are -127..127. sums[i] is the sum of row i (some kernels
     * need it). */
    void (*dot)(const int8_t *query, const int8_t *rows, const int32_t *sums, size_t stride,
                size_t count, int32_t *ret);

    /* ret[i] = sum over j of u[j] * bit(i, j), where u[j] is the query's 4-bit number: bit p of it is
     * bit j % 64 of planes[p * words + j / 64]. Rows come in `groups` of VECTOR_GROUP; bit (i, j) is
     * bit j % 64 of rows[((i / VECTOR_GROUP) * words + j / 64) * VECTOR_GROUP + i % VECTOR_GROUP], so
     * that one wide register holds a word of each row of a group. */
    void (*bits)(const uint64_t *planes, const uint64_t *rows, size_t words, size_t groups,
                 uint32_t *ret);
};

/* Plain C; the others must equal it. */
extern const struct vector_kernel vector_kernel_scalar;

/* The fastest that this processor can run. */
const struct vector_kernel *vector_kernel_best(void);

/* All that it can run, the scalar one first; returns how many, at most `max`. */
size_t vector_kernel_list(const struct vector_kernel **ret, size_t max);

#endif
