/* How a row is kept. For a vector x of norm 1 with largest magnitude m, scale = m / 127 and
 *     x[j] ~ scale * (high[j] + low[j] / 254),   high and low in -127..127.
 * The scan takes the high bytes; the low ones are read for the few rows that are rescored.
 *
 * The signs' estimate of a cosine is the one of RaBitQ without its rotation (Gao and Long, SIGMOD 2024): with s the
 * vector of signs, <q, x> is taken to be <q, s> / <x, s>; for x of norm 1 the divisor is the sum of its magnitudes. With
 * u the query in 4 bits (q[j] = lowest + step * u[j]) and b the bits, <q, s> is
 *     2 (lowest * ones + step * sum(u b)) - sum(q):
 * one pass of ANDs and popcounts, and two numbers a row.
 */
#include "retrieval/vector.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/vec.h"

enum {
    BLOCK = 256, /* rows scored at a time, before the best are picked */
    ROWS_MAX = 1 << 28,
    NO_ROW = -1, /* as uint32_t in row_of */
    LANES = 16,  /* partial sums, so that the compiler can keep them in vector registers */
    INT8_LIMIT = 127,
    LOW_STEPS = 254,  /* of a low byte in one step of a high one */
    QUERY_STEPS = 15, /* of a query's number in 4 bits */
    /* Rows that are rescored for each that is wanted, and at least. */
    BYTES_OVERSAMPLE = 2,
    BITS_OVERSAMPLE = 8,
    BYTES_MIN = 64,
    BITS_MIN = 1600,
};

/* What the scans need of a row beside its numbers. */
struct row {
    float scale;
    float magnitude; /* sum of |x|: the divisor of the signs' estimate */
    uint32_t ones;   /* signs that are positive */
    uint32_t slot;
};

struct vectors {
    const struct vector_kernel *kernel;
    size_t bits_bytes;
    uint32_t dimensions;
    size_t stride;  /* numbers of a row, padding included */
    int8_t *high;   /* rows x stride */
    int8_t *low;    /* the same */
    uint64_t *bits; /* in groups (vector_kernel.h), the last one whole: set where a number is > 0 */
    int32_t *sums;  /* of the high bytes */
    struct row *rows;
    size_t high_capacity;
    size_t low_capacity;
    size_t bits_capacity;
    size_t sums_capacity;
    size_t rows_capacity;
    uint32_t count;
    uint32_t *row_of; /* by slot; NO_ROW: without a vector */
    size_t row_of_count;
    size_t row_of_capacity;
};

bool vectors_new(struct vectors **ret, struct err *err)
{
    struct vectors *vectors = calloc(1, sizeof(*vectors));
    if (!vectors)
        return err_no_memory(err);
    vectors_configure(vectors, NULL, VECTOR_BITS_BYTES);
    *ret = vectors;
    return true;
}

void vectors_configure(struct vectors *vectors, const struct vector_kernel *kernel,
                       size_t bits_bytes)
{
    vectors->kernel = kernel ? kernel : vector_kernel_best();
    vectors->bits_bytes = bits_bytes;
}

void vectors_free(struct vectors *vectors)
{
    if (!vectors)
        return;
    free(vectors->high);
    free(vectors->low);
    free(vectors->bits);
    free(vectors->sums);
    free(vectors->rows);
    free(vectors->row_of);
    free(vectors);
}

