/* Vectors and fusion: pure computations, checked by hand and against plain loops. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "retrieval/fusion.h"
#include "retrieval/vector.h"
#include "unit/retrieval/fixture.h"

static void assert_near(double value, double expected)
{
    if (fabs(value - expected) > 1e-6)
        fail_msg("%.9g, should be %.9g", value, expected);
}

/* ---------------------------------------------------------------- vectors */

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

static void test_cosines(void **state)
{
    (void)state;
    struct testing_random random;
    testing_seed(&random);
    static const uint32_t sizes[] = {1, 3, 16, 17, 31, 384};
    for (size_t s = 0; s < sizeof(sizes) / sizeof(*sizes); s++) {
        uint32_t size = sizes[s];
        float rows[50][384];
        float scores[50];
        float query[384];
        struct vectors *vectors;
        struct err err;
        assert_ok(vectors_new(&vectors, &err), &err);
        for (uint32_t i = 0; i < 50; i += 2) { /* every other slot is without */
            fill(&random, rows[i], size);
            rows[i][0] += 2;
            assert_ok(vectors_set(vectors, i, rows[i], size, &err), &err);
        }
        fill(&random, query, size);
        query[0] += 2;
        assert_ok(vectors_score(vectors, query, size, scores, 50, &err), &err);
        for (uint32_t i = 0; i < 50; i++)
            if (i % 2)
                assert_true(scores[i] == VECTOR_NONE);
            else
                assert_near(scores[i], plain_cosine(rows[i], query, size));
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
    for (uint32_t i = 0; i < 4; i++)
        assert_ok(vectors_set(vectors, i, axes[i], 3, &err), &err);
    assert_ok(vectors_set(vectors, 1, axes[2], 3, &err), &err);
    vectors_remove(vectors, 0);
    vectors_remove(vectors, 0);
    assert_int_equal(vectors_count(vectors), 3);
    float scores[4];
    assert_ok(vectors_score(vectors, axes[2], 3, scores, 4, &err), &err);
    assert_true(scores[0] == VECTOR_NONE);
    assert_near(scores[1], 1);
    assert_near(scores[2], 1);
    assert_near(scores[3], 0);
    const uint32_t remap[] = {UINT32_MAX, 0, UINT32_MAX, 1};
    vectors_compact(vectors, remap, 4);
    assert_int_equal(vectors_count(vectors), 2);
    assert_ok(vectors_score(vectors, axes[0], 3, scores, 2, &err), &err);
    assert_near(scores[0], 0);
    assert_near(scores[1], sqrt(0.5));
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
    float score;
    assert_ok(vectors_set(vectors, 0, zero, 2, &err), &err);
    assert_false(vectors_has(vectors, 0));
    assert_false(vectors_set(vectors, 0, infinite, 2, &err));
    assert_int_equal(err.code, ERR_INVALID_REQUEST);
    assert_false(vectors_set(vectors, 0, one, 0, &err));
    assert_ok(vectors_set(vectors, 0, one, 3, &err), &err);
    assert_false(vectors_set(vectors, 1, one, 2, &err));
    assert_int_equal(err.code, ERR_INVALID_REQUEST);
    assert_false(vectors_score(vectors, one, 2, &score, 1, &err));
    const float nothing[3] = {0, 0, 0};
    assert_ok(vectors_score(vectors, nothing, 3, &score, 1, &err), &err);
    assert_true(score == VECTOR_NONE);
    vectors_free(vectors);
}

/* ---------------------------------------------------------------- fusion */

static void test_norm(void **state)
{
    (void)state;
    assert_near(fusion_norm(0.5, -1, 0.8), 1.5 / 1.8);
    assert_near(fusion_norm(3, 0, 12), 0.25);
    assert_near(fusion_norm(-5, 0, 12), 0);
    assert_near(fusion_norm(13, 0, 12), 1);
    assert_near(fusion_norm(1, 1, 1), 0);
}

static void test_convex_by_hand(void **state)
{
    (void)state;
    struct fusion_candidate candidates[] = {
        {.slot = 0, .sparse = 8, .dense = 0.2f, .has_dense = true},
        {.slot = 1, .sparse = 4, .dense = 0.6f, .has_dense = true},
        {.slot = 2, .sparse = 0, .dense = 0.5f, .has_dense = true},
    };
    fusion_convex(candidates, 3, 0.5);
    /* norms of words: 1, .5, 0; of meaning: 1.2/1.6 = .75, 1, 1.5/1.6 = .9375 */
    assert_int_equal(candidates[0].slot, 0);
    assert_near(candidates[0].fused, 0.875);
    assert_int_equal(candidates[1].slot, 1);
    assert_near(candidates[1].fused, 0.75);
    assert_int_equal(candidates[2].slot, 2);
    assert_near(candidates[2].fused, 0.46875);
    fusion_convex(candidates, 3, 1);
    assert_int_equal(candidates[0].slot, 1);
    assert_near(candidates[1].fused, 0.9375);
    fusion_convex(candidates, 3, 0);
    assert_int_equal(candidates[0].slot, 0);
    assert_near(candidates[1].fused, 0.5);
}

static void test_convex_without_vectors(void **state)
{
    (void)state;
    struct fusion_candidate none[] = {{.slot = 0, .sparse = 1}, {.slot = 1, .sparse = 4}};
    fusion_convex(none, 2, 1);
    assert_int_equal(none[0].slot, 1);
    assert_near(none[0].fused, 1);
    assert_near(none[1].fused, 0.25);
    /* One is still being embedded: it counts like the least similar one. */
    struct fusion_candidate some[] = {
        {.slot = 0, .sparse = 4},
        {.slot = 1, .sparse = 1, .dense = 1, .has_dense = true},
        {.slot = 2, .sparse = 0, .dense = 0, .has_dense = true},
    };
    fusion_convex(some, 3, 0.5);
    assert_int_equal(some[0].slot, 0);
    assert_near(some[0].fused, 0.75);
    assert_near(some[1].fused, 0.625);
    assert_near(some[2].fused, 0.25);
}

static void test_rrf_by_hand(void **state)
{
    (void)state;
    struct fusion_candidate candidates[] = {
        {.slot = 0, .sparse = 9},
        {.slot = 1, .sparse = 5, .dense = 0.1f, .has_dense = true},
        {.slot = 2, .sparse = 0, .dense = 0.9f, .has_dense = true},
    };
    fusion_rrf(candidates, 3);
    assert_int_equal(candidates[0].slot, 1);
    assert_near(candidates[0].fused, 1.0 / 62 + 1.0 / 62);
    assert_int_equal(candidates[1].slot, 0); /* a tie: the smaller number first */
    assert_near(candidates[1].fused, 1.0 / 61);
    assert_int_equal(candidates[2].slot, 2);
    assert_near(candidates[2].fused, 1.0 / 61);
}

static void test_top(void **state)
{
    (void)state;
    struct testing_random random;
    testing_seed(&random);
    for (int round = 0; round < 200; round++) {
        float scores[300];
        uint32_t best[300];
        size_t count = testing_below(&random, 300);
        size_t want = testing_below(&random, 40);
        for (size_t i = 0; i < count; i++)
            scores[i] = (float)testing_below(&random, 50) - 5; /* many ties */
        size_t got = fusion_top(scores, count, 0, best, want);
        size_t above = 0;
        for (size_t i = 0; i < count; i++)
            above += scores[i] > 0;
        assert_int_equal(got, above < want ? above : want);
        for (size_t i = 0; i < got; i++) {
            /* How many are better than this one? Exactly those before it. */
            size_t better = 0;
            for (size_t j = 0; j < count; j++)
                better +=
                    scores[j] > scores[best[i]] || (j < best[i] && scores[j] == scores[best[i]]);
            assert_int_equal(better, i);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cosines),        cmocka_unit_test(test_replace_remove_compact),
        cmocka_unit_test(test_odd_vectors),    cmocka_unit_test(test_norm),
        cmocka_unit_test(test_convex_by_hand), cmocka_unit_test(test_convex_without_vectors),
        cmocka_unit_test(test_rrf_by_hand),    cmocka_unit_test(test_top),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
