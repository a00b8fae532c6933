/* citation.h - the [n] marks by which an answer names its sources.
 *
 * Purpose: a model is told to cite the passages it was given as [1], [2]…; it may also invent numbers. The filter
 *   stands between the model and the reader: it keeps marks of passages that exist, notes which were used, and
 *   drops the rest, piece by piece as text streams, so that nobody is ever shown a source that is not there.
 * Owner:   the struct is the caller's, holds no memory. Threads: one at a time. Fails: never (the output builder's
 *   failure is the builder's to report).
 */
#ifndef JARVIS_ASSISTANT_CITATION_H
#define JARVIS_ASSISTANT_CITATION_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

enum {
    CITATION_MAX = 64,      /* the highest number of a passage */
    CITATION_HELD_MAX = 32, /* bytes of a mark that is not complete yet */
};

struct citation_filter {
    int passages;                /* numbers 1..passages exist */
    bool used[CITATION_MAX + 1]; /* by number */
    int dropped;                 /* marks that named nothing */
    char held[CITATION_HELD_MAX];
    size_t held_length;
    bool open; /* what was passed on ends in the beginning of a mark, such as "[1" */
};

/* `passages` in 0..CITATION_MAX. */
void citation_filter_init(struct citation_filter *filter, int passages);

/* Passes `text` on to `out`; what may be the beginning of a mark is held back until the next call. "[1, 9]" with
 * one passage becomes "[1]". A space before a dropped mark goes with it. */
void citation_filter_feed(struct citation_filter *filter, const char *text, struct str *out);

/* At the end of the answer: what was held back is text after all. */
void citation_filter_finish(struct citation_filter *filter, struct str *out);

/* The text of answer that the mark of `number` supports: the sentence or line that holds its first mark.
 * false when it is not cited. Offsets in bytes of `answer`. */
bool citation_claim(const char *answer, int number, size_t *ret_start, size_t *ret_length);

#endif
