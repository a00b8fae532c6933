/* The text of a stream does not depend on where its bytes are cut, is always UTF-8, and ends before a stop string. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/utf8.h"
#include "engine/stream_text.h"
#include "helper/testing.h"

enum { OUT_MAX = 1 << 16 };

/* Feeds bytes in pieces of `piece` (0: of random lengths 1..4) and collects what becomes ready. */
static bool collect(const char *bytes, size_t length, size_t piece, struct testing_random *random,
                    const char *const *stops, uint32_t stop_count, struct str *out)
{
    struct stream_text text;
    stream_text_init(&text, stops, stop_count);
    str_init(out, OUT_MAX);
    bool stopped = false;
    for (size_t at = 0; at < length && !stopped;) {
        size_t size = piece ? piece : 1 + testing_below(random, 4);
        size = size < length - at ? size : length - at;
        stopped = stream_text_feed(&text, bytes + at, size);
        at += size;
        if (at >= length)
            stream_text_finish(&text);
        const char *ready = stream_text_ready(&text);
        assert_true(utf8_valid(ready, strlen(ready)));
        str_puts(out, ready);
    }
    assert_true(stream_text_ok(&text));
    stopped = text.stopped;
    stream_text_free(&text);
    return stopped;
}

static void expect(const char *bytes, const char *const *stops, uint32_t stop_count,
                   const char *expected, bool expect_stop)
{
    for (size_t piece = 1; piece <= strlen(bytes); piece++) {
        struct str out;
        bool stopped = collect(bytes, strlen(bytes), piece, NULL, stops, stop_count, &out);
        assert_string_equal(str_text(&out), expected);
        assert_int_equal(stopped, expect_stop);
        str_free(&out);
    }
}

static void characters_are_never_split(void **state)
{
    (void)state;
    expect("a\xc3\xb1\xe2\x82\xac\xf0\x9f\x98\x80z", NULL, 0,
           "a\xc3\xb1\xe2\x82\xac\xf0\x9f\x98\x80z", false);
}

static void bytes_that_are_no_character_are_replaced(void **state)
{
    (void)state;
    expect("a\xff"
           "b",
           NULL, 0,
           "a\xef\xbf\xbd"
           "b",
           false);
    expect("\xc3(", NULL, 0, "\xef\xbf\xbd(", false);
    expect("\xed\xa0\x80", NULL, 0, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", false); /* surrogate */
    expect("end \xf0\x9f\x98", NULL, 0, "end \xef\xbf\xbd", false); /* cut off: one character */
}

static void a_nul_does_not_cut_the_text(void **state)
{
    (void)state;
    struct str out;
    assert_false(collect("a\0b", 3, 1, NULL, NULL, 0, &out));
    assert_string_equal(str_text(&out), "a\xef\xbf\xbd"
                                        "b");
    str_free(&out);
}

static void a_stop_string_may_lie_over_any_cut(void **state)
{
    (void)state;
    static const char *const stops[] = {"STOP"};
    expect("one STOP two", stops, 1, "one ", true);
    expect("STOP", stops, 1, "", true);
    expect("one STO", stops, 1, "one STO", false);
    expect("STSTOP", stops, 1, "ST", true);
    expect("STOSTOSTOP x", stops, 1, "STOSTO", true);
}

static void the_first_of_several_stop_strings_counts(void **state)
{
    (void)state;
    static const char *const stops[] = {"bcd", "", "cd", "\xc3\xb1x"};
    expect("abcde", stops, 4, "a", true);
    expect("accde", stops, 4, "ac", true);
    expect("a\xc3\xb1xb", stops, 4, "a", true);
    expect("a\xc3\xb1yb", stops, 4, "a\xc3\xb1yb", false);
}

static void nothing_comes_after_a_stop(void **state)
{
    (void)state;
    static const char *const stops[] = {"."};
    struct stream_text text;
    stream_text_init(&text, stops, 1);
    assert_true(stream_text_feed(&text, "a.b", 3));
    assert_string_equal(stream_text_ready(&text), "a");
    assert_true(stream_text_feed(&text, "c", 1));
    assert_string_equal(stream_text_ready(&text), "");
    stream_text_finish(&text);
    assert_string_equal(stream_text_ready(&text), "");
    stream_text_free(&text);
}

/* Any bytes, cut anywhere, with any stops give what the whole gives at once; and that is what a plain search finds. */
static void cuts_make_no_difference(void **state)
{
    (void)state;
    struct testing_random random;
    testing_seed(&random);
    static const char *const alphabet[] = {
        "a", "b", "ab", "\xc3\xb1", "\xc3", "\xb1", "\xf0\x9f\x98\x80", "\x9f", "\xff", "c"};
    for (int round = 0; round < 2000; round++) {
        struct str bytes, whole, cut;
        str_init(&bytes, OUT_MAX);
        for (uint64_t n = testing_below(&random, 30); n > 0; n--)
            str_puts(&bytes, alphabet[testing_below(&random, 10)]);
        char stop[8] = "";
        for (uint64_t n = testing_below(&random, 3), i = 0; i <= n; i++)
            stop[i] = testing_below(&random, 2) ? 'a' : 'b';
        const char *stops[] = {stop};
        bool at_once =
            collect(str_text(&bytes), bytes.length, bytes.length + 1, NULL, stops, 1, &whole);
        bool in_pieces = collect(str_text(&bytes), bytes.length, 0, &random, stops, 1, &cut);
        assert_int_equal(at_once, in_pieces);
        assert_string_equal(str_text(&whole), str_text(&cut));
        assert_null(strstr(str_text(&whole), stop));
        str_free(&bytes);
        str_free(&whole);
        str_free(&cut);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(characters_are_never_split),
        cmocka_unit_test(bytes_that_are_no_character_are_replaced),
        cmocka_unit_test(a_nul_does_not_cut_the_text),
        cmocka_unit_test(a_stop_string_may_lie_over_any_cut),
        cmocka_unit_test(the_first_of_several_stop_strings_counts),
        cmocka_unit_test(nothing_comes_after_a_stop),
        cmocka_unit_test(cuts_make_no_difference),
    };
    return cmocka_run_group_tests_name("stream_text", tests, NULL, NULL);
}
