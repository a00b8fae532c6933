#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "documents.h"
#include "engine/parse_format.h"
#include "helper/testing.h"

static void test_names(void **state)
{
    (void)state;
    assert_int_equal(parse_format_of_name("README.md"), DOCUMENT_MARKDOWN);
    assert_int_equal(parse_format_of_name("/a.b/NOTES.MarkDown"), DOCUMENT_MARKDOWN);
    assert_int_equal(parse_format_of_name("index.html"), DOCUMENT_HTML);
    assert_int_equal(parse_format_of_name("x.XHTML"), DOCUMENT_HTML);
    assert_int_equal(parse_format_of_name("main.c"), DOCUMENT_CODE);
    assert_int_equal(parse_format_of_name("main.tar.rs"), DOCUMENT_CODE);
    assert_int_equal(parse_format_of_name("a/Makefile"), DOCUMENT_CODE);
    assert_int_equal(parse_format_of_name("CMakeLists.txt"), DOCUMENT_CODE);
    assert_int_equal(parse_format_of_name("meson.build"), DOCUMENT_CODE);
    assert_int_equal(parse_format_of_name("COPYING"), DOCUMENT_TEXT);
    assert_int_equal(parse_format_of_name("notes.txt"), DOCUMENT_TEXT);
    assert_int_equal(parse_format_of_name("notes"), DOCUMENT_AUTO);
    assert_int_equal(parse_format_of_name("notes."), DOCUMENT_AUTO);
    assert_int_equal(parse_format_of_name("notes.c h"), DOCUMENT_AUTO);
    assert_int_equal(parse_format_of_name("notes.unknown"), DOCUMENT_AUTO);
    assert_int_equal(parse_format_of_name("dir.md/notes"), DOCUMENT_AUTO);
    assert_int_equal(parse_format_of_name(""), DOCUMENT_AUTO);
    assert_int_equal(parse_format_of_name("."), DOCUMENT_AUTO);
}

static enum document_format of_text(const char *text)
{
    return parse_format_of_text(text, strlen(text));
}

static void test_contents(void **state)
{
    (void)state;
    assert_int_equal(of_text("<!DOCTYPE html><title>x"), DOCUMENT_HTML);
    assert_int_equal(of_text("\n <!-- made by hand -->\n<HTML>"), DOCUMENT_HTML);
    assert_int_equal(of_text("<?xml version=\"1.0\"?>\n<!DOCTYPE html PUBLIC \"x\">"),
                     DOCUMENT_HTML);
    assert_int_equal(of_text("<?xml version=\"1.0\"?><feed>"), DOCUMENT_CODE);
    assert_int_equal(of_text("#!/bin/sh\necho"), DOCUMENT_CODE);
    assert_int_equal(of_text("<- an arrow"), DOCUMENT_TEXT);
    assert_int_equal(of_text("<!-- never closed"), DOCUMENT_TEXT);
    assert_int_equal(of_text("plain"), DOCUMENT_TEXT);
    assert_int_equal(of_text(""), DOCUMENT_TEXT);
}

static void expect_binary(const void *bytes, size_t length, const char *what)
{
    struct err err;
    assert_false(parse_reject_binary(bytes, length, false, &err));
    assert_int_equal(err.code, ERR_DOCUMENT);
    assert_non_null(strstr(err_message(&err, LANG_EN), what));
    assert_non_null(strstr(err_message(&err, LANG_ES), what));
}

static void test_binary_files_are_named(void **state)
{
    (void)state;
    expect_binary("\x89PNG\r\n\x1a\n\0\0\0\rIHDR", 16, "PNG");
    expect_binary("\xff\xd8\xff\xe0\0\x10JFIF", 10, "JPEG");
    expect_binary("GIF89a\1\0\1\0", 10, "GIF");
    expect_binary("RIFF\x10\0\0\0WEBPVP8 ", 16, "WebP");
    expect_binary("%PDF-1.7\n%\xe2\xe3", 12, "PDF");
    expect_binary("PK\3\4\x14\0\6\0", 8, "docx");
    expect_binary("\x1f\x8b\x08\0", 4, "gzip");
    expect_binary("\x7f"
                  "ELF\2\1\1\0",
                  8, "ELF");
    expect_binary("MZ\x90\0\3\0\0\0", 8, "PE");
    expect_binary("SQLite format 3\0\x10\0", 18, "SQLite");
    expect_binary("GGUF\3\0\0\0", 8, "GGUF");
    expect_binary("{\\rtf1\\ansi", 11, "RTF");
}

static void test_texts_that_begin_like_binaries(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "BM is a store in town\n", "MZ\n", "GIF8 was a format\n", "OggS\n", "ID3 tags explained\n",
        "GGUF is a file format\n", "PK\n"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
        assert_true(parse_reject_binary((const uint8_t *)texts[i], strlen(texts[i]), false, NULL));
}

static void test_what_is_no_text(void **state)
{
    (void)state;
    expect_binary("some words\0more", 15, "binar");
    expect_binary("\1\2\3\4\5\6", 6, "binar");
    struct testing_random random;
    testing_seed(&random);
    for (int round = 0; round < 100; round++) {
        uint8_t noise[4096];
        for (size_t i = 0; i < sizeof(noise); i++)
            noise[i] = (uint8_t)testing_next(&random);
        assert_false(parse_reject_binary(noise, sizeof(noise), false, NULL));
    }
    /* Colours of a terminal, form feeds and the backspaces of manual pages are text. */
    const char *man = "\x1b[1mNAME\x1b[0m\fN\bNA\bA \v\r\n";
    assert_true(parse_reject_binary((const uint8_t *)man, strlen(man), false, NULL));
    assert_true(parse_reject_binary((const uint8_t *)"", 0, false, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_contents),
        cmocka_unit_test(test_binary_files_are_named),
        cmocka_unit_test(test_texts_that_begin_like_binaries),
        cmocka_unit_test(test_what_is_no_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
