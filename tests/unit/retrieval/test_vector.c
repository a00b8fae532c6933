/* Dense search: each kernel against plain loops, and what is found against exact cosines. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "retrieval/vector.h"
#include "unit/retrieval/fixture.h"

enum { KERNELS_MAX = 8 };

static void assert_near(double value, double expected, double tolerance)
{
    if (fabs(value - expected) > tolerance)
        fail_msg("%.9g, should be %.9g", value, expected);
}

static void fill(struct testing_random *random, float *values, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        values[i] = (float)((double)testing_below(random, 2001) / 1000 - 1);
}

static double plain_cosine(const float *a, const float *b, uint32_t count)
{
    double dot = 0;
    double aa = 0;
    double bb = 0;
    for (uint32_t i = 0; i < count; i++) {
        dot += (double)a[i] * b[i];
        aa += (double)a[i] * a[i];
        bb += (double)b[i] * b[i];
    }
    return dot / sqrt(aa * bb);
}

/* ---------------------------------------------------------------- kernels */

/* Bytes over the whole range, the ends of it often: sums that could overflow or saturate do. */
static int8_t any_byte(struct testing_random *random)
{
    switch (testing_below(random, 4)) {
    case 0: return 127;
    case 1: return -127;
    default: return (int8_t)((int)testing_below(random, 255) - 127);
    }
}

static void test_dot_kernels(void **state)
{
    (void)state;
    enum { ROWS = 33, STRIDE_MAX = 1024 };
    struct testing_random random;
    testing_seed(&random);
    const struct vector_kernel *kernels[KERNELS_MAX];
    size_t count = vector_kernel_list(kernels, KERNELS_MAX);
    assert_true(count >= 1);
    int8_t query[STRIDE_MAX];
    int8_t rows[ROWS * STRIDE_MAX];
    for (size_t stride = VECTOR_STRIDE; stride <= STRIDE_MAX; stride += VECTOR_STRIDE) {
        int32_t expected[ROWS] = {0};
        int32_t sums[ROWS] = {0};
        for (size_t j = 0; j < stride; j++)
            query[j] = any_byte(&random);
        for (size_t j = 0; j < ROWS * stride; j++) {
            rows[j] = any_byte(&random);
            expected[j / stride] += query[j % stride] * rows[j];
            sums[j / stride] += rows[j];
        }
        for (size_t k = 0; k < count; k++) {
            int32_t got[ROWS];
            kernels[k]->dot(query, rows, sums, stride, ROWS, got);
            for (size_t i = 0; i < ROWS; i++)
                if (got[i] != expected[i])
                    fail_msg("%s, stride %zu, row %zu: %d, should be %d", kernels[k]->name, stride,
                             i, got[i], expected[i]);
        }
    }
}

/* The sum of the query's 4-bit numbers where row `i` has a bit, one bit after the other. */
static uint32_t plain_bits(const uint64_t *planes, const uint64_t *rows, size_t words, size_t i)
{
    uint32_t sum = 0;
    for (size_t j = 0; j < words * 64; j++) {
        unsigned u = 0;
        for (unsigned p = 0; p < VECTOR_QUERY_PLANES; p++)
            u |= (unsigned)(planes[p * words + j / 64] >> (j % 64) & 1) << p;
        uint64_t word = rows[(i / VECTOR_GROUP * words + j / 64) * VECTOR_GROUP + i % VECTOR_GROUP];
        sum += word >> (j % 64) & 1 ? u : 0;
    }
    return sum;
}

static void test_bit_kernels(void **state)
{
    (void)state;
    enum { GROUPS = 3, ROWS = GROUPS * VECTOR_GROUP, WORDS_MAX = 12 };
    struct testing_random random;
    testing_seed(&random);
    const struct vector_kernel *kernels[KERNELS_MAX];
    size_t count = vector_kernel_list(kernels, KERNELS_MAX);
    uint64_t planes[VECTOR_QUERY_PLANES * WORDS_MAX];
    uint64_t rows[ROWS * WORDS_MAX];
    for (size_t words = 1; words <= WORDS_MAX; words++) {
        for (size_t i = 0; i < VECTOR_QUERY_PLANES * words; i++)
            planes[i] = testing_next(&random);
        for (size_t i = 0; i < ROWS * words; i++)
            rows[i] = testing_next(&random);
        for (size_t k = 0; k < count; k++) {
            uint32_t got[ROWS];
            kernels[k]->bits(planes, rows, words, GROUPS, got);
            for (size_t i = 0; i < ROWS; i++)
                assert_int_equal(got[i], plain_bits(planes, rows, words, i));
        }
    }
}

