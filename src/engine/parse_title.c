#include "engine/parse_title.h"

#include <stdbool.h>
#include <string.h>

#include <md4c.h>

#include "base/utf8.h"
#include "engine/html_entity.h"

enum { LOOK_AT_MAX = 64 * 1024 }; /* bytes in which a title must stand */

/* ---------------------------------------------------------------- front matter */

/* A line without its end, and where the next one begins; false when the text is over. */
static bool next_line(const char *text, size_t length, size_t *at, const char **ret_line,
                      size_t *ret_length)
{
    if (*at >= length)
        return false;
    const char *line = text + *at;
    const char *end = memchr(line, '\n', length - *at);
    size_t size = end ? (size_t)(end - line) : length - *at;
    *at += end ? size + 1 : size;
    while (size > 0 && (line[size - 1] == '\r' || line[size - 1] == ' '))
        size--;
    *ret_line = line;
    *ret_length = size;
    return true;
}

static bool is_rule(const char *line, size_t length)
{
    return length == 3 && memcmp(line, "---", 3) == 0;
}

/* Appends the value in a line "title: VALUE", without its quotes. */
static void take_title(const char *line, size_t length, struct str *out)
{
    if (length <= 6 || memcmp(line, "title:", 6) != 0 || out->length > 0)
        return;
    size_t from = 6;
    while (from < length && strchr(" \t\"'", line[from]))
        from++;
    while (length > from && (line[length - 1] == '"' || line[length - 1] == '\''))
        length--;
    str_append(out, line + from, utf8_floor(line + from, length - from, PARSE_TITLE_MAX));
}

/* Settings between two lines "---" at the very beginning, as Jekyll, Hugo and Pandoc have them: their title goes to
 * *out. Returns where the text begins, 0 when there are none. */
static size_t read_front_matter(const char *text, size_t length, struct str *out)
{
    const char *line;
    size_t size;
    size_t at = 0;
    if (!next_line(text, length, &at, &line, &size) || !is_rule(line, size))
        return 0;
    while (next_line(text, length, &at, &line, &size)) {
        if (is_rule(line, size))
            return at;
        take_title(line, size, out);
    }
    str_truncate(out, 0); /* it was a line across the page */
    return 0;
}

/* ---------------------------------------------------------------- the first heading */

struct heading {
    struct str *out;
    bool inside;
};

static int enter_block(MD_BLOCKTYPE type, void *detail, void *user)
{
    (void)detail;
    struct heading *heading = user;
    heading->inside |= type == MD_BLOCK_H;
    return 0;
}

/* Not 0 ends the parser: at the first heading that has words. */
static int leave_block(MD_BLOCKTYPE type, void *detail, void *user)
{
    (void)detail;
    struct heading *heading = user;
    if (type == MD_BLOCK_H)
        heading->inside = false;
    return type == MD_BLOCK_H && heading->out->length > 0;
}

static int pass_span(MD_SPANTYPE type, void *detail, void *user)
{
    (void)type;
    (void)detail;
    (void)user;
    return 0;
}

static int take_text(MD_TEXTTYPE type, const MD_CHAR *text, MD_SIZE size, void *user)
{
    struct heading *heading = user;
    if (!heading->inside)
        return 0;
    char meaning[HTML_ENTITY_MAX];
    size_t length = 0;
    const char *words = text;
    if (type == MD_TEXT_BR || type == MD_TEXT_SOFTBR) {
        words = " ";
        length = 1;
    } else if (type == MD_TEXT_ENTITY && html_entity(text, size, meaning, &length) == size) {
        words = meaning;
    } else if (type != MD_TEXT_HTML && type != MD_TEXT_NULLCHAR) {
        length = size;
    }
    str_append(heading->out, words,
               utf8_floor(words, length, PARSE_TITLE_MAX - heading->out->length));
    return 0;
}

void parse_markdown_title(const char *text, size_t length, struct str *out)
{
    size_t look = utf8_floor(text, length, LOOK_AT_MAX);
    size_t begin = read_front_matter(text, look, out);
    if (out->length > 0)
        return;
    struct heading heading = {.out = out};
    const MD_PARSER parser = {.flags = MD_DIALECT_COMMONMARK,
                              .enter_block = enter_block,
                              .leave_block = leave_block,
                              .enter_span = pass_span,
                              .leave_span = pass_span,
                              .text = take_text};
    md_parse(text + begin, (MD_SIZE)(look - begin), &parser, &heading);
}
