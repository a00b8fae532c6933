/* score.h - how far what was heard is from what was said.
 *
 * Purpose: word and character error rates. Both texts are normalised first (NFKC, case folded, punctuation and symbols
 *   dropped, one space between words), so that only what is spoken counts; then the least number of insertions,
 *   deletions and substitutions is found (Levenshtein 1966).
 * Owner:   score_normalise() appends to the caller's builder. Threads: safe from any.
 * Fails:   ERR_TOO_LARGE for texts of more than SCORE_UNITS_MAX words or characters, ERR_NO_MEMORY.
 */
#ifndef JARVIS_VOICE_SCORE_H
#define JARVIS_VOICE_SCORE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/str.h"

enum { SCORE_UNITS_MAX = 100000 };

/* Errors, and what they are a share of: the length of the reference. */
struct score {
    size_t word_errors;
    size_t words;
    size_t character_errors;
    size_t characters;
};

void score_normalise(const char *text, struct str *out);

bool score_text(const char *reference, const char *heard, struct score *ret, struct err *err);

#endif
