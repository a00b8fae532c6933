/* highlight.h - the words of a query, standing out in a text.
 *
 * Owner: nothing is kept. Threads: one. Fails: never; without colour it prints the text as it is.
 */
#ifndef JARVIS_CLI_HIGHLIGHT_H
#define JARVIS_CLI_HIGHLIGHT_H

#include <stdbool.h>
#include <stddef.h>

#include "cli/term.h"

/* Whether a word of a text counts as a word of the query: equal but for case and accents, or, from
 * five letters on, forms of one word: they share all but the last two or three letters ("licence",
 * "licences"). Words of one or two letters never count. This is for the eye; searching has its own
 * stemming. */
bool highlight_matches(const char *query_word, size_t query_length, const char *word,
                       size_t length);

void highlight_print(const struct term *term, const char *query, const char *text);

#endif
