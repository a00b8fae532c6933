/* text.h - from text to the terms that search compares.
 *
 * Purpose: one analysis for passages and questions. A word is a run of letters, digits and marks
 *   (an apostrophe between letters belongs to it; each CJK ideograph or kana is a word). Its term
 *   is: NFKC and case folding (utf8proc), accents removed, Snowball stem of the text's language.
 *   In Spanish the tilde of ñ stays (año is not ano); in English it goes (jalapeño is jalapeno).
 *   Names with digits or underscores in them are found whole and in parts: words joined by one of
 *   - _ . / : (CVE-2024-1234, foo_bar) also give one extra token of all, with hyphens, and the letters
 *   and digits of a mixed word (5070Ti) one each; extra tokens are folded, not stemmed.
 * Owner:   an analyzer belongs to who made it; terms given to a visitor are valid during the call
 *   only.
 * Threads: an analyzer is one thread's at a time; the functions without one are safe from any.
 * Fails:   ERR_NO_MEMORY. Text that is not valid UTF-8 is no error: a bad byte separates words.
 *
 *     text_analyze(analyzer, text, length, LANG_EN, visit, user, &err)
 */
#ifndef JARVIS_RETRIEVAL_TEXT_H
#define JARVIS_RETRIEVAL_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/lang.h"

enum {
    TEXT_WORD_MAX = 128, /* bytes of a word in the text; a longer run is taken in pieces of this */
    TEXT_TERM_MAX = 256, /* bytes of a term; a longer one is cut */
};

/* One word. None of its strings is NUL-terminated. */
struct text_token {
    const char *term; /* what search compares */
    size_t length;
    const char *word; /* folded, without accents, not stemmed: for text_is_stop_word() */
    size_t word_length;
    size_t offset; /* of the word in the text, bytes */
    size_t source_length;
    bool
        extra; /* made of words or parts of a word that come by themselves: not another word of the text */
};

struct text_analyzer;

bool text_analyzer_new(struct text_analyzer **ret, struct err *err);
void text_analyzer_free(struct text_analyzer *analyzer); /* NULL is fine */

/* Calls `visit` for each word in order; false from it stops the walk, which then returns false (the
 * visitor has set err, or wanted no more). */
bool text_analyze(struct text_analyzer *analyzer, const char *text, size_t length, enum lang lang,
                  bool (*visit)(void *user, const struct text_token *token, struct err *err),
                  void *user, struct err *err);

/* Spanish or English, by stop words and by letters that only one of them has; at most the first 64
 * KiB are read. `fallback` when nothing speaks for either. */
enum lang text_detect(const char *text, size_t length, enum lang fallback);

/* True for a stop word of the language: articles, pronouns, prepositions, forms of to be and to
 * have and the like, which say little about what is asked. `word` as text_token has it. */
bool text_is_stop_word(const char *word, size_t length, enum lang lang);

#endif
