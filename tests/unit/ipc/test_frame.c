/* Frames over a real socketpair: whole, in pieces, stalled, hostile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/thread.h"
#include "ipc/frame.h"

static int setup(void **state)
{
    int *pair = malloc(2 * sizeof(int));
    if (!pair || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        return -1;
    *state = pair;
    return 0;
}

static void close_end(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static int teardown(void **state)
{
    int *pair = *state;
    close_end(&pair[0]);
    close_end(&pair[1]);
    free(pair);
    return 0;
}

static void frames_arrive_whole_and_in_order(void **state)
{
    int *pair = *state;
    struct err err;
    assert_true(frame_write(pair[0], 12, 1, "abc", 3, deadline_in_ms(5000), &err));
    assert_true(frame_write(pair[0], 17, UINT64_MAX, NULL, 0, deadline_in_ms(5000), &err));
    struct frame frame;
    assert_true(frame_read(pair[1], &frame, deadline_in_ms(5000), &err));
    assert_int_equal(frame.type, 12);
    assert_int_equal(frame.id, 1);
    assert_int_equal(frame.length, 3);
    assert_memory_equal(frame.payload, "abc", 3);
    frame_free(&frame);
    assert_true(frame_read(pair[1], &frame, deadline_in_ms(5000), &err));
    assert_int_equal(frame.type, 17);
    assert_true(frame.id == UINT64_MAX);
    assert_null(frame.payload);
    frame_free(&frame);
}

struct big_write {
    int fd;
    const uint8_t *bytes;
    size_t length;
    bool ok;
};

static void *write_big(void *argument)
{
    struct big_write *job = argument;
    job->ok = frame_write(job->fd, 1, 2, job->bytes, job->length, deadline_in_ms(30000), NULL);
    return NULL;
}

static void a_frame_larger_than_the_sockets_buffer_arrives(void **state)
{
    int *pair = *state;
    size_t length = 5 * 1024 * 1024 + 3;
    uint8_t *bytes = malloc(length);
    assert_non_null(bytes);
    for (size_t i = 0; i < length; i++)
        bytes[i] = (uint8_t)(i * 7 + i / 251);
    struct big_write job = {.fd = pair[0], .bytes = bytes, .length = length};
    pthread_t thread;
    struct err err;
    assert_true(thread_start(&thread, "writer", write_big, &job, &err));
    struct frame frame;
    assert_true(frame_read(pair[1], &frame, deadline_in_ms(30000), &err));
    pthread_join(thread, NULL);
    assert_true(job.ok);
    assert_int_equal(frame.length, length);
    assert_memory_equal(frame.payload, bytes, length);
    frame_free(&frame);
    free(bytes);
}

static void header_is_little_endian_and_reads_back(void **state)
{
    (void)state;
    uint8_t header[FRAME_HEADER];
    frame_format_header(header, 14, 0x0102030405060708, 0x0a0b0c);
    static const uint8_t expected[FRAME_HEADER] = {0x4a, 0x56, 1, 14, 8,    7,    6,    5,
                                                   4,    3,    2, 1,  0x0c, 0x0b, 0x0a, 0};
    assert_memory_equal(header, expected, FRAME_HEADER);
    struct frame frame;
    assert_true(frame_parse_header(header, &frame, NULL));
    assert_int_equal(frame.type, 14);
    assert_true(frame.id == 0x0102030405060708);
    assert_int_equal(frame.length, 0x0a0b0c);
}

static void foreign_headers_are_refused(void **state)
{
    (void)state;
    uint8_t header[FRAME_HEADER];
    struct frame frame = {.type = 99};
    struct err err;
    frame_format_header(header, 1, 1, 1);
    header[0] ^= 1;
    assert_false(frame_parse_header(header, &frame, &err));
    assert_int_equal(err.code, ERR_PROTOCOL);
    frame_format_header(header, 1, 1, 1);
    header[2]++;
    assert_false(frame_parse_header(header, &frame, &err));
    assert_int_equal(err.code, ERR_PROTOCOL);
    assert_non_null(strstr(err.message[LANG_EN], "version 2"));
    frame_format_header(header, 1, 1, FRAME_PAYLOAD_MAX);
    assert_true(frame_parse_header(header, &frame, &err));
    frame.type = 99;
    frame_format_header(header, 1, 1, FRAME_PAYLOAD_MAX + 1U);
    assert_false(frame_parse_header(header, &frame, &err));
    assert_int_equal(err.code, ERR_TOO_LARGE);
    assert_int_equal(frame.type, 99); /* untouched on failure */
}

