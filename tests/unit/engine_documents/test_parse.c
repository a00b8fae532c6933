#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/fs.h"
#include "documents.h"
#include "engine/parse.h"
#include "helper/testing.h"

enum { ARENA_MAX = 512 * 1024 * 1024, FRAME_MAX = 64 * 1024 * 1024 };

static void expect_unchanged(const char *name, const char *text, enum document_format format,
                             const char *title)
{
    struct arena arena;
    arena_init(&arena, ARENA_MAX);
    struct msg_parsed parsed = documents_parse_text(&arena, name, text);
    assert_string_equal(parsed.text, text);
    assert_int_equal(parsed.format, format);
    assert_string_equal(parsed.title, title);
    assert_string_equal(parsed.need_charset, "");
    if (*text) {
        assert_int_equal(parsed.run_count, 1);
        assert_true(parsed.runs[0].identical);
        assert_int_equal(parsed.runs[0].file_offset, 0);
    }
    arena_free(&arena);
}

static void test_text_stays_as_it_is(void **state)
{
    (void)state;
    expect_unchanged("a.txt", "One\r\n\r\n  two\t\n", DOCUMENT_TEXT, "");
    expect_unchanged("a.c", "int main(void)\n{\n}\n", DOCUMENT_CODE, "");
    expect_unchanged("script", "#!/bin/sh\n", DOCUMENT_CODE, "");
    expect_unchanged("a.md", "# Title\n\n* item\n", DOCUMENT_MARKDOWN, "Title");
    expect_unchanged("empty", "", DOCUMENT_TEXT, "");
}

static void test_titles_of_markdown(void **state)
{
    (void)state;
    expect_unchanged("a.md", "text\n\nA *title* &amp; `code`\n===\n# Other\n", DOCUMENT_MARKDOWN,
                     "A title & code");
    expect_unchanged("a.md", "```\n# not a heading\n```\n## Real [link](x)\n", DOCUMENT_MARKDOWN,
                     "Real link");
    expect_unchanged("a.md", "#\n\n# Second\n", DOCUMENT_MARKDOWN, "Second");
    expect_unchanged("a.md", "---\nlayout: x\ntitle: \"From above\"\n---\n# Heading\n",
                     DOCUMENT_MARKDOWN, "From above");
    expect_unchanged("a.md", "---\nlayout: x\n---\n# Heading\n", DOCUMENT_MARKDOWN, "Heading");
    expect_unchanged("a.md", "---\n", DOCUMENT_MARKDOWN, "");
    expect_unchanged("a.md", "no heading\n", DOCUMENT_MARKDOWN, "");
}

static void test_a_long_title_is_cut_at_a_character(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, ARENA_MAX);
    char text[3000] = "# x";
    for (int i = 0; i < 700; i++)
        memcpy(text + strlen(text), "\xc3\xb1", 3);
    struct msg_parsed parsed = documents_parse_text(&arena, "a.md", text);
    assert_int_equal(strlen(parsed.title), 511);
    char page[3100];
    snprintf(page, sizeof(page), "<h1>%s</h1>", text + 2);
    parsed = documents_parse_text(&arena, "a.html", page);
    assert_int_equal(strlen(parsed.title), 511);
    snprintf(page, sizeof(page), "<title>%s</title>", text + 2);
    parsed = documents_parse_text(&arena, "a.html", page);
    assert_uint_in_range(strlen(parsed.title), 480, 512);
    arena_free(&arena);
}

static void test_format_is_found_by_content(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, ARENA_MAX);
    struct msg_parsed parsed = documents_parse_text(&arena, "saved", "<!doctype html><p>a<p>b");
    assert_int_equal(parsed.format, DOCUMENT_HTML);
    assert_string_equal(parsed.text, "a\n\nb");
    parsed = documents_parse_text(&arena, "a.xml", "<?xml version='1.0'?><html><p>a</p></html>");
    assert_int_equal(parsed.format, DOCUMENT_HTML);
    parsed = documents_parse_text(&arena, "a.txt", "<html> as text");
    assert_int_equal(parsed.format, DOCUMENT_TEXT);
    /* A page in UTF-16 without a telling name */
    static const uint8_t wide[] = {0xff, 0xfe, '<', 0, 'h', 0, 't', 0,
                                   'm',  0,    'l', 0, '>', 0, 'x', 0};
    parsed = documents_parse(&arena, "saved", wide, sizeof(wide), NULL);
    assert_int_equal(parsed.format, DOCUMENT_HTML);
    assert_string_equal(parsed.text, "x");
    arena_free(&arena);
}

