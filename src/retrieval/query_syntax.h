/* query_syntax.h - what a person asks of search beside words: what must be there, and what must not.
 *
 * Purpose:
 *     "exact words"   the words must stand there one after the other, as they are written
 *     +word           must be there (in any of its forms)
 *     -word           must not be there; -"exact words" likewise
 *     wo*             a word that begins like this must be there; two letters at least
 *   Everything else is words to rank by, and so are those above that must be there. A minus counts before a quote or
 *   at least three letters, after a space: -40, -m and well-known are words as they are.
 * Owner:   results are in the caller's arena.
 * Threads: pure functions.
 * Fails:   ERR_TOO_LARGE past QUERY_CLAUSES_MAX; ERR_NO_MEMORY. A quote that is not closed is a character like others.
 */
#ifndef JARVIS_RETRIEVAL_QUERY_SYNTAX_H
#define JARVIS_RETRIEVAL_QUERY_SYNTAX_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"

enum { QUERY_CLAUSES_MAX = 32 };

enum query_clause_kind { CLAUSE_WORD, CLAUSE_PREFIX, CLAUSE_PHRASE };

struct query_clause {
    enum query_clause_kind kind;
    bool excluded;
    const char *text; /* without the marks, NUL-terminated */
    size_t length;
};

struct query_syntax {
    const char *plain; /* the words to rank by, NUL-terminated */
    size_t length;
    struct query_clause *clauses;
    size_t count;
};

bool query_syntax_parse(const char *text, size_t length, struct arena *arena,
                        struct query_syntax *ret, struct err *err);

#endif
