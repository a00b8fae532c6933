/* index_clauses.h - which passages satisfy what a question demands; private to index*.c.
 *
 * Purpose: clauses (query_syntax.h) become sets of slots before anything is scored. A phrase demands its words at first;
 *   whether they stand one after the other is looked up in the text of those that are found.
 * Owner:   clauses_free(), clause_set_free().
 * Threads: a struct clauses is one thread's. A set is made and used under the index's read lock.
 * Fails:   ERR_NO_MEMORY, ERR_STORE.
 */
#ifndef JARVIS_RETRIEVAL_INDEX_CLAUSES_H
#define JARVIS_RETRIEVAL_INDEX_CLAUSES_H

#include "retrieval/index_content.h"
#include "retrieval/query_syntax.h"

struct roaring_bitmap_s;
struct clauses;

/* What the clauses demand, read as each language. With no clauses *ret is NULL, which all functions take. */
bool clauses_new(const struct query_clause *clauses, size_t count, struct text_analyzer *analyzer,
                 struct clauses **ret, struct err *err);
void clauses_free(struct clauses *clauses);

/* The slots of one content that may be found. */
struct clause_set {
    struct roaring_bitmap_s *allowed; /* NULL: all but … */
    struct roaring_bitmap_s *denied;  /* NULL: none */
    const struct content *content;
    const struct document_filter *documents; /* NULL: of every document */
};

bool clause_set_make(const struct clauses *clauses, const struct content *content,
                     const struct document_filter *documents, struct clause_set *ret,
                     struct err *err);
void clause_set_free(struct clause_set *set);

/* A slot_filter's function over a struct clause_set. */
bool clause_set_allows(const void *set, uint32_t slot);

/* Whether a passage's text must be looked at. */
bool clauses_have_phrase(const struct clauses *clauses);

/* Whether the text has every phrase that is demanded, and none that is excluded. */
bool clauses_match(const struct clauses *clauses, struct text_analyzer *analyzer, const char *text,
                   size_t length, enum lang lang, bool *ret, struct err *err);

/* Adds words that begin like the prefixes, as they are in the index, to the words to rank by. */
bool clauses_expand(const struct clauses *clauses, const struct content *content,
                    struct bm25_query *query, struct err *err);

#endif
