/* The circuit breaker: its states one by one, and what holds for it whatever happens. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "helper/testing.h"
#include "orchestrator/breaker.h"

#define MS INT64_C(1000000)

static const struct breaker_policy policy = {
    .threshold = 3,
    .backoff_ms = 100,
    .backoff_max_ms = 1000,
    .open_ms = 5000,
    .open_max_ms = 60000,
    .probe_ms = 20000,
};

static enum breaker_verdict try_at(struct breaker *breaker, int64_t ms)
{
    uint32_t wait;
    return breaker_try(breaker, &policy, ms * MS, &wait);
}

static void test_closed_backs_off(void **state)
{
    (void)state;
    struct breaker breaker = {0};
    uint32_t wait = 0;
    assert_int_equal(try_at(&breaker, 0), BREAKER_GO);
    assert_int_equal(try_at(&breaker, 0), BREAKER_GO); /* several at once */
    breaker_failure(&breaker, &policy, 1000 * MS, UINT32_MAX);
    assert_int_equal(breaker_try(&breaker, &policy, 1000 * MS, &wait), BREAKER_WAIT);
    assert_int_equal(wait, 100);
    assert_int_equal(try_at(&breaker, 1100), BREAKER_GO);
    breaker_failure(&breaker, &policy, 1100 * MS, 0); /* the shortest: half of 200 */
    assert_int_equal(breaker_try(&breaker, &policy, 1100 * MS, &wait), BREAKER_WAIT);
    assert_int_equal(wait, 100);
    breaker_success(&breaker);
    assert_int_equal(try_at(&breaker, 1100), BREAKER_GO);
    assert_int_equal(breaker.failures, 0);
}

static void fail_until_open(struct breaker *breaker, int64_t ms)
{
    for (uint32_t i = 0; i < policy.threshold; i++)
        breaker_failure(breaker, &policy, ms * MS, UINT32_MAX);
    assert_int_equal(breaker->state, BREAKER_OPEN);
}

static void test_opens_and_lets_one_through(void **state)
{
    (void)state;
    struct breaker breaker = {0};
    uint32_t wait = 0;
    fail_until_open(&breaker, 0);
    assert_int_equal(breaker_try(&breaker, &policy, 1000 * MS, &wait), BREAKER_STOP);
    assert_int_equal(wait, 4000);
    assert_int_equal(breaker_look(&breaker, 4999 * MS, &wait), BREAKER_OPEN);
    assert_int_equal(breaker_look(&breaker, 5000 * MS, &wait), BREAKER_HALF_OPEN);
    assert_int_equal(wait, 0);
    assert_int_equal(try_at(&breaker, 5000), BREAKER_GO);
    assert_int_equal(try_at(&breaker, 5001), BREAKER_STOP); /* one is on its way */
    breaker_success(&breaker);
    assert_int_equal(breaker.state, BREAKER_CLOSED);
    assert_int_equal(try_at(&breaker, 5001), BREAKER_GO);
}

static void test_opens_again_for_longer(void **state)
{
    (void)state;
    struct breaker breaker = {0};
    uint32_t wait = 0;
    int64_t now = 0;
    static const uint32_t lengths[] = {5000, 10000, 20000, 40000, 60000, 60000};
    fail_until_open(&breaker, now);
    for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
        assert_int_equal(breaker_look(&breaker, now * MS, &wait), BREAKER_OPEN);
        assert_int_equal(wait, lengths[i]);
        now += lengths[i];
        assert_int_equal(try_at(&breaker, now), BREAKER_GO);
        breaker_failure(&breaker, &policy, now * MS, UINT32_MAX);
    }
}

static void test_probes_that_tell_nothing(void **state)
{
    (void)state;
    struct breaker breaker = {0};
    fail_until_open(&breaker, 0);
    assert_int_equal(try_at(&breaker, 5000), BREAKER_GO);
    breaker_release(&breaker); /* cancelled: the next may try at once */
    assert_int_equal(try_at(&breaker, 5001), BREAKER_GO);
    assert_int_equal(try_at(&breaker, 25000), BREAKER_STOP);
    assert_int_equal(try_at(&breaker, 25001), BREAKER_GO); /* that one was lost */
}

static void test_late_reports_change_nothing(void **state)
{
    (void)state;
    struct breaker breaker = {0};
    fail_until_open(&breaker, 0);
    const struct breaker before = breaker;
    breaker_success(&breaker);
    breaker_failure(&breaker, &policy, 100 * MS, 5);
    assert_int_equal(breaker.state, BREAKER_OPEN);
    assert_true(breaker.until_ns == before.until_ns && breaker.openings == before.openings);
}

