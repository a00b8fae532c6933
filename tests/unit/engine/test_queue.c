/* The worker's queue: order, bounds, cancels, and two threads at it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/worker_queue.h"
#include "helper/testing.h"
#include "ipc/protocol.h"

static struct frame request(uint8_t type, uint64_t id, uint32_t length)
{
    struct frame frame = {.type = type, .id = id, .length = length};
    frame.payload = length ? calloc(1, length) : NULL;
    return frame;
}

static bool push(struct queue *queue, uint8_t type, uint64_t id, uint32_t length, struct err *err)
{
    struct frame frame = request(type, id, length);
    bool ok = queue_push(queue, &frame, err);
    assert_null(frame.payload); /* taken over either way */
    return ok;
}

static bool any(void *user, const struct job *job)
{
    (void)user;
    (void)job;
    return true;
}

static bool of_type(void *user, const struct job *job)
{
    return job->request.type == *(uint8_t *)user;
}

static void jobs_come_in_order_unless_one_may_not_start(void **state)
{
    (void)state;
    struct queue queue;
    queue_init(&queue);
    uint8_t count = FRAME_COUNT;
    assert_true(push(&queue, FRAME_GENERATE, 1, 10, NULL));
    assert_true(push(&queue, FRAME_GENERATE, 2, 10, NULL));
    assert_true(push(&queue, FRAME_COUNT, 3, 10, NULL));
    struct job *third = queue_next(&queue, of_type, &count, 0);
    assert_int_equal(third->request.id, 3);
    assert_null(queue_next(&queue, of_type, &count, 0));
    struct job *first = queue_next(&queue, any, NULL, 0);
    assert_int_equal(first->request.id, 1);
    assert_ptr_equal(queue_running(&queue, NULL), first);
    assert_ptr_equal(queue_running(&queue, first), third);
    assert_null(queue_running(&queue, third));
    queue_finish(&queue, first);
    queue_finish(&queue, third);
    assert_int_equal(queue_count(&queue), 1);
    queue_finish(&queue, queue_next(&queue, any, NULL, 0));
    assert_null(queue_next(&queue, any, NULL, 0));
}

static void a_full_queue_says_busy_and_takes_again_when_there_is_room(void **state)
{
    (void)state;
    struct queue queue;
    queue_init(&queue);
    struct err err = {0};
    for (uint64_t id = 1; id <= QUEUE_JOBS_MAX; id++)
        assert_true(push(&queue, FRAME_COUNT, id, 1, &err));
    assert_false(push(&queue, FRAME_COUNT, 999, 1, &err));
    assert_int_equal(err.code, ERR_BUSY);
    assert_true(err.retry_after_ms > 0);
    queue_finish(&queue, queue_next(&queue, any, NULL, 0));
    assert_true(push(&queue, FRAME_COUNT, 1000, 1, &err));
    struct job *job;
    uint64_t last = 0;
    while ((job = queue_next(&queue, any, NULL, 0))) {
        last = job->request.id;
        queue_finish(&queue, job);
    }
    assert_int_equal(last, 1000);
}

static void payloads_are_bounded_together(void **state)
{
    (void)state;
    struct queue queue;
    queue_init(&queue);
    struct err err = {0};
    int taken = 0;
    while (push(&queue, FRAME_EMBED, (uint64_t)taken + 1, FRAME_PAYLOAD_MAX, &err))
        taken++;
    assert_int_equal(taken, QUEUE_BYTES_MAX / FRAME_PAYLOAD_MAX);
    assert_int_equal(err.code, ERR_BUSY);
    struct job *job;
    while ((job = queue_next(&queue, any, NULL, 0)))
        queue_finish(&queue, job);
}

static bool none(void *user, const struct job *job)
{
    (void)user;
    (void)job;
    return false;
}

static void a_cancelled_job_always_comes_out(void **state)
{
    (void)state;
    struct queue queue;
    queue_init(&queue);
    assert_true(push(&queue, FRAME_GENERATE, 7, 1, NULL));
    assert_null(queue_next(&queue, none, NULL, 0));
    queue_cancel(&queue, 8); /* nobody's */
    assert_null(queue_next(&queue, none, NULL, 0));
    queue_cancel(&queue, 7);
    assert_false(atomic_load(&queue.pulse.interrupt)); /* it was not running */
    struct job *job = queue_next(&queue, none, NULL, 0);
    assert_non_null(job);
    assert_true(atomic_load(&job->cancelled));
    queue_cancel(&queue, 7); /* now it is */
    assert_true(atomic_load(&queue.pulse.interrupt));
    queue_finish(&queue, job);
}

enum { MANY = 2000 };

static void *feed(void *argument)
{
    struct queue *queue = argument;
    struct testing_random random = {.state = 9};
    for (uint64_t id = 1; id <= MANY;) {
        if (push(queue, FRAME_COUNT, id, 8, NULL))
            id++;
        if (testing_below(&random, 4) == 0)
            queue_cancel(queue, 1 + testing_below(&random, id));
    }
    return NULL;
}

static void a_reader_and_a_worker_thread_lose_nothing(void **state)
{
    (void)state;
    struct queue queue;
    queue_init(&queue);
    pthread_t thread;
    struct err err;
    assert_true(thread_start(&thread, "feeder", feed, &queue, &err));
    uint64_t sum = 0;
    for (int i = 0; i < MANY; i++) {
        struct job *job = queue_next(&queue, any, NULL, deadline_in_ms(20000));
        assert_non_null(job);
        sum += job->request.id;
        queue_finish(&queue, job);
    }
    pthread_join(thread, NULL);
    assert_int_equal(sum, (uint64_t)MANY * (MANY + 1) / 2);
    assert_int_equal(queue_count(&queue), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jobs_come_in_order_unless_one_may_not_start),
        cmocka_unit_test(a_full_queue_says_busy_and_takes_again_when_there_is_room),
        cmocka_unit_test(payloads_are_bounded_together),
        cmocka_unit_test(a_cancelled_job_always_comes_out),
        cmocka_unit_test(a_reader_and_a_worker_thread_lose_nothing),
    };
    return cmocka_run_group_tests_name("queue", tests, NULL, NULL);
}
