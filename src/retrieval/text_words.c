#include "retrieval/text_words.h"

#include <stdint.h>
#include <string.h>

#include <utf8proc.h>

#include "base/utf8.h"

enum {
    /* Code points of one folded word: U+FDFA, three bytes, becomes 18 of them. */
    FOLD_POINTS_MAX = TEXT_WORD_MAX / 3 * 18 + 32,
    COMBINING_FIRST = 0x0300,
    COMBINING_LAST = 0x036F,
    COMBINING_TILDE = 0x0303,
    RIGHT_QUOTE = 0x2019, /* ’, which also serves as apostrophe */
};

/* What a character means for the borders of words. */
enum kind {
    KIND_OTHER,      /* between words */
    KIND_LETTER,     /* letters, digits, marks */
    KIND_SINGLE,     /* a word of its own: ideographs and kana, which are written without spaces */
    KIND_APOSTROPHE, /* part of a word when letters stand on both sides */
    KIND_IGNORED,    /* without width: part of a word that has begun */
};

static bool is_ascii_letter(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_unspaced_script(uint32_t point)
{
    return (point >= 0x3040 && point <= 0x30FF) || /* hiragana, katakana */
           (point >= 0x3400 && point <= 0x4DBF) || /* ideographs, extension A */
           (point >= 0x4E00 && point <= 0x9FFF) || /* ideographs */
           (point >= 0xF900 && point <= 0xFAFF) || /* compatibility ideographs */
           (point >= 0x20000 && point <= 0x3FFFF); /* ideographs, further extensions */
}

static enum kind kind_of_point(uint32_t point)
{
    if (point == RIGHT_QUOTE)
        return KIND_APOSTROPHE;
    if (is_unspaced_script(point))
        return KIND_SINGLE;
    switch (utf8proc_category((utf8proc_int32_t)point)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO: return KIND_LETTER;
    case UTF8PROC_CATEGORY_CF: return KIND_IGNORED;
    default: return KIND_OTHER;
    }
}

/* The kind and size in bytes of the character at text[at]. */
static enum kind kind_at(const char *text, size_t length, size_t at, size_t *ret_size)
{
    unsigned char c = (unsigned char)text[at];
    *ret_size = 1;
    if (c < 0x80)
        return is_ascii_letter(c) ? KIND_LETTER : c == '\'' ? KIND_APOSTROPHE : KIND_OTHER;
    uint32_t point;
    int size = utf8_decode(text + at, length - at, &point);
    if (size <= 0)
        return KIND_OTHER;
    *ret_size = (size_t)size;
    return kind_of_point(point);
}

static bool letter_at(const char *text, size_t length, size_t at)
{
    size_t size;
    return at < length && kind_at(text, length, at, &size) == KIND_LETTER;
}

/* One past the last byte of the word that begins (with a letter) at `start`. */
static size_t word_end(const char *text, size_t length, size_t start, bool *ret_ascii)
{
    size_t at = start;
    *ret_ascii = true;
    while (at < length) {
        size_t size;
        enum kind kind = kind_at(text, length, at, &size);
        if (kind == KIND_APOSTROPHE ? !letter_at(text, length, at + size)
                                    : kind != KIND_LETTER && kind != KIND_IGNORED)
            break;
        if (at + size - start > TEXT_WORD_MAX)
            break;
        if ((unsigned char)text[at] >= 0x80)
            *ret_ascii = false;
        at += size;
    }
    return at;
}

bool text_next_word(const char *text, size_t length, size_t *cursor, size_t *ret_start,
                    size_t *ret_end, bool *ret_ascii)
{
    size_t at = *cursor;
    while (at < length) {
        size_t size;
        enum kind kind = kind_at(text, length, at, &size);
        if (kind == KIND_SINGLE || kind == KIND_LETTER) {
            *ret_start = at;
            *ret_ascii = false;
            *ret_end = kind == KIND_SINGLE ? at + size : word_end(text, length, at, ret_ascii);
            *cursor = *ret_end;
            return true;
        }
        at += size;
    }
    *cursor = length;
    return false;
}

static size_t fold_ascii(const char *word, size_t length, char *out)
{
    for (size_t i = 0; i < length; i++) {
        char c = word[i];
        out[i] = c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
    }
    return length;
}

/* Composes points[0..count) and writes them as UTF-8, as many as fit. */
static size_t write_points(utf8proc_int32_t *points, utf8proc_ssize_t count, char *out)
{
    count = utf8proc_normalize_utf32(points, count, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    size_t used = 0;
    for (utf8proc_ssize_t i = 0; i < count; i++) {
        char bytes[4];
        size_t size = utf8_encode((uint32_t)points[i], bytes);
        if (used + size > TEXT_TERM_MAX)
            break;
        memcpy(out + used, bytes, size);
        used += size;
    }
    return used;
}

/* Removes what must not stay of decomposed points; how many are left. */
static utf8proc_ssize_t drop_accents(utf8proc_int32_t *points, utf8proc_ssize_t count,
                                     enum accents accents)
{
    utf8proc_ssize_t kept = 0;
    for (utf8proc_ssize_t i = 0; i < count; i++) {
        bool accent = points[i] >= COMBINING_FIRST && points[i] <= COMBINING_LAST;
        bool saved = accents == ACCENTS_DROP_SAVE_TILDE && points[i] == COMBINING_TILDE &&
                     kept > 0 && points[kept - 1] == 'n';
        if (!accent || saved)
            points[kept++] = points[i];
    }
    return kept;
}

size_t text_fold(const char *word, size_t length, bool ascii, enum accents accents,
                 char out[TEXT_TERM_MAX])
{
    if (ascii)
        return fold_ascii(word, length, out);
    utf8proc_int32_t points[FOLD_POINTS_MAX];
    utf8proc_ssize_t count = utf8proc_decompose(
        (const utf8proc_uint8_t *)word, (utf8proc_ssize_t)length, points, FOLD_POINTS_MAX,
        UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT | UTF8PROC_CASEFOLD |
            UTF8PROC_IGNORE);
    if (count < 0 || count > FOLD_POINTS_MAX)
        return 0;
    for (utf8proc_ssize_t i = 0; i < count; i++)
        if (points[i] == RIGHT_QUOTE)
            points[i] = '\'';
    if (accents != ACCENTS_KEEP)
        count = drop_accents(points, count, accents);
    return write_points(points, count, out);
}
