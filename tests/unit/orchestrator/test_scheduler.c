/* The scheduler, case by case: what is decided, and in which order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "orchestrator/scheduler.h"

enum { MODELS = 16, TICKETS = 64, OVERTAKES = 3, SECOND = 1000000, SOON = 60 * SECOND };

/* A scheduler, and the decisions of the last event as text: "start b, evict a for c, grant b, refuse c busy". */
struct desk {
    struct scheduler scheduler;
    struct scheduler_model models[MODELS]; /* by letter */
    char names[MODELS];
    struct scheduler_ticket tickets[TICKETS];
    int ticket_count;
    int64_t now;
    char heard[512];
};

static void open_desk(struct desk *desk, uint64_t bytes)
{
    memset(desk, 0, sizeof(*desk));
    scheduler_init(&desk->scheduler, OVERTAKES, 10 * SECOND);
    scheduler_device_add(&desk->scheduler, "cpu");
    scheduler_budget(&desk->scheduler, 0, bytes, bytes, 0);
    for (int i = 0; i < MODELS; i++) {
        desk->names[i] = (char)('a' + i);
        desk->models[i].user = &desk->names[i];
        scheduler_add(&desk->scheduler, &desk->models[i]);
    }
}

static struct scheduler_model *model(struct desk *desk, char name)
{
    return &desk->models[name - 'a'];
}

static char name_of(const struct scheduler_model *model)
{
    return model ? *(const char *)model->user : '-';
}

static const char *verb_name(enum scheduler_verb verb)
{
    static const char *const names[] = {"prepare", "start", "stop", "evict", "grant", "refuse"};
    return names[verb];
}

/* Takes all decisions down. */
static void hear(struct desk *desk)
{
    struct scheduler_decision decision;
    desk->heard[0] = '\0';
    while (scheduler_next(&desk->scheduler, &decision)) {
        size_t used = strlen(desk->heard);
        snprintf(desk->heard + used, sizeof(desk->heard) - used, "%s%s %c", used > 0 ? ", " : "",
                 verb_name(decision.verb), name_of(decision.model));
        used = strlen(desk->heard);
        if (decision.verb == SCHEDULER_EVICT || decision.verb == SCHEDULER_REFUSE)
            snprintf(desk->heard + used, sizeof(desk->heard) - used, " %s %c",
                     scheduler_reason_name(decision.why.reason), name_of(decision.why.other));
    }
}

/* Time passes a little with each event, so that ages differ. */
static int64_t later(struct desk *desk)
{
    return desk->now += SECOND / 10;
}

static struct scheduler_ticket *request(struct desk *desk, char name)
{
    struct scheduler_ticket *ticket = &desk->tickets[desk->ticket_count++];
    int64_t now = later(desk);
    scheduler_request(&desk->scheduler, model(desk, name), ticket, now + SOON, now);
    hear(desk);
    return ticket;
}

static void prepared(struct desk *desk, char name, uint64_t bytes)
{
    const struct scheduler_shape shape = {.bytes.on[0] = bytes};
    scheduler_prepared(&desk->scheduler, model(desk, name), &shape, 1, later(desk));
    hear(desk);
}

static void loaded(struct desk *desk, char name, uint64_t bytes)
{
    const struct scheduler_bytes held = {.on[0] = bytes};
    scheduler_load_done(&desk->scheduler, model(desk, name), &held, SECOND, later(desk));
    hear(desk);
}

static void release(struct desk *desk, char name)
{
    scheduler_release(&desk->scheduler, model(desk, name), later(desk));
    hear(desk);
}

static void unloaded(struct desk *desk, char name)
{
    scheduler_unloaded(&desk->scheduler, model(desk, name), later(desk));
    hear(desk);
}

/* Loads a model that fits, and leaves it with a lease. */
static void hold(struct desk *desk, char name, uint64_t bytes)
{
    request(desk, name);
    prepared(desk, name, bytes);
    loaded(desk, name, bytes);
    assert_int_equal(model(desk, name)->leases, 1);
}

