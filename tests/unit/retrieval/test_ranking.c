/* Fusion and the best of many: pure computations, checked by hand and against plain loops. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "retrieval/fusion.h"
#include "retrieval/top.h"
#include "unit/retrieval/fixture.h"

static void assert_near(double value, double expected)
{
    if (fabs(value - expected) > 1e-6)
        fail_msg("%.9g, should be %.9g", value, expected);
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

static void test_max_by_hand(void **state)
{
    (void)state;
    struct fusion_candidate candidates[] = {
        {.slot = 0, .sparse = 8, .dense = -0.2f, .has_dense = true},
        {.slot = 1, .sparse = 2, .dense = 0.8f, .has_dense = true},
        {.slot = 2, .sparse = 0, .dense = 0.6f, .has_dense = true},
    };
    fusion_max(candidates, 3, 0.5);
    assert_int_equal(candidates[0].slot, 1);
    assert_near(candidates[0].fused, 0.625);
    assert_int_equal(candidates[1].slot, 0);
    assert_near(candidates[1].fused, 0.5);
    assert_near(candidates[2].fused, 0.5 * 0.6f / 0.8f);
}

static void test_alpha_follows_coverage(void **state)
{
    (void)state;
    assert_near(fusion_alpha(0.5, 1), 0.5); /* words say all they can */
    assert_near(fusion_alpha(0.5, 1.7), 0.5);
    assert_near(fusion_alpha(0.5, 0.2), 0.9);
    assert_near(fusion_alpha(0.2, 0.5), 0.6);
    assert_near(fusion_alpha(0.5, 0), 1); /* no word is shared */
    assert_near(fusion_alpha(0, 0.1), 0); /* words alone were asked for */
    assert_near(fusion_alpha(1, 0.1), 1);
}

static void test_names(void **state)
{
    (void)state;
    for (int i = FUSION_CONVEX; i <= FUSION_MAX; i++) {
        enum fusion_method method;
        assert_true(fusion_parse(fusion_name((enum fusion_method)i), &method));
        assert_int_equal(method, i);
    }
    enum fusion_method untouched = FUSION_RRF;
    assert_false(fusion_parse("Convex", &untouched));
    assert_int_equal(untouched, FUSION_RRF);
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
        float scores[300] = {0};
        struct top_item best[300];
        size_t count = testing_below(&random, 300);
        struct top top = {.items = best, .want = testing_below(&random, 40)};
        for (size_t i = 0; i < count; i++) {
            scores[i] = (float)testing_below(&random, 50); /* many ties */
            bool admitted = top_admits(&top, scores[i]);
            size_t before = top.count;
            top_offer(&top, (struct top_item){scores[i], (uint32_t)i});
            assert_true(admitted || top.count == before);
        }
        top_sort(&top);
        assert_int_equal(top.count, count < top.want ? count : top.want);
        for (size_t i = 0; i < top.count; i++) {
            /* How many are better than this one? Exactly those before it. */
            uint32_t number = best[i].number;
            assert_true(best[i].score == scores[number]);
            size_t better = 0;
            for (size_t j = 0; j < count; j++)
                better += scores[j] > scores[number] || (j < number && scores[j] == scores[number]);
            assert_int_equal(better, i);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_norm),
        cmocka_unit_test(test_convex_by_hand),
        cmocka_unit_test(test_convex_without_vectors),
        cmocka_unit_test(test_rrf_by_hand),
        cmocka_unit_test(test_max_by_hand),
        cmocka_unit_test(test_alpha_follows_coverage),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_top),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
