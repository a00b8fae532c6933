#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <yyjson.h>

#include "helper/testing.h"
#include "server/base64.h"
#include "server/openai_write.h"
#include "server/sse.h"
#include "server/writer.h"

static void expect(struct str *out, const char *expected)
{
    assert_true(str_ok(out));
    assert_string_equal(str_text(out), expected);
    str_free(out);
}

/* ---------------------------------------------------------------- the JSON writer */

static void test_writer(void **state)
{
    (void)state;
    struct str out;
    struct writer writer;
    str_init(&out, 4096);
    writer_begin(&writer, &out);
    writer_object(&writer, NULL);
    writer_text(&writer, "a\"", "x\n\xff\x01");
    writer_text(&writer, "none", NULL);
    writer_text_n(&writer, "nul", "a\0b", 3);
    writer_array(&writer, "list");
    writer_int(&writer, NULL, INT64_MIN);
    writer_uint(&writer, NULL, UINT64_MAX);
    writer_object(&writer, NULL);
    writer_end(&writer);
    writer_array(&writer, NULL);
    writer_end(&writer);
    writer_bool(&writer, NULL, false);
    writer_end(&writer);
    writer_json(&writer, "raw", "[1]");
    writer_ms(&writer, "ms", 1.23456);
    writer_end(&writer);
    expect(&out, "{\"a\\\"\":\"x\\n\xef\xbf\xbd\\u0001\",\"none\":null,\"nul\":\"a\\u0000b\","
                 "\"list\":[-9223372036854775808,18446744073709551615,{},[],false],\"raw\":[1],"
                 "\"ms\":1.235}");
}

static void test_writer_is_bounded(void **state)
{
    (void)state;
    struct str out;
    struct writer writer;
    str_init(&out, 1 << 20);
    writer_begin(&writer, &out);
    for (int i = 0; i < 100; i++)
        writer_array(&writer, NULL);
    for (int i = 0; i < 100; i++)
        writer_end(&writer);
    assert_false(str_ok(&out));
    str_free(&out);

    str_init(&out, 4);
    writer_begin(&writer, &out);
    writer_text(&writer, NULL, "too long for it");
    assert_false(str_ok(&out));
    str_free(&out);
}

/* Every number reads back as itself, in any locale. */
static void test_numbers(void **state)
{
    (void)state;
    struct testing_random random;
    testing_seed(&random);
    setlocale(LC_NUMERIC, "de_DE.UTF-8");
    setlocale(LC_NUMERIC, "es_ES.UTF-8");
    for (int i = 0; i < 2000; i++) {
        uint64_t bits = testing_next(&random);
        double number;
        float small;
        memcpy(&number, &bits, sizeof(number));
        memcpy(&small, &bits, sizeof(small));
        if (!isfinite(number) || !isfinite(small))
            continue;
        struct str out;
        struct writer writer;
        str_init(&out, 256);
        writer_begin(&writer, &out);
        writer_array(&writer, NULL);
        writer_number(&writer, NULL, number);
        writer_float(&writer, NULL, small);
        writer_end(&writer);
        yyjson_doc *doc = yyjson_read(str_text(&out), out.length, 0);
        assert_non_null(doc);
        yyjson_val *root = yyjson_doc_get_root(doc);
        assert_int_equal(yyjson_arr_size(root), 2);
        assert_true(yyjson_get_num(yyjson_arr_get(root, 0)) == number);
        assert_true((float)yyjson_get_num(yyjson_arr_get(root, 1)) == small);
        yyjson_doc_free(doc);
        str_free(&out);
    }
    setlocale(LC_NUMERIC, "C");
}

static void test_no_such_numbers(void **state)
{
    (void)state;
    struct str out;
    struct writer writer;
    str_init(&out, 256);
    writer_begin(&writer, &out);
    writer_array(&writer, NULL);
    writer_number(&writer, NULL, NAN);
    writer_float(&writer, NULL, INFINITY);
    writer_end(&writer);
    expect(&out, "[null,null]");
}

/* ---------------------------------------------------------------- base64, events */

