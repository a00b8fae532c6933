/* The words of a command line: options by a table, and the nearest name for a misspelt one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/command.h"
#include "cli/names.h"
#include "cli/options.h"

static const struct option_spec specs[] = {
    {.name = "json", .type = OPTION_FLAG},
    {.name = "model", .type = OPTION_TEXT, .value = "NAME"},
    {.name = "store", .type = OPTION_LIST, .value = "NAME"},
    {.name = "top-k", .type = OPTION_INT, .value = "N", .min = 1, .max = 1000},
    {.name = "alpha", .type = OPTION_NUMBER, .value = "A", .max = 1},
    {.name = "secret-fd", .type = OPTION_INT, .value = "FD", .min = 3, .max = 9, .hidden = true},
    {.name = "help", .type = OPTION_FLAG},
};

#define PARSE(options, err, ...)                                                 \
    options_parse(specs, sizeof(specs) / sizeof(*specs),                         \
                  (int)(sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *)), \
                  (const char *[]){__VA_ARGS__}, options, err)

static void options_stand_anywhere(void **state)
{
    (void)state;
    struct options options;
    struct err err;
    assert_true(
        PARSE(&options, &err, "may", "--top-k", "5", "I", "--alpha=0.25", "copy", "--json"));
    assert_int_equal(options.word_count, 3);
    assert_string_equal(options.words[0], "may");
    assert_string_equal(options.words[2], "copy");
    assert_int_equal(options_int(&options, "top-k", 0), 5);
    assert_true(options_number(&options, "alpha", -1) == 0.25);
    assert_true(options_has(&options, "json"));
    assert_false(options_has(&options, "model"));
    assert_string_equal(options_text(&options, "model", "other"), "other");
    options_free(&options);
}

static void two_dashes_end_the_options(void **state)
{
    (void)state;
    struct options options;
    struct err err;
    assert_true(PARSE(&options, &err, "--", "--json", "-x", "--"));
    assert_int_equal(options.word_count, 3);
    assert_string_equal(options.words[0], "--json");
    assert_string_equal(options.words[2], "--");
    assert_false(options_has(&options, "json"));
    options_free(&options);
}

static void numbers_and_a_dash_are_words(void **state)
{
    (void)state;
    struct options options;
    struct err err;
    assert_true(PARSE(&options, &err, "-5", "-", "-.5"));
    assert_int_equal(options.word_count, 3);
    options_free(&options);
}

static void the_last_one_counts_and_lists_collect(void **state)
{
    (void)state;
    struct options options;
    struct err err;
    assert_true(PARSE(&options, &err, "--model=a", "--store", "x", "--model=b", "--store=y"));
    assert_string_equal(options_text(&options, "model", NULL), "b");
    assert_int_equal(options_list(&options, "store")->count, 2);
    assert_string_equal(options_list(&options, "store")->texts[1], "y");
    options_free(&options);
    assert_true(PARSE(&options, &err, "--model="));
    assert_string_equal(options_text(&options, "model", NULL), "");
    options_free(&options);
}

static void a_list_is_bounded(void **state)
{
    (void)state;
    const char *words[2 * (OPTION_VALUES_MAX + 1)];
    for (int i = 0; i <= OPTION_VALUES_MAX; i++) {
        words[2 * i] = "--store";
        words[2 * i + 1] = "s";
    }
    struct options options;
    struct err err;
    assert_true(options_parse(specs, 7, 2 * OPTION_VALUES_MAX, words, &options, &err));
    options_free(&options);
    assert_false(options_parse(specs, 7, 2 * (OPTION_VALUES_MAX + 1), words, &options, &err));
    assert_int_equal(err.code, ERR_INVALID_REQUEST);
    assert_string_equal(err.param, "store");
}

static void expect_refused(const char *word, const char *value, const char *part)
{
    struct options options = {.word_count = 77};
    struct err err;
    const char *words[] = {word, value};
    assert_false(options_parse(specs, 7, value ? 2 : 1, words, &options, &err));
    assert_int_equal(options.word_count, 77); /* untouched */
    assert_int_equal(err.code, ERR_INVALID_REQUEST);
    if (!strstr(err.message[LANG_EN], part))
        fail_msg("\"%s\" is not in: %s", part, err.message[LANG_EN]);
    assert_string_not_equal(err.message[LANG_EN], err.message[LANG_ES]);
}

