#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "server/watch.h"

enum { LONG_MS = 20000 };

/* A flag with a hook that a test can wait for. */
struct bell {
    struct cancel cancel;
    struct cancel_hook hook;
    struct mutex lock;
    struct cond rung;
    int rings;
};

static void ring(void *argument)
{
    struct bell *bell = argument;
    mutex_lock(&bell->lock);
    bell->rings++;
    cond_broadcast(&bell->rung);
    mutex_unlock(&bell->lock);
}

static void bell_init(struct bell *bell)
{
    *bell = (struct bell){.hook = {.fire = ring, .argument = bell}};
    cancel_init(&bell->cancel);
    mutex_init(&bell->lock);
    cond_init(&bell->rung);
    cancel_watch(&bell->cancel, &bell->hook);
}

static bool bell_wait(struct bell *bell)
{
    deadline until = deadline_in_ms(LONG_MS);
    mutex_lock(&bell->lock);
    while (bell->rings == 0 && cond_wait(&bell->rung, &bell->lock, until))
        ;
    bool rang = bell->rings > 0;
    mutex_unlock(&bell->lock);
    return rang;
}

static void bell_destroy(struct bell *bell)
{
    cancel_unwatch(&bell->cancel, &bell->hook);
    cond_destroy(&bell->rung);
    mutex_destroy(&bell->lock);
    cancel_destroy(&bell->cancel);
}

/* A watch, a pair of sockets, a bell. */
struct fixture {
    struct watch *watch;
    int fds[2]; /* [0] ours, [1] the client's; -1: closed */
    struct bell bell;
};

static void open_fixture(struct fixture *fixture, size_t connections)
{
    struct err err;
    assert_true(watch_open(connections, &fixture->watch, &err));
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fixture->fds), 0);
    bell_init(&fixture->bell);
}

static void close_fixture(struct fixture *fixture)
{
    watch_close(fixture->watch);
    for (int i = 0; i < 2; i++)
        if (fixture->fds[i] >= 0)
            close(fixture->fds[i]);
    bell_destroy(&fixture->bell);
}

static void leave(struct fixture *fixture)
{
    close(fixture->fds[1]);
    fixture->fds[1] = -1;
}

static void test_client_leaves(void **state)
{
    (void)state;
    struct fixture fixture;
    open_fixture(&fixture, 4);
    watch_slot slot = watch_add(fixture.watch, fixture.fds[0], deadline_in_ms(LONG_MS));
    assert_true(slot != WATCH_NONE);
    watch_busy(fixture.watch, slot, &fixture.bell.cancel, deadline_in_ms(LONG_MS));
    leave(&fixture);
    assert_true(bell_wait(&fixture.bell));
    watch_remove(fixture.watch, slot);
    close_fixture(&fixture);
}

/* The hang-up comes while nothing is in work: the next request is over before it begins. */
static void test_client_left_before(void **state)
{
    (void)state;
    struct fixture fixture;
    struct bell first;
    open_fixture(&fixture, 4);
    bell_init(&first);
    watch_slot slot = watch_add(fixture.watch, fixture.fds[0], deadline_in_ms(LONG_MS));
    watch_busy(fixture.watch, slot, &first.cancel, deadline_in_ms(LONG_MS));
    leave(&fixture);
    assert_true(bell_wait(&first));
    watch_idle(fixture.watch, slot, deadline_in_ms(LONG_MS));
    assert_false(cancel_is_set(&fixture.bell.cancel));
    watch_busy(fixture.watch, slot, &fixture.bell.cancel, deadline_in_ms(LONG_MS));
    assert_true(cancel_is_set(&fixture.bell.cancel));
    watch_remove(fixture.watch, slot);
    bell_destroy(&first);
    close_fixture(&fixture);
}

