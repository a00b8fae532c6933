/* The marks of sources in answers: what exists passes, what does not is dropped, however the text is cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "assistant/citation.h"
#include "helper/testing.h"

/* Feeds `text` in pieces of at most `piece` bytes and returns the result in the caller's buffer. */
static void filtered(const char *text, int passages, size_t piece, struct citation_filter *filter,
                     char out[512])
{
    struct str str;
    str_init(&str, 500);
    citation_filter_init(filter, passages);
    for (size_t at = 0; text[at];) {
        char part[512] = {0};
        size_t left = strlen(text + at);
        size_t length = left < piece ? left : piece;
        memcpy(part, text + at, length);
        part[length] = '\0';
        citation_filter_feed(filter, part, &str);
        at += length;
    }
    citation_filter_finish(filter, &str);
    assert_true(str_ok(&str));
    memcpy(out, str_text(&str), str.length + 1);
    str_free(&str);
}

static void test_marks(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        int passages;
        const char *out;
    } cases[] = {
        {"The sky is blue [1].", 2, "The sky is blue [1]."},
        {"Nobody said so [7].", 2, "Nobody said so."},
        {"Both [1, 2] agree.", 2, "Both [1][2] agree."},
        {"Half [1, 9] agree.", 2, "Half [1] agree."},
        {"an array a[0] and a[12]", 2, "an array a and a"},
        {"[link](there) and [x]", 2, "[link](there) and [x]"},
        {"ends in [", 2, "ends in ["},
        {"ends in [1", 2, "ends in [1"},
        {"[[1]]", 1, "[[1]]"},
        {"  [2]  [1]", 2, "  [2]  [1]"},
        {"[]", 2, "[]"},
        {"[0][65][64]", 64, "[64]"},
        {"", 2, ""},
        {"a very long list [1 2 3 4 5 6 7 8 9 1 2 3 4 5 6 7 8 9]", 9,
         "a very long list [1 2 3 4 5 6 7 8 9 1 2 3 4 5 6 7 8 9]"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        for (size_t piece = 1; piece < 8; piece++) {
            struct citation_filter filter;
            char out[512];
            filtered(cases[i].in, cases[i].passages, piece, &filter, out);
            assert_string_equal(out, cases[i].out);
        }
    }
}

static void test_used_numbers_are_noted(void **state)
{
    (void)state;
    struct citation_filter filter;
    char out[512];
    filtered("One [1], three [3], none [4].", 3, 5, &filter, out);
    assert_true(filter.used[1]);
    assert_false(filter.used[2]);
    assert_true(filter.used[3]);
    assert_int_equal(filter.dropped, 1);
}

/* Property: cutting the text elsewhere never changes the result, and no number above the limit survives. */
static void test_random_text(void **state)
{
    (void)state;
    struct testing_random random;
    testing_seed(&random);
    static const char alphabet[] = "[]0123456789, a.\n[]";
    for (int round = 0; round < 5000; round++) {
        char text[64] = {0};
        size_t length = (size_t)testing_below(&random, sizeof(text) - 1);
        for (size_t i = 0; i < length; i++)
            text[i] = alphabet[testing_below(&random, sizeof(alphabet) - 1)];
        text[length] = '\0';
        struct citation_filter filter;
        char whole[512];
        char pieces[512];
        filtered(text, 3, 500, &filter, whole);
        filtered(text, 3, 1 + (size_t)testing_below(&random, 9), &filter, pieces);
        assert_string_equal(whole, pieces);
        assert_null(strstr(whole, "[4]"));
        assert_null(strstr(whole, "[0]"));
    }
}

static void test_claim(void **state)
{
    (void)state;
    const char *answer =
        "First thing. The second, version 3.1, is true [2]. Third.[1]\nList item [3]";
    size_t start;
    size_t length;
    assert_true(citation_claim(answer, 2, &start, &length));
    assert_memory_equal(answer + start, "The second, version 3.1, is true", length);
    assert_true(citation_claim(answer, 1, &start, &length));
    assert_int_equal(length, strlen("Third"));
    assert_memory_equal(answer + start, "Third", length);
    assert_true(citation_claim(answer, 3, &start, &length));
    assert_memory_equal(answer + start, "List item", length);
    assert_false(citation_claim(answer, 4, &start, &length));
    assert_false(citation_claim("[1]", 1, &start, &length));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_marks),
        cmocka_unit_test(test_used_numbers_are_noted),
        cmocka_unit_test(test_random_text),
        cmocka_unit_test(test_claim),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