static void wrong_options_are_explained(void **state)
{
    (void)state;
    expect_refused("--modle", NULL, "did you mean --model?");
    expect_refused("--modle=x", NULL, "did you mean --model?");
    expect_refused("--zzzzzz", NULL, "--help lists the options");
    expect_refused("--secret-f", NULL, "--help lists the options"); /* hidden ones are not told */
    expect_refused("--model", NULL, "needs a value");
    expect_refused("--json=yes", NULL, "takes no value");
    expect_refused("-j", NULL, "there is no option -j");
    expect_refused("-json", NULL, "there is no option -json");
    expect_refused("--top-k", "0", "from 1 to 1000");
    expect_refused("--top-k", "1001", "from 1 to 1000");
    expect_refused("--top-k", "2.5", "whole number");
    expect_refused("--top-k", "ten", "not \"ten\"");
    expect_refused("--top-k", "", "whole number");
    expect_refused("--alpha", "1.01", "from 0 to 1");
    expect_refused("--alpha", "nan", "from 0 to 1");
    expect_refused("--alpha", "1e999", "from 0 to 1");
    expect_refused("--=", NULL, "there is no option");
}

static void a_very_long_option_is_no_trouble(void **state)
{
    (void)state;
    char word[5000];
    memset(word, 'm', sizeof(word));
    memcpy(word, "--", 2);
    word[sizeof(word) - 1] = '\0';
    expect_refused(word, NULL, "there is no option");
}

static void nearest_names(void **state)
{
    (void)state;
    static const char *const names[] = {"ask", "search", "serve", "stop", "models", "ingest"};
    const size_t count = sizeof(names) / sizeof(*names);
    assert_string_equal(names_nearest("serch", names, count), "search");
    assert_string_equal(names_nearest("akS", names, count), "ask");
    assert_string_equal(names_nearest("model", names, count), "models");
    assert_string_equal(names_nearest("sreve", names, count), "serve");
    assert_string_equal(names_nearest("ing", names, count), "ingest"); /* a beginning */
    assert_null(names_nearest("frobnicate", names, count));
    assert_null(names_nearest("", names, count));
    assert_null(names_nearest("ask", names, 0));
}

static void every_command_is_well_formed(void **state)
{
    (void)state;
    const struct command *command;
    size_t count = 0;
    for (; (command = command_at(count)); count++) {
        assert_ptr_equal(command_find(command->name), command);
        assert_non_null(command->run);
        assert_non_null(command->usage);
        assert_true(strlen(command->summary) > 0);
        assert_true(command->option_count + 2 <= OPTIONS_MAX); /* --help and --no-color as well */
        for (size_t i = 0; i < command->option_count; i++) {
            const struct option_spec *spec = &command->options[i];
            assert_true((spec->type == OPTION_FLAG) == (spec->value == NULL));
            assert_true(spec->hidden || strlen(spec->help) > 0);
        }
    }
    assert_true(count >= 12);
    assert_null(command_find("nothing"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_stand_anywhere),
        cmocka_unit_test(two_dashes_end_the_options),
        cmocka_unit_test(numbers_and_a_dash_are_words),
        cmocka_unit_test(the_last_one_counts_and_lists_collect),
        cmocka_unit_test(a_list_is_bounded),
        cmocka_unit_test(wrong_options_are_explained),
        cmocka_unit_test(a_very_long_option_is_no_trouble),
        cmocka_unit_test(nearest_names),
        cmocka_unit_test(every_command_is_well_formed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
