/* Parsing JSON: places of errors, depth, types and ranges of fields. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"

static void expect_error(const char *text, enum err_code code, const char *part)
{
    yyjson_doc *doc;
    struct err err;
    assert_false(json_parse(text, strlen(text), "the body", &doc, &err));
    assert_int_equal(err.code, code);
    if (!strstr(err.message[LANG_EN], part))
        fail_msg("no \"%s\" in: %s", part, err.message[LANG_EN]);
}

static void test_places(void **state)
{
    (void)state;
    expect_error("{\n  \"a\": 1,\n  \"b\" 2}", ERR_INVALID_JSON, "line 3, column 7");
    expect_error("", ERR_INVALID_JSON, "the body");
    expect_error("{\"a\":1} x", ERR_INVALID_JSON, "line 1");
    expect_error("{\"a\":1,}", ERR_INVALID_JSON, "line 1");
    expect_error("\"\xff\"", ERR_INVALID_JSON, "line 1");
    yyjson_doc *doc;
    struct err err;
    const char *relaxed = "{ // note\n \"a\": [1, 2,], /* more */ }";
    assert_true(json_parse_relaxed(relaxed, strlen(relaxed), "x", &doc, &err));
    yyjson_doc_free(doc);
}

static void test_depth(void **state)
{
    (void)state;
    char text[4001];
    for (size_t depth = JSON_DEPTH_MAX - 1; depth <= JSON_DEPTH_MAX + 1; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        yyjson_doc *doc = NULL;
        struct err err;
        bool ok = json_parse(text, 2 * depth, "x", &doc, &err);
        assert_int_equal(ok, depth <= JSON_DEPTH_MAX);
        yyjson_doc_free(doc);
    }
    const char *inside =
        "\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[[[\"";
    yyjson_doc *doc;
    struct err err;
    assert_true(json_parse(inside, strlen(inside), "x", &doc, &err));
    yyjson_doc_free(doc);
}

/* What stands in a comment neither counts nor hides what counts. */
static void test_depth_with_comments(void **state)
{
    (void)state;
    char brackets[2 * (JSON_DEPTH_MAX + 1) + 1] = "";
    memset(brackets, '[', JSON_DEPTH_MAX + 1);
    memset(brackets + JSON_DEPTH_MAX + 1, ']', JSON_DEPTH_MAX + 1);
    static const struct {
        const char *before;
        const char *after;
        bool deep;
    } cases[] = {
        {"", "", true},
        {"/* \" */", "", true},
        {"// \"\n", "", true},
        {"[1, /*", "*/ 2]", false},
        {"[1, //", "\n2]", false},
        {"[\"/*\", ", "]", true},
        {"[\"\\\"\", \"", "\"]", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char text[512];
        snprintf(text, sizeof(text), "%s%s%s", cases[i].before, brackets, cases[i].after);
        yyjson_doc *doc = NULL;
        struct err err;
        bool ok = json_parse_relaxed(text, strlen(text), "x", &doc, &err);
        assert_int_equal(ok, !cases[i].deep);
        if (cases[i].deep)
            assert_non_null(strstr(err.message[LANG_EN], "deeper"));
        yyjson_doc_free(doc);
    }
    yyjson_doc *doc = NULL;
    assert_false(json_parse_relaxed("/*", 2, "x", &doc, NULL));
    assert_false(json_parse_relaxed("/", 1, "x", &doc, NULL));
    assert_false(json_parse_relaxed("\"\\", 2, "x", &doc, NULL));
}

static void test_fields(void **state)
{
    (void)state;
    const char *text = "{\"s\":\"x\",\"i\":5,\"d\":0.5,\"b\":true,\"n\":null,\"z\":\"a\\u0000b\","
                       "\"u\":18446744073709551615}";
    yyjson_doc *doc;
    struct err err;
    assert_true(json_parse(text, strlen(text), "x", &doc, &err));
    yyjson_val *root = yyjson_doc_get_root(doc);
    const char *string = "default";
    int64_t integer = -1;
    double number = -1;
    bool boolean = false;
    assert_true(json_opt_string(root, "n", &string, &err));
    assert_true(json_opt_string(root, "missing", &string, &err));
    assert_string_equal(string, "default");
    assert_true(json_opt_string(root, "s", &string, &err));
    assert_string_equal(string, "x");
    assert_true(json_opt_int(root, "i", 0, 5, &integer, &err));
    assert_int_equal(integer, 5);
    assert_true(json_opt_double(root, "d", 0, 1, &number, &err));
    assert_true(number > 0.49 && number < 0.51);
    assert_true(json_opt_double(root, "i", 0, 10, &number, &err));
    assert_true(json_opt_bool(root, "b", &boolean, &err));
    assert_true(boolean);

    assert_false(json_opt_int(root, "i", 0, 4, &integer, &err));
    assert_string_equal(err.param, "i");
    assert_int_equal(integer, 5);
    assert_false(json_opt_int(root, "d", 0, 4, &integer, &err));
    assert_false(json_opt_int(root, "u", 0, INT64_MAX, &integer, &err));
    assert_false(json_opt_string(root, "i", &string, &err));
    assert_false(json_opt_string(root, "z", &string, &err));
    assert_false(json_opt_bool(root, "i", &boolean, &err));
    assert_false(json_opt_double(root, "s", 0, 1, &number, &err));
    assert_false(json_need_string(root, "missing", &string, &err));
    assert_string_equal(err.param, "missing");
    yyjson_doc_free(doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_depth_with_comments),
        cmocka_unit_test(test_fields),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
