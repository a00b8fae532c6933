/* From text to file: offsets and lines through the parser's runs. */
#include <stdlib.h>
#include <string.h>

#include "retrieval/place.h"
#include "unit/retrieval/fixture.h"

static struct place_map make(const struct text_run *runs, size_t run_count, const char *text,
                             const void *file, size_t file_length, const char *charset,
                             struct arena *arena)
{
    struct place_map map;
    struct err err;
    struct place_source source = {runs, run_count, text, strlen(text), file, file_length, charset};
    assert_ok(place_map_make(&source, arena, &map, &err), &err);
    /* What is stored reads back the same. */
    struct str bytes;
    str_init(&bytes, 1 << 24);
    place_map_write(&map, &bytes);
    struct place_map again;
    assert_ok(place_map_read(bytes.data, bytes.length, arena, &again, &err), &err);
    assert_int_equal(again.run_count, map.run_count);
    assert_int_equal(again.text_length, map.text_length);
    assert_int_equal(again.file_length, map.file_length);
    for (size_t i = 0; i < map.run_count; i++) {
        assert_int_equal(again.runs[i].text_offset, map.runs[i].text_offset);
        assert_int_equal(again.runs[i].file_offset, map.runs[i].file_offset);
        assert_int_equal(again.runs[i].line, map.runs[i].line);
        assert_int_equal(again.runs[i].identical, map.runs[i].identical);
    }
    assert_false(place_map_read(bytes.data, bytes.length - 1, arena, &again, &err));
    assert_int_equal(err.code, ERR_STORE);
    str_free(&bytes);
    return again;
}

static void assert_place(struct place place, size_t offset, size_t length, size_t line_start,
                         size_t line_end, bool identical)
{
    assert_int_equal(place.offset, offset);
    assert_int_equal(place.length, length);
    assert_int_equal(place.line_start, line_start);
    assert_int_equal(place.line_end, line_end);
    assert_int_equal(place.identical, identical);
}

static void test_text_is_the_file(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 1 << 24);
    const char *text = "one\ntwo\nthree\n";
    struct place_map map = make(NULL, 0, text, NULL, 0, NULL, &arena);
    assert_place(place_find(&map, text, 0, 3), 0, 3, 1, 1, true);
    assert_place(place_find(&map, text, 4, 9), 4, 9, 2, 3, true);
    assert_place(place_find(&map, text, 0, 4), 0, 4, 1, 1, true); /* the line's own end */
    assert_place(place_find(&map, text, 8, 100), 8, 6, 3, 3, true);
    assert_place(place_find(&map, text, 100, 1), 14, 0, 4, 4, true);
    map = make(NULL, 0, "", NULL, 0, NULL, &arena);
    assert_int_equal(place_find(&map, "", 0, 1).length, 0);
    arena_free(&arena);
}

/* "<p>a &amp; b</p>\n\n<b>c</b>" became "a & b\n\nc". */
static void test_markup(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 1 << 24);
    const char *file = "<p>a &amp; b</p>\n\n<b>c</b>\n";
    const char *text = "a & b\n\nc";
    static const struct text_run runs[] = {
        {0, 3, true},   /* "a " */
        {2, 5, false},  /* "&" from "&amp;" */
        {3, 10, true},  /* " b" */
        {5, 12, false}, /* "\n\n" from "</p>\n\n<b>" */
        {7, 21, true},  /* "c" */
        {8, 22, false}, /* nothing, from "</b>\n" */
    };
    struct place_map map = make(runs, 6, text, file, strlen(file), "UTF-8", &arena);
    assert_place(place_find(&map, text, 0, 2), 3, 2, 1, 1, true);
    assert_place(place_find(&map, text, 0, 5), 3, 9, 1, 1, false);
    assert_place(place_find(&map, text, 2, 1), 5, 5, 1, 1, false);
    assert_place(place_find(&map, text, 3, 2), 10, 2, 1, 1, true);
    assert_place(place_find(&map, text, 7, 1), 21, 1, 3, 3, true);
    assert_place(place_find(&map, text, 0, 8), 3, 19, 1, 3, false);
    arena_free(&arena);
}

