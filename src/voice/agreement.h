/* agreement.h - which words of a stream are certain: LocalAgreement-2 (Macháček, Dabre and Bojar 2023,
 * arXiv 2307.14743).
 *
 * Purpose: while somebody speaks, the sound since a trim point is recognised again and again. Words on which two runs
 *   in a row agree, from the first one on, are confirmed: they are handed out and never change. The rest is tentative.
 *   Words agree when they are the same without case and punctuation; the later run's spelling is kept. Words that end
 *   within the last hold_ms of the sound are not confirmed, since the end of a word may still come.
 * Owner:   words are copied; what agreement_update() returns is valid until the next call on the same agreement.
 * Threads: one at a time. Fails: ERR_NO_MEMORY, ERR_TOO_LARGE for more than AGREEMENT_WORDS_MAX words in a run; the
 *   agreement is then as it was.
 */
#ifndef JARVIS_VOICE_AGREEMENT_H
#define JARVIS_VOICE_AGREEMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { AGREEMENT_WORDS_MAX = 2048, AGREEMENT_HOLD_MS = 500 };

/* Times count from the beginning of the stream. */
struct agreement_word {
    const char *text;
    int64_t start_ms;
    int64_t end_ms;
};

struct agreement;

struct agreement_update {
    const struct agreement_word *final; /* confirmed by this run */
    size_t final_count;
    const struct agreement_word *partial; /* after them, and may change */
    size_t partial_count;
};

bool agreement_open(struct agreement **ret, struct err *err);
void agreement_close(struct agreement *agreement); /* NULL is fine */

/* A run has heard words[0..count) in the sound up to now_ms. Words before the end of the last confirmed one are
 * ignored. `is_last`: the speaker has stopped; all words of this run are confirmed. */
bool agreement_update(struct agreement *agreement, const struct agreement_word *words, size_t count,
                      int64_t now_ms, bool is_last, struct agreement_update *ret, struct err *err);

/* The end of the last confirmed word: sound before it need not be recognised again. */
int64_t agreement_trim_ms(const struct agreement *agreement);

#endif