static void test_base64(void **state)
{
    (void)state;
    /* RFC 4648, section 10. */
    static const char *const cases[][2] = {{"", ""},
                                           {"f", "Zg=="},
                                           {"fo", "Zm8="},
                                           {"foo", "Zm9v"},
                                           {"foob", "Zm9vYg=="},
                                           {"fooba", "Zm9vYmE="},
                                           {"foobar", "Zm9vYmFy"},
                                           {"\xff\xef\xbe", "/+++"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct str out;
        str_init(&out, 64);
        base64_encode(cases[i][0], strlen(cases[i][0]), &out);
        expect(&out, cases[i][1]);
    }
}

static void test_events(void **state)
{
    (void)state;
    struct str out;
    str_init(&out, 256);
    sse_begin(&out, "progress");
    str_puts(&out, "{}");
    sse_end(&out);
    sse_begin(&out, NULL);
    str_puts(&out, "1");
    sse_end(&out);
    sse_done(&out);
    expect(&out, "event: progress\ndata: {}\n\ndata: 1\n\ndata: [DONE]\n\n");
}

/* ---------------------------------------------------------------- OpenAI's objects */

static yyjson_doc *parsed(struct str *out)
{
    assert_true(str_ok(out));
    yyjson_doc *doc = yyjson_read(str_text(out), out->length, 0);
    assert_non_null(doc);
    str_free(out);
    return doc;
}

static void test_error(void **state)
{
    (void)state;
    struct err err;
    struct str out;
    str_init(&out, 4096);
    err_set_param(&err, ERR_INVALID_REQUEST, "top_k", "\"%s\" is empty", "top_k");
    err.retry_after_ms = 1500;
    openai_write_error(&out, &err, LANG_ES);
    expect(&out,
           "{\"error\":{\"message\":\"«top_k» está vacío\",\"type\":\"invalid_request_error\","
           "\"param\":\"top_k\",\"code\":\"invalid_request\",\"category\":\"PERMANENT\","
           "\"hint\":\"corrija el campo que nombra \\\"param\\\"\",\"retry_after_ms\":1500}}");
    str_init(&out, 4096);
    err_set(&err, ERR_CANCELLED, "x");
    openai_write_error_chunk(&out, &err, LANG_EN);
    expect(&out, "data: {\"error\":{\"message\":\"x\",\"type\":\"server_error\",\"param\":null,"
                 "\"code\":\"cancelled\",\"category\":\"TRANSIENT\","
                 "\"hint\":\"ask again if it was not meant\"}}\n\n");
}

/* Steps of the same name are added up; steps inside of others are theirs. */
static void test_timings(void **state)
{
    (void)state;
    struct trace trace;
    struct str out;
    struct writer writer;
    trace_init(&trace, NULL);
    for (int i = 0; i < 2; i++) {
        int outer = trace_begin(&trace, "search");
        trace_end(&trace, trace_begin(&trace, "inner"));
        trace_end(&trace, outer);
    }
    trace.spans[0].length_ns = 1000000;
    trace.spans[2].length_ns = 2000000;
    str_init(&out, 1024);
    writer_begin(&writer, &out);
    writer_object(&writer, NULL);
    openai_write_timings(&writer, &trace);
    writer_end(&writer);
    yyjson_doc *doc = parsed(&out);
    yyjson_val *timings = yyjson_obj_get(yyjson_doc_get_root(doc), "timings_ms");
    assert_int_equal(yyjson_obj_size(timings), 2);
    assert_true(yyjson_get_num(yyjson_obj_get(timings, "search")) == 3);
    assert_true(yyjson_is_num(yyjson_obj_get(timings, "total")));
    yyjson_doc_free(doc);
}

static void test_cut_vectors(void **state)
{
    (void)state;
    static const float values[] = {0.6f, 0.0f, 0.8f, 0.0f, 0.0f, 1.0f};
    const struct msg_vectors vectors = {
        .count = 2, .dimensions = 3, .values = values, .tokens = 5, .truncated = 1};
    struct str out;
    str_init(&out, 4096);
    openai_write_embeddings(&out, &vectors, "m", 2, false);
    yyjson_doc *doc = parsed(&out);
    /* 0.6, 0 becomes 1, 0; a row of zeros stays one. */
    assert_true(yyjson_get_num(yyjson_doc_ptr_get(doc, "/data/0/embedding/0")) == 1);
    assert_true(yyjson_get_num(yyjson_doc_ptr_get(doc, "/data/1/embedding/0")) == 0);
    assert_int_equal(yyjson_arr_size(yyjson_doc_ptr_get(doc, "/data/0/embedding")), 2);
    assert_int_equal(yyjson_get_int(yyjson_doc_ptr_get(doc, "/data/1/index")), 1);
    assert_int_equal(yyjson_get_int(yyjson_doc_ptr_get(doc, "/jarvis/truncated")), 1);
    yyjson_doc_free(doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_writer),      cmocka_unit_test(test_writer_is_bounded),
        cmocka_unit_test(test_numbers),     cmocka_unit_test(test_no_such_numbers),
        cmocka_unit_test(test_base64),      cmocka_unit_test(test_events),
        cmocka_unit_test(test_error),       cmocka_unit_test(test_timings),
        cmocka_unit_test(test_cut_vectors),
    };
    return cmocka_run_group_tests_name("server_write", tests, NULL, NULL);
}