static void test_a_format_that_is_asked_for_is_used(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, ARENA_MAX);
    struct msg_parse request = {
        .name = "a.html", .format = DOCUMENT_TEXT, .bytes = (const uint8_t *)"<p>x", .length = 4};
    struct msg_parsed parsed;
    assert_true(parse_document(&request, NULL, &arena, &parsed, NULL));
    assert_string_equal(parsed.text, "<p>x");
    assert_int_equal(parsed.format, DOCUMENT_TEXT);
    request.name = "a.txt";
    request.format = DOCUMENT_HTML;
    assert_true(parse_document(&request, NULL, &arena, &parsed, NULL));
    assert_string_equal(parsed.text, "x");
    arena_free(&arena);
}

static void expect_refused(const void *bytes, size_t length, enum err_code code)
{
    struct arena arena;
    arena_init(&arena, ARENA_MAX);
    struct msg_parse request = {.name = "a", .bytes = bytes, .length = length};
    struct msg_parsed parsed = {.file_length = 12345};
    struct err err;
    assert_false(parse_document(&request, NULL, &arena, &parsed, &err));
    assert_int_equal(err.code, code);
    assert_int_equal(parsed.file_length, 12345); /* untouched */
    assert_true(*err.message[LANG_ES]);
    arena_free(&arena);
}

static void test_what_is_refused(void **state)
{
    (void)state;
    expect_refused("\x89PNG\r\n\x1a\n\0\0\0\rIHDR", 16, ERR_DOCUMENT);
    expect_refused("a\0b", 3, ERR_DOCUMENT);
    /* declared UTF-8 and mostly something else */
    const char *broken = "<meta charset=utf-8>\xff\xfe\xfd\xfc\xfb\xfa";
    expect_refused(broken, strlen(broken), ERR_DOCUMENT);
    uint8_t *large = calloc(1, (size_t)FRAME_MAX + 1);
    assert_non_null(large);
    memset(large, 'a', (size_t)FRAME_MAX + 1);
    expect_refused(large, (size_t)FRAME_MAX + 1, ERR_TOO_LARGE);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* half a minute there */
    /* fits as a file, but not as an answer: "é" has two bytes in UTF-8 */
    memset(large, 0xe9, FRAME_MAX / 2 + FRAME_MAX / 4);
    expect_refused(large, FRAME_MAX / 2 + FRAME_MAX / 4, ERR_TOO_LARGE);
#endif
    free(large);
}

static void test_an_arena_that_is_full(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 16);
    struct msg_parse request = {
        .name = "a.txt", .bytes = (const uint8_t *)"0123456789012345678", .length = 19};
    struct msg_parsed parsed;
    struct err err;
    assert_false(parse_document(&request, NULL, &arena, &parsed, &err));
    assert_int_equal(err.code, ERR_NO_MEMORY);
    arena_free(&arena);
}

static void test_frames(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, ARENA_MAX);
    const char *html = "<p>caf&eacute; <b>x</b>";
    struct msg_parse request = {
        .name = "a.html", .bytes = (const uint8_t *)html, .length = strlen(html)};
    struct str payload;
    struct str answer;
    str_init(&payload, FRAME_MAX);
    str_init(&answer, FRAME_MAX);
    msg_put_parse(&payload, &request);
    assert_true(parse_frame(payload.data, payload.length, NULL, &answer, NULL));
    struct msg_parsed parsed;
    assert_true(msg_get_parsed(answer.data, answer.length, &arena, &parsed, NULL));
    assert_string_equal(parsed.text, "caf\xc3\xa9 x");
    documents_check(&parsed, request.bytes, request.length);
    struct err err;
    assert_false(parse_frame(payload.data, payload.length - 1, NULL, &answer, &err));
    assert_int_equal(err.code, ERR_PROTOCOL);
    str_free(&payload);
    str_free(&answer);
    arena_free(&arena);
}

/* Every file of a folder that Debian always has: texts that nobody here wrote. */
static void test_licences(void **state)
{
    (void)state;
    static const char *const names[] = {"GPL-2",    "GPL-3",   "Apache-2.0", "Artistic", "MPL-2.0",
                                        "GFDL-1.3", "CC0-1.0", "LGPL-3",     "BSD"};
    int seen = 0;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        char path[256];
        snprintf(path, sizeof(path), "/usr/share/common-licenses/%s", names[i]);
        char *bytes;
        size_t length;
        if (!fs_read(path, FRAME_MAX, &bytes, &length, NULL))
            continue;
        struct arena arena;
        arena_init(&arena, ARENA_MAX);
        struct msg_parsed parsed = documents_parse(&arena, path, bytes, length, NULL);
        assert_int_equal(parsed.text_length, length);
        assert_int_equal(parsed.run_count, 1);
        arena_free(&arena);
        free(bytes);
        seen++;
    }
    if (seen == 0)
        skip();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_stays_as_it_is),
        cmocka_unit_test(test_titles_of_markdown),
        cmocka_unit_test(test_a_long_title_is_cut_at_a_character),
        cmocka_unit_test(test_format_is_found_by_content),
        cmocka_unit_test(test_a_format_that_is_asked_for_is_used),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_an_arena_that_is_full),
        cmocka_unit_test(test_frames),
        cmocka_unit_test(test_licences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
