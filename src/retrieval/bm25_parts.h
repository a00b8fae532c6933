/* bm25_parts.h - what the sparse index is made of; private to bm25*.c.
 *
 * Purpose: passages are in parts: segments that do not change, by ascending slots, and behind them the tail, plain arrays
 *   in memory that grow. A full tail becomes a segment; several segments of a size become one. What does change about
 *   a segment's passages - whether one is still there, in how many a term still is - stands beside it.
 *   The postings of a term are kept by language: its key is the language's number and the term.
 * Owner:   struct bm25 owns all of it.
 * Threads: see bm25.h.
 * Fails:   see bm25.h.
 */
#ifndef JARVIS_RETRIEVAL_BM25_PARTS_H
#define JARVIS_RETRIEVAL_BM25_PARTS_H

#include "base/map.h"
#include "retrieval/bm25.h"
#include "retrieval/segment.h"

enum {
    BM25_TERMS_MAX = 1 << 28,
    BM25_TIER = 8, /* so many segments of a size become one */
};

struct bm25_part {
    struct segment *segment;
    uint32_t base;       /* its slot 0 */
    uint64_t *present;   /* a bit a slot */
    uint32_t *frequency; /* by term: passages present that have it */
};

struct bm25_posting {
    uint32_t slot;  /* within the tail */
    uint32_t count; /* of the term in the passage */
};

struct bm25_postings {
    struct bm25_posting *items; /* by ascending slot; those of removed passages stay */
    size_t count;
    size_t capacity;
    uint32_t frequency; /* passages present that have it */
};

/* A passage of the tail. Its terms stand in terms_of, so that removing it finds what to correct. */
struct bm25_slot {
    size_t first; /* in terms_of */
    uint32_t terms;
    uint32_t words;
    uint8_t length; /* code */
    bool present;
};

struct bm25_tail {
    uint32_t base;
    struct map dictionary; /* key -> number in `terms` */
    struct bm25_postings *terms;
    size_t term_count;
    size_t term_capacity;
    struct bm25_slot *slots;
    size_t slot_count;
    size_t slot_capacity;
    uint32_t *terms_of;
    size_t terms_of_count;
    size_t terms_of_capacity;
};

struct bm25 {
    struct bm25_part *parts;
    size_t part_count;
    size_t part_capacity;
    struct bm25_tail tail;
    uint32_t tail_slots;   /* that make it full */
    uint32_t present;      /* passages */
    uint64_t total_length; /* of them, by their codes */
};

/* --- bm25_tail.c --- */

void bm25_tail_init(struct bm25_tail *tail, uint32_t base);
void bm25_tail_free(struct bm25_tail *tail);

/* Adds a passage as the tail's last slot; nothing is added on failure. */
bool bm25_tail_add(struct bm25_tail *tail, struct text_analyzer *analyzer, const char *text,
                   size_t length, enum lang lang, struct err *err);
void bm25_tail_remove(struct bm25_tail *tail, uint32_t slot);
const struct bm25_postings *bm25_tail_find(const struct bm25_tail *tail, const char *key,
                                           size_t length); /* NULL: none */

/* A part with the tail's passages, in the same slots. */
bool bm25_tail_seal(const struct bm25_tail *tail, struct bm25_part *ret, struct err *err);

/* --- bm25_merge.c --- */

/* One part out of several that follow each other. The slots of removed passages stay, empty; with `drop` they go and
 * the others move up. */
bool bm25_merge(const struct bm25_part *parts, size_t count, bool drop, struct bm25_part *ret,
                struct err *err);

/* Gives a part whose segment is set its bits (all present, when `present` is NULL) and frequencies. */
bool bm25_part_finish(struct bm25_part *part, const uint64_t *present, struct err *err);
void bm25_part_free(struct bm25_part *part);

static inline bool bm25_part_has(const struct bm25_part *part, uint32_t slot)
{
    return part->present[slot / 64] >> (slot % 64) & 1;
}

#endif
