#include "cli/highlight.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

enum { WORD_MIN = 3, FORM_MIN = 5, ENDING_MAX = 3 };

/* Letters and digits; every byte of a character beyond ASCII counts as a letter. */
static bool is_word_byte(char c)
{
    return isalnum((unsigned char)c) || (unsigned char)c >= 0x80;
}

/* Lower case without accents; the caller frees. NULL: no memory or not UTF-8. */
static char *fold(const char *text, size_t length)
{
    utf8proc_uint8_t *folded = NULL;
    utf8proc_ssize_t size =
        utf8proc_map((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)length, &folded,
                     UTF8PROC_CASEFOLD | UTF8PROC_DECOMPOSE | UTF8PROC_STRIPMARK | UTF8PROC_STABLE);
    return size >= 0 ? (char *)folded : NULL;
}

static size_t common_prefix(const char *a, const char *b)
{
    size_t length = 0;
    while (a[length] && a[length] == b[length])
        length++;
    return length;
}

static bool folded_match(const char *a, const char *b)
{
    size_t a_length = strlen(a);
    size_t b_length = strlen(b);
    if (a_length < WORD_MIN || b_length < WORD_MIN)
        return false;
    size_t common = common_prefix(a, b);
    if (common == a_length && common == b_length)
        return true;
    return common + 1 >= FORM_MIN && a_length - common < ENDING_MAX &&
           b_length - common <= ENDING_MAX;
}

bool highlight_matches(const char *query_word, size_t query_length, const char *word, size_t length)
{
    char *a = fold(query_word, query_length);
    char *b = fold(word, length);
    bool match = a && b && folded_match(a, b);
    free(a);
    free(b);
    return match;
}

static size_t word_length(const char *text)
{
    size_t length = 0;
    while (is_word_byte(text[length]))
        length++;
    return length;
}

static bool is_of_query(const char *query, const char *word, size_t length)
{
    while (*query) {
        size_t query_length = word_length(query);
        if (query_length > 0 && highlight_matches(query, query_length, word, length))
            return true;
        query += query_length > 0 ? query_length : 1;
    }
    return false;
}

void highlight_print(const struct term *term, const char *query, const char *text)
{
    while (*text) {
        size_t length = word_length(text);
        bool marked = term->colour && length >= WORD_MIN && is_of_query(query, text, length);
        fputs(marked ? term_on(term, STYLE_YELLOW) : "", term->file);
        term_write(term, text, length > 0 ? length : 1);
        fputs(marked ? term_off(term) : "", term->file);
        text += length > 0 ? length : 1;
    }
}
