#include "documents.h"

#include <string.h>

#include "base/utf8.h"

enum { ARENA_MAX = 512 * 1024 * 1024 };

static size_t run_end(const struct msg_parsed *parsed, uint32_t i)
{
    return i + 1 < parsed->run_count ? parsed->runs[i + 1].text_offset : parsed->text_length;
}

static void check_run(const struct msg_parsed *parsed, uint32_t i, const uint8_t *bytes,
                      size_t length)
{
    const struct text_run *run = &parsed->runs[i];
    size_t size = run_end(parsed, i) - run->text_offset;
    assert_true(run->text_offset < run_end(parsed, i));
    assert_true(run->file_offset <= length);
    if (i > 0)
        assert_true(run->file_offset >= parsed->runs[i - 1].file_offset);
    if (!run->identical)
        return;
    assert_true(run->file_offset + size <= length);
    assert_memory_equal(parsed->text + run->text_offset, bytes + run->file_offset, size);
    if (i + 1 < parsed->run_count)
        assert_true(parsed->runs[i + 1].file_offset >= run->file_offset + size);
}

void documents_check(const struct msg_parsed *parsed, const uint8_t *bytes, size_t length)
{
    assert_int_equal(parsed->file_length, length);
    assert_int_equal(strlen(parsed->text), parsed->text_length);
    assert_true(utf8_valid(parsed->text, parsed->text_length));
    assert_true(utf8_valid(parsed->title, strlen(parsed->title)));
    assert_true(parsed->text_length <= 4 * length + 64 * 1024);
    assert_true((parsed->run_count > 0) == (parsed->text_length > 0));
    if (parsed->run_count > 0)
        assert_int_equal(parsed->runs[0].text_offset, 0);
    for (uint32_t i = 0; i < parsed->run_count; i++)
        check_run(parsed, i, bytes, length);
}

struct msg_parsed documents_parse(struct arena *arena, const char *name, const void *bytes,
                                  size_t length, const struct charset_converter *opened)
{
    struct msg_parse request = {.name = name, .bytes = bytes, .length = length};
    struct msg_parsed parsed;
    struct err err;
    if (!parse_document(&request, opened, arena, &parsed, &err))
        fail_msg("%s: %s", name, err_message(&err, LANG_EN));
    documents_check(&parsed, bytes, length);
    return parsed;
}

struct msg_parsed documents_parse_text(struct arena *arena, const char *name, const char *text)
{
    return documents_parse(arena, name, text, strlen(text), NULL);
}

void documents_expect_html(const char *html, const char *expected)
{
    struct arena arena;
    arena_init(&arena, ARENA_MAX);
    struct msg_parsed parsed = documents_parse_text(&arena, "page.html", html);
    assert_string_equal(parsed.text, expected);
    arena_free(&arena);
}

size_t documents_place(const struct msg_parsed *parsed, size_t text_offset)
{
    uint32_t i = parsed->run_count;
    while (i > 0 && parsed->runs[i - 1].text_offset > text_offset)
        i--;
    assert_true(i > 0);
    const struct text_run *run = &parsed->runs[i - 1];
    return run->identical ? run->file_offset + (text_offset - run->text_offset) : run->file_offset;
}
