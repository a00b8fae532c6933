#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/utf8.h"
#include "documents.h"
#include "engine/charset.h"
#include "helper/testing.h"

enum { ARENA_MAX = 64 * 1024 * 1024 };

/* "Señor Nuñez pagó 5 € — ¡qué caro! 𝄞 end\n" */
static const char sample[] = "Se\xc3\xb1or Nu\xc3\xb1"
                             "ez pag\xc3\xb3 5 \xe2\x82\xac \xe2\x80\x94 \xc2\xa1qu\xc3\xa9 caro! "
                             "\xf0\x9d\x84\x9e end\n";

/* UTF-8 to UTF-16 or UTF-32, written here so that the parser is not checked with itself. */
static size_t encode_wide(const char *text, size_t length, size_t unit, bool big, bool mark,
                          uint8_t *out)
{
    size_t size = 0;
    uint32_t units[2] = {0xfeff};
    size_t count = mark ? 1 : 0;
    size_t at = 0;
    for (;;) {
        for (size_t i = 0; i < count; i++)
            for (size_t k = 0; k < unit; k++)
                out[size++] = (uint8_t)(units[i] >> 8 * (big ? unit - 1 - k : k));
        if (at >= length)
            return size;
        uint32_t point;
        at += (size_t)utf8_decode(text + at, length - at, &point);
        count = 1;
        units[0] = point;
        if (unit == 2 && point >= 0x10000) {
            units[0] = 0xd800 + ((point - 0x10000) >> 10);
            units[1] = 0xdc00 + ((point - 0x10000) & 0x3ff);
            count = 2;
        }
    }
}

static void expect_text(const char *name, const void *bytes, size_t length, const char *charset,
                        const char *text)
{
    struct arena arena;
    arena_init(&arena, ARENA_MAX);
    struct msg_parsed parsed = documents_parse(&arena, name, bytes, length, NULL);
    assert_string_equal(parsed.need_charset, "");
    assert_string_equal(parsed.charset, charset);
    assert_string_equal(parsed.text, text);
    arena_free(&arena);
}

static void test_utf8(void **state)
{
    (void)state;
    expect_text("a.txt", sample, strlen(sample), "UTF-8", sample);
    char marked[128] = "\xef\xbb\xbf";
    memcpy(marked + 3, sample, sizeof(sample));
    expect_text("a.txt", marked, strlen(marked), "UTF-8", sample);
    expect_text("empty.txt", "", 0, "UTF-8", "");
    expect_text("mark.txt", "\xef\xbb\xbf", 3, "UTF-8", "");
}

static void test_a_byte_order_mark_moves_the_places(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, ARENA_MAX);
    struct msg_parsed parsed = documents_parse_text(&arena, "a.txt", "\xef\xbb\xbfhello\n");
    assert_int_equal(parsed.run_count, 1);
    assert_int_equal(parsed.runs[0].file_offset, 3);
    assert_true(parsed.runs[0].identical);
    arena_free(&arena);
}

static void test_utf16_and_utf32(void **state)
{
    (void)state;
    static const char *const names[2][2] = {{"UTF-16LE", "UTF-16BE"}, {"UTF-32LE", "UTF-32BE"}};
    for (int form = 0; form < 8; form++) {
        size_t unit = form & 1 ? 4 : 2;
        bool big = form & 2;
        bool mark = form & 4;
        uint8_t bytes[512];
        size_t length = encode_wide(sample, strlen(sample), unit, big, mark, bytes);
        expect_text("a.txt", bytes, length, names[unit == 4][big], sample);
    }
}

static void test_utf16_places(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, ARENA_MAX);
    uint8_t bytes[512];
    size_t length = encode_wide(sample, strlen(sample), 2, false, true, bytes);
    struct msg_parsed parsed = documents_parse(&arena, "a.txt", bytes, length, NULL);
    size_t caro = (size_t)(strstr(sample, "caro") - sample);
    /* The sixth to last characters before it, two bytes each, after a mark of two. */
    size_t characters = 0;
    for (size_t i = 0; i < caro; i++)
        characters += ((unsigned char)sample[i] & 0xc0) != 0x80;
    assert_int_equal(documents_place(&parsed, caro), 2 + 2 * characters);
    arena_free(&arena);
}

