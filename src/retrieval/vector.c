#include "retrieval/vector.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/vec.h"

enum {
    LANES = 16, /* partial sums, so that the compiler can keep them in vector registers */
    ROWS_MAX = 1 << 28,
    NO_ROW = -1, /* as uint32_t in row_of */
};

struct vectors {
    float *values; /* one row of `dimensions` after the other, without gaps */
    size_t value_capacity;
    uint32_t *slot_of; /* by row */
    size_t slot_capacity;
    uint32_t rows;
    uint32_t *row_of; /* by slot; NO_ROW: without a vector */
    size_t row_of_count;
    size_t row_of_capacity;
    uint32_t dimensions;
};

bool vectors_new(struct vectors **ret, struct err *err)
{
    struct vectors *vectors = calloc(1, sizeof(*vectors));
    if (!vectors)
        return err_no_memory(err);
    *ret = vectors;
    return true;
}

void vectors_free(struct vectors *vectors)
{
    if (!vectors)
        return;
    free(vectors->values);
    free(vectors->slot_of);
    free(vectors->row_of);
    free(vectors);
}

uint32_t vectors_count(const struct vectors *vectors)
{
    return vectors->rows;
}

uint32_t vectors_dimensions(const struct vectors *vectors)
{
    return vectors->dimensions;
}

static uint32_t row_of(const struct vectors *vectors, uint32_t slot)
{
    return slot < vectors->row_of_count ? vectors->row_of[slot] : (uint32_t)NO_ROW;
}

bool vectors_has(const struct vectors *vectors, uint32_t slot)
{
    return row_of(vectors, slot) != (uint32_t)NO_ROW;
}

bool vector_check(const float *values, uint32_t dimensions, struct err *err)
{
    if (dimensions == 0 || dimensions > VECTOR_DIMENSIONS_MAX)
        return err_set(err, ERR_INVALID_REQUEST, "a vector may have 1 to %d numbers, not %u",
                       VECTOR_DIMENSIONS_MAX, dimensions);
    for (uint32_t i = 0; i < dimensions; i++)
        if (!isfinite(values[i]))
            return err_set(err, ERR_INVALID_REQUEST,
                           "a vector has a value that is no number; the embedding model may be "
                           "broken");
    return true;
}

float vector_dot(const float *a, const float *b, uint32_t dimensions)
{
    float lanes[LANES] = {0};
    uint32_t i = 0;
    for (; i + LANES <= dimensions; i += LANES)
        for (int lane = 0; lane < LANES; lane++)
            lanes[lane] += a[i + (uint32_t)lane] * b[i + (uint32_t)lane];
    for (; i < dimensions; i++)
        lanes[i % LANES] += a[i] * b[i];
    float sum = 0;
    for (int lane = 0; lane < LANES; lane++)
        sum += lanes[lane];
    return sum;
}

/* The norm of a vector of the right kind, 0 for one without direction; false with err otherwise. */
static bool check_vector(const struct vectors *vectors, const float *values, uint32_t dimensions,
                         double *ret_norm, struct err *err)
{
    if (vectors->dimensions > 0 && dimensions != vectors->dimensions)
        return err_set(err, ERR_INVALID_REQUEST,
                       "a vector of %u numbers was given, the index has vectors of %u; embed again "
                       "with the model that is configured",
                       dimensions, vectors->dimensions);
    if (!vector_check(values, dimensions, err))
        return false;
    double square = 0;
    for (uint32_t i = 0; i < dimensions; i++)
        square += (double)values[i] * values[i];
    *ret_norm = sqrt(square);
    return true;
}

static bool reserve(struct vectors *vectors, uint32_t slot, uint32_t dimensions, struct err *err)
{
    size_t rows = (size_t)vectors->rows + 1;
    if (!vec_reserve(&vectors->values, &vectors->value_capacity, rows * dimensions, sizeof(float),
                     SIZE_MAX / sizeof(float), err) ||
        !vec_reserve(&vectors->slot_of, &vectors->slot_capacity, rows, sizeof(uint32_t), ROWS_MAX,
                     err) ||
        !vec_reserve(&vectors->row_of, &vectors->row_of_capacity, (size_t)slot + 1,
                     sizeof(uint32_t), ROWS_MAX, err))
        return false;
    while (vectors->row_of_count <= slot)
        vectors->row_of[vectors->row_of_count++] = (uint32_t)NO_ROW;
    return true;
}

bool vectors_set(struct vectors *vectors, uint32_t slot, const float *values, uint32_t dimensions,
                 struct err *err)
{
    double norm;
    if (!check_vector(vectors, values, dimensions, &norm, err) ||
        (norm > 0 && !reserve(vectors, slot, dimensions, err)))
        return false;
    if (norm <= 0) {
        vectors_remove(vectors, slot);
        return true;
    }
    uint32_t row = row_of(vectors, slot);
    if (row == (uint32_t)NO_ROW) {
        row = vectors->rows++;
        vectors->row_of[slot] = row;
        vectors->slot_of[row] = slot;
    }
    vectors->dimensions = dimensions;
    float *to = vectors->values + (size_t)row * dimensions;
    for (uint32_t i = 0; i < dimensions; i++)
        to[i] = (float)(values[i] / norm);
    return true;
}

void vectors_remove(struct vectors *vectors, uint32_t slot)
{
    uint32_t row = row_of(vectors, slot);
    if (row == (uint32_t)NO_ROW)
        return;
    uint32_t last = --vectors->rows; /* takes the free place */
    size_t size = vectors->dimensions;
    if (row != last) {
        memcpy(vectors->values + row * size, vectors->values + last * size, size * sizeof(float));
        vectors->slot_of[row] = vectors->slot_of[last];
        vectors->row_of[vectors->slot_of[row]] = row;
    }
    vectors->row_of[slot] = (uint32_t)NO_ROW;
}

void vectors_compact(struct vectors *vectors, const uint32_t *remap, uint32_t slots)
{
    for (uint32_t slot = 0; slot < slots && slot < vectors->row_of_count; slot++)
        if (remap[slot] == UINT32_MAX)
            vectors_remove(vectors, slot);
    for (size_t slot = 0; slot < vectors->row_of_count; slot++)
        vectors->row_of[slot] = (uint32_t)NO_ROW;
    for (uint32_t row = 0; row < vectors->rows; row++) {
        uint32_t slot = remap[vectors->slot_of[row]];
        vectors->slot_of[row] = slot;
        vectors->row_of[slot] = row; /* not beyond the old slot, so there is room */
    }
}

bool vectors_score(const struct vectors *vectors, const float *query, uint32_t dimensions,
                   float *scores, uint32_t slots, struct err *err)
{
    double norm;
    if (!check_vector(vectors, query, dimensions, &norm, err))
        return false;
    for (uint32_t slot = 0; slot < slots; slot++)
        scores[slot] = VECTOR_NONE;
    if (norm <= 0)
        return true;
    for (uint32_t row = 0; row < vectors->rows; row++) {
        if (vectors->slot_of[row] >= slots)
            continue;
        const float *values = vectors->values + (size_t)row * dimensions;
        double cosine = vector_dot(query, values, dimensions) / norm;
        scores[vectors->slot_of[row]] = (float)(cosine > 1 ? 1 : cosine < -1 ? -1 : cosine);
    }
    return true;
}
