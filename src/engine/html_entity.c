#include "engine/html_entity.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <lexbor/core/sbst.h>
#include <lexbor/html/tokenizer/res.h>

#include "base/utf8.h"
#include "engine/charset.h"

enum { POINT_MAX = 0x10ffff };

static int digit_value(char c, int base)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (base == 16 && c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (base == 16 && c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* The standard reads 0x80 to 0x9f as Windows-1252; NUL, surrogates and what is too large become U+FFFD, which
 * utf8_encode() does for all but NUL. */
static uint32_t meant_point(uint32_t point)
{
    if (point == 0)
        return 0xfffd;
    if (point < 0x80 || point > 0x9f)
        return point;
    uint32_t windows = charset_windows_1252((uint8_t)point);
    return windows == 0xfffd ? point : windows;
}

static size_t numeric(const char *text, size_t length, char out[HTML_ENTITY_MAX],
                      size_t *ret_length)
{
    size_t at = 2;
    int base = 10;
    if (at < length && (text[at] == 'x' || text[at] == 'X')) {
        base = 16;
        at++;
    }
    size_t first = at;
    uint32_t point = 0;
    for (int value; at < length && (value = digit_value(text[at], base)) >= 0; at++)
        if (point <= POINT_MAX)
            point = point * (uint32_t)base + (uint32_t)value;
    if (at == first)
        return 0;
    *ret_length = utf8_encode(meant_point(point), out);
    return at < length && text[at] == ';' ? at + 1 : at;
}

/* lexbor has the names as a search tree of characters: the longest name that the text begins with is meant. */
static size_t named(const char *text, size_t length, char out[HTML_ENTITY_MAX], size_t *ret_length)
{
    const lexbor_sbst_entry_static_t *tree = lxb_html_tokenizer_res_entities_sbst;
    const lexbor_sbst_entry_static_t *root = &tree[1];
    const lexbor_sbst_entry_static_t *best = NULL;
    size_t best_end = 0;
    for (size_t at = 1; at < length && root != tree; at++) {
        const lexbor_sbst_entry_static_t *entry =
            lexbor_sbst_entry_static_find(tree, root, (lxb_char_t)text[at]);
        if (!entry)
            break;
        if (entry->value && entry->value_len <= HTML_ENTITY_MAX) {
            best = entry;
            best_end = at + 1;
        }
        root = &tree[entry->next];
    }
    if (!best)
        return 0;
    memcpy(out, best->value, best->value_len);
    *ret_length = best->value_len;
    return best_end;
}

size_t html_entity(const char *text, size_t length, char out[HTML_ENTITY_MAX], size_t *ret_length)
{
    if (length < 2 || text[0] != '&')
        return 0;
    return text[1] == '#' ? numeric(text, length, out, ret_length)
                          : named(text, length, out, ret_length);
}
