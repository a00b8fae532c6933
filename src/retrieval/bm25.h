/* bm25.h - sparse search: which passages have a question's words.
 *
 * Purpose: score(passage, question) = sum over the question's terms t of
 *     n(t) · idf(t) · tf · (k1 + 1) / (tf + k1 · (1 - b + b · length / average length))
 *   with idf(t) = ln(1 + (N - df + 0.5) / (df + 0.5)), as Lucene has it (there without the constant
 *   factor k1 + 1), k1 = 1.2, b = 0.75; Robertson and Zaragoza, "The Probabilistic Relevance
 *   Framework: BM25 and Beyond", 2009. n(t) is how often the question has t; length is in words,
 *   stop words included, in 8 bits (segment.h). Passages of both languages share N, df and the average
 *   length; a passage is scored with the terms that the question has in the passage's own language, so
 *   that "kernel" is one word in both while "licencias" meets only Spanish stems. Stop words of the
 *   question's language and of the passage's are left out, when other words remain.
 *   Scores are multiples of a power of two (bm25_search.c): bm25_top() finds exactly what bm25_score(),
 *   which looks at every posting, puts first.
 * Owner:   bm25_free() ends it. Slots are the caller's numbers for passages, dense from 0 (see
 *   index.c).
 * Threads: many may read; add, remove, compact and upkeep_end need the index to themselves.
 *   upkeep_begin only reads, so searches go on beside it; nothing may change between it and its end.
 * Fails:   ERR_NO_MEMORY, ERR_TOO_LARGE; a failed bm25_add() leaves the slot absent, any other failure
 *   the index as it was.
 */
#ifndef JARVIS_RETRIEVAL_BM25_H
#define JARVIS_RETRIEVAL_BM25_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/lang.h"
#include "retrieval/text.h"
#include "retrieval/top.h"

#define BM25_K1 1.2
#define BM25_B  0.75

enum {
    BM25_QUERY_TERMS_MAX = 512, /* distinct terms of a question; further ones are ignored */
    BM25_SLOTS_MAX = 1 << 28,
};

struct bm25;

bool bm25_new(struct bm25 **ret, struct err *err);
void bm25_free(struct bm25 *bm25);

/* Adds a passage at slot bm25_slots(), which becomes one larger. */
bool bm25_add(struct bm25 *bm25, struct text_analyzer *analyzer, const char *text, size_t length,
              enum lang lang, struct err *err);

/* Takes a passage out of df, N, the average length and all results; its slot stays until
 * bm25_compact(). */
bool bm25_remove(struct bm25 *bm25, uint32_t slot, struct err *err);

/* Slots in use, removed ones included; passages present. */
uint32_t bm25_slots(const struct bm25 *bm25);
uint32_t bm25_count(const struct bm25 *bm25);

/* Closes the gaps: the n-th slot that is present becomes slot n. */
bool bm25_compact(struct bm25 *bm25, struct err *err);

/* Whether passages wait to be packed, or packed parts to be joined. Slots stay as they are. */
bool bm25_upkeep_due(const struct bm25 *bm25);

/* Upkeep is done in two steps, so that the long one disturbs nobody: begin packs or joins beside what is
 * searched, end puts it in place (and frees `change` in any case). Once may not be enough. */
struct bm25_change;
bool bm25_upkeep_begin(const struct bm25 *bm25, struct bm25_change **ret, struct err *err);
bool bm25_upkeep_end(struct bm25 *bm25, struct bm25_change *change, struct err *err);

/* All that is due, for an index that nobody else has yet. */
bool bm25_upkeep(struct bm25 *bm25, struct err *err);

/* For tests: after how many passages they are packed. */
void bm25_set_tail(struct bm25 *bm25, uint32_t slots);

/* A term of a question. */
struct bm25_term {
    char term[TEXT_TERM_MAX];
    size_t length;
    /* How often the question has it when it is read as that language; 0: passages of the language
     * are not scored with it. */
    uint32_t count[LANG_COUNT];
};

struct bm25_query {
    struct bm25_term *terms;
    size_t count;
    size_t capacity;
};

bool bm25_query_make(struct text_analyzer *analyzer, const char *text, size_t length,
                     struct bm25_query *ret, struct err *err);
void bm25_query_free(struct bm25_query *query);

/* Adds a term (as text.h makes it) for passages of a language, unless it is there. */
bool bm25_query_add(struct bm25_query *query, const char *term, size_t length, enum lang lang,
                    struct err *err);

/* What a search did. */
struct bm25_work {
    uint64_t listed;   /* postings of the question's terms in packed parts */
    uint64_t postings; /* of these, decoded */
};

/* The `top->want` best passages that share a term, best first, the smaller slot first among equals. `filter` and `work`
 * may be NULL. */
bool bm25_top(const struct bm25 *bm25, const struct bm25_query *query,
              const struct slot_filter *filter, struct top *top, struct bm25_work *work,
              struct err *err);

/* The scores of some passages that are present, by ascending slot; the same numbers as bm25_top() gives. */
bool bm25_scores(const struct bm25 *bm25, const struct bm25_query *query, const uint32_t *slots,
                 size_t count, float *ret, struct err *err);

/* The score of every passage into scores[0 .. bm25_slots()), 0 where no term is shared. */
bool bm25_score(const struct bm25 *bm25, const struct bm25_query *query, float *scores,
                struct err *err);

enum { BM25_KEY_MAX = 512 };

/* A term's key: the language of the passages, and the term. Returns its length. */
size_t bm25_key(enum lang lang, const char *term, size_t length, char key[BM25_KEY_MAX]);

/* The passages that are present and have the key's term (with `prefix`: any term whose key begins so), in no order,
 * until `visit` returns false. One passage may be visited several times. */
void bm25_each_slot(const struct bm25 *bm25, const char *key, size_t length, bool prefix,
                    bool (*visit)(void *user, uint32_t slot), void *user);

/* The keys of terms that begin with `key`, in no order, until `visit` returns false; some may come twice. */
void bm25_each_key(const struct bm25 *bm25, const char *key, size_t length,
                   bool (*visit)(void *user, const char *key, size_t length), void *user);

/* In how many passages a term is. */
uint32_t bm25_frequency(const struct bm25 *bm25, const char *term, size_t length);

/* ln(1 + (N - df + 0.5) / (df + 0.5)) for a term in df of N passages: > 0. */
double bm25_idf(uint32_t passages, uint32_t frequency);

#endif
