/* gguf_vocabulary.h - the vocabularies of the tiny models.
 *
 * Owner:   everything lives in the arena of the vocabulary; gguf_vocabulary_free() ends it. Threads: one.
 * Fails:   false with err (no memory).
 */
#ifndef JARVIS_TESTS_GGUF_VOCABULARY_H
#define JARVIS_TESTS_GGUF_VOCABULARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"

enum { GGUF_VOCABULARY_MAX = 8192 };

/* How much a token says about what a text means. */
enum gguf_weight { GGUF_WEIGHT_NONE, GGUF_WEIGHT_PIECE, GGUF_WEIGHT_WORD };

struct gguf_vocabulary {
    struct arena arena;
    const char **tokens;
    int32_t *types;            /* enum llama_token_type */
    enum gguf_weight *weights; /* WordPiece only */
    int32_t *meanings;         /* WordPiece only: tokens of equal meaning share a vector */
    size_t count;
    const char **merges; /* BPE only */
    size_t merge_count;
};

/* Indices of the special tokens. */
enum { BPE_END_OF_TEXT, BPE_IM_START, BPE_IM_END, BPE_SPECIALS };
enum { WORDPIECE_PAD, WORDPIECE_UNKNOWN, WORDPIECE_CLS, WORDPIECE_SEP, WORDPIECE_MASK };

/* GPT-2's byte-level BPE: the special tokens, the 256 bytes, and what some English and Spanish merges make. */
bool gguf_vocabulary_bpe(struct gguf_vocabulary *ret, struct err *err);

/* BERT's WordPiece: special tokens, known words, one- and two-letter pieces. */
bool gguf_vocabulary_wordpiece(struct gguf_vocabulary *ret, struct err *err);

void gguf_vocabulary_free(struct gguf_vocabulary *vocabulary);

#endif
