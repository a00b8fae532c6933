/* index_content.h - what an index holds, and the index itself; private to index*.c.
 *
 * Purpose: passages have slots, numbered in the order of their coming, that bm25.h and vector.h
 * share. Owner:   content_free() ends a content. An index owns its content; index_set.c counts who
 * uses it. Threads: see the fields of struct index. Fails:   ERR_NO_MEMORY, ERR_TOO_LARGE; a
 * document that could not be added whole is not there.
 */
#ifndef JARVIS_RETRIEVAL_INDEX_CONTENT_H
#define JARVIS_RETRIEVAL_INDEX_CONTENT_H

#include <pthread.h>

#include "base/map.h"
#include "retrieval/bm25.h"
#include "retrieval/index.h"
#include "retrieval/vector.h"

struct content {
    struct bm25 *bm25;
    struct vectors *vectors;
    struct passage_key *keys; /* by slot */
    size_t key_capacity;
    struct map documents; /* number -> first slot << 32 | passages */
};

bool content_new(struct content **ret, struct err *err);
void content_free(struct content *content);

bool content_has(const struct content *content, int64_t document);

/* Adds passages of a document from ordinal `first` on, `count` of them; `total` is how many it has.
 * The first call for a document makes it known. */
bool content_add(struct content *content, struct text_analyzer *analyzer,
                 const struct document_view *document, size_t first, size_t count, struct err *err);

/* Takes a document out; nothing when it is not there. Closes gaps when they have become many. */
bool content_remove(struct content *content, int64_t document, struct err *err);

/* The slot of a passage; false when it is not there. */
bool content_slot(const struct content *content, struct passage_key key, uint32_t *ret);

struct index {
    struct index_set *set;
    char *collection; /* id */
    size_t users; /* under set->lock: loans, and one for the set itself while it lists the index */
    struct index *next;

    /* Held by who loads or changes the index: one at a time, while searches go on. */
    struct mutex gate;
    struct cond gate_free;
    bool gate_taken;
    /* Changed by the gate's holder only. */
    bool loaded;
    bool has_embedder;
    struct hash model;
    char *prefix;
    char *pooling;

    /* Content and generation are read under a read lock, changed under a write lock by the gate's
     * holder. */
    pthread_rwlock_t lock;
    struct content *content;
    uint64_t generation;
};

/* The store that the set follows. */
struct store *index_set_store(const struct index_set *set);

/* An analyzer for the time being, from the set's spare ones. */
bool index_analyzer_take(struct index_set *set, struct text_analyzer **ret, struct err *err);
void index_analyzer_give(struct index_set *set, struct text_analyzer *analyzer);

#endif
