/* Text on a terminal: columns, cutting, wrapping, tables, bars, and what must not reach it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/utf8.h"
#include "cli/flow.h"
#include "cli/highlight.h"
#include "cli/progress.h"
#include "cli/table.h"
#include "cli/term.h"
#include "helper/testing.h"

/* A term whose output is read back as text. */
struct capture {
    struct term term;
    char *text;
    size_t length;
};

static void capture_begin(struct capture *capture, bool tty, bool colour, int width)
{
    *capture =
        (struct capture){.term = {.tty = tty, .colour = colour, .utf8 = true, .width = width}};
    capture->term.file = open_memstream(&capture->text, &capture->length);
    assert_non_null(capture->term.file);
}

static void capture_expect(struct capture *capture, const char *expected)
{
    fclose(capture->term.file);
    assert_string_equal(capture->text, expected);
    free(capture->text);
}

static size_t width_of(const char *text)
{
    return text_width(text, strlen(text));
}

static void widths_are_columns(void **state)
{
    (void)state;
    assert_int_equal(width_of(""), 0);
    assert_int_equal(width_of("abc"), 3);
    assert_int_equal(width_of("añó"), 3);
    assert_int_equal(width_of("日本"), 4);     /* wide */
    assert_int_equal(width_of("e\u0301"), 1);  /* combining */
    assert_int_equal(width_of("\xff\xfe"), 2); /* no UTF-8 */
    assert_int_equal(text_prefix("日本", 6, 3), 3);
    assert_int_equal(text_prefix("abc", 3, 10), 3);
    assert_int_equal(text_prefix("abc", 3, 0), 0);
}

static void expect_fit(const char *text, size_t columns, bool front, bool utf8,
                       const char *expected)
{
    struct str out;
    str_init(&out, 1 << 16);
    text_fit(&out, text, columns, front, utf8);
    assert_string_equal(str_text(&out), expected);
    str_free(&out);
}

static void fitting_cuts_and_squeezes(void **state)
{
    (void)state;
    expect_fit("short", 10, false, true, "short");
    expect_fit("  two \n\n words\t", 20, false, true, "two words");
    expect_fit("abcdefghij", 5, false, true, "abcd…");
    expect_fit("abcdefghij", 5, true, true, "…ghij");
    expect_fit("abcdefghij", 6, false, false, "abc...");
    expect_fit("日本語", 4, false, true, "日…");
    expect_fit("abcdefghij", 2, false, false, "..");
    expect_fit("abc", 0, false, true, "");
}

static void fitting_any_text_keeps_the_width(void **state)
{
    (void)state;
    struct testing_random random;
    testing_seed(&random);
    static const char *const parts[] = {"a", "ñ", "日", " ", "\n", "e\u0301", "🙂", "word"};
    for (int round = 0; round < 2000; round++) {
        struct str text;
        struct str out;
        str_init(&text, 1 << 16);
        str_init(&out, 1 << 16);
        for (uint64_t i = testing_below(&random, 40); i > 0; i--)
            str_puts(&text, parts[testing_below(&random, 8)]);
        size_t columns = (size_t)testing_below(&random, 30);
        text_fit(&out, str_text(&text), columns, round % 2, round % 3);
        assert_true(text_width(str_text(&out), out.length) <= columns);
        assert_true(utf8_valid(str_text(&out), out.length));
        str_free(&text);
        str_free(&out);
    }
}

static void expect_wrap(const char *text, size_t columns, size_t indent, const char *expected)
{
    struct str out;
    str_init(&out, 1 << 16);
    text_wrap(&out, text, columns, indent, indent);
    assert_string_equal(str_text(&out), expected);
    str_free(&out);
}

static void wrapping_at_words(void **state)
{
    (void)state;
    expect_wrap("one two three", 7, 0, "one two\nthree");
    expect_wrap("one two three", 8, 2, "one\n  two\n  three");
    expect_wrap("unbreakable x", 4, 0, "unbreakable\nx");
    expect_wrap("a\n\nb", 10, 0, "a\n\nb");
    expect_wrap("", 10, 0, "");
    expect_wrap("日本 日本", 5, 0, "日本\n日本");
    struct str out; /* text that begins in the middle of a line */
    str_init(&out, 1 << 16);
    text_wrap(&out, "one two", 12, 10, 2);
    assert_string_equal(str_text(&out), "\n  one two");
    str_free(&out);
}

