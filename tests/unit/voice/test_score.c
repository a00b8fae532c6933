/* Word and character error rates. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "voice/score.h"
#include "voice/subtitle.h"

static void expect_normal(const char *text, const char *expected)
{
    struct str out;
    str_init(&out, 1000);
    score_normalise(text, &out);
    assert_string_equal(str_text(&out), expected);
    str_free(&out);
}

static void only_what_is_spoken_counts(void **state)
{
    (void)state;
    expect_normal("  Hello,   World! ", "hello world");
    expect_normal("¿Qué TAL, España?", "qué tal españa");
    expect_normal("It's 5\xe2\x80\x99o clock", "its 5o clock");
    expect_normal("well-known", "well known");
    expect_normal("cafe\xcc\x81", "caf\xc3\xa9"); /* composed or not, it is the same */
    expect_normal("...", "");
    expect_normal("", "");
}

static void expect_score(const char *reference, const char *heard, size_t word_errors, size_t words,
                         size_t character_errors)
{
    struct score score;
    struct err err;
    assert_true(score_text(reference, heard, &score, &err));
    assert_int_equal(score.word_errors, word_errors);
    assert_int_equal(score.words, words);
    assert_int_equal(score.character_errors, character_errors);
}

static void errors_are_counted(void **state)
{
    (void)state;
    expect_score("one two three", "One, two; three.", 0, 3, 0);
    expect_score("one two three", "one three", 1, 3, 4);
    expect_score("one two three", "one two two three", 1, 3, 4);
    expect_score("one two three", "one too three", 1, 3, 1);
    expect_score("one two three", "", 3, 3, 13);
    expect_score("", "boo", 1, 0, 3);
    expect_score("kitten", "sitting", 1, 1, 3);
    expect_score("ñandú", "nandu", 1, 1, 2); /* accents are letters */
}

static void subtitles_have_their_times(void **state)
{
    (void)state;
    struct str out;
    str_init(&out, 1000);
    subtitle_srt(&out, 7, 3723004, 3724500, "two\nlines");
    assert_string_equal(str_text(&out), "7\n01:02:03,004 --> 01:02:04,500\ntwo lines\n\n");
    str_truncate(&out, 0);
    subtitle_vtt(&out, 0, 59999, "a --> <b> & c");
    assert_string_equal(str_text(&out),
                        "00:00:00.000 --> 00:00:59.999\na --&gt; &lt;b&gt; &amp; c\n\n");
    str_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_is_spoken_counts),
        cmocka_unit_test(errors_are_counted),
        cmocka_unit_test(subtitles_have_their_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
