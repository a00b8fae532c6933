#include "retrieval/sentence.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

#include <utf8proc.h>

#include "base/utf8.h"

enum { ABBREVIATION_MAX = 8 };

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The character at text[at]: its size, at least 1; bad bytes are U+FFFD. */
static size_t point_at(const char *text, size_t length, size_t at, uint32_t *ret)
{
    int size = utf8_decode(text + at, length - at, ret);
    if (size > 0)
        return (size_t)size;
    *ret = 0xFFFD;
    return 1;
}

static bool is_terminator(uint32_t point)
{
    return point == '.' || point == '!' || point == '?' || point == 0x2026 /* … */ ||
           point == 0x3002 /* 。 */;
}

/* Quotes and brackets that may stand between the full stop and the space. */
static bool is_closer(uint32_t point)
{
    switch (point) {
    case '"':
    case '\'':
    case ')':
    case ']':
    case '*':
    case '_':
    case 0xBB:   /* » */
    case 0x2019: /* ’ */
    case 0x201D: /* ” */ return true;
    default: return false;
    }
}

/* False for what goes on with a sentence: lower-case letters, commas, closing brackets. */
static bool may_begin(uint32_t point)
{
    if (point < 0x80 && strchr(",;:)]}%&/.!?", (int)point))
        return false;
    return utf8proc_category((utf8proc_int32_t)point) != UTF8PROC_CATEGORY_LL;
}

/* True when a list item's mark stands at text[at]: "- ", "* ", "+ ", "• ", "1. ", "2) ". */
static bool item_at(const char *text, size_t length, size_t at)
{
    size_t i = at;
    if (length - i >= 3 && memcmp(text + i, "\xE2\x80\xA2", 3) == 0) /* • */
        i += 3;
    else if (i < length && (text[i] == '-' || text[i] == '*' || text[i] == '+'))
        i++;
    else {
        while (i < length && is_digit(text[i]) && i - at < 4)
            i++;
        if (i == at || i >= length || (text[i] != '.' && text[i] != ')'))
            return false;
        i++;
    }
    return i < length && (text[i] == ' ' || text[i] == '\t');
}

/* Is text[0..length) in the list, ASCII case ignored? */
static bool listed(const char *const *list, const char *text, size_t length)
{
    for (; *list; list++)
        if (strlen(*list) == length && strncasecmp(*list, text, length) == 0)
            return true;
    return false;
}

static bool opens(char c)
{
    return is_space(c) || strchr("([{\"'*_", c) != NULL;
}

/* A full stop at text[at], after the sentence's start: does it only shorten the word before it?
 * `next` is the character that follows the white space. */
static bool is_abbreviation(const char *text, size_t start, size_t at, uint32_t next)
{
    /* Before a name or anything else … */
    static const char *const always[] = {
        "mr", "mrs", "ms", "dr",  "dra", "prof", "st", "sr", "sra", "srta", "d",   "ud",   "uds",
        "vs", "e.g", "cf", "i.e", "p",   "p.ej", "ej", "av", "gen", "col",  "lic", "avda", NULL};
    /* … and before a number only: "No. 5", but "He said no. Then …". */
    static const char *const numbered[] = {
        "no",         "nos",         "fig",        "figs", "vol", "art",       "arts",
        "pp",         "sec",         "ch",         "eq",   "cap", "sect",      "ver",
        "ed",         "approx",      "aprox",      "ca",   "tel", "n\xC2\xBA", "n\xC3\xBAm",
        "p\xC3\xA1g", "p\xC3\xA1gs", "t\xC3\xADt", NULL};
    size_t from = at;
    while (from > start && at - from < ABBREVIATION_MAX && !opens(text[from - 1]))
        from--;
    if (from == at || (from > start && !opens(text[from - 1])))
        return false;
    const char *word = text + from;
    size_t length = at - from;
    if (length == 1 && *word >= 'A' && *word <= 'Z' && *word != 'I')
        return true; /* an initial: "J. Smith" */
    if (listed(always, word, length))
        return true;
    return next < 0x80 && is_digit((char)next) && listed(numbered, word, length);
}

/* A number alone at the beginning of a line or sentence and its full stop: "1. First of all". */
static bool is_item_number(const char *text, size_t start, size_t at)
{
    size_t from = at;
    while (from > start && at - from < 4 && is_digit(text[from - 1]))
        from--;
    return from < at && (from == start || text[from - 1] == '\n');
}

/* After the terminators that begin at text[at] within a sentence from `start`: is this the
 * sentence's end? *ret_next is where to go on, one past the terminators and what closes after them.
 */
static bool ends_at(const char *text, size_t length, size_t start, size_t at, size_t *ret_next)
{
    size_t i = at;
    uint32_t point = 0;
    bool wide = false; /* 。 needs no space after it */
    while (i < length) {
        size_t size = point_at(text, length, i, &point);
        if (!is_terminator(point) && !is_closer(point))
            break;
        wide |= point == 0x3002;
        i += size;
    }
    *ret_next = i;
    if (i >= length || wide)
        return true;
    if (!is_space(text[i]))
        return false;
    size_t after = i;
    while (after < length && is_space(text[after]))
        after++;
    if (after >= length || (at > start && is_space(text[at - 1])))
        return true; /* " . " stands alone: texts that were tokenised before */
    point_at(text, length, after, &point);
    bool single_stop = text[at] == '.' && i == at + 1;
    if (single_stop && (is_item_number(text, start, at) || is_abbreviation(text, start, at, point)))
        return false;
    return may_begin(point) || item_at(text, length, after);
}

/* At a line end: an empty line or a list item after it ends the sentence. *ret_next is the next
 * line's first byte that is no space. */
static bool breaks_at(const char *text, size_t length, size_t at, size_t *ret_next)
{
    size_t i = at + 1;
    while (i < length && (text[i] == ' ' || text[i] == '\t' || text[i] == '\r'))
        i++;
    *ret_next = i;
    return i >= length || text[i] == '\n' || item_at(text, length, i);
}

bool sentence_next(const char *text, size_t length, size_t *cursor, size_t *ret_start,
                   size_t *ret_end)
{
    size_t start = *cursor;
    while (start < length && is_space(text[start]))
        start++;
    if (start >= length) {
        *cursor = length;
        return false;
    }
    size_t end = start; /* one past the last byte that is no space */
    size_t at = start;
    while (at < length) {
        uint32_t point;
        size_t size = point_at(text, length, at, &point);
        size_t next = at + size;
        if (point == '\n') {
            if (breaks_at(text, length, at, &next))
                break;
        } else if (is_terminator(point)) {
            bool finished = ends_at(text, length, start, at, &next);
            end = next;
            if (finished) {
                at = next;
                break;
            }
        } else if (!is_space((char)point) || point >= 0x80) {
            end = next;
        }
        at = next;
    }
    *ret_start = start;
    *ret_end = end;
    *cursor = at < end ? end : at;
    return true;
}
