/* segment_layout.h - the bytes of a segment; private to segment*.c.
 *
 * Purpose: the header and the order of the sections, shared by who writes and who reads them. Numbers are little-endian,
 *   as on every machine that Jarvis runs on; sections begin at multiples of 8.
 * Owner:   struct segment owns its bytes. Threads: see segment.h. Fails: never.
 */
#ifndef JARVIS_RETRIEVAL_SEGMENT_LAYOUT_H
#define JARVIS_RETRIEVAL_SEGMENT_LAYOUT_H

#include "base/hash.h"
#include "retrieval/segment.h"

#define SEGMENT_MAGIC "JVSPARSE"

enum {
    SEGMENT_VERSION = 1,
    SEGMENT_PADDING = 16, /* Stream VByte reads so far beyond its end */
};

struct segment_header {
    char magic[8];
    uint32_t version;
    uint32_t slots;
    uint32_t terms;
    uint32_t blocks;
    uint64_t key_bytes;
    uint64_t data_bytes;     /* of postings, padding included */
    uint64_t terms_of_bytes; /* of the slots' terms, padding included */
    struct hash sum;         /* of all that follows the header */
};

struct segment_term {
    uint64_t data;  /* where its postings begin */
    uint32_t count; /* of postings */
    uint32_t block; /* its first */
};

/* Where the sections begin. There is one entry more than terms and slots in the first three, which ends the last. */
struct segment_sections {
    size_t terms;    /* struct segment_term[terms + 1] */
    size_t terms_of; /* uint64_t[slots + 1]: where each slot's terms begin */
    size_t keys_at;  /* uint32_t[terms + 1] */
    size_t blocks;   /* struct segment_block[blocks] */
    size_t lengths;  /* uint8_t[slots] */
    size_t keys;
    size_t data;
    size_t slot_terms; /* per slot: uint32_t count, then Stream VByte of differences */
    size_t end;
};

void segment_sections(const struct segment_header *header, struct segment_sections *ret);

/* A segment over bytes that are known to be sound; takes them over. */
bool segment_wrap(void *bytes, size_t length, struct segment **ret, struct err *err);

#endif
