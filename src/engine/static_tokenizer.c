#include "engine/static_tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

/* FNV-1a, 32 bits (Fowler, Noll, Vo); pieces inside a word start from another value. */
#define HASH_BEGIN 2166136261U
#define HASH_INNER 3339683297U
#define HASH_STEP  16777619U

/* A rule of the fold table: up to four characters, the first in the lowest byte. */
#define FOLD_END_OF_WORD 0U
#define FOLD_NOTHING     0xFFFFFFFFU

static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz0123456789";

static uint32_t hash_step(uint32_t hash, char c)
{
    return (hash ^ (uint8_t)c) * HASH_STEP;
}

static bool is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* ---------------------------------------------------------------- making one */

bool static_tokenizer_init(struct static_tokenizer *t, uint32_t pieces, struct err *err)
{
    uint32_t slots = 64;
    while (slots < pieces * 2)
        slots *= 2;
    struct static_tokenizer made = {
        .fold = calloc(STATIC_FOLD_POINTS, sizeof(*made.fold)),
        .slots = calloc(slots, sizeof(*made.slots)),
        .texts = malloc((size_t)pieces * STATIC_PIECE_MAX + 1),
        .texts_max = (size_t)pieces * STATIC_PIECE_MAX,
        .mask = slots - 1,
    };
    if (!made.fold || !made.slots || !made.texts) {
        static_tokenizer_free(&made);
        return err_no_memory(err);
    }
    for (const char *c = alphabet; *c; c++)
        made.fold[(uint8_t)*c] = (uint8_t)*c;
    *t = made;
    return true;
}

void static_tokenizer_free(struct static_tokenizer *t)
{
    free(t->fold);
    free(t->slots);
    free(t->texts);
    *t = (struct static_tokenizer){0};
}

bool static_tokenizer_add_fold(struct static_tokenizer *t, uint32_t point, const char *to)
{
    size_t length = strlen(to);
    if (point >= STATIC_FOLD_POINTS || length > STATIC_FOLD_MAX)
        return false;
    uint32_t packed = 0;
    for (size_t i = 0; i < length; i++) {
        if (!is_plain(to[i]))
            return false;
        packed |= (uint32_t)(uint8_t)to[i] << (8 * i);
    }
    t->fold[point] = length > 0 ? packed : FOLD_NOTHING;
    return true;
}

/* The slot of a piece, or the free one where it would stand. At least half of the slots are free. */
static struct static_piece *find(const struct static_tokenizer *t, const char *text, size_t length,
                                 bool inner, uint32_t hash)
{
    for (uint32_t at = hash & t->mask;; at = (at + 1) & t->mask) {
        struct static_piece *slot = &t->slots[at];
        if (slot->length == 0 ||
            (slot->hash == hash && slot->length == length && slot->inner == inner &&
             memcmp(t->texts + slot->text, text, length) == 0))
            return slot;
    }
}

bool static_tokenizer_add_piece(struct static_tokenizer *t, uint32_t id, const char *piece)
{
    bool inner = strncmp(piece, "##", 2) == 0;
    const char *text = inner ? piece + 2 : piece;
    size_t length = strlen(text);
    if (length == 0 || length > STATIC_PIECE_MAX || t->count > t->mask / 2 ||
        length > t->texts_max - t->texts_length)
        return false;
    uint32_t hash = inner ? HASH_INNER : HASH_BEGIN;
    for (size_t i = 0; i < length; i++) {
        if (!is_plain(text[i]))
            return false;
        hash = hash_step(hash, text[i]);
    }
    struct static_piece *slot = find(t, text, length, inner, hash);
    if (slot->length > 0)
        return false;
    *slot = (struct static_piece){.hash = hash,
                                  .id = id,
                                  .text = (uint32_t)t->texts_length,
                                  .length = (uint8_t)length,
                                  .inner = inner};
    memcpy(t->texts + t->texts_length, text, length);
    t->texts_length += length;
    t->count++;
    if (length > t->longest)
        t->longest = (uint32_t)length;
    return true;
}

bool static_tokenizer_complete(const struct static_tokenizer *t)
{
    for (const char *c = alphabet; *c; c++)
        if (find(t, c, 1, false, hash_step(HASH_BEGIN, *c))->length == 0 ||
            find(t, c, 1, true, hash_step(HASH_INNER, *c))->length == 0)
            return false;
    return true;
}

/* ---------------------------------------------------------------- using it */

/* Where pieces go: those that fit are kept, all are counted. */
struct output {
    uint32_t *ids;
    size_t max, count;
};

/* The longest piece at the beginning of word[0..length). */
static const struct static_piece *longest_match(const struct static_tokenizer *t, const char *word,
                                                size_t length, bool inner)
{
    uint32_t hashes[STATIC_WORD_MAX];
    size_t most = length < t->longest ? length : t->longest;
    hashes[0] = hash_step(inner ? HASH_INNER : HASH_BEGIN, word[0]);
    for (size_t i = 1; i < most; i++)
        hashes[i] = hash_step(hashes[i - 1], word[i]);
    for (size_t size = most; size > 1; size--) {
        const struct static_piece *slot = find(t, word, size, inner, hashes[size - 1]);
        if (slot->length > 0)
            return slot;
    }
    return find(t, word, 1, inner, hashes[0]);
}

static void split_word(const struct static_tokenizer *t, const char *word, size_t length,
                       struct output *out)
{
    for (size_t at = 0; at < length;) {
        const struct static_piece *piece = longest_match(t, word + at, length - at, at > 0);
        if (out->count < out->max)
            out->ids[out->count] = piece->id;
        out->count++;
        at += piece->length;
    }
}

/* What the character at text[*at] becomes; moves *at past it. */
static uint32_t fold_next(const struct static_tokenizer *t, const char *text, size_t length,
                          size_t *at)
{
    uint8_t byte = (uint8_t)text[*at];
    if (byte < 0x80) {
        (*at)++;
        return t->fold[byte];
    }
    uint32_t point;
    int size = utf8_decode(text + *at, length - *at, &point);
    *at += size > 0 ? (size_t)size : 1;
    return size > 0 && point < STATIC_FOLD_POINTS ? t->fold[point] : FOLD_END_OF_WORD;
}

size_t static_tokenize(const struct static_tokenizer *t, const char *text, size_t length,
                       uint32_t *ids, size_t max)
{
    struct output out = {.ids = ids, .max = max};
    char word[STATIC_WORD_MAX];
    size_t filled = 0;
    for (size_t at = 0; at < length;) {
        uint32_t folded = fold_next(t, text, length, &at);
        if (folded == FOLD_NOTHING)
            continue;
        if (folded == FOLD_END_OF_WORD) {
            split_word(t, word, filled, &out);
            filled = 0;
        }
        for (; folded != 0; folded >>= 8) {
            if (filled == STATIC_WORD_MAX) {
                split_word(t, word, filled, &out);
                filled = 0;
            }
            word[filled++] = (char)(folded & 0xFF);
        }
    }
    split_word(t, word, filled, &out);
    return out.count;
}
