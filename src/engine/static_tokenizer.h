/* static_tokenizer.h - text to pieces, for the static embedder: wholly described by data of the model's file.
 *
 * How it works: every character is folded by a table (to nothing, to one to four of [a-z0-9], or to the end of a word);
 *   a word longer than STATIC_WORD_MAX is cut there; each word becomes pieces by longest match from the left, where a
 *   piece that does not begin a word is written "##piece". Every single [a-z0-9] is a piece both ways, so a match is
 *   always found. tools/train/static_model.py is the same in Python, and tests hold the two together.
 * Speed:   a word costs one hash of all its prefixes (FNV-1a: the hash of a prefix is a step of the hash of the whole)
 *   and usually one probe, because most words are pieces.
 * Owner:   static_tokenizer_free() frees what was added; nothing given is kept.
 * Threads: any number may use it once it is complete.
 * Fails:   ERR_NO_MEMORY; false without an error from the _add functions when the piece or the rule is not one.
 *
 *     static_tokenizer_init(&t, pieces, &err)
 *     static_tokenizer_add_fold(&t, point, to), static_tokenizer_add_piece(&t, id, piece) for each
 *     static_tokenizer_complete(&t)
 *     static_tokenize(&t, text, length, ids, max)
 */
#ifndef JARVIS_ENGINE_STATIC_TOKENIZER_H
#define JARVIS_ENGINE_STATIC_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum {
    STATIC_WORD_MAX = 64,         /* characters of [a-z0-9] */
    STATIC_PIECES_MAX = 1 << 20,  /* of a vocabulary */
    STATIC_FOLD_POINTS = 1 << 16, /* characters that may be folded: the basic plane */
    STATIC_FOLD_MAX = 4,          /* characters that one becomes */
    STATIC_PIECE_MAX = STATIC_WORD_MAX,
};

struct static_piece {
    uint32_t hash;
    uint32_t id;
    uint32_t text;  /* offset of its characters in `texts` */
    uint8_t length; /* 0: the slot is free */
    bool inner;     /* does not begin a word */
};

struct static_tokenizer {
    uint32_t *fold;             /* STATIC_FOLD_POINTS: packed characters, 0 ends a word */
    struct static_piece *slots; /* open addressing */
    char *texts;                /* pieces one after the other */
    size_t texts_length, texts_max;
    uint32_t mask;    /* slots - 1 */
    uint32_t count;   /* pieces added */
    uint32_t longest; /* characters of the longest piece */
};

/* Room for `pieces` pieces of STATIC_PIECE_MAX characters. [a-z0-9] fold to themselves from the beginning. */
bool static_tokenizer_init(struct static_tokenizer *t, uint32_t pieces, struct err *err);
void static_tokenizer_free(struct static_tokenizer *t);

/* `to`: at most STATIC_FOLD_MAX of [a-z0-9]; "" makes the character vanish. */
bool static_tokenizer_add_fold(struct static_tokenizer *t, uint32_t point, const char *to);

/* `piece`: 1..STATIC_PIECE_MAX of [a-z0-9], with "##" before it when it does not begin a word; each once. */
bool static_tokenizer_add_piece(struct static_tokenizer *t, uint32_t id, const char *piece);

/* Whether every single character is a piece both ways, as static_tokenize() needs. */
bool static_tokenizer_complete(const struct static_tokenizer *t);

/* Writes the first `max` piece ids of the text to ids[] and returns how many the text has. Bytes that are no UTF-8 end
 * a word. */
size_t static_tokenize(const struct static_tokenizer *t, const char *text, size_t length,
                       uint32_t *ids, size_t max);

#endif
