/* Traces: ids taken from valid headers only, spans nested and added up, the Server-Timing value. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "observe/trace.h"

#define TRACE_ID "0af7651916cd43dd8448eb211c80319c"

static void test_id_from_header(void **state)
{
    (void)state;
    struct trace trace;
    trace_init(&trace, "00-" TRACE_ID "-b7ad6b7169203331-01");
    assert_string_equal(trace.id, TRACE_ID);
    trace_init(&trace, "cc-" TRACE_ID "-b7ad6b7169203331-01-what-the-future-holds");
    assert_string_equal(trace.id, TRACE_ID);
}

static void test_bad_headers_get_a_fresh_id(void **state)
{
    (void)state;
    static const char *const bad[] = {
        NULL,
        "",
        "00",
        "00-" TRACE_ID "-b7ad6b7169203331-0",
        "00-" TRACE_ID "-b7ad6b7169203331-01-more",
        "ff-" TRACE_ID "-b7ad6b7169203331-01",
        "0g-" TRACE_ID "-b7ad6b7169203331-01",
        "00-" TRACE_ID "-0000000000000000-01",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "00_" TRACE_ID "_b7ad6b7169203331_01",
        "00-" TRACE_ID "-b7ad6b7169203331-zz",
    };
    char previous[TRACE_ID_HEX] = "";
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct trace trace;
        trace_init(&trace, bad[i]);
        assert_int_equal(strlen(trace.id), 32);
        assert_int_equal(strspn(trace.id, "0123456789abcdef"), 32);
        assert_string_not_equal(trace.id, TRACE_ID);
        assert_string_not_equal(trace.id, previous);
        memcpy(previous, trace.id, sizeof(previous));
    }
}

static void test_spans_nest(void **state)
{
    (void)state;
    struct trace trace;
    trace_init(&trace, NULL);
    int outer = trace_begin(&trace, "retrieve");
    int inner = trace_begin(&trace, "embed");
    trace_end(&trace, inner);
    int second = trace_begin(&trace, "sparse");
    int deep = trace_begin(&trace, "read");
    trace_end(&trace, outer); /* an early return: what is open inside ends too */
    assert_int_equal(trace.spans[inner].parent, outer);
    assert_int_equal(trace.spans[second].parent, outer);
    assert_int_equal(trace.spans[deep].parent, second);
    assert_int_equal(trace.open, -1);
    for (int i = 0; i < trace.count; i++)
        assert_true(trace.spans[i].length_ns >= 0);
    assert_true(trace.spans[outer].length_ns >= trace.spans[inner].length_ns);
    int64_t ended = trace.spans[outer].length_ns;
    trace_end(&trace, outer);
    assert_true(trace.spans[outer].length_ns == ended);
}

static void test_sums_and_server_timing(void **state)
{
    (void)state;
    struct trace trace;
    trace_init(&trace, NULL);
    trace_end(&trace, trace_begin(&trace, "embed"));
    int retrieve = trace_begin(&trace, "retrieve");
    trace_end(&trace, trace_begin(&trace, "hidden"));
    trace_end(&trace, retrieve);
    trace_end(&trace, trace_begin(&trace, "embed"));
    trace.spans[0].length_ns = 1240000;
    trace.spans[retrieve].length_ns = 50000;
    trace.spans[3].length_ns = 2000000;
    assert_true(trace_ms(&trace, "embed") == 3.24);
    assert_true(trace_ms(&trace, "none") == 0);

    struct str out;
    str_init(&out, 1000);
    trace_server_timing(&trace, &out);
    assert_non_null(strstr(out.data, "embed;dur=3.2, retrieve;dur=0.1, total;dur="));
    assert_null(strstr(out.data, "hidden"));
    assert_ptr_equal(strstr(out.data, "embed"), out.data);
    str_free(&out);
}

static void test_full_and_null(void **state)
{
    (void)state;
    struct trace trace;
    trace_init(&trace, NULL);
    for (int i = 0; i < TRACE_SPANS; i++)
        assert_int_equal(trace_begin(&trace, "step"), i);
    assert_int_equal(trace_begin(&trace, "step"), -1);
    trace_end(&trace, -1);
    assert_int_equal(trace.dropped, 1);
    assert_int_equal(trace.open, TRACE_SPANS - 1);

    trace_init(NULL, NULL);
    assert_int_equal(trace_begin(NULL, "step"), -1);
    trace_end(NULL, 0);
    assert_true(trace_ms(NULL, "step") == 0);
    struct str out;
    str_init(&out, 100);
    trace_server_timing(NULL, &out);
    assert_int_equal(out.length, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_id_from_header), cmocka_unit_test(test_bad_headers_get_a_fresh_id),
        cmocka_unit_test(test_spans_nest),     cmocka_unit_test(test_sums_and_server_timing),
        cmocka_unit_test(test_full_and_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