static void use(struct desk *desk, char name, uint64_t bytes)
{
    hold(desk, name, bytes);
    release(desk, name);
}

static void test_cold_model_is_loaded_once_for_all(void **state)
{
    (void)state;
    struct desk desk;
    open_desk(&desk, 10);
    request(&desk, 'a');
    assert_string_equal(desk.heard, "prepare a");
    request(&desk, 'a');
    assert_string_equal(desk.heard, "");
    prepared(&desk, 'a', 4);
    assert_string_equal(desk.heard, "start a");
    request(&desk, 'a');
    loaded(&desk, 'a', 4);
    assert_string_equal(desk.heard, "grant a, grant a, grant a");
    request(&desk, 'a');
    assert_string_equal(desk.heard, "grant a");
    assert_int_equal(model(&desk, 'a')->leases, 4);
}

static void test_least_recently_used_goes_first(void **state)
{
    (void)state;
    struct desk desk;
    open_desk(&desk, 9);
    use(&desk, 'a', 3);
    use(&desk, 'b', 3);
    use(&desk, 'c', 3);
    request(&desk, 'a');
    release(&desk, 'a');
    request(&desk, 'd');
    prepared(&desk, 'd', 3);
    assert_string_equal(desk.heard, "evict b for_another d");
    unloaded(&desk, 'b');
    assert_string_equal(desk.heard, "start d");
}

static void test_costly_loads_stay_longer(void **state)
{
    (void)state;
    struct desk desk;
    open_desk(&desk, 6);
    use(&desk, 'a', 3);
    use(&desk, 'b', 3);
    model(&desk, 'a')->load_us = 30 * SECOND; /* a little older, and much dearer */
    request(&desk, 'c');
    prepared(&desk, 'c', 3);
    assert_string_equal(desk.heard, "evict b for_another c");
}

static void test_no_more_go_than_needed(void **state)
{
    (void)state;
    struct desk desk;
    open_desk(&desk, 10);
    use(&desk, 'a', 1);
    use(&desk, 'b', 4);
    use(&desk, 'c', 5);
    request(&desk, 'd');
    prepared(&desk, 'd', 4); /* the oldest alone does not do: b does, and a may stay */
    assert_string_equal(desk.heard, "evict b for_another d");
}

static void test_busy_and_pinned_stay(void **state)
{
    (void)state;
    struct desk desk;
    open_desk(&desk, 10);
    hold(&desk, 'a', 5);
    use(&desk, 'b', 5);
    scheduler_pin(&desk.scheduler, model(&desk, 'b'), true, later(&desk));
    request(&desk, 'c');
    prepared(&desk, 'c', 5);
    assert_string_equal(desk.heard, ""); /* when a is given back */
    assert_int_equal(model(&desk, 'c')->block.reason, SCHEDULER_BUSY);
    assert_ptr_equal(model(&desk, 'c')->block.other, model(&desk, 'a'));
    request(&desk, 'd');
    prepared(&desk, 'd', 6); /* never while b is pinned */
    assert_string_equal(desk.heard, "stop d, refuse d pinned b");
    release(&desk, 'a');
    assert_string_equal(desk.heard, "evict a for_another c");
    unloaded(&desk, 'a');
    assert_string_equal(desk.heard, "start c");
}

static void test_what_never_fits_is_refused_at_once(void **state)
{
    (void)state;
    struct desk desk;
    open_desk(&desk, 10);
    hold(&desk, 'a', 5);
    request(&desk, 'b');
    prepared(&desk, 'b', 11);
    assert_string_equal(desk.heard, "stop b, refuse b never -");
    scheduler_load_failed(&desk.scheduler, model(&desk, 'b'), later(&desk));
    assert_int_equal(model(&desk, 'b')->state, SCHEDULER_COLD);

    scheduler_budget(&desk.scheduler, 0, 10, 8, later(&desk)); /* other programs took 2 */
    request(&desk, 'c');
    prepared(&desk, 'c', 9);
    assert_string_equal(desk.heard, "stop c, refuse c short -");
}

