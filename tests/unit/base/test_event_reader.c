/* Server-sent events: every way to cut the same bytes into pieces gives the same events. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/event_reader.h"
#include "helper/testing.h"

enum { EVENT_MAX = 16 * 1024 * 1024 };

/* Writes each event as "name=data;" so that a whole stream is one text to compare. */
static bool collect(void *user, const struct event *event, struct err *err)
{
    (void)err;
    struct str *out = user;
    assert_int_equal(strlen(event->data), event->length);
    str_printf(out, "%s=%s;", event->name, event->data);
    return true;
}

static void expect_events(const char *stream, const char *expected)
{
    struct str out;
    struct event_reader reader;
    struct err err;
    str_init(&out, 1 << 20);
    event_reader_init(&reader, EVENT_MAX, collect, &out);
    assert_true(event_reader_feed(&reader, stream, strlen(stream), &err));
    assert_string_equal(str_text(&out), expected);
    event_reader_free(&reader);
    str_free(&out);
}

static void events_as_the_standard_has_them(void **state)
{
    (void)state;
    expect_events("data: one\n\n", "message=one;");
    expect_events("data:one\n\n", "message=one;");
    expect_events("data:  one\n\n", "message= one;"); /* only one blank goes */
    expect_events("event: done\ndata: x\n\ndata: y\n\n", "done=x;message=y;");
    expect_events("data: a\ndata: b\ndata\n\n", "message=a\nb\n;");
    expect_events(": a comment\ndata: x\n\n", "message=x;");
    expect_events("id: 7\nretry: 5\nother: 1\ndata: x\n\n", "message=x;");
    expect_events("event: empty\n\ndata: x\n\n", "message=x;"); /* no data, no event */
    expect_events("data: x\r\n\r\ndata: y\r\rdata: z\n\n", "message=x;message=y;message=z;");
    expect_events("data: unfinished\n", "");
    expect_events("data: x: y\n\n", "message=x: y;");
    expect_events("\n\n\ndata:\n\n", "message=;");
}

static void any_cut_gives_the_same_events(void **state)
{
    (void)state;
    static const char stream[] =
        ": hi\r\nevent: progress\r\ndata: {\"done\": 1}\r\n\r\ndata: ñandú\r\n"
        "data: €\r\n\r\nevent: done\ndata: {}\n\ndata: x\r\r";
    static const char expected[] = "progress={\"done\": 1};message=ñandú\n€;done={};message=x;";
    struct testing_random random;
    testing_seed(&random);
    for (int round = 0; round < 500; round++) {
        struct str out;
        struct event_reader reader;
        struct err err;
        str_init(&out, 1 << 20);
        event_reader_init(&reader, EVENT_MAX, collect, &out);
        size_t at = 0;
        while (at < sizeof(stream) - 1) {
            size_t left = sizeof(stream) - 1 - at;
            size_t piece = round == 0 ? 1 : 1 + (size_t)testing_below(&random, 9);
            piece = piece < left ? piece : left;
            assert_true(event_reader_feed(&reader, stream + at, piece, &err));
            at += piece;
        }
        assert_string_equal(str_text(&out), expected);
        event_reader_free(&reader);
        str_free(&out);
    }
}

static bool refuse(void *user, const struct event *event, struct err *err)
{
    int *calls = user;
    ++*calls;
    return err_set(err, ERR_CANCELLED, "enough of %s", event->data);
}

static void a_handler_that_fails_ends_the_reading(void **state)
{
    (void)state;
    int calls = 0;
    struct event_reader reader;
    struct err err;
    event_reader_init(&reader, EVENT_MAX, refuse, &calls);
    static const char stream[] = "data: a\n\ndata: b\n\n";
    assert_false(event_reader_feed(&reader, stream, sizeof(stream) - 1, &err));
    assert_int_equal(calls, 1);
    assert_int_equal(err.code, ERR_CANCELLED);
    assert_string_equal(err.message[LANG_EN], "enough of a");
    event_reader_free(&reader);
}

static void a_line_without_end_is_refused(void **state)
{
    (void)state;
    struct str out;
    struct event_reader reader;
    struct err err;
    static char piece[1024 * 1024];
    memset(piece, 'x', sizeof(piece));
    str_init(&out, 1 << 20);
    event_reader_init(&reader, EVENT_MAX, collect, &out);
    bool ok = true;
    size_t fed = 0;
    for (; ok && fed < (size_t)2 * EVENT_MAX; fed += sizeof(piece))
        ok = event_reader_feed(&reader, piece, sizeof(piece), &err);
    assert_false(ok);
    assert_int_equal(err.code, ERR_PROTOCOL);
    assert_true(reader.line.capacity <= (size_t)2 * EVENT_MAX);
    event_reader_free(&reader);
    str_free(&out);
}

static void an_event_of_many_lines_is_bounded(void **state)
{
    (void)state;
    struct str out;
    struct event_reader reader;
    struct err err;
    static char line[1024 * 1024];
    memset(line, 'x', sizeof(line));
    memcpy(line, "data: ", 6);
    line[sizeof(line) - 1] = '\n';
    str_init(&out, 1 << 20);
    event_reader_init(&reader, EVENT_MAX, collect, &out);
    for (size_t fed = 0; fed < (size_t)EVENT_MAX + sizeof(line); fed += sizeof(line))
        assert_true(event_reader_feed(&reader, line, sizeof(line), &err));
    assert_false(event_reader_feed(&reader, "\n", 1, &err));
    assert_int_equal(err.code, ERR_TOO_LARGE);
    event_reader_free(&reader);
    str_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_as_the_standard_has_them),
        cmocka_unit_test(any_cut_gives_the_same_events),
        cmocka_unit_test(a_handler_that_fails_ends_the_reading),
        cmocka_unit_test(a_line_without_end_is_refused),
        cmocka_unit_test(an_event_of_many_lines_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