uint32_t vectors_count(const struct vectors *vectors)
{
    return vectors->count;
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

/* ---------------------------------------------------------------- changing */

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

/* Room for one more row, and for the slot. */
static bool reserve(struct vectors *vectors, uint32_t slot, uint32_t dimensions, struct err *err)
{
    size_t rows = (size_t)vectors->count + 1;
    size_t stride = ((size_t)dimensions + VECTOR_STRIDE - 1) / VECTOR_STRIDE * VECTOR_STRIDE;
    size_t most = (size_t)ROWS_MAX * stride;
    size_t words = stride / VECTOR_STRIDE;
    size_t groups = (rows + VECTOR_GROUP - 1) / VECTOR_GROUP;
    if (!vec_reserve(&vectors->high, &vectors->high_capacity, rows * stride, 1, most, err) ||
        !vec_reserve(&vectors->low, &vectors->low_capacity, rows * stride, 1, most, err) ||
        !vec_reserve(&vectors->bits, &vectors->bits_capacity, groups * VECTOR_GROUP * words,
                     sizeof(uint64_t), most, err) ||
        !vec_reserve(&vectors->sums, &vectors->sums_capacity, rows, sizeof(int32_t), ROWS_MAX,
                     err) ||
        !vec_reserve(&vectors->rows, &vectors->rows_capacity, rows, sizeof(struct row), ROWS_MAX,
                     err) ||
        !vec_reserve(&vectors->row_of, &vectors->row_of_capacity, (size_t)slot + 1,
                     sizeof(uint32_t), ROWS_MAX, err))
        return false;
    while (vectors->row_of_count <= slot)
        vectors->row_of[vectors->row_of_count++] = (uint32_t)NO_ROW;
    vectors->stride = stride;
    return true;
}

/* A row's first word of bits; the next is VECTOR_GROUP further. */
static uint64_t *row_bits(const struct vectors *vectors, uint32_t row)
{
    size_t words = vectors->stride / VECTOR_STRIDE;
    return vectors->bits + row / VECTOR_GROUP * words * VECTOR_GROUP + row % VECTOR_GROUP;
}

/* Writes a vector of that norm (> 0) into a row. */
static void write_row(struct vectors *vectors, uint32_t row, const float *values, double norm)
{
    int8_t *high = vectors->high + row * vectors->stride;
    int8_t *low = vectors->low + row * vectors->stride;
    uint64_t *bits = row_bits(vectors, row);
    memset(high, 0, vectors->stride);
    memset(low, 0, vectors->stride);
    for (size_t word = 0; word < vectors->stride / VECTOR_STRIDE; word++)
        bits[word * VECTOR_GROUP] = 0;
    double largest = 0;
    double magnitude = 0;
    for (uint32_t j = 0; j < vectors->dimensions; j++) {
        double x = fabs(values[j] / norm);
        magnitude += x;
        largest = x > largest ? x : largest;
    }
    double scale = largest / INT8_LIMIT;
    int32_t sum = 0;
    uint32_t ones = 0;
    for (uint32_t j = 0; j < vectors->dimensions; j++) {
        double steps = values[j] / norm / scale;
        double whole = nearbyint(steps);
        high[j] = (int8_t)whole;
        low[j] = (int8_t)nearbyint((steps - whole) * LOW_STEPS);
        sum += high[j];
        if (values[j] > 0) {
            bits[j / VECTOR_STRIDE * VECTOR_GROUP] |= UINT64_C(1) << (j % VECTOR_STRIDE);
            ones++;
        }
    }
    vectors->sums[row] = sum;
    vectors->rows[row].scale = (float)scale;
    vectors->rows[row].magnitude = (float)magnitude;
    vectors->rows[row].ones = ones;
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
        row = vectors->count++;
        vectors->row_of[slot] = row;
        vectors->rows[row].slot = slot;
    }
    vectors->dimensions = dimensions;
    write_row(vectors, row, values, norm);
    return true;
}

