/* What the service's error objects become, and what is made of answers that are none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cli/client.h"

static struct err error_of(const char *json)
{
    struct err err;
    err_clear(&err);
    yyjson_doc *doc = yyjson_read(json, strlen(json), 0);
    assert_non_null(doc);
    assert_false(client_error(yyjson_doc_get_root(doc), &err));
    yyjson_doc_free(doc);
    return err;
}

static void errors_keep_their_code_and_message(void **state)
{
    (void)state;
    struct err err = error_of("{\"message\": \"no hay sitio\", \"code\": \"memory_budget\", "
                              "\"param\": \"model\", \"retry_after_ms\": 1500}");
    assert_int_equal(err.code, ERR_OUT_OF_MEMORY_BUDGET);
    assert_int_equal(err.category, ERR_TRANSIENT);
    assert_int_equal(err.retry_after_ms, 1500);
    assert_string_equal(err.param, "model");
    assert_string_equal(err_message(&err, LANG_EN), "no hay sitio"); /* the service chose */
    assert_string_equal(err_message(&err, LANG_ES), "no hay sitio");
}

static void every_code_is_known(void **state)
{
    (void)state;
    for (int code = ERR_NONE + 1; code < ERR_CODE_COUNT; code++) {
        char json[128];
        const char *name = err_info((enum err_code)code)->name;
        snprintf(json, sizeof(json), "{\"message\": \"m\", \"code\": \"%s\"}", name);
        assert_int_equal(error_of(json).code, code);
    }
}

static void strange_errors_are_errors_still(void **state)
{
    (void)state;
    assert_int_equal(error_of("{\"message\": \"m\", \"code\": \"none\"}").code, ERR_INTERNAL);
    assert_int_equal(error_of("{\"message\": \"m\", \"code\": 7}").code, ERR_INTERNAL);
    assert_int_equal(error_of("{\"message\": \"m\"}").code, ERR_INTERNAL);
    assert_int_equal(error_of("{\"code\": \"busy\"}").code, ERR_PROTOCOL);
    assert_int_equal(error_of("[1, 2]").code, ERR_PROTOCOL);
    assert_int_equal(error_of("\"text\"").code, ERR_PROTOCOL);
    assert_int_equal(error_of("{\"message\": \"m\", \"code\": \"busy\", "
                              "\"retry_after_ms\": 99999999999999}")
                         .retry_after_ms,
                     UINT32_MAX);
}

static void names_become_one_segment_of_a_path(void **state)
{
    (void)state;
    struct client *client;
    struct err err;
    struct str out;
    str_init(&out, 1024);
    assert_true(client_open("/nowhere", LANG_EN, &client, &err));
    assert_true(client_escape(client, "a/b c?ñ", &out, &err));
    assert_string_equal(str_text(&out), "a%2Fb%20c%3F%C3%B1");
    str_free(&out);
    client_close(client);
}

static void nobody_listening_is_unavailable(void **state)
{
    (void)state;
    struct client *client;
    struct err err;
    yyjson_doc *doc = NULL;
    assert_true(client_open("/nowhere/at/all.sock", LANG_EN, &client, &err));
    assert_false(client_call(client, "GET", "/healthz", NULL, &doc, &err));
    assert_null(doc);
    assert_int_equal(err.code, ERR_UNAVAILABLE);
    client_close(client);
    client_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_keep_their_code_and_message),
        cmocka_unit_test(every_code_is_known),
        cmocka_unit_test(strange_errors_are_errors_still),
        cmocka_unit_test(names_become_one_segment_of_a_path),
        cmocka_unit_test(nobody_listening_is_unavailable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
