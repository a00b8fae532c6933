/* Errors in two languages, and which language a reader gets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <errno.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/utf8.h"

static void test_both_languages(void **state)
{
    (void)state;
    struct err err;
    assert_false(err_no_memory(&err));
    assert_int_equal(err.code, ERR_NO_MEMORY);
    assert_int_equal(err.category, ERR_CRITICAL);
    assert_non_null(strstr(err_message(&err, LANG_EN), "out of memory"));
    assert_non_null(strstr(err_message(&err, LANG_ES), "memoria agotada"));
    assert_false(err_set(NULL, ERR_IO, "nobody asks"));
}

static void test_without_translation(void **state)
{
    (void)state;
    struct err err;
    err_set_param(&err, ERR_INVALID_REQUEST, "field", "a text that no catalogue knows: %d", 7);
    assert_string_equal(err_message(&err, LANG_ES), "a text that no catalogue knows: 7");
    assert_string_equal(err.param, "field");
}

static void test_system_errors(void **state)
{
    (void)state;
    struct err err;
    err_set_errno(&err, ERR_IO, ENOSPC, "cannot write \"%s\"", "x");
    assert_int_equal(err.code, ERR_DISK_FULL);
    assert_non_null(strstr(err.message[LANG_EN], "cannot write \"x\": "));
    assert_non_null(strstr(err.message[LANG_ES], "no se puede escribir \"x\": "));
    err_set_errno(&err, ERR_IO, ENOMEM, "x");
    assert_int_equal(err.code, ERR_NO_MEMORY);
    err_set_errno(&err, ERR_NOT_FOUND, ENOENT, "x");
    assert_int_equal(err.code, ERR_NOT_FOUND);
}

static void test_nouns(void **state)
{
    (void)state;
    struct err err;
    err_set(&err, ERR_INVALID_JSON, "%s is nested deeper than %d levels", "the request body", 64);
    assert_false(err_translate_noun(&err, "the request body"));
    assert_string_equal(err.message[LANG_EN], "the request body is nested deeper than 64 levels");
    assert_string_equal(err.message[LANG_ES],
                        "el cuerpo de la petición está anidado a más de 64 niveles");
    err_translate_noun(&err, "a noun that no catalogue knows");
    assert_non_null(strstr(err.message[LANG_ES], "el cuerpo"));
    err_translate_noun(NULL, "the request body");
}

/* A long message is cut between characters, never inside of one. */
static void test_long_messages(void **state)
{
    (void)state;
    char text[3 * ERR_MESSAGE_MAX];
    for (size_t shift = 0; shift < 4; shift++) {
        memset(text, 'a', shift);
        size_t at = shift;
        while (at + 3 < sizeof(text)) {
            memcpy(text + at, "€", 3);
            at += 3;
        }
        text[at] = '\0';
        struct err err;
        err_set(&err, ERR_IO, "%s", text);
        size_t length = strlen(err.message[LANG_EN]);
        assert_true(length < ERR_MESSAGE_MAX && length > ERR_MESSAGE_MAX - 5);
        assert_true(utf8_valid(err.message[LANG_EN], length));
    }
}

static void test_table(void **state)
{
    (void)state;
    for (int code = 0; code < ERR_CODE_COUNT; code++) {
        const struct err_info *info = err_info((enum err_code)code);
        assert_true(strlen(info->name) > 0);
        assert_true(info->http_status >= 200 && info->http_status < 600);
        assert_true(info->exit_code >= 0 && info->exit_code <= 130);
        /* What may be tried again is what may work later; every hint is there in both languages. */
        assert_true(!info->retry || info->category == ERR_TRANSIENT);
        assert_true(!info->retry || info->retry_after_ms > 0);
        assert_true(info->retry_after_ms == 0 || info->category == ERR_TRANSIENT);
        if (code == ERR_NONE)
            continue;
        assert_string_equal(err_hint((enum err_code)code, LANG_EN), info->hint);
        assert_string_not_equal(err_hint((enum err_code)code, LANG_ES), info->hint);
    }
    assert_ptr_equal(err_info((enum err_code)9999), err_info(ERR_INTERNAL));
    struct err err;
    err_restore(&err, 9999, "en", "es", "p", 5);
    assert_int_equal(err.code, ERR_INTERNAL);
    assert_string_equal(err_message(&err, LANG_ES), "es");
    assert_int_equal(err.retry_after_ms, 5);
    assert_int_equal(err_retry_after_ms(&err), 5);
    err_set(&err, ERR_BUSY, "x");
    assert_int_equal(err_retry_after_ms(&err), err_info(ERR_BUSY)->retry_after_ms);
}

static void test_language_of_a_header(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        enum lang lang;
    } cases[] = {
        {NULL, LANG_EN},
        {"", LANG_EN},
        {"es", LANG_ES},
        {"ES-mx,es;q=0.9,en;q=0.5", LANG_ES},
        {"en-US,en;q=0.9,es;q=0.8", LANG_EN},
        {"en;q=0.2, es;q=0.7", LANG_ES},
        {"fr, es;q=0.3", LANG_ES},
        {"fr, de", LANG_EN},
        {"*", LANG_EN},
        {"es;q=0", LANG_EN},
        {";;q=,,,q=q=", LANG_EN},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        assert_int_equal(lang_from_header(cases[i].header), cases[i].lang);
}

static void test_language_of_the_environment(void **state)
{
    (void)state;
    unsetenv("LC_ALL");
    unsetenv("LC_MESSAGES");
    setenv("LANG", "es_ES.UTF-8", 1);
    assert_int_equal(lang_from_environment(), LANG_ES);
    setenv("LC_MESSAGES", "en_GB.UTF-8", 1);
    assert_int_equal(lang_from_environment(), LANG_EN);
    setenv("LC_ALL", "es", 1);
    assert_int_equal(lang_from_environment(), LANG_ES);
    setenv("LC_ALL", "est_EE", 1);
    assert_int_equal(lang_from_environment(), LANG_EN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_languages),
        cmocka_unit_test(test_without_translation),
        cmocka_unit_test(test_system_errors),
        cmocka_unit_test(test_nouns),
        cmocka_unit_test(test_long_messages),
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_language_of_a_header),
        cmocka_unit_test(test_language_of_the_environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