void vectors_remove(struct vectors *vectors, uint32_t slot)
{
    uint32_t row = row_of(vectors, slot);
    if (row == (uint32_t)NO_ROW)
        return;
    uint32_t last = --vectors->count; /* takes the free place */
    if (row != last) {
        size_t stride = vectors->stride;
        memcpy(vectors->high + row * stride, vectors->high + last * stride, stride);
        memcpy(vectors->low + row * stride, vectors->low + last * stride, stride);
        for (size_t word = 0; word < stride / VECTOR_STRIDE; word++)
            row_bits(vectors, row)[word * VECTOR_GROUP] =
                row_bits(vectors, last)[word * VECTOR_GROUP];
        vectors->sums[row] = vectors->sums[last];
        vectors->rows[row] = vectors->rows[last];
        vectors->row_of[vectors->rows[row].slot] = row;
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
    for (uint32_t row = 0; row < vectors->count; row++) {
        uint32_t slot = remap[vectors->rows[row].slot];
        vectors->rows[row].slot = slot;
        vectors->row_of[slot] = row; /* not beyond the old slot, so there is room */
    }
}

/* ---------------------------------------------------------------- the query */

/* A question in the three precisions of the scans; `high` and `planes` are padded as rows are. */
struct query {
    const float *values;
    double norm;
    int8_t *high;
    uint64_t *planes;
    float lowest; /* 4 bits: values[j] ~ lowest + step * u[j] */
    float step;
    float sum; /* of the values */
};

static void write_high(const struct vectors *vectors, struct query *query)
{
    float largest = 0;
    for (uint32_t j = 0; j < vectors->dimensions; j++)
        largest = fmaxf(largest, fabsf(query->values[j]));
    for (uint32_t j = 0; j < vectors->dimensions; j++)
        query->high[j] = (int8_t)nearbyintf(query->values[j] / largest * INT8_LIMIT);
}

static void write_planes(const struct vectors *vectors, struct query *query)
{
    float lowest = query->values[0];
    float highest = query->values[0];
    for (uint32_t j = 0; j < vectors->dimensions; j++) {
        lowest = fminf(lowest, query->values[j]);
        highest = fmaxf(highest, query->values[j]);
        query->sum += query->values[j];
    }
    query->lowest = lowest;
    query->step = highest > lowest ? (highest - lowest) / QUERY_STEPS : 1;
    size_t words = vectors->stride / VECTOR_STRIDE;
    for (uint32_t j = 0; j < vectors->dimensions; j++) {
        unsigned u = (unsigned)nearbyintf((query->values[j] - lowest) / query->step);
        for (unsigned plane = 0; plane < VECTOR_QUERY_PLANES; plane++)
            query->planes[plane * words + j / VECTOR_STRIDE] |= (uint64_t)(u >> plane & 1)
                                                                << (j % VECTOR_STRIDE);
    }
}

static void query_free(struct query *query)
{
    free(query->high);
    free(query->planes);
}

/* `values` has the right length and a direction. */
static bool query_make(const struct vectors *vectors, const float *values, double norm,
                       struct query *ret, struct err *err)
{
    struct query query = {.values = values, .norm = norm};
    query.high = calloc(vectors->stride, 1);
    query.planes =
        calloc(VECTOR_QUERY_PLANES * (vectors->stride / VECTOR_STRIDE), sizeof(uint64_t));
    if (!query.high || !query.planes) {
        query_free(&query);
        return err_no_memory(err);
    }
    write_high(vectors, &query);
    write_planes(vectors, &query);
    *ret = query;
    return true;
}

/* ---------------------------------------------------------------- scoring */

/* The cosine with a row, both bytes of it, summed in a fixed order. */
static float cosine(const struct vectors *vectors, const float *query, double norm, uint32_t row)
{
    const int8_t *high = vectors->high + row * vectors->stride;
    const int8_t *low = vectors->low + row * vectors->stride;
    float lanes[LANES] = {0};
    uint32_t j = 0;
    for (; j + LANES <= vectors->dimensions; j += LANES)
        for (uint32_t lane = 0; lane < LANES; lane++)
            lanes[lane] += query[j + lane] * (float)(high[j + lane] * LOW_STEPS + low[j + lane]);
    for (; j < vectors->dimensions; j++)
        lanes[j % LANES] += query[j] * (float)(high[j] * LOW_STEPS + low[j]);
    double sum = 0;
    for (int lane = 0; lane < LANES; lane++)
        sum += lanes[lane];
    double value = sum * vectors->rows[row].scale / LOW_STEPS / norm;
    return (float)(value > 1 ? 1 : value < -1 ? -1 : value);
}

static bool allowed(const struct slot_filter *filter, uint32_t slot)
{
    return !filter || filter->allows(filter->user, slot);
}

/* Scores of rows first .. first + count from their high bytes; of the size of cosines, but for a common factor. */
static void score_bytes(const struct vectors *vectors, const struct query *query, uint32_t first,
                        uint32_t count, float *scores)
{
    int32_t dots[BLOCK];
    vectors->kernel->dot(query->high, vectors->high + first * vectors->stride,
                         vectors->sums + first, vectors->stride, count, dots);
    for (uint32_t i = 0; i < count; i++)
        scores[i] = (float)dots[i] * vectors->rows[first + i].scale;
}

/* The same from the signs. `first` begins a group; the rest of the last group is computed and not used. */
static void score_bits(const struct vectors *vectors, const struct query *query, uint32_t first,
                       uint32_t count, float *scores)
{
    uint32_t shared[BLOCK];
    size_t words = vectors->stride / VECTOR_STRIDE;
    vectors->kernel->bits(query->planes, vectors->bits + first * words, words,
                          (count + VECTOR_GROUP - 1) / VECTOR_GROUP, shared);
    for (uint32_t i = 0; i < count; i++) {
        const struct row *row = &vectors->rows[first + i];
        float positive = query->lowest * (float)row->ones + query->step * (float)shared[i];
        scores[i] = (2 * positive - query->sum) / row->magnitude;
    }
}

/* Every row by signs or by high bytes: `top` gets rows. */
static void scan(const struct vectors *vectors, const struct query *query, bool bits,
                 const struct slot_filter *filter, struct top *top)
{
    float scores[BLOCK];
    for (uint32_t first = 0; first < vectors->count; first += BLOCK) {
        uint32_t left = vectors->count - first;
        uint32_t count = left < BLOCK ? left : BLOCK;
        (bits ? score_bits : score_bytes)(vectors, query, first, count, scores);
        for (uint32_t i = 0; i < count; i++)
            if (top_admits(top, scores[i]) && allowed(filter, vectors->rows[first + i].slot))
                top_offer(top, (struct top_item){scores[i], first + i});
    }
}

static bool top_new(const struct vectors *vectors, size_t want, struct top *ret, struct err *err)
{
    struct top top = {.want = want < vectors->count ? want : vectors->count};
    top.items = calloc(top.want + 1, sizeof(*top.items));
    if (!top.items)
        return err_no_memory(err);
    *ret = top;
    return true;
}

/* The best rows by high bytes into `top`, out of all or of those that are the best by signs. */
static bool scan_bytes(const struct vectors *vectors, const struct query *query,
                       const struct slot_filter *filter, size_t want, struct top *top,
                       struct err *err)
{
    if (vectors->count * vectors->stride < vectors->bits_bytes) {
        scan(vectors, query, false, filter, top);
        return true;
    }
    struct top coarse;
    size_t rows = want * BITS_OVERSAMPLE;
    if (!top_new(vectors, rows > BITS_MIN ? rows : BITS_MIN, &coarse, err))
        return false;
    scan(vectors, query, true, filter, &coarse);
    for (size_t i = 0; i < coarse.count; i++) {
        struct top_item item = coarse.items[i];
        score_bytes(vectors, query, item.number, 1, &item.score);
        top_offer(top, item);
    }
    free(coarse.items);
    return true;
}

static bool search(const struct vectors *vectors, const struct query *query,
                   const struct slot_filter *filter, struct top *top, struct err *err)
{
    struct top rows;
    if (!top_new(vectors, top->want * BYTES_OVERSAMPLE + BYTES_MIN, &rows, err))
        return false;
    bool ok = scan_bytes(vectors, query, filter, top->want, &rows, err);
    top->count = 0;
    for (size_t i = 0; ok && i < rows.count; i++) {
        uint32_t row = rows.items[i].number;
        float score = cosine(vectors, query->values, query->norm, row);
        top_offer(top, (struct top_item){score, vectors->rows[row].slot});
    }
    top_sort(top);
    free(rows.items);
    return ok;
}

bool vectors_top(const struct vectors *vectors, const float *query, uint32_t dimensions,
                 const struct slot_filter *filter, struct top *top, struct err *err)
{
    double norm;
    if (!check_vector(vectors, query, dimensions, &norm, err))
        return false;
    if (norm <= 0 || vectors->count == 0) {
        top->count = 0;
        return true;
    }
    struct query prepared;
    if (!query_make(vectors, query, norm, &prepared, err))
        return false;
    bool ok = search(vectors, &prepared, filter, top, err);
    query_free(&prepared);
    return ok;
}

bool vectors_cosines(const struct vectors *vectors, const float *query, uint32_t dimensions,
                     const uint32_t *slots, size_t count, float *ret, struct err *err)
{
    double norm;
    if (!check_vector(vectors, query, dimensions, &norm, err))
        return false;
    for (size_t i = 0; i < count; i++) {
        uint32_t row = row_of(vectors, slots[i]);
        ret[i] =
            norm > 0 && row != (uint32_t)NO_ROW ? cosine(vectors, query, norm, row) : VECTOR_NONE;
    }
    return true;
}
