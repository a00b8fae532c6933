/* One line after the other is looked at, and never again: a block grows line by line until a line
 * begins something else. Markdown's headings and fences count in Markdown only, and in the text of
 * web pages, which the parser writes that way (a # begins a comment elsewhere); underlined headings
 * and list items in every kind of prose. */
#include "retrieval/block.h"

#include <string.h>

enum { MARK_DIGITS_MAX = 4, UNDERLINE_MIN = 3, FENCE_MIN = 3, ATX_MAX = 6 };

struct line {
    size_t begin;
    size_t first; /* first byte that is no white space; == last when the line is empty */
    size_t last;  /* one past the last such byte */
    size_t next;  /* beginning of the next line */
};

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f' || c == '\n';
}

static struct line line_at(const struct block_scanner *scanner, size_t at)
{
    const char *text = scanner->text;
    const char *newline = memchr(text + at, '\n', scanner->length - at);
    size_t end = newline ? (size_t)(newline - text) : scanner->length;
    struct line line = {.begin = at, .first = at, .last = end, .next = newline ? end + 1 : end};
    while (line.first < end && is_space(text[line.first]))
        line.first++;
    while (line.last > line.first && is_space(text[line.last - 1]))
        line.last--;
    return line;
}

static bool is_empty(const struct line *line)
{
    return line->first == line->last;
}

/* How many times the line's first visible character is repeated at its beginning. */
static size_t run_length(const char *text, const struct line *line)
{
    size_t i = line->first;
    while (i < line->last && text[i] == text[line->first])
        i++;
    return i - line->first;
}

static bool is_markdown(const struct block_scanner *scanner)
{
    return scanner->format == DOCUMENT_MARKDOWN || scanner->format == DOCUMENT_HTML;
}

/* "## Words": the level, or 0. */
static int atx_level(const struct block_scanner *scanner, const struct line *line)
{
    if (!is_markdown(scanner) || is_empty(line) || scanner->text[line->first] != '#')
        return 0;
    size_t marks = run_length(scanner->text, line);
    size_t after = line->first + marks;
    bool spaced = after == line->last || is_space(scanner->text[after]);
    return marks <= ATX_MAX && spaced ? (int)marks : 0;
}

/* "=====" (1) or "-----" (2) under a line of words, or 0. */
static int underline_level(const char *text, const struct line *line)
{
    if (is_empty(line) || (text[line->first] != '=' && text[line->first] != '-'))
        return 0;
    size_t run = run_length(text, line);
    if (run < UNDERLINE_MIN || line->first + run != line->last)
        return 0;
    return text[line->first] == '=' ? 1 : 2;
}

/* The length of the fence that the line opens ("```c"), or 0. */
static size_t fence_length(const struct block_scanner *scanner, const struct line *line)
{
    if (!is_markdown(scanner) || is_empty(line))
        return 0;
    char mark = scanner->text[line->first];
    if (mark != '`' && mark != '~')
        return 0;
    size_t run = run_length(scanner->text, line);
    return run >= FENCE_MIN ? run : 0;
}

static bool is_item(const char *text, const struct line *line)
{
    size_t i = line->first;
    size_t size = line->last - i;
    if (size >= 3 && memcmp(text + i, "\xE2\x80\xA2", 3) == 0) /* • */
        i += 3;
    else if (size > 0 && (text[i] == '-' || text[i] == '*' || text[i] == '+'))
        i++;
    else {
        while (i < line->last && text[i] >= '0' && text[i] <= '9' &&
               i - line->first < MARK_DIGITS_MAX)
            i++;
        if (i == line->first || i >= line->last || (text[i] != '.' && text[i] != ')'))
            return false;
        i++;
    }
    return i < line->last && is_space(text[i]);
}

