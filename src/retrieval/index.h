/* index.h - search over collections: the live index of each, kept equal to the store.
 *
 * Purpose: an index holds the words (bm25.h) and the vectors (vector.h) of one collection in
 *   memory. It is read from the store at first use and follows each write after that: a document
 *   can be found as soon as its write and index_set_document() have returned. An index set hands
 *   out the indexes of all collections.
 * Order:   first commit to the store, then tell the set. Telling it twice, or of something that is
 *   gone again, is harmless; a collection whose index nobody has asked for costs nothing.
 * Owner:   index_set_acquire() lends an index until index_release(): deleting the collection
 *   meanwhile is safe, the index lives as long as somebody holds it. The set must outlive its
 *   loans; the store must outlive the set.
 * Threads: all functions are safe from any thread. Searches run side by side; a write holds them
 *   up for as long as one document takes to analyse. Two threads that ask for the same index wait
 *   for one loading.
 * Fails:   ERR_NOT_FOUND (no such collection), ERR_CANCELLED, ERR_STORE, ERR_NO_MEMORY,
 *   ERR_INVALID_REQUEST for a vector of the wrong length. A failed load is tried again by the next
 *   who asks.
 */
#ifndef JARVIS_RETRIEVAL_INDEX_H
#define JARVIS_RETRIEVAL_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/lang.h"
#include "base/thread.h"
#include "retrieval/fusion.h"
#include "retrieval/query_syntax.h"
#include "retrieval/store.h"

struct index;
struct index_set;

enum {
    INDEX_TOP_K_MAX = 10000,
    INDEX_CANDIDATES_DEFAULT = 100,
    INDEX_SENTENCES_MAX = 64,
};

bool index_set_new(struct store *store, struct index_set **ret, struct err *err);
void index_set_free(struct index_set *set); /* NULL is fine; all indexes released */

struct index_load {
    const struct embedder_key *embedder; /* whose vectors to hold; NULL: words alone will do */
    void (*progress)(void *user, size_t done, size_t total); /* documents; may be NULL */
    void *user;
    struct cancel *cancel; /* may be NULL */
};

/* The index of a collection (by id), read from the store if need be. Another embedder than before
 * makes the index drop its vectors and read those. */
bool index_set_acquire(struct index_set *set, const char *collection, const struct index_load *load,
                       struct index **ret, struct err *err);
void index_release(struct index *index); /* NULL is fine */

/* A document was written (store_document_put). On failure the index is dropped and read anew when
 * next asked for. */
bool index_set_document(struct index_set *set, const char *collection,
                        const struct document_written *written, struct err *err);

/* A document was deleted. */
void index_set_forget(struct index_set *set, const char *collection, int64_t number);

/* A collection was deleted. */
void index_set_drop(struct index_set *set, const char *collection);

/* Passages got vectors (store_vectors_put): count x dimensions, row major. Ignored when the index
 * holds another embedder's, or not these passages. */
bool index_set_vectors(struct index_set *set, const char *collection,
                       const struct embedder_key *embedder, const struct passage_key *keys,
                       size_t count, const float *values, uint32_t dimensions, struct err *err);

struct index_stats {
    size_t documents;
    size_t passages;
    size_t vectors;
    uint32_t dimensions;
    uint64_t generation; /* grows with every change */
};
void index_stats(struct index *index, struct index_stats *ret);

/* How a search went about ranking. */
struct index_outcome {
    double coverage; /* 0..: how much of the question's words the best passage has, fusion.h */
    double alpha;    /* the weight that meaning had */
};

/* Which documents may be found. `allows` is called often, from inside the search: it must be quick and not call the
 * index or the store. */
struct document_filter {
    bool (*allows)(const void *user, int64_t document);
    const void *user;
};

struct index_query {
    const char *text; /* UTF-8 */
    size_t length;
    const float *vector; /* of the question; NULL: by words alone */
    uint32_t dimensions;
    size_t top_k;      /* 1 .. INDEX_TOP_K_MAX */
    size_t candidates; /* taken from each ranking before they are fused, at least top_k; 0: the
                          default */
    double alpha; /* 0..1: weight of meaning where words say all they can (fusion.h); exactly 0:
                     words alone, exactly 1: meaning alone */
    enum fusion_method method;
    const struct query_clause *clauses; /* what must and must not be there (query_syntax.h) */
    size_t clause_count;
    const struct document_filter *documents; /* which documents may be found; NULL: all */
    struct index_outcome *outcome;           /* is filled when the search succeeds; may be NULL */
};

struct index_hit {
    size_t index; /* which of the indexes searched */
    struct passage_key key;
    double score;  /* fused: 0..1 when convex */
    double sparse; /* BM25; 0 when no word is shared */
    double dense;  /* cosine; 0 when !has_dense */
    bool has_dense;
};

/* The best passages of one or several indexes, ranked together: scores are normalised over all of
 * them. Equal scores keep the order of indexes and keys. Nothing found is no error. With alpha 1
 * and no vectors at all, words decide. */
bool index_search(struct index *const *indexes, size_t index_count, const struct index_query *query,
                  struct arena *arena, struct index_hit **ret, size_t *ret_count, struct err *err);

/* A passage drawn by chance. */
struct index_drawn {
    struct passage_key key;
    size_t siblings; /* passages that its document has, itself included */
};

/* Draws `want` documents (all, where there are fewer), each as likely as any other, and a passage of each. The same
 * seed over the same content draws the same. */
bool index_sample(struct index *index, uint64_t seed, size_t want, struct arena *arena,
                  struct index_drawn **ret, size_t *ret_count, struct err *err);

/* A passage to quote from. */
struct quotable {
    const char *text;
    size_t length;
    enum lang lang;
    double weight; /* the passage's own worth, >= 0: its sentences' scores are multiplied by it */
};

struct quote_query {
    const char *question;
    const struct quotable *passages;
    size_t passage_count;
    size_t want; /* sentences at most, up to INDEX_SENTENCES_MAX */
};

struct quote {
    size_t passage; /* which one */
    size_t offset;  /* in its text, bytes */
    size_t length;
    double score; /* > 0 */
};

/* The sentences of some passages that best answer a question, best first. A sentence is worth the
 * idf (over the indexes given) of the question's words in it, each counted once, tempered by its
 * length; words that a better one has already count less, and a sentence that repeats a better one
 * is left out. None shares a word: *ret_count is 0. */
bool index_best_sentences(struct index *const *indexes, size_t index_count,
                          const struct quote_query *query, struct arena *arena, struct quote **ret,
                          size_t *ret_count, struct err *err);

#endif