/* Bytes that wait to be read are not a hang-up. */
static void test_data_is_no_leaving(void **state)
{
    (void)state;
    struct fixture fixture;
    open_fixture(&fixture, 4);
    watch_slot slot = watch_add(fixture.watch, fixture.fds[0], deadline_in_ms(LONG_MS));
    watch_busy(fixture.watch, slot, &fixture.bell.cancel, deadline_in_ms(100));
    assert_int_equal(write(fixture.fds[1], "next request", 12), 12);
    int64_t start = clock_now_ns();
    assert_true(bell_wait(&fixture.bell)); /* by its deadline, not before */
    assert_true(clock_ms_since(start) > 50);
    watch_remove(fixture.watch, slot);
    close_fixture(&fixture);
}

static bool is_shut_down(int fd)
{
    struct pollfd waiting = {.fd = fd, .events = POLLIN};
    char byte;
    return poll(&waiting, 1, LONG_MS) == 1 && read(fd, &byte, 1) == 0;
}

static void test_silent_connection(void **state)
{
    (void)state;
    struct fixture fixture;
    open_fixture(&fixture, 4);
    watch_slot slot = watch_add(fixture.watch, fixture.fds[0], deadline_in_ms(50));
    assert_true(is_shut_down(fixture.fds[1]));
    watch_remove(fixture.watch, slot);
    close_fixture(&fixture);
}

/* An earlier deadline than the thread has planned for wakes it. */
static void test_earlier_deadline(void **state)
{
    (void)state;
    struct fixture fixture;
    open_fixture(&fixture, 4);
    watch_slot slot = watch_add(fixture.watch, fixture.fds[0], deadline_in_ms(LONG_MS * 10));
    watch_idle(fixture.watch, slot, deadline_in_ms(50));
    assert_true(is_shut_down(fixture.fds[1]));
    watch_remove(fixture.watch, slot);
    close_fixture(&fixture);
}

/* A slot that was given to another connection is not reached under its old name. */
static void test_stale_slot(void **state)
{
    (void)state;
    struct fixture fixture;
    open_fixture(&fixture, 1);
    watch_slot old = watch_add(fixture.watch, fixture.fds[0], deadline_in_ms(LONG_MS));
    assert_true(watch_add(fixture.watch, fixture.fds[1], deadline_in_ms(LONG_MS)) == WATCH_NONE);
    watch_remove(fixture.watch, old);
    watch_slot slot = watch_add(fixture.watch, fixture.fds[0], deadline_in_ms(LONG_MS));
    assert_true(slot != WATCH_NONE && slot != old);
    watch_remove(fixture.watch, old);
    watch_idle(fixture.watch, old, deadline_in_ms(0));
    watch_busy(fixture.watch, slot, &fixture.bell.cancel, deadline_in_ms(LONG_MS));
    leave(&fixture);
    assert_true(bell_wait(&fixture.bell));
    watch_remove(fixture.watch, slot);
    watch_remove(fixture.watch, WATCH_NONE);
    close_fixture(&fixture);
}

static void test_cancel_all(void **state)
{
    (void)state;
    struct fixture fixture;
    open_fixture(&fixture, 4);
    watch_slot slot = watch_add(fixture.watch, fixture.fds[0], deadline_in_ms(LONG_MS));
    watch_cancel_all(fixture.watch);
    watch_busy(fixture.watch, slot, &fixture.bell.cancel, deadline_in_ms(LONG_MS));
    assert_false(cancel_is_set(&fixture.bell.cancel));
    watch_cancel_all(fixture.watch);
    assert_true(cancel_is_set(&fixture.bell.cancel));
    watch_remove(fixture.watch, slot);
    close_fixture(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_client_leaves),      cmocka_unit_test(test_client_left_before),
        cmocka_unit_test(test_data_is_no_leaving), cmocka_unit_test(test_silent_connection),
        cmocka_unit_test(test_earlier_deadline),   cmocka_unit_test(test_stale_slot),
        cmocka_unit_test(test_cancel_all),
    };
    return cmocka_run_group_tests_name("server_watch", tests, NULL, NULL);
}
