/* text_words.h - where words are, and how their letters are folded; private to text*.c.
 *
 * Owner:   works on the caller's bytes.
 * Threads: pure functions.
 * Fails:   by return value only.
 */
#ifndef JARVIS_RETRIEVAL_TEXT_WORDS_H
#define JARVIS_RETRIEVAL_TEXT_WORDS_H

#include <stdbool.h>
#include <stddef.h>

#include "retrieval/text.h"

/* The next word at or after *cursor (start with 0), at most TEXT_WORD_MAX bytes of it: its first
 * and one past its last byte, and whether it is ASCII only. False at the end. */
bool text_next_word(const char *text, size_t length, size_t *cursor, size_t *ret_start,
                    size_t *ret_end, bool *ret_ascii);

/* What becomes of accents (combining marks U+0300..U+036F) when a word is folded. */
enum accents {
    ACCENTS_KEEP,
    ACCENTS_DROP,
    ACCENTS_DROP_SAVE_TILDE, /* that of ñ stays */
};

/* NFKC, case folding, characters without width left out, ’ as '. Writes at most TEXT_TERM_MAX bytes
 * and returns how many; 0 when nothing is left. */
size_t text_fold(const char *word, size_t length, bool ascii, enum accents accents,
                 char out[TEXT_TERM_MAX]);

#endif