/* What a flow makes of a text that comes in pieces of `piece` bytes. */
static void expect_flow(const char *text, size_t piece, bool tty, const char *expected)
{
    struct capture capture;
    struct flow flow;
    struct err err;
    capture_begin(&capture, tty, false, 20);
    flow_begin(&flow, &capture.term);
    for (size_t at = 0; at < strlen(text); at += piece) {
        size_t left = strlen(text) - at;
        assert_true(flow_write(&flow, text + at, left < piece ? left : piece, &err));
    }
    flow_end(&flow);
    capture_expect(&capture, expected);
}

static void streamed_words_stay_whole(void **state)
{
    (void)state;
    static const char text[] =
        "The quick brown fox jumps over\n\n    if (x)\n  \nañoñañoñañoñaño end ";
    for (size_t piece = 1; piece < 12; piece++) {
        expect_flow(text, piece, true,
                    "The quick brown fox\njumps over\n\n    if (x)\n\nañoñañoñañoñaño end");
        expect_flow(text, piece, false, text);
    }
    expect_flow("averyverylongwordthatfitsnowhere x", 5, true,
                "averyverylongwordthatfitsnowhere\nx");
    expect_flow("", 1, true, "");
}

static void amounts_for_people(void **state)
{
    (void)state;
    struct str out;
    str_init(&out, 1 << 16);
    text_bytes(&out, 0);
    str_putc(&out, '|');
    text_bytes(&out, 1023);
    str_putc(&out, '|');
    text_bytes(&out, 1536);
    str_putc(&out, '|');
    text_bytes(&out, (uint64_t)200 * 1024 * 1024);
    str_putc(&out, '|');
    text_duration(&out, 3.25);
    str_putc(&out, '|');
    text_duration(&out, 850);
    str_putc(&out, '|');
    text_duration(&out, 1234);
    str_putc(&out, '|');
    text_duration(&out, 125000);
    assert_string_equal(str_text(&out),
                        "0 B|1023 B|1.5 KiB|200 MiB|3.2 ms|850 ms|1.2 s|2 min 05 s");
    str_free(&out);
}

static void control_characters_are_kept_from_a_terminal(void **state)
{
    (void)state;
    static const char text[] = "a\033[31mb\a\tc\r\n\xc2\x9b"
                               "d\u202ee\xff.";
    struct capture capture;
    capture_begin(&capture, true, true, 80);
    term_write(&capture.term, text, sizeof(text) - 1);
    capture_expect(&capture, "a[31mb\tc\nde.");
    capture_begin(&capture, false, false, 80); /* a file gets what was said */
    term_write(&capture.term, text, sizeof(text) - 1);
    capture_expect(&capture, text);
}

static void tables_line_up(void **state)
{
    (void)state;
    struct capture capture;
    struct table table;
    struct err err;
    capture_begin(&capture, false, false, 80);
    table_init(&table);
    table_column(&table, "NAME", ALIGN_LEFT);
    table_column(&table, "SIZE", ALIGN_RIGHT);
    table_column(&table, "WHY", ALIGN_LEFT);
    table_cell(&table, "añb");
    table_cell_bytes(&table, 1024);
    table_cell(&table, "because");
    table_cell(&table, "日本語");
    table_cell_bytes(&table, 0);
    table_cell(&table, "%d", 7);
    assert_true(table_print(&table, &capture.term, &err));
    table_free(&table);
    capture_expect(&capture, "NAME       SIZE  WHY\n"
                             "añb     1.0 KiB  because\n"
                             "日本語        -  7\n");
}

static void tables_are_cut_to_the_terminal(void **state)
{
    (void)state;
    struct capture capture;
    struct table table;
    struct err err;
    capture_begin(&capture, true, false, 20);
    table_init(&table);
    table_column(&table, "NAME", ALIGN_LEFT);
    table_column(&table, "WHY", ALIGN_LEFT);
    table_cell(&table, "x");
    table_cell(&table, "a long reason for it");
    assert_true(table_print(&table, &capture.term, &err));
    table_free(&table);
    capture_expect(&capture, "NAME  WHY\nx     a long reaso…\n");
}

static void expect_bar(int width, bool utf8, const struct progress_state *state, double seconds,
                       const char *expected)
{
    const struct term term = {.utf8 = utf8, .width = width};
    struct str out;
    str_init(&out, 1 << 16);
    progress_render(&term, LANG_EN, state, seconds, &out);
    assert_string_equal(str_text(&out), expected);
    str_free(&out);
}

