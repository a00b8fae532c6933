/* The budget of threads: its rule, and who is told what when work begins and ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "helper/testing.h"
#include "orchestrator/threads.h"

enum { USERS = 12 };

/* A model that remembers what it was told. */
struct model {
    struct threads_user user;
    uint32_t told;
    uint32_t tellings;
};

static void on_tell(struct threads_user *user, uint32_t threads)
{
    struct model *model = (struct model *)user;
    model->told = threads;
    model->tellings++;
}

static void make_models(struct model models[USERS], uint32_t cores)
{
    for (int i = 0; i < USERS; i++)
        models[i] =
            (struct model){.user = {.tell = on_tell, .share = cores}, .told = cores, .tellings = 0};
}

static void shares_add_up_and_nobody_gets_none(void **state)
{
    (void)state;
    for (uint32_t cores = 1; cores <= 64; cores++) {
        for (uint32_t busy = 1; busy <= 80; busy++) {
            uint32_t sum = 0, least = UINT32_MAX, most = 0;
            for (uint32_t i = 0; i < busy; i++) {
                uint32_t share = threads_share(cores, busy, i);
                sum += share;
                least = share < least ? share : least;
                most = share > most ? share : most;
            }
            assert_true(least >= 1);
            assert_true(most - least <= 1);
            assert_int_equal(sum, busy > cores ? busy : cores);
        }
    }
}

static void one_that_is_alone_has_all_and_is_told_nothing(void **state)
{
    (void)state;
    struct threads threads;
    struct model models[USERS];
    threads_init(&threads, 4);
    make_models(models, 4);
    for (int i = 0; i < 3; i++) {
        threads_begin(&threads, &models[0].user);
        threads_end(&threads, &models[0].user);
    }
    assert_int_equal(models[0].tellings, 0);
    threads_destroy(&threads);
}

static void two_share_and_the_one_who_is_left_has_all_again(void **state)
{
    (void)state;
    struct threads threads;
    struct model models[USERS];
    threads_init(&threads, 5);
    make_models(models, 5);
    threads_begin(&threads, &models[0].user);
    threads_begin(&threads, &models[1].user);
    assert_int_equal(models[0].told, 3);
    assert_int_equal(models[1].told, 2);
    threads_begin(&threads, &models[1].user); /* a second request changes nothing */
    threads_end(&threads, &models[1].user);
    assert_int_equal(models[0].tellings, 1);
    threads_end(&threads, &models[0].user);
    assert_int_equal(models[1].told, 5);
    threads_begin(&threads, &models[0].user); /* who comes back is told of its new share */
    assert_int_equal(models[0].told, 2);
    assert_int_equal(models[1].told, 3);
    threads_end(&threads, &models[0].user);
    threads_end(&threads, &models[1].user);
    assert_null(threads.busy);
    threads_destroy(&threads);
}

static void without_a_budget_nothing_happens(void **state)
{
    (void)state;
    struct model models[USERS];
    make_models(models, 2);
    threads_begin(NULL, &models[0].user);
    threads_end(NULL, &models[0].user);
    assert_int_equal(models[0].tellings, 0);
}

/* Whatever begins and ends in whatever order: those at work hold all cores and no more, as far as they were told. */
static void random_work_keeps_to_the_budget(void **state)
{
    (void)state;
    struct testing_random random;
    testing_seed(&random);
    for (int round = 0; round < 200; round++) {
        uint32_t cores = 1 + (uint32_t)testing_below(&random, 16);
        uint32_t works[USERS] = {0};
        struct threads threads;
        struct model models[USERS];
        threads_init(&threads, cores);
        make_models(models, cores);
        for (int step = 0; step < 200; step++) {
            size_t at = testing_below(&random, USERS);
            if (works[at] > 0 && testing_below(&random, 2)) {
                works[at]--;
                threads_end(&threads, &models[at].user);
            } else {
                works[at]++;
                threads_begin(&threads, &models[at].user);
            }
            uint32_t busy = 0, sum = 0;
            for (int i = 0; i < USERS; i++) {
                busy += works[i] > 0;
                sum += works[i] > 0 ? models[i].told : 0;
            }
            assert_int_equal(sum, busy == 0 ? 0 : busy > cores ? busy : cores);
        }
        threads_destroy(&threads);
    }
}

struct hammer {
    struct threads *threads;
    struct model *model;
};

static void *hammer(void *argument)
{
    const struct hammer *hammer = argument;
    for (int i = 0; i < 2000; i++) {
        threads_begin(hammer->threads, &hammer->model->user);
        threads_end(hammer->threads, &hammer->model->user);
    }
    return NULL;
}

static void threads_of_requests_may_come_and_go_at_once(void **state)
{
    (void)state;
    enum { HANDS = 6 };
    struct threads threads;
    struct model models[USERS];
    struct hammer hammers[HANDS];
    pthread_t hands[HANDS];
    threads_init(&threads, 4);
    make_models(models, 4);
    for (int i = 0; i < HANDS; i++) {
        hammers[i] = (struct hammer){&threads, &models[i / 2]}; /* two of them for each model */
        assert_true(thread_start(&hands[i], "hammer", hammer, &hammers[i], NULL));
    }
    for (int i = 0; i < HANDS; i++)
        pthread_join(hands[i], NULL);
    assert_null(threads.busy);
    threads_destroy(&threads);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shares_add_up_and_nobody_gets_none),
        cmocka_unit_test(one_that_is_alone_has_all_and_is_told_nothing),
        cmocka_unit_test(two_share_and_the_one_who_is_left_has_all_again),
        cmocka_unit_test(without_a_budget_nothing_happens),
        cmocka_unit_test(random_work_keeps_to_the_budget),
        cmocka_unit_test(threads_of_requests_may_come_and_go_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