static void a_payload_over_the_limit_is_not_sent(void **state)
{
    int *pair = *state;
    struct err err;
    assert_false(
        frame_write(pair[0], 1, 1, "", (size_t)FRAME_PAYLOAD_MAX + 1, deadline_in_ms(100), &err));
    assert_int_equal(err.code, ERR_TOO_LARGE);
    char byte;
    assert_int_equal(recv(pair[1], &byte, 1, MSG_DONTWAIT), -1);
}

static void a_silent_peer_is_a_timeout_and_reading_may_go_on(void **state)
{
    int *pair = *state;
    struct err err;
    struct frame frame;
    assert_false(frame_read(pair[1], &frame, deadline_in_ms(5), &err));
    assert_int_equal(err.code, ERR_TIMEOUT);
    assert_true(frame_write(pair[0], 3, 4, NULL, 0, deadline_in_ms(5000), &err));
    assert_true(frame_read(pair[1], &frame, deadline_in_ms(0), &err));
    assert_int_equal(frame.type, 3);
}

static void a_peer_that_stalls_inside_a_frame_is_a_protocol_error(void **state)
{
    (void)state;
    uint8_t header[FRAME_HEADER];
    frame_format_header(header, 1, 1, 100);
    struct err err;
    struct frame frame;
    for (size_t sent = 1; sent <= FRAME_HEADER; sent += FRAME_HEADER - 1) {
        int fresh[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fresh), 0);
        assert_int_equal(write(fresh[0], header, sent), (ssize_t)sent);
        assert_false(frame_read_stall(fresh[1], &frame, deadline_in_ms(60000), 5, &err));
        assert_int_equal(err.code, ERR_PROTOCOL);
        close(fresh[0]);
        close(fresh[1]);
    }
}

static void a_peer_that_ends_is_told_apart_at_every_byte(void **state)
{
    (void)state;
    uint8_t bytes[FRAME_HEADER + 4] = {0};
    frame_format_header(bytes, 1, 1, 4);
    for (size_t sent = 0; sent < sizeof(bytes); sent++) {
        int pair[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        if (sent > 0)
            assert_int_equal(write(pair[0], bytes, sent), (ssize_t)sent);
        close(pair[0]);
        struct err err;
        struct frame frame;
        assert_false(frame_read(pair[1], &frame, deadline_in_ms(5000), &err));
        assert_int_equal(err.code, ERR_WORKER_DIED);
        close(pair[1]);
    }
}

static void writing_to_an_ended_peer_is_an_error_and_not_a_signal(void **state)
{
    int *pair = *state;
    close_end(&pair[1]);
    struct err err;
    assert_false(frame_write(pair[0], 1, 1, "x", 1, deadline_in_ms(5000), &err));
    assert_int_equal(err.code, ERR_WORKER_DIED);
}

static void a_peer_that_does_not_read_is_a_timeout(void **state)
{
    int *pair = *state;
    size_t length = 8 * 1024 * 1024;
    uint8_t *bytes = calloc(1, length);
    assert_non_null(bytes);
    struct err err;
    assert_false(frame_write(pair[0], 1, 1, bytes, length, deadline_in_ms(20), &err));
    assert_int_equal(err.code, ERR_TIMEOUT);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(frames_arrive_whole_and_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(a_frame_larger_than_the_sockets_buffer_arrives, setup,
                                        teardown),
        cmocka_unit_test(header_is_little_endian_and_reads_back),
        cmocka_unit_test(foreign_headers_are_refused),
        cmocka_unit_test_setup_teardown(a_payload_over_the_limit_is_not_sent, setup, teardown),
        cmocka_unit_test_setup_teardown(a_silent_peer_is_a_timeout_and_reading_may_go_on, setup,
                                        teardown),
        cmocka_unit_test(a_peer_that_stalls_inside_a_frame_is_a_protocol_error),
        cmocka_unit_test(a_peer_that_ends_is_told_apart_at_every_byte),
        cmocka_unit_test_setup_teardown(writing_to_an_ended_peer_is_an_error_and_not_a_signal,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_peer_that_does_not_read_is_a_timeout, setup, teardown),
    };
    return cmocka_run_group_tests_name("frame", tests, NULL, NULL);
}