/* UTF-16: two bytes a character in the file, and a byte 0x0A that is no line end (U+0A05). */
static void test_wide_characters(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 1 << 24);
    const char *text = "a\n\xE0\xA8\x85\nb";
    static const unsigned char file[] = {0xFF, 0xFE, 'a', 0, '\n', 0, 0x05, 0x0A, '\n', 0, 'b', 0};
    static const struct text_run runs[] = {
        {0, 2, false}, {1, 4, false}, {2, 6, false}, {5, 8, false}, {6, 10, false}};
    struct place_map map = make(runs, 5, text, file, sizeof(file), "UTF-16", &arena);
    assert_place(place_find(&map, text, 6, 1), 10, 2, 3, 3, false);
    assert_place(place_find(&map, text, 2, 3), 6, 2, 2, 2, false);
    assert_place(place_find(&map, text, 0, 7), 2, 10, 1, 3, false);
    static const unsigned char big[] = {0, 'a', 0, '\n', 0x0A, 0x05, 0, '\n', 0, 'b'};
    static const struct text_run big_runs[] = {
        {0, 0, false}, {1, 2, false}, {2, 4, false}, {5, 6, false}, {6, 8, false}};
    map = make(big_runs, 5, text, big, sizeof(big), "utf-16be", &arena);
    assert_place(place_find(&map, text, 6, 1), 8, 2, 3, 3, false);
    arena_free(&arena);
}

static void test_no_file_at_hand(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 1 << 24);
    const char *text = "l\xC3\xADnea\notra\n";
    static const struct text_run runs[] = {{0, 0, true}, {1, 1, false}, {3, 2, true}};
    struct place_map map = make(runs, 3, text, NULL, 11, "ISO-8859-1", &arena);
    assert_place(place_find(&map, text, 7, 4), 6, 4, 2, 2, true);
    assert_place(place_find(&map, text, 0, 6), 0, 5, 1, 1, false);
    arena_free(&arena);
}

/* Any piece of a long text, asked at random, has the line that counting gives. */
static void test_lines_of_long_texts(void **state)
{
    (void)state;
    struct testing_random random;
    testing_seed(&random);
    struct arena arena;
    arena_init(&arena, 1 << 24);
    size_t length = 300000;
    char *text = malloc(length + 1);
    for (size_t i = 0; i < length; i++)
        text[i] = testing_below(&random, 30) ? 'x' : '\n';
    text[length] = '\0';
    struct place_map map = make(NULL, 0, text, NULL, 0, NULL, &arena);
    for (int i = 0; i < 300; i++) {
        size_t offset = testing_below(&random, length - 1);
        size_t size = 1 + testing_below(&random, length - offset);
        size_t first = 1;
        size_t last = 1;
        for (size_t at = 0; at < offset + size - 1; at++) {
            first += at < offset && text[at] == '\n';
            last += text[at] == '\n';
        }
        assert_place(place_find(&map, text, offset, size), offset, size, first, last, true);
    }
    free(text);
    arena_free(&arena);
}

/* The parser reads hostile files in its sandbox: what it says is checked. */
static void test_bad_runs(void **state)
{
    (void)state;
    static const struct text_run bad[][2] = {
        {{1, 0, true}, {2, 1, true}},   /* does not begin at 0 */
        {{0, 5, false}, {2, 1, false}}, /* the file goes backwards */
        {{0, 0, false}, {9, 1, false}}, /* beyond the text */
        {{0, 0, false}, {2, 9, false}}, /* beyond the file */
        {{0, 0, true}, {3, 2, true}},   /* more text than file in an identical run */
    };
    struct arena arena;
    arena_init(&arena, 1 << 20);
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct place_map map;
        struct err err;
        struct place_source source = {bad[i], 2, "text", 4, "file", 4, "UTF-8"};
        assert_false(place_map_make(&source, &arena, &map, &err));
        assert_int_equal(err.code, ERR_DOCUMENT);
    }
    arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_is_the_file),    cmocka_unit_test(test_markup),
        cmocka_unit_test(test_wide_characters),     cmocka_unit_test(test_no_file_at_hand),
        cmocka_unit_test(test_lines_of_long_texts), cmocka_unit_test(test_bad_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
