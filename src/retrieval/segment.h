/* segment.h - a part of the sparse index that never changes: posting lists, packed into one run of bytes.
 *
 * Purpose: for each term (a key of bytes) the passages that have it, by ascending slot, with how often. Slots are
 *   numbered from 0 within the segment. The bytes are the same in memory and in a file (segment_bytes(),
 *   segment_open()); a BLAKE3 over them tells damage.
 *
 *   A list is cut into blocks of SEGMENT_BLOCK postings: slots as differences, then counts less one, both in Stream
 *   VByte (Lemire, Kurz and Rupp, "Stream VByte: Faster Byte-Oriented Integer Compression", 2017). Beside each block
 *   stand its last slot, to skip by, and the highest count and shortest passage in it, which bound what any of its
 *   postings can be worth (Ding and Suel, "Faster top-k document retrieval using block-max indexes", SIGIR 2011).
 *   A passage's length is kept in 8 bits (segment_length()). Each slot also has the list of its terms, so that taking a
 *   passage out finds the frequencies to correct.
 * Owner:   segment_free() ends it. A builder belongs to who made it and is ended by finish or free.
 * Threads: a segment is immutable: any number may read. A builder is one thread's.
 * Fails:   ERR_NO_MEMORY; ERR_TOO_LARGE; ERR_STORE for bytes that are damaged or of another version.
 */
#ifndef JARVIS_RETRIEVAL_SEGMENT_H
#define JARVIS_RETRIEVAL_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum {
    SEGMENT_BLOCK = 128,
    SEGMENT_KEY_MAX = 512,     /* bytes of a term's key */
    SEGMENT_COUNT_MAX = 65535, /* how often a passage can have a term; more counts as this */
    SEGMENT_LENGTHS = 256,     /* codes of lengths */
    SEGMENT_SLOTS_MAX = 1 << 28,
};

/* A passage's length in 8 bits and back: exact up to 159 words, within 3 % up to 40,000. */
uint8_t segment_length_code(uint32_t words);
uint32_t segment_length(uint8_t code);

struct segment;

/* What stands beside a block of postings. */
struct segment_block {
    uint32_t last;    /* slot */
    uint32_t offset;  /* of its bytes in the list's */
    uint16_t most;    /* highest count */
    uint8_t shortest; /* smallest length code */
    uint8_t unused;
};

/* The postings of a term; valid as long as the segment. */
struct segment_list {
    uint32_t term;  /* its number: keys ascend with it */
    uint32_t count; /* postings */
    uint32_t block_count;
    const struct segment_block *blocks;
    const uint8_t *data;
};

uint32_t segment_slots(const struct segment *segment);
uint32_t segment_terms(const struct segment *segment);
const uint8_t *segment_lengths(const struct segment *segment); /* codes, by slot */

/* The order of keys, as of memcmp; a key comes before those that begin with it. */
int segment_compare_keys(const char *a, size_t a_length, const char *b, size_t b_length);

/* The key of a term by number; not NUL-terminated. */
const char *segment_key(const struct segment *segment, uint32_t term, size_t *ret_length);

/* The number of the first term whose key is not less than this one; segment_terms() at the end. */
uint32_t segment_lower_bound(const struct segment *segment, const char *key, size_t length);

/* False when no passage has it. */
bool segment_find(const struct segment *segment, const char *key, size_t length,
                  struct segment_list *ret);
void segment_list_at(const struct segment *segment, uint32_t term, struct segment_list *ret);

/* The postings of a block, and how many (SEGMENT_BLOCK but for the last). */
uint32_t segment_read_block(const struct segment_list *list, uint32_t block,
                            uint32_t slots[SEGMENT_BLOCK], uint32_t counts[SEGMENT_BLOCK]);

/* The numbers of a passage's terms, ascending, into the caller's array, which *capacity items long is made larger. */
bool segment_terms_of(const struct segment *segment, uint32_t slot, uint32_t **terms,
                      size_t *capacity, size_t *ret_count, struct err *err);

void segment_free(struct segment *segment); /* NULL is fine */

/* The whole as it is written to a file. */
const void *segment_bytes(const struct segment *segment, size_t *ret_length);

/* Checks the sum and the structure. Takes `bytes` (of malloc) over when it succeeds. */
bool segment_open(void *bytes, size_t length, struct segment **ret, struct err *err);

/* ---------------------------------------------------------------- building */

struct segment_builder;

/* `lengths`: the code of each slot; copied. */
bool segment_builder_new(const uint8_t *lengths, uint32_t slots, struct segment_builder **ret,
                         struct err *err);
void segment_builder_free(struct segment_builder *builder); /* NULL is fine */

/* First the terms by ascending key, each with its postings by ascending slot. A term that gets none is left out. */
bool segment_builder_term(struct segment_builder *builder, const char *key, size_t length,
                          struct err *err);
bool segment_builder_posting(struct segment_builder *builder, uint32_t slot, uint32_t count,
                             struct err *err);

/* The number of the term at hand; UINT32_MAX before its first posting. */
uint32_t segment_builder_number(const struct segment_builder *builder);

/* Then every slot's terms, by ascending slot, numbers ascending. */
bool segment_builder_terms_of(struct segment_builder *builder, const uint32_t *terms, size_t count,
                              struct err *err);

/* Frees the builder when it succeeds. */
bool segment_builder_finish(struct segment_builder *builder, struct segment **ret, struct err *err);

#endif