/* A table's row: "| a | b |", and in the text of web pages "a | b". */
static bool is_row(const struct block_scanner *scanner, const struct line *line)
{
    const char *first = scanner->text + line->first;
    return *first == '|' || (scanner->format == DOCUMENT_HTML &&
                             memmem(first, line->last - line->first, " | ", 3) != NULL);
}

/* Does this line end a paragraph or item that came before it? */
static bool begins_block(const struct block_scanner *scanner, const struct line *line)
{
    return atx_level(scanner, line) > 0 || fence_length(scanner, line) > 0 ||
           is_item(scanner->text, line);
}

static void take_heading(const struct block_scanner *scanner, const struct line *line, int level,
                         size_t skip, struct block *ret)
{
    const char *text = scanner->text;
    size_t start = line->first + skip;
    size_t end = line->last;
    while (skip > 0 && end > start && text[end - 1] == '#')
        end--;
    while (start < end && is_space(text[start]))
        start++;
    while (end > start && is_space(text[end - 1]))
        end--;
    ret->kind = BLOCK_HEADING;
    ret->level = level;
    ret->words_start = start;
    ret->words_end = end;
}

/* The lines up to the closing fence, or to the end. */
static void take_fence(struct block_scanner *scanner, const struct line *opening, size_t fence,
                       struct block *ret)
{
    char mark = scanner->text[opening->first];
    ret->kind = BLOCK_FENCE;
    while (scanner->at < scanner->length) {
        struct line line = line_at(scanner, scanner->at);
        scanner->at = line.next;
        if (is_empty(&line))
            continue;
        ret->end = line.last;
        if (scanner->text[line.first] == mark && run_length(scanner->text, &line) >= fence &&
            line.first + run_length(scanner->text, &line) == line.last)
            break;
    }
}

/* The lines of a paragraph or item whose first line has been taken. */
static void take_lines(struct block_scanner *scanner, const struct line *first, struct block *ret)
{
    bool one_line = true;
    while (scanner->at < scanner->length) {
        struct line line = line_at(scanner, scanner->at);
        int level =
            one_line && ret->kind == BLOCK_PARAGRAPH ? underline_level(scanner->text, &line) : 0;
        if (level == 0 && (is_empty(&line) || begins_block(scanner, &line)))
            return;
        scanner->at = line.next;
        ret->end = line.last;
        one_line = false;
        if (level > 0) {
            take_heading(scanner, first, level, 0, ret);
            return;
        }
    }
}

static void take_code(struct block_scanner *scanner, struct block *ret)
{
    ret->kind = BLOCK_CODE;
    while (scanner->at < scanner->length) {
        struct line line = line_at(scanner, scanner->at);
        if (is_empty(&line))
            return;
        scanner->at = line.next;
        ret->end = line.last;
    }
}

void block_scanner_init(struct block_scanner *scanner, const char *text, size_t length,
                        enum document_format format)
{
    *scanner = (struct block_scanner){.text = text, .length = length, .format = format};
}

bool block_next(struct block_scanner *scanner, struct block *ret)
{
    struct line line;
    do {
        if (scanner->at >= scanner->length)
            return false;
        line = line_at(scanner, scanner->at);
        scanner->at = line.next;
    } while (is_empty(&line));

    *ret = (struct block){.kind = BLOCK_PARAGRAPH, .start = line.first, .end = line.last};
    if (scanner->format == DOCUMENT_CODE) {
        ret->top = line.first == line.begin;
        take_code(scanner, ret);
        return true;
    }
    int level = atx_level(scanner, &line);
    size_t fence = fence_length(scanner, &line);
    if (level > 0) {
        take_heading(scanner, &line, level, (size_t)level, ret);
    } else if (fence > 0) {
        take_fence(scanner, &line, fence, ret);
    } else {
        if (is_item(scanner->text, &line))
            ret->kind = BLOCK_ITEM;
        else if (is_row(scanner, &line))
            ret->kind = BLOCK_TABLE;
        take_lines(scanner, &line, ret);
    }
    return true;
}
