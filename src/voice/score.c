#include "voice/score.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

enum { TEXT_MAX = 4 << 20 };

/* ---------------------------------------------------------------- normalising */

static bool is_word_point(int32_t point)
{
    switch (utf8proc_category(point)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO: return true;
    default: return false;
    }
}

/* "it's" and "it’s" are one word, "its". */
static bool is_apostrophe(int32_t point)
{
    return point == '\'' || point == 0x2019;
}

static void put_point(struct str *out, int32_t point)
{
    utf8proc_uint8_t bytes[4];
    utf8proc_ssize_t length = utf8proc_encode_char(point, bytes);
    str_append(out, bytes, (size_t)length);
}

void score_normalise(const char *text, struct str *out)
{
    utf8proc_uint8_t *folded = NULL;
    const utf8proc_option_t how = UTF8PROC_NULLTERM | UTF8PROC_STABLE | UTF8PROC_COMPOSE |
                                  UTF8PROC_COMPAT | UTF8PROC_CASEFOLD | UTF8PROC_IGNORE;
    if (utf8proc_map((const utf8proc_uint8_t *)text, 0, &folded, how) < 0 || !folded) {
        out->failed = true;
        return;
    }
    bool gap = false, any = false;
    utf8proc_int32_t point;
    utf8proc_ssize_t size;
    for (const utf8proc_uint8_t *at = folded; *at; at += size) {
        size = utf8proc_iterate(at, -1, &point);
        if (size <= 0)
            break;
        if (is_apostrophe(point))
            continue;
        if (!is_word_point(point)) {
            gap = true;
            continue;
        }
        if (gap && any)
            str_putc(out, ' ');
        put_point(out, point);
        gap = false;
        any = true;
    }
    free(folded);
}

/* ---------------------------------------------------------------- distance */

/* A unit of a text, a word or a character, as bytes. */
struct unit {
    const char *text;
    size_t length;
};

struct units {
    struct unit *items;
    size_t count;
};

static bool split(const char *text, bool words, struct units *ret, struct err *err)
{
    size_t length = strlen(text), count = 0;
    struct unit *items = calloc(length + 1, sizeof(*items));
    if (!items)
        return err_no_memory(err);
    for (size_t at = 0; at < length;) {
        size_t begin = at++;
        if (words)
            at = begin + strcspn(text + begin, " ");
        else
            while (((unsigned char)text[at] & 0xc0) == 0x80)
                at++;
        items[count++] = (struct unit){text + begin, at - begin};
        at += words && text[at] == ' ';
    }
    *ret = (struct units){items, count};
    return true;
}

static bool is_same(const struct unit *a, const struct unit *b)
{
    return a->length == b->length && memcmp(a->text, b->text, a->length) == 0;
}

static size_t least(size_t a, size_t b, size_t c)
{
    size_t two = a < b ? a : b;
    return two < c ? two : c;
}

/* One row of the table at a time. */
static bool distance(const struct units *a, const struct units *b, size_t *ret, struct err *err)
{
    size_t *row = calloc(b->count + 1, sizeof(*row));
    if (!row)
        return err_no_memory(err);
    for (size_t j = 0; j <= b->count; j++)
        row[j] = j;
    for (size_t i = 0; i < a->count; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < b->count; j++) {
            size_t change = diagonal + !is_same(&a->items[i], &b->items[j]);
            diagonal = row[j + 1];
            row[j + 1] = least(change, row[j] + 1, row[j + 1] + 1);
        }
    }
    *ret = row[b->count];
    free(row);
    return true;
}

static bool compare(const char *reference, const char *heard, bool words, size_t *ret_errors,
                    size_t *ret_length, struct err *err)
{
    struct units a = {0}, b = {0};
    bool ok = split(reference, words, &a, err) && split(heard, words, &b, err);
    if (ok && (a.count > SCORE_UNITS_MAX || b.count > SCORE_UNITS_MAX))
        ok = err_set(err, ERR_TOO_LARGE,
                     "a text has more than %d words or letters; compare it in parts",
                     SCORE_UNITS_MAX);
    ok = ok && distance(&a, &b, ret_errors, err);
    *ret_length = a.count;
    free(a.items);
    free(b.items);
    return ok;
}

bool score_text(const char *reference, const char *heard, struct score *ret, struct err *err)
{
    struct str a, b;
    struct score score = {0};
    str_init(&a, TEXT_MAX);
    str_init(&b, TEXT_MAX);
    score_normalise(reference, &a);
    score_normalise(heard, &b);
    bool ok =
        str_check(&a, "the text", err) && str_check(&b, "the text", err) &&
        compare(str_text(&a), str_text(&b), true, &score.word_errors, &score.words, err) &&
        compare(str_text(&a), str_text(&b), false, &score.character_errors, &score.characters, err);
    str_free(&a);
    str_free(&b);
    if (ok)
        *ret = score;
    return ok;
}