static void test_utf16_of_another_script(void **state)
{
    (void)state;
    /* "これは日本語の文章です。\nУтро вечера мудренее.\n" */
    const char *text =
        "\xe3\x81\x93\xe3\x82\x8c\xe3\x81\xaf\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e\xe3\x81\xae"
        "\xe6\x96\x87\xe7\xab\xa0\xe3\x81\xa7\xe3\x81\x99\xe3\x80\x82\n"
        "\xd0\xa3\xd1\x82\xd1\x80\xd0\xbe \xd0\xb2\xd0\xb5\xd1\x87\xd0\xb5\xd1\x80\xd0\xb0\n";
    uint8_t bytes[512];
    size_t length = encode_wide(text, strlen(text), 2, true, false, bytes);
    expect_text("a.txt", bytes, length, "UTF-16BE", text);
    length = encode_wide(text, strlen(text), 2, false, false, bytes);
    expect_text("a.txt", bytes, length, "UTF-16LE", text);
}

static void test_broken_utf16(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, ARENA_MAX);
    uint8_t bytes[401] = {0xff, 0xfe, 'a', 0, 0x3d, 0xd8, 'b', 0, 0, 0xdc};
    for (size_t i = 10; i < 400; i += 2)
        bytes[i] = 'c';
    bytes[400] = 'z'; /* half a character */
    struct msg_parsed parsed = documents_parse(&arena, "a.txt", bytes, sizeof(bytes), NULL);
    assert_memory_equal(parsed.text,
                        "a\xef\xbf\xbd"
                        "b\xef\xbf\xbd"
                        "cccc",
                        12);
    assert_string_equal(parsed.text + parsed.text_length - 4, "c\xef\xbf\xbd");
    arena_free(&arena);
}

static void test_single_bytes(void **state)
{
    (void)state;
    expect_text("a.txt",
                "Espa\xf1"
                "a, \xa1ol\xe9!\n",
                14, "ISO-8859-1",
                "Espa\xc3\xb1"
                "a, \xc2\xa1ol\xc3\xa9!\n");
    expect_text("a.txt", "\x93quoted\x94 \x80 5\n", 13, "windows-1252",
                "\xe2\x80\x9cquoted\xe2\x80\x9d \xe2\x82\xac 5\n");
}

static void test_windows_1252_is_the_published_table(void **state)
{
    (void)state;
    struct charset_converter *converter;
    struct err err;
    if (!charset_open("cp1252", &converter, &err))
        fail_msg("%s", err_message(&err, LANG_EN));
    struct charset_guess guess = {.kind = CHARSET_ICONV, .name = "cp1252"};
    for (int byte = 0x80; byte < 0x100; byte++) {
        uint8_t in = (uint8_t)byte;
        struct charset_text text;
        assert_true(charset_decode(&guess, converter, &in, 1, 100, &text, NULL));
        char ours[4];
        size_t length = utf8_encode(charset_windows_1252(in), ours);
        assert_int_equal(text.text.length, length);
        assert_memory_equal(text.text.data, ours, length);
        charset_text_free(&text);
    }
    charset_close(converter);
}

static void test_a_little_damage_is_still_utf8(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, ARENA_MAX);
    static const char line[] = "a\xc3\xb1o y ma\xc3\xb1"
                               "ana\n";
    size_t size = sizeof(line) - 1;
    char text[20 * sizeof(line)] = "";
    for (size_t i = 0; i < 20; i++)
        memcpy(text + i * size, line, size);
    size_t at = 5 * size - 1;
    text[at] = '\xff';
    struct msg_parsed parsed = documents_parse_text(&arena, "a.txt", text);
    assert_string_equal(parsed.charset, "UTF-8");
    assert_non_null(strstr(parsed.text, "\xef\xbf\xbd"));
    assert_int_equal(parsed.run_count, 3);
    assert_int_equal(parsed.runs[1].file_offset, at);
    assert_int_equal(parsed.runs[2].file_offset, at + 1);
    arena_free(&arena);
}