static void test_freed_memory_is_not_given_twice(void **state)
{
    (void)state;
    struct desk desk;
    open_desk(&desk, 10);
    use(&desk, 'a', 6);
    request(&desk, 'b');
    request(&desk, 'c');
    prepared(&desk, 'b', 8);
    assert_string_equal(desk.heard, "evict a for_another b");
    prepared(&desk, 'c', 3); /* there are 4 free, but b counts on them */
    assert_string_equal(desk.heard, "");
    unloaded(&desk, 'a');
    assert_string_equal(desk.heard, "start b");
    loaded(&desk, 'b', 7); /* took less than was thought */
    assert_string_equal(desk.heard, "start c, grant b");
}

static void test_last_one_to_leave_stops_the_load(void **state)
{
    (void)state;
    struct desk desk;
    open_desk(&desk, 10);
    struct scheduler_ticket *first = request(&desk, 'a');
    struct scheduler_ticket *second = request(&desk, 'a');
    prepared(&desk, 'a', 4);
    scheduler_withdraw(&desk.scheduler, first, later(&desk));
    hear(&desk);
    assert_string_equal(desk.heard, "");
    scheduler_withdraw(&desk.scheduler, second, later(&desk));
    hear(&desk);
    assert_string_equal(desk.heard, "stop a");
    request(&desk, 'a'); /* waits until that load has ended, then there is another */
    assert_string_equal(desk.heard, "");
    assert_int_equal(scheduler_held(&desk.scheduler, 0), 4);
    scheduler_load_failed(&desk.scheduler, model(&desk, 'a'), later(&desk));
    hear(&desk);
    assert_string_equal(desk.heard, "prepare a");
    assert_int_equal(scheduler_held(&desk.scheduler, 0), 0);
}

static void test_deadlines(void **state)
{
    (void)state;
    struct desk desk;
    open_desk(&desk, 10);
    hold(&desk, 'a', 10);
    request(&desk, 'b');
    prepared(&desk, 'b', 5);
    int64_t wake = scheduler_wake_us(&desk.scheduler);
    scheduler_tick(&desk.scheduler, wake - 1);
    hear(&desk);
    assert_string_equal(desk.heard, "");
    scheduler_tick(&desk.scheduler, wake);
    hear(&desk);
    assert_string_equal(desk.heard, "stop b, refuse b late a");
    assert_true(scheduler_wake_us(&desk.scheduler) == INT64_MAX);
}

static void test_idle_models_go_when_their_time_is_over(void **state)
{
    (void)state;
    struct desk desk;
    open_desk(&desk, 10);
    model(&desk, 'a')->ttl_us = 5 * SECOND;
    model(&desk, 'b')->ttl_us = 5 * SECOND;
    use(&desk, 'a', 2);
    hold(&desk, 'b', 2);
    use(&desk, 'c', 2);
    scheduler_tick(&desk.scheduler, scheduler_wake_us(&desk.scheduler));
    hear(&desk);
    assert_string_equal(desk.heard, "evict a idle -");
    unloaded(&desk, 'a');
    desk.now += 100 * (int64_t)SECOND;
    release(&desk, 'b'); /* its time begins now */
    scheduler_pin(&desk.scheduler, model(&desk, 'b'), true, later(&desk));
    assert_true(scheduler_wake_us(&desk.scheduler) == INT64_MAX);
}

static void test_other_programs_take_memory(void **state)
{
    (void)state;
    struct desk desk;
    open_desk(&desk, 10);
    use(&desk, 'a', 3);
    hold(&desk, 'b', 3);
    use(&desk, 'c', 3);
    scheduler_budget(&desk.scheduler, 0, 10, 8, later(&desk));
    hear(&desk);
    assert_string_equal(desk.heard, "evict a for_others -");
    unloaded(&desk, 'a');
    scheduler_budget(&desk.scheduler, 0, 10, 1, later(&desk)); /* b is in use: it stays */
    hear(&desk);
    assert_string_equal(desk.heard, "evict c for_others -");
    release(&desk, 'b');
    assert_string_equal(desk.heard, "evict b for_others -");
}