/* ---------------------------------------------------------------- vectors */

static void test_cosines(void **state)
{
    (void)state;
    struct testing_random random;
    testing_seed(&random);
    static const uint32_t sizes[] = {1, 3, 16, 17, 31, 64, 65, 384};
    for (size_t s = 0; s < sizeof(sizes) / sizeof(*sizes); s++) {
        uint32_t size = sizes[s];
        float rows[50][384];
        uint32_t slots[50];
        float scores[50];
        float query[384];
        struct vectors *vectors;
        struct err err;
        assert_ok(vectors_new(&vectors, &err), &err);
        for (uint32_t i = 0; i < 50; i++) {
            slots[i] = 49 - i;
            fill(&random, rows[i], size);
            rows[i][0] += 2;
            if (i % 2 == 0) /* every other slot is without */
                assert_ok(vectors_set(vectors, i, rows[i], size, &err), &err);
        }
        fill(&random, query, size);
        query[0] += 2;
        assert_ok(vectors_cosines(vectors, query, size, slots, 50, scores, &err), &err);
        for (uint32_t i = 0; i < 50; i++)
            if (slots[i] % 2)
                assert_true(scores[i] == VECTOR_NONE);
            else
                assert_near(scores[i], plain_cosine(rows[slots[i]], query, size), 1e-4);
        vectors_free(vectors);
    }
}

static void test_replace_remove_compact(void **state)
{
    (void)state;
    struct vectors *vectors;
    struct err err;
    assert_ok(vectors_new(&vectors, &err), &err);
    const float axes[4][3] = {{2, 0, 0}, {0, 3, 0}, {0, 0, 4}, {1, 1, 0}};
    const uint32_t slots[] = {0, 1, 2, 3};
    for (uint32_t i = 0; i < 4; i++)
        assert_ok(vectors_set(vectors, i, axes[i], 3, &err), &err);
    assert_ok(vectors_set(vectors, 1, axes[2], 3, &err), &err);
    vectors_remove(vectors, 0);
    vectors_remove(vectors, 0);
    assert_int_equal(vectors_count(vectors), 3);
    float scores[4];
    assert_ok(vectors_cosines(vectors, axes[2], 3, slots, 4, scores, &err), &err);
    assert_true(scores[0] == VECTOR_NONE);
    assert_near(scores[1], 1, 1e-6);
    assert_near(scores[2], 1, 1e-6);
    assert_near(scores[3], 0, 1e-6);
    const uint32_t remap[] = {UINT32_MAX, 0, UINT32_MAX, 1};
    vectors_compact(vectors, remap, 4);
    assert_int_equal(vectors_count(vectors), 2);
    assert_ok(vectors_cosines(vectors, axes[0], 3, slots, 3, scores, &err), &err);
    assert_near(scores[0], 0, 1e-6);
    assert_near(scores[1], sqrt(0.5), 1e-4);
    assert_true(scores[2] == VECTOR_NONE);
    assert_false(vectors_has(vectors, 2));
    vectors_free(vectors);
}

static void test_odd_vectors(void **state)
{
    (void)state;
    struct vectors *vectors;
    struct err err;
    assert_ok(vectors_new(&vectors, &err), &err);
    const float zero[2] = {0, 0};
    const float one[3] = {1, 0, 0};
    const float infinite[2] = {INFINITY, 0};
    struct top_item items[2];
    struct top top = {.items = items, .want = 2};
    assert_ok(vectors_top(vectors, one, 3, NULL, &top, &err), &err);
    assert_int_equal(top.count, 0);
    assert_ok(vectors_set(vectors, 0, zero, 2, &err), &err);
    assert_false(vectors_has(vectors, 0));
    assert_false(vectors_set(vectors, 0, infinite, 2, &err));
    assert_int_equal(err.code, ERR_INVALID_REQUEST);
    assert_false(vectors_set(vectors, 0, one, 0, &err));
    assert_ok(vectors_set(vectors, 0, one, 3, &err), &err);
    assert_false(vectors_set(vectors, 1, one, 2, &err));
    assert_int_equal(err.code, ERR_INVALID_REQUEST);
    assert_false(vectors_top(vectors, one, 2, NULL, &top, &err));
    const float nothing[3] = {0, 0, 0};
    assert_ok(vectors_top(vectors, nothing, 3, NULL, &top, &err), &err);
    assert_int_equal(top.count, 0);
    assert_ok(vectors_top(vectors, one, 3, NULL, &top, &err), &err);
    assert_int_equal(top.count, 1);
    assert_near(items[0].score, 1, 1e-6);
    vectors_free(vectors);
}