static void test_a_late_nul_is_replaced(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, ARENA_MAX);
    char *bytes = malloc(20000);
    assert_non_null(bytes);
    memset(bytes, 'a', 20000);
    bytes[15000] = bytes[15001] = '\0';
    struct msg_parsed parsed = documents_parse(&arena, "a.txt", bytes, 20000, NULL);
    assert_int_equal(parsed.text_length, 20000 - 2 + 3);
    assert_memory_equal(parsed.text + 15000, "\xef\xbf\xbd", 3);
    free(bytes);
    arena_free(&arena);
}

/* ---------------------------------------------------------------- declared encodings */

/* What a page in `charset` is asked for, and what it is with that converter. */
static void expect_declared(const char *name, const char *bytes, size_t length, const char *charset,
                            const char *text)
{
    struct arena arena;
    arena_init(&arena, ARENA_MAX);
    struct msg_parsed parsed = documents_parse(&arena, name, bytes, length, NULL);
    assert_string_equal(parsed.need_charset, charset);
    assert_string_equal(parsed.text, "");
    struct charset_converter *converter;
    struct err err;
    if (!charset_open(parsed.need_charset, &converter, &err))
        fail_msg("%s", err_message(&err, LANG_EN));
    parsed = documents_parse(&arena, name, bytes, length, converter);
    assert_string_equal(parsed.need_charset, "");
    assert_string_equal(parsed.charset, charset);
    assert_string_equal(parsed.text, text);
    charset_close(converter);
    arena_free(&arena);
}

static void test_shift_jis(void **state)
{
    (void)state;
    /* 日本語テスト ABC */
    static const char page[] = "<html><head><meta charset=\"Shift_JIS\"></head><body>"
                               "\x93\xfa\x96\x7b\x8c\xea\x83\x65\x83\x58\x83\x67 ABC</body></html>";
    expect_declared("a.html", page, sizeof(page) - 1, "shift_jis",
                    "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e\xe3\x83\x86\xe3\x82\xb9\xe3\x83\x88 ABC");
}

static void test_koi8_r(void **state)
{
    (void)state;
    /* Привет, мир */
    static const char page[] =
        "<meta http-equiv='Content-Type' content='text/html; charset=koi8-r'>"
        "<p>\xf0\xd2\xc9\xd7\xc5\xd4, \xcd\xc9\xd2</p>";
    expect_declared("a.htm", page, sizeof(page) - 1, "koi8-r",
                    "\xd0\x9f\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82, \xd0\xbc\xd0\xb8\xd1\x80");
}

static void test_escaped_japanese(void **state)
{
    (void)state;
    static const char page[] = "<meta charset=iso-2022-jp><p>\x1b$BF|K\\\x1b(B ok</p>";
    expect_declared("a.html", page, sizeof(page) - 1, "iso-2022-jp", "\xe6\x97\xa5\xe6\x9c\xac ok");
}

static void test_places_through_iconv(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, ARENA_MAX);
    struct charset_converter *converter;
    assert_true(charset_open("shift_jis", &converter, NULL));
    static const char bytes[] = "# -*- coding: shift_jis -*-\n\x93\xfa\x96\x7b = 1\n";
    struct msg_parsed parsed = documents_parse(&arena, "a.py", bytes, sizeof(bytes) - 1, converter);
    size_t text_at = (size_t)(strstr(parsed.text, "= 1") - parsed.text);
    size_t file_at = (size_t)(strstr(bytes, "= 1") - bytes);
    assert_int_equal(documents_place(&parsed, text_at), file_at);
    assert_int_equal(documents_place(&parsed, text_at - 4), file_at - 3); /* 本 */
    charset_close(converter);
    arena_free(&arena);
}