static void bars_show_what_fits(void **state)
{
    (void)state;
    const struct progress_state half = {"read", 5, 10, 3 * 1024 * 1024, "/a/file.txt"};
    expect_bar(80, false, &half, 1,
               "reading[###############---------------]5/10   50%  3.0 MiB/s  /a/file.txt");
    expect_bar(41, true, &half, 1, "reading █████░░░░░ 5/10   50%  3.0 MiB/s");
    expect_bar(22, true, &half, 1, "reading 5/10   50%");
    const struct progress_state counting = {"scan", 12, 0, 0, ""};
    expect_bar(60, true, &counting, 0, "looking for files 12");
    const struct progress_state done = {"embed", 10, 10, 0, ""};
    expect_bar(70, true, &done, 2,
               "embedding ██████████████████████████████ 10/10  100%  5 a second");
}

static void bars_never_pass_the_width(void **state)
{
    (void)state;
    struct testing_random random;
    testing_seed(&random);
    for (int round = 0; round < 2000; round++) {
        static const char *const phases[] = {"scan", "read", "embed", "something else"};
        const struct progress_state now = {
            .phase = phases[testing_below(&random, 4)],
            .done = testing_next(&random) >> testing_below(&random, 64),
            .total = testing_next(&random) >> testing_below(&random, 64),
            .bytes_done = testing_next(&random) >> testing_below(&random, 64),
            .path = "/some/日本語/directory with ñ/and a file.txt",
        };
        const struct term term = {.utf8 = round % 2,
                                  .width = 20 + (int)testing_below(&random, 200)};
        struct str out;
        str_init(&out, 1 << 16);
        progress_render(&term, round % 3 ? LANG_EN : LANG_ES, &now, (double)(round % 7), &out);
        assert_true(text_width(str_text(&out), out.length) < (size_t)term.width);
        str_free(&out);
    }
}

static void progress_is_plain_lines_in_a_file(void **state)
{
    (void)state;
    struct capture capture;
    struct progress progress;
    capture_begin(&capture, false, false, 80);
    progress_begin(&progress, &capture.term, LANG_EN);
    for (uint64_t i = 0; i <= 40; i++)
        progress_show(&progress, &(struct progress_state){"read", i, 40, i, "x"});
    progress_show(&progress, &(struct progress_state){"embed", 0, 7, 0, ""});
    progress_end(&progress);
    capture_expect(&capture, "reading: 0/40 (0%)\nreading: 4/40 (10%)\nreading: 8/40 (20%)\n"
                             "reading: 12/40 (30%)\nreading: 16/40 (40%)\nreading: 20/40 (50%)\n"
                             "reading: 24/40 (60%)\nreading: 28/40 (70%)\nreading: 32/40 (80%)\n"
                             "reading: 36/40 (90%)\nreading: 40/40 (100%)\nembedding: 0/7 (0%)\n");
}

static bool matches(const char *query, const char *word)
{
    return highlight_matches(query, strlen(query), word, strlen(word));
}

static void words_of_a_query_are_recognised(void **state)
{
    (void)state;
    assert_true(matches("licence", "Licences"));
    assert_true(matches("LICENCIA", "licencias"));
    assert_true(matches("distribución", "distribuciones"));
    assert_true(matches("GPL", "gpl"));
    assert_false(matches("of", "of")); /* too short to tell anything */
    assert_false(matches("gplv", "gpl"));
    assert_false(matches("licence", "lichen"));
    assert_false(matches("copy", "copyright"));
    assert_false(matches("abc", "\xff\xff\xff"));
}

static void highlighting_needs_colour(void **state)
{
    (void)state;
    struct capture capture;
    capture_begin(&capture, true, true, 80);
    highlight_print(&capture.term, "the licence", "(The licences.)");
    capture_expect(&capture, "(\033[33mThe\033[0m \033[33mlicences\033[0m.)");
    capture_begin(&capture, true, false, 80);
    highlight_print(&capture.term, "the licence", "(The licences.)");
    capture_expect(&capture, "(The licences.)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(widths_are_columns),
        cmocka_unit_test(fitting_cuts_and_squeezes),
        cmocka_unit_test(fitting_any_text_keeps_the_width),
        cmocka_unit_test(wrapping_at_words),
        cmocka_unit_test(streamed_words_stay_whole),
        cmocka_unit_test(amounts_for_people),
        cmocka_unit_test(control_characters_are_kept_from_a_terminal),
        cmocka_unit_test(tables_line_up),
        cmocka_unit_test(tables_are_cut_to_the_terminal),
        cmocka_unit_test(bars_show_what_fits),
        cmocka_unit_test(bars_never_pass_the_width),
        cmocka_unit_test(progress_is_plain_lines_in_a_file),
        cmocka_unit_test(words_of_a_query_are_recognised),
        cmocka_unit_test(highlighting_needs_colour),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