static void test_overtaking_is_bounded_for_loads(void **state)
{
    (void)state;
    struct desk desk;
    open_desk(&desk, 100);
    hold(&desk, 'a', 60);
    request(&desk, 'b');
    prepared(&desk, 'b', 50);
    for (int name = 'c'; name < 'c' + OVERTAKES; name++) {
        request(&desk, name);
        prepared(&desk, name, 1);
        loaded(&desk, name, 1);
    }
    assert_int_equal(model(&desk, 'b')->overtaken, OVERTAKES);
    request(&desk, 'i');
    prepared(&desk, 'i', 1); /* would fit, but it is b's turn */
    assert_string_equal(desk.heard, "");
    assert_int_equal(model(&desk, 'i')->block.reason, SCHEDULER_ITS_TURN);
    assert_ptr_equal(model(&desk, 'i')->block.other, model(&desk, 'b'));
    request(&desk, 'a'); /* the one in its way gives no more leases */
    assert_string_equal(desk.heard, "");
    request(&desk, 'c'); /* this one is not in its way */
    assert_string_equal(desk.heard, "grant c");
    release(&desk, 'a');
    assert_string_equal(desk.heard, "evict a for_another b, start i");
    unloaded(&desk, 'a');
    assert_string_equal(desk.heard, "prepare a, start b");
}

static void test_overtaking_is_bounded_for_leases(void **state)
{
    (void)state;
    struct desk desk;
    open_desk(&desk, 10);
    hold(&desk, 'a', 8);
    request(&desk, 'b');
    prepared(&desk, 'b', 5);
    for (int i = 0; i < OVERTAKES; i++) {
        request(&desk, 'a');
        assert_string_equal(desk.heard, "grant a");
        release(&desk, 'a');
    }
    request(&desk, 'a');
    assert_string_equal(desk.heard, "");
    /* The lease that is out does not end: the others go on after a while. */
    scheduler_tick(&desk.scheduler, scheduler_wake_us(&desk.scheduler));
    hear(&desk);
    assert_string_equal(desk.heard, "grant a");
    assert_int_equal(model(&desk, 'b')->state, SCHEDULER_QUEUED);
}

static void test_alternatives_in_order(void **state)
{
    (void)state;
    struct desk desk;
    open_desk(&desk, 10);
    hold(&desk, 'a', 6);
    const struct scheduler_shape shapes[] = {
        {.rank = 0, .context = 8192, .bytes.on[0] = 8},
        {.rank = 1, .context = 4096, .bytes.on[0] = 5},
        {.rank = 2, .context = 2048, .bytes.on[0] = 4},
        {.rank = 3, .context = 1024, .bytes.on[0] = 3},
    };
    request(&desk, 'b');
    scheduler_prepared(&desk.scheduler, model(&desk, 'b'), shapes, 4, later(&desk));
    hear(&desk);
    assert_string_equal(desk.heard, "start b");
    assert_int_equal(model(&desk, 'b')->shape, 2);
    loaded(&desk, 'b', 4);

    model(&desk, 'c')->prefers_fallback = true;
    request(&desk, 'c');
    prepared(&desk, 'c', 2);
    assert_string_equal(desk.heard, "stop c, refuse c fallback a");
}

