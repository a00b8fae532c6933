/* Deadlines, threads and the cancel flag: hooks run once, never after they were taken back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/thread.h"

static void test_deadlines(void **state)
{
    (void)state;
    assert_true(deadline_passed(deadline_in_ms(-5)));
    assert_true(deadline_in_ms(INT64_MAX) == INT64_MAX);
    assert_int_equal(deadline_left_ms(INT64_MAX), INT32_MAX);
    deadline later = deadline_in_ms(60000);
    assert_false(deadline_passed(later));
    int left = deadline_left_ms(later);
    assert_true(left > 0 && left <= 60000);
    assert_true(deadline_earlier(later, 5) == 5);
    char text[40];
    clock_format(0, text, sizeof(text));
    assert_string_equal(text, "1970-01-01T00:00:00.000000Z");
    clock_format(1767225599999999, text, sizeof(text));
    assert_string_equal(text, "2025-12-31T23:59:59.999999Z");
}

struct counter {
    atomic_int fired;
};

static void count(void *argument)
{
    atomic_fetch_add(&((struct counter *)argument)->fired, 1);
}

static void test_cancel_fires_once(void **state)
{
    (void)state;
    struct cancel cancel;
    cancel_init(&cancel);
    struct counter counter = {0};
    struct counter gone = {0};
    struct counter late = {0};
    struct cancel_hook hook = {.fire = count, .argument = &counter};
    struct cancel_hook taken_back = {.fire = count, .argument = &gone};
    struct cancel_hook after = {.fire = count, .argument = &late};
    cancel_watch(&cancel, &hook);
    cancel_watch(&cancel, &taken_back);
    cancel_unwatch(&cancel, &taken_back);
    assert_false(cancel_is_set(&cancel));
    cancel_fire(&cancel);
    cancel_fire(&cancel);
    cancel_watch(&cancel, &after);
    assert_true(cancel_is_set(&cancel));
    assert_int_equal(counter.fired, 1);
    assert_int_equal(gone.fired, 0);
    assert_int_equal(late.fired, 1);
    cancel_unwatch(&cancel, &hook);
    cancel_unwatch(&cancel, &after);
    assert_null(cancel.hooks);
    cancel_destroy(&cancel);
    assert_false(cancel_is_set(NULL));
    cancel_watch(NULL, &hook);
    cancel_unwatch(NULL, &hook);
}

struct waiting {
    struct mutex lock;
    struct cond changed;
    struct cancel cancel;
    bool woken;
};

static void wake(void *argument)
{
    struct waiting *waiting = argument;
    mutex_lock(&waiting->lock);
    waiting->woken = true;
    cond_broadcast(&waiting->changed);
    mutex_unlock(&waiting->lock);
}

static void *wait_until_woken(void *argument)
{
    struct waiting *waiting = argument;
    struct cancel_hook hook = {.fire = wake, .argument = waiting};
    cancel_watch(&waiting->cancel, &hook);
    deadline until = deadline_in_ms(30000);
    mutex_lock(&waiting->lock);
    while (!waiting->woken && cond_wait(&waiting->changed, &waiting->lock, until))
        ;
    mutex_unlock(&waiting->lock);
    cancel_unwatch(&waiting->cancel, &hook);
    return NULL;
}

/* A waiting thread is woken by the cancel, whichever of the two comes first. */
static void test_cancel_wakes_a_waiter(void **state)
{
    (void)state;
    for (int round = 0; round < 200; round++) {
        struct waiting waiting = {0};
        mutex_init(&waiting.lock);
        cond_init(&waiting.changed);
        cancel_init(&waiting.cancel);
        pthread_t threads[2];
        struct err err;
        for (int i = 0; i < 2; i++)
            assert_true(thread_start(&threads[i], "waiter", wait_until_woken, &waiting, &err));
        cancel_fire(&waiting.cancel);
        for (int i = 0; i < 2; i++)
            pthread_join(threads[i], NULL);
        assert_true(waiting.woken);
        assert_null(waiting.cancel.hooks);
        cancel_destroy(&waiting.cancel);
        cond_destroy(&waiting.changed);
        mutex_destroy(&waiting.lock);
    }
}

static void test_wait_ends_at_its_deadline(void **state)
{
    (void)state;
    struct mutex lock;
    struct cond never;
    mutex_init(&lock);
    cond_init(&never);
    mutex_lock(&lock);
    while (cond_wait(&never, &lock, deadline_in_ms(1)))
        ;
    mutex_unlock(&lock);
    cond_destroy(&never);
    mutex_destroy(&lock);
    struct err err;
    assert_false(cancel_error(&err));
    assert_int_equal(err.code, ERR_CANCELLED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_deadlines),
        cmocka_unit_test(test_cancel_fires_once),
        cmocka_unit_test(test_cancel_wakes_a_waiter),
        cmocka_unit_test(test_wait_ends_at_its_deadline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