static void test_pause_and_signs_of_life(void **state)
{
    (void)state;
    struct breaker breaker = {0};
    uint32_t wait = 0;
    breaker_pause(&breaker, &policy, 0, 7000);
    assert_int_equal(breaker_try(&breaker, &policy, 0, &wait), BREAKER_WAIT);
    assert_int_equal(wait, 7000);
    breaker_failure(&breaker, &policy, 0, UINT32_MAX); /* does not make it shorter */
    assert_int_equal(try_at(&breaker, 6999), BREAKER_WAIT);
    breaker_pause(&breaker, &policy, 0, UINT32_MAX); /* nobody is believed for ever */
    assert_int_equal(try_at(&breaker, policy.open_max_ms), BREAKER_GO);
    breaker_success(&breaker);
    fail_until_open(&breaker, 0);
    breaker_alive(&breaker);
    assert_int_equal(try_at(&breaker, 1), BREAKER_GO);
    assert_int_equal(try_at(&breaker, 2), BREAKER_STOP);
    breaker_alive(&breaker); /* the try that is on its way decides */
    assert_int_equal(try_at(&breaker, 2), BREAKER_STOP);
}

static void test_jitter(void **state)
{
    (void)state;
    assert_int_equal(breaker_jitter(0, UINT32_MAX), 0);
    assert_int_equal(breaker_jitter(1, UINT32_MAX), 1);
    assert_int_equal(breaker_jitter(100, 0), 50);
    assert_int_equal(breaker_jitter(100, UINT32_MAX), 100);
    assert_int_equal(breaker_jitter(UINT32_MAX, UINT32_MAX), UINT32_MAX);
    assert_int_equal(breaker_doubled(100, 40, UINT32_MAX), UINT32_MAX);
    assert_int_equal(breaker_doubled(0, 40, 10), 0);
}

/* Random histories: what a breaker promises holds at each point of them. */
static void test_random_histories(void **state)
{
    (void)state;
    struct testing_random random;
    testing_seed(&random);
    struct breaker breaker = {0};
    int64_t now = 0;
    int64_t probe_since = -1; /* ms; when the one try was let through */
    int seen[3] = {0};
    for (int step = 0; step < 200000; step++) {
        now += (int64_t)testing_below(&random, 4000);
        struct breaker before = breaker;
        uint32_t wait = 0;
        uint32_t told = 0;
        enum breaker_state looks = breaker_look(&breaker, now * MS, &wait);
        seen[looks]++;
        switch (testing_below(&random, 6)) {
        case 0:
        case 1: {
            enum breaker_verdict verdict = breaker_try(&breaker, &policy, now * MS, &told);
            /* Looking tells what trying finds. */
            assert_int_equal(verdict == BREAKER_GO, wait == 0);
            assert_int_equal(verdict == BREAKER_STOP, wait > 0 && looks != BREAKER_CLOSED);
            if (verdict != BREAKER_GO)
                assert_int_equal(told, wait);
            if (verdict == BREAKER_GO && looks != BREAKER_CLOSED) {
                assert_true(probe_since < 0 || now - probe_since >= policy.probe_ms);
                probe_since = now;
            }
            break;
        }
        case 2:
            breaker_failure(&breaker, &policy, now * MS,
                            (uint32_t)testing_below(&random, UINT32_MAX));
            assert_true(breaker.until_ns >= before.until_ns || before.state == BREAKER_HALF_OPEN);
            assert_true(breaker.state == BREAKER_CLOSED || breaker.state == BREAKER_OPEN);
            break;
        case 3:
            if (testing_below(&random, 4) == 0)
                breaker_success(&breaker);
            break;
        case 4: breaker_release(&breaker); break;
        default: breaker_pause(&breaker, &policy, now * MS, (uint32_t)testing_below(&random, 9000));
        }
        if (!breaker.probing)
            probe_since = -1;
        /* Never away for longer than the longest that the policy allows. */
        breaker_look(&breaker, now * MS, &wait);
        assert_true(wait <= policy.open_max_ms);
        assert_true(breaker.state != BREAKER_CLOSED || breaker.failures < policy.threshold);
        assert_true(!breaker.probing || breaker.state == BREAKER_HALF_OPEN);
    }
    assert_true(seen[0] > 0 && seen[1] > 0 && seen[2] > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_closed_backs_off),
        cmocka_unit_test(test_opens_and_lets_one_through),
        cmocka_unit_test(test_opens_again_for_longer),
        cmocka_unit_test(test_probes_that_tell_nothing),
        cmocka_unit_test(test_late_reports_change_nothing),
        cmocka_unit_test(test_pause_and_signs_of_life),
        cmocka_unit_test(test_jitter),
        cmocka_unit_test(test_random_histories),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