/* TCVN 5712 keeps each letter back, because an accent may follow. */
static void test_letters_held_back_keep_their_order(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, ARENA_MAX);
    struct charset_converter *converter;
    assert_true(charset_open("tcvn", &converter, NULL));
    static const char bytes[] = "# -*- coding: tcvn -*-\nvi\xd6t, or not\n";
    struct msg_parsed parsed = documents_parse(&arena, "a.py", bytes, sizeof(bytes) - 1, converter);
    assert_string_equal(parsed.text, "# -*- coding: tcvn -*-\nvi\xe1\xbb\x87t, or not\n");
    size_t text_at = (size_t)(strstr(parsed.text, "not") - parsed.text);
    size_t file_at = (size_t)(strstr(bytes, "not") - bytes);
    assert_true(documents_place(&parsed, text_at) <= file_at);
    assert_true(documents_place(&parsed, text_at) + 1 >= file_at);
    charset_close(converter);
    arena_free(&arena);
}

static void expect_name(enum document_format format, const char *text, const char *expected)
{
    char name[CHARSET_NAME_MAX];
    charset_declared((const uint8_t *)text, strlen(text), format, name);
    assert_string_equal(name, expected);
}

static void test_declarations(void **state)
{
    (void)state;
    expect_name(DOCUMENT_HTML, "<meta charset=EUC-KR>", "euc-kr");
    expect_name(DOCUMENT_HTML, "<META CHARSET = 'Big5' >", "big5");
    expect_name(DOCUMENT_HTML, "<!-- <meta charset=x> --><meta charset=\"gbk\">", "gbk");
    expect_name(DOCUMENT_HTML, "<meta name=a content=b><meta charset=gbk>", "gbk");
    expect_name(DOCUMENT_HTML, "<meta charset=\"a/../b\">", "a");
    expect_name(DOCUMENT_HTML, "<meta charset=>", "");
    expect_name(DOCUMENT_HTML, "<meta charset", "");
    expect_name(DOCUMENT_HTML, "<meta", "");
    expect_name(DOCUMENT_HTML, "<!-- never ends <meta charset=gbk>", "");
    expect_name(DOCUMENT_CODE, "<?xml version='1.0' encoding='ISO-8859-2'?>", "iso-8859-2");
    expect_name(DOCUMENT_CODE, "#!/usr/bin/python\n# vim: set fileencoding=euc-jp :\n", "euc-jp");
    expect_name(DOCUMENT_CODE, "# -*- coding: latin-1 -*-\n", "latin-1");
    expect_name(DOCUMENT_CODE, "x = 1\ny = 2\n# coding: late\n", "");
    expect_name(DOCUMENT_CODE, "/* -*- mode: c; coding: koi8-r -*- */\n", "koi8-r");
    expect_name(DOCUMENT_CODE, "int x;\n\n\n\n/* vim: set fenc=cp1251: */\n", "cp1251");
    expect_name(DOCUMENT_TEXT, "# encoding: this is prose\n", "");
    expect_name(DOCUMENT_TEXT, "a line -*- coding: cp866 -*-\n", "cp866");
}

static void test_what_a_declaration_cannot_mean(void **state)
{
    (void)state;
    /* Declared UTF-16, but readable: not UTF-16. Valid UTF-8 wins over every other name. */
    const char *latin = "<meta charset=utf-16><p>se\xf1or";
    expect_text("a.html", latin, strlen(latin), "ISO-8859-1", "se\xc3\xb1or");
    latin = "<meta charset=latin1><p>se\xf1or";
    expect_text("a.html", latin, strlen(latin), "ISO-8859-1", "se\xc3\xb1or");
    const char *utf8 = "<meta charset=koi8-r><p>se\xc3\xb1or";
    expect_text("a.html", utf8, strlen(utf8), "UTF-8", "se\xc3\xb1or");
}