/* ---------------------------------------------------------------- finding */

enum { ROWS = 3000, SIZE = 192, CLUSTERS = 60, QUERIES = 40, WANT = 10 };

/* Vectors in clusters, as texts on the same matter are; some are there twice. */
struct crowd {
    float rows[ROWS][SIZE];
    float queries[QUERIES][SIZE];
};

static void near_one(struct testing_random *random, const float *center, float *ret)
{
    fill(random, ret, SIZE);
    for (uint32_t j = 0; j < SIZE; j++)
        ret[j] = center[j] + 0.7f * ret[j];
}

static struct crowd *crowd_new(struct testing_random *random)
{
    struct crowd *crowd = malloc(sizeof(*crowd));
    float centers[CLUSTERS][SIZE];
    assert_non_null(crowd);
    for (size_t i = 0; i < CLUSTERS; i++)
        fill(random, centers[i], SIZE);
    for (size_t i = 0; i < ROWS; i++)
        if (i % 50 == 49)
            memcpy(crowd->rows[i], crowd->rows[i - 1], sizeof(crowd->rows[i]));
        else
            near_one(random, centers[testing_below(random, CLUSTERS)], crowd->rows[i]);
    for (size_t i = 0; i < QUERIES; i++)
        near_one(random, centers[testing_below(random, CLUSTERS)], crowd->queries[i]);
    return crowd;
}

static bool allows_third(const void *user, uint32_t slot)
{
    (void)user;
    return slot % 3 == 0;
}

/* The part of the true best that is found, by exact cosines of the floats. */
static double recall(const struct vectors *vectors, const struct crowd *crowd,
                     const struct slot_filter *filter)
{
    size_t found = 0;
    for (size_t q = 0; q < QUERIES; q++) {
        struct top_item exact[WANT] = {{0}};
        struct top_item items[WANT];
        struct top truth = {.items = exact, .want = WANT};
        struct top top = {.items = items, .want = WANT};
        struct err err;
        for (uint32_t i = 0; i < ROWS; i++)
            if (!filter || filter->allows(filter->user, i))
                top_offer(&truth,
                          (struct top_item){
                              (float)plain_cosine(crowd->rows[i], crowd->queries[q], SIZE), i});
        top_sort(&truth);
        assert_ok(vectors_top(vectors, crowd->queries[q], SIZE, filter, &top, &err), &err);
        assert_int_equal(top.count, WANT);
        for (size_t i = 0; i < WANT; i++) {
            assert_true(i == 0 || top_is_worse(items[i], items[i - 1]));
            assert_true(!filter || filter->allows(filter->user, items[i].number));
            for (size_t j = 0; j < WANT; j++)
                found += items[i].number == exact[j].number;
        }
    }
    return (double)found / (QUERIES * WANT);
}

/* Every kernel finds the same; what it finds is what exact floats would. */
static void test_recall(void **state)
{
    (void)state;
    struct testing_random random;
    testing_seed(&random);
    const struct vector_kernel *kernels[KERNELS_MAX];
    size_t count = vector_kernel_list(kernels, KERNELS_MAX);
    const struct slot_filter third = {.allows = allows_third};
    struct crowd *crowd = crowd_new(&random);
    struct vectors *vectors;
    struct err err;
    assert_ok(vectors_new(&vectors, &err), &err);
    for (uint32_t i = 0; i < ROWS; i++)
        assert_ok(vectors_set(vectors, i, crowd->rows[i], SIZE, &err), &err);
    double first[2] = {0};
    for (size_t k = 0; k < count; k++) {
        for (int bits = 0; bits < 2; bits++) {
            vectors_configure(vectors, kernels[k], bits ? 0 : SIZE_MAX);
            double all = recall(vectors, crowd, NULL);
            double some = recall(vectors, crowd, &third);
            print_message("# %s, %s: recall@10 %.4f, filtered %.4f\n", kernels[k]->name,
                          bits ? "signs first" : "bytes", all, some);
            assert_true(all >= 0.995 && some >= 0.995);
            assert_true(k == 0 || all == first[bits]);
            first[bits] = all;
        }
    }
    vectors_free(vectors);
    free(crowd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dot_kernels), cmocka_unit_test(test_bit_kernels),
        cmocka_unit_test(test_cosines),     cmocka_unit_test(test_replace_remove_compact),
        cmocka_unit_test(test_odd_vectors), cmocka_unit_test(test_recall),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
