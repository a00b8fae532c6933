/* sentence.h - where sentences end, in English and Spanish prose.
 *
 * Purpose: the chunker packs sentences, extractive answers quote them: both cut at the same
 *   places. A sentence ends after . ! ? … (with closing quotes and brackets) before white space
 *   and something that may begin a sentence, unless the word before is a known abbreviation (Dr.,
 *   p. ej., etc.), an initial, or a number in a list; at an empty line; and before a list item.
 * Owner:   works on the caller's text.
 * Threads: safe from any.
 * Fails:   never.
 */
#ifndef JARVIS_RETRIEVAL_SENTENCE_H
#define JARVIS_RETRIEVAL_SENTENCE_H

#include <stdbool.h>
#include <stddef.h>

/* The next sentence at or after *cursor (start with 0): its first and one past its last byte, white
 * space at both ends left out; false at the end. Never splits a UTF-8 character; what is between
 * two sentences is white space. */
bool sentence_next(const char *text, size_t length, size_t *cursor, size_t *ret_start,
                   size_t *ret_end);

#endif