static void test_devices_are_apart(void **state)
{
    (void)state;
    struct desk desk;
    open_desk(&desk, 10);
    uint32_t gpu = scheduler_device_add(&desk.scheduler, "gpu0");
    scheduler_budget(&desk.scheduler, gpu, 20, 20, 0);
    const struct scheduler_shape anywhere[] = {
        {.rank = 0, .gpu_layers = -1, .bytes = {{1, 15}}},
        {.rank = 1, .gpu_layers = 0, .bytes = {{8, 0}}},
    };
    request(&desk, 'a');
    scheduler_prepared(&desk.scheduler, model(&desk, 'a'), anywhere, 2, later(&desk));
    assert_int_equal(model(&desk, 'a')->shape, 0);
    hear(&desk);
    scheduler_load_done(&desk.scheduler, model(&desk, 'a'), &anywhere[0].bytes, 0, later(&desk));
    hear(&desk);
    request(&desk, 'b');
    scheduler_prepared(&desk.scheduler, model(&desk, 'b'), anywhere, 2, later(&desk));
    hear(&desk);
    assert_string_equal(desk.heard, "start b"); /* the gpu is taken by one in use: beside it */
    assert_int_equal(model(&desk, 'b')->shape, 1);
    assert_int_equal(scheduler_held(&desk.scheduler, 0), 9);
    assert_int_equal(scheduler_held(&desk.scheduler, gpu), 15);
}

static void test_unload_and_remove(void **state)
{
    (void)state;
    struct desk desk;
    open_desk(&desk, 10);
    request(&desk, 'a');
    assert_false(scheduler_unload(&desk.scheduler, model(&desk, 'a'), later(&desk)));
    prepared(&desk, 'a', 1);
    loaded(&desk, 'a', 1);
    assert_false(scheduler_unload(&desk.scheduler, model(&desk, 'a'), later(&desk)));
    release(&desk, 'a');
    assert_false(scheduler_remove(&desk.scheduler, model(&desk, 'a')));
    assert_true(scheduler_unload(&desk.scheduler, model(&desk, 'a'), later(&desk)));
    hear(&desk);
    assert_string_equal(desk.heard, "evict a asked -");
    request(&desk, 'a'); /* while it leaves */
    unloaded(&desk, 'a');
    assert_string_equal(desk.heard, "prepare a");
    scheduler_load_failed(&desk.scheduler, model(&desk, 'a'), later(&desk));
    hear(&desk);
    assert_string_equal(desk.heard, "refuse a failed -");
    assert_true(scheduler_remove(&desk.scheduler, model(&desk, 'a')));
}

static void test_death_of_a_model_in_use(void **state)
{
    (void)state;
    struct desk desk;
    open_desk(&desk, 10);
    hold(&desk, 'a', 5);
    unloaded(&desk, 'a');
    assert_int_equal(scheduler_held(&desk.scheduler, 0), 0);
    request(&desk, 'a'); /* the lease on the dead one is still out */
    assert_string_equal(desk.heard, "prepare a");
    prepared(&desk, 'a', 5);
    loaded(&desk, 'a', 5);
    assert_int_equal(model(&desk, 'a')->leases, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cold_model_is_loaded_once_for_all),
        cmocka_unit_test(test_least_recently_used_goes_first),
        cmocka_unit_test(test_costly_loads_stay_longer),
        cmocka_unit_test(test_no_more_go_than_needed),
        cmocka_unit_test(test_busy_and_pinned_stay),
        cmocka_unit_test(test_what_never_fits_is_refused_at_once),
        cmocka_unit_test(test_freed_memory_is_not_given_twice),
        cmocka_unit_test(test_last_one_to_leave_stops_the_load),
        cmocka_unit_test(test_deadlines),
        cmocka_unit_test(test_idle_models_go_when_their_time_is_over),
        cmocka_unit_test(test_other_programs_take_memory),
        cmocka_unit_test(test_overtaking_is_bounded_for_loads),
        cmocka_unit_test(test_overtaking_is_bounded_for_leases),
        cmocka_unit_test(test_alternatives_in_order),
        cmocka_unit_test(test_devices_are_apart),
        cmocka_unit_test(test_unload_and_remove),
        cmocka_unit_test(test_death_of_a_model_in_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