static void test_unknown_names(void **state)
{
    (void)state;
    struct charset_converter *converter = NULL;
    struct err err;
    static const char *const names[] = {"no-such-charset", "", "UTF-8//IGNORE", "../../x", "a b"};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        assert_false(charset_open(names[i], &converter, &err));
        assert_int_equal(err.code, ERR_DOCUMENT);
        assert_null(converter);
        assert_non_null(strstr(err_message(&err, LANG_ES), "codific"));
    }
    charset_close(NULL);
    assert_false(charset_is(NULL, "koi8-r"));
}

/* ---------------------------------------------------------------- properties */

/* Random text with random damage in a random encoding: documents_parse() checks every promise. */
static void test_random_bytes_keep_the_promises(void **state)
{
    (void)state;
    struct testing_random random;
    testing_seed(&random);
    struct charset_converter *converters[4];
    static const char *const names[4] = {"shift_jis", "koi8-r", "gb18030", "iso-2022-kr"};
    for (int i = 0; i < 4; i++)
        assert_true(charset_open(names[i], &converters[i], NULL));
    for (int round = 0; round < 2000; round++) {
        uint8_t bytes[256];
        size_t length = testing_below(&random, sizeof(bytes));
        for (size_t i = 0; i < length; i++)
            bytes[i] = (uint8_t)(testing_below(&random, 4) ? 'a' + testing_below(&random, 26)
                                                           : testing_next(&random));
        struct charset_guess guess = {
            .kind = (enum charset_kind)testing_below(&random, CHARSET_ICONV + 1)};
        struct charset_text text;
        assert_true(
            charset_decode(&guess, converters[round % 4], bytes, length, 4096, &text, NULL));
        struct msg_parsed parsed = {.title = "",
                                    .text = str_text(&text.text),
                                    .text_length = text.text.length,
                                    .runs = text.map.runs,
                                    .run_count = (uint32_t)text.map.count,
                                    .file_length = (uint32_t)length};
        documents_check(&parsed, bytes, length);
        charset_text_free(&text);
    }
    for (int i = 0; i < 4; i++)
        charset_close(converters[i]);
}

static void test_the_limit_of_text_holds(void **state)
{
    (void)state;
    struct charset_guess guess = {.kind = CHARSET_WINDOWS_1252};
    struct charset_text text;
    struct err err;
    assert_false(charset_decode(&guess, NULL, (const uint8_t *)"\xe9\xe9\xe9", 3, 5, &text, &err));
    assert_int_equal(err.code, ERR_TOO_LARGE);
    assert_true(charset_decode(&guess, NULL, (const uint8_t *)"\xe9\xe9\xe9", 3, 6, &text, &err));
    charset_text_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_a_byte_order_mark_moves_the_places),
        cmocka_unit_test(test_utf16_and_utf32),
        cmocka_unit_test(test_utf16_places),
        cmocka_unit_test(test_utf16_of_another_script),
        cmocka_unit_test(test_broken_utf16),
        cmocka_unit_test(test_single_bytes),
        cmocka_unit_test(test_windows_1252_is_the_published_table),
        cmocka_unit_test(test_a_little_damage_is_still_utf8),
        cmocka_unit_test(test_a_late_nul_is_replaced),
        cmocka_unit_test(test_shift_jis),
        cmocka_unit_test(test_koi8_r),
        cmocka_unit_test(test_escaped_japanese),
        cmocka_unit_test(test_places_through_iconv),
        cmocka_unit_test(test_letters_held_back_keep_their_order),
        cmocka_unit_test(test_declarations),
        cmocka_unit_test(test_what_a_declaration_cannot_mean),
        cmocka_unit_test(test_unknown_names),
        cmocka_unit_test(test_random_bytes_keep_the_promises),
        cmocka_unit_test(test_the_limit_of_text_holds),
    };
    charset_find_modules();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
