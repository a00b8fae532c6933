#include "parsed_check.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "engine/parse.h"

enum { ARENA_MAX = 64 * 1024 * 1024, SPARE = 64 * 1024 };

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void check_run(const struct msg_parsed *parsed, uint32_t i, const uint8_t *bytes,
                      size_t length)
{
    const struct text_run *run = &parsed->runs[i];
    bool last = i + 1 == parsed->run_count;
    size_t end = last ? parsed->text_length : run[1].text_offset;
    must(run->text_offset < end && run->file_offset <= length);
    must(last || run[1].file_offset >= run->file_offset);
    size_t size = end - run->text_offset;
    if (!run->identical)
        return;
    must(run->file_offset + size <= length);
    must(last || run[1].file_offset >= run->file_offset + size);
    must(memcmp(parsed->text + run->text_offset, bytes + run->file_offset, size) == 0);
}

void parsed_check(const struct msg_parsed *parsed, const uint8_t *bytes, size_t length)
{
    must(strlen(parsed->text) == parsed->text_length);
    must(utf8_valid(parsed->text, parsed->text_length));
    must(utf8_valid(parsed->title, strlen(parsed->title)));
    must(parsed->text_length <= 4 * length + SPARE);
    must((parsed->text_length > 0) == (parsed->run_count > 0));
    must(parsed->run_count == 0 || parsed->runs[0].text_offset == 0);
    for (uint32_t i = 0; i < parsed->run_count; i++)
        check_run(parsed, i, bytes, length);
}

void parsed_try(const char *name, enum document_format format, const uint8_t *bytes, size_t length,
                const struct charset_converter *opened)
{
    struct arena arena;
    arena_init(&arena, ARENA_MAX);
    struct msg_parse request = {.name = name, .format = format, .bytes = bytes, .length = length};
    struct msg_parsed parsed;
    struct err err = {0};
    if (parse_document(&request, opened, &arena, &parsed, &err))
        parsed_check(&parsed, bytes, length);
    else
        must(err.code == ERR_DOCUMENT && *err.message[LANG_EN] && *err.message[LANG_ES]);
    arena_free(&arena);
}
