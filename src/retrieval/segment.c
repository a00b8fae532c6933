#include "retrieval/segment.h"

#include <stdlib.h>
#include <string.h>

#include <streamvbyte.h>
#include <streamvbytedelta.h>

#include "base/vec.h"
#include "retrieval/segment_layout.h"

enum {
    LENGTH_EXACT = 160,     /* codes below are lengths */
    TERMS_OF_MAX = 1 << 20, /* terms of a passage */
};

static const double length_step = 1.06; /* from one larger code to the next */

struct segment {
    uint8_t *bytes;
    size_t length;
    const struct segment_header *header;
    const struct segment_term *terms;
    const uint64_t *terms_of;
    const uint32_t *keys_at;
    const struct segment_block *blocks;
    const uint8_t *lengths;
    const char *keys;
    const uint8_t *data;
    const uint8_t *slot_terms;
};

/* ---------------------------------------------------------------- lengths */

uint32_t segment_length(uint8_t code)
{
    double length = code < LENGTH_EXACT ? code : LENGTH_EXACT;
    for (int i = LENGTH_EXACT; i < code; i++)
        length *= length_step;
    return (uint32_t)(length + 0.5);
}

uint8_t segment_length_code(uint32_t words)
{
    if (words < LENGTH_EXACT)
        return (uint8_t)words;
    int code = LENGTH_EXACT;
    double length = LENGTH_EXACT;
    while (code < SEGMENT_LENGTHS - 1 && length * (1 + length_step) / 2 < words) {
        length *= length_step;
        code++;
    }
    return (uint8_t)code;
}

/* ---------------------------------------------------------------- layout */

static size_t aligned(size_t at)
{
    return (at + 7) & ~(size_t)7;
}

void segment_sections(const struct segment_header *header, struct segment_sections *ret)
{
    size_t terms = (size_t)header->terms + 1;
    size_t slots = (size_t)header->slots + 1;
    ret->terms = aligned(sizeof(*header));
    ret->terms_of = ret->terms + terms * sizeof(struct segment_term);
    ret->keys_at = ret->terms_of + slots * sizeof(uint64_t);
    ret->blocks = aligned(ret->keys_at + terms * sizeof(uint32_t));
    ret->lengths = aligned(ret->blocks + (size_t)header->blocks * sizeof(struct segment_block));
    ret->keys = aligned(ret->lengths + header->slots);
    ret->data = aligned(ret->keys + header->key_bytes);
    ret->slot_terms = aligned(ret->data + header->data_bytes);
    ret->end = aligned(ret->slot_terms + header->terms_of_bytes);
}

bool segment_wrap(void *bytes, size_t length, struct segment **ret, struct err *err)
{
    struct segment *segment = calloc(1, sizeof(*segment));
    if (!segment)
        return err_no_memory(err);
    uint8_t *base = bytes;
    struct segment_sections at;
    segment->bytes = base;
    segment->length = length;
    segment->header = bytes;
    segment_sections(segment->header, &at);
    segment->terms = (const void *)(base + at.terms);
    segment->terms_of = (const void *)(base + at.terms_of);
    segment->keys_at = (const void *)(base + at.keys_at);
    segment->blocks = (const void *)(base + at.blocks);
    segment->lengths = base + at.lengths;
    segment->keys = (const char *)(base + at.keys);
    segment->data = base + at.data;
    segment->slot_terms = base + at.slot_terms;
    *ret = segment;
    return true;
}

void segment_free(struct segment *segment)
{
    if (!segment)
        return;
    free(segment->bytes);
    free(segment);
}

const void *segment_bytes(const struct segment *segment, size_t *ret_length)
{
    *ret_length = segment->length;
    return segment->bytes;
}

static bool damaged(struct err *err)
{
    return err_set(err, ERR_STORE,
                   "a part of the search index is damaged or of another version; it is made anew "
                   "from the documents");
}

/* The sections lie within the bytes, whatever the header says. */
static bool header_fits(const struct segment_header *header, size_t length)
{
    if (memcmp(header->magic, SEGMENT_MAGIC, sizeof(header->magic)) != 0 ||
        header->version != SEGMENT_VERSION || header->slots > SEGMENT_SLOTS_MAX ||
        header->key_bytes > length || header->data_bytes > length ||
        header->terms_of_bytes > length)
        return false;
    struct segment_sections at;
    segment_sections(header, &at);
    return at.end == length;
}

bool segment_open(void *bytes, size_t length, struct segment **ret, struct err *err)
{
    const struct segment_header *header = bytes;
    if (length < sizeof(*header) || !header_fits(header, length))
        return damaged(err);
    struct hash sum =
        hash_bytes((const uint8_t *)bytes + sizeof(*header), length - sizeof(*header));
    if (!hash_equal(&sum, &header->sum))
        return damaged(err);
    return segment_wrap(bytes, length, ret, err);
}

/* ---------------------------------------------------------------- reading */

uint32_t segment_slots(const struct segment *segment)
{
    return segment->header->slots;
}

uint32_t segment_terms(const struct segment *segment)
{
    return segment->header->terms;
}

const uint8_t *segment_lengths(const struct segment *segment)
{
    return segment->lengths;
}

const char *segment_key(const struct segment *segment, uint32_t term, size_t *ret_length)
{
    *ret_length = segment->keys_at[term + 1] - segment->keys_at[term];
    return segment->keys + segment->keys_at[term];
}

int segment_compare_keys(const char *a, size_t a_length, const char *b, size_t b_length)
{
    int order = memcmp(a, b, a_length < b_length ? a_length : b_length);
    return order != 0 ? order : a_length < b_length ? -1 : a_length > b_length;
}

uint32_t segment_lower_bound(const struct segment *segment, const char *key, size_t length)
{
    uint32_t low = 0;
    uint32_t high = segment->header->terms;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        size_t size;
        const char *other = segment_key(segment, middle, &size);
        if (segment_compare_keys(other, size, key, length) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void segment_list_at(const struct segment *segment, uint32_t term, struct segment_list *ret)
{
    const struct segment_term *entry = &segment->terms[term];
    *ret = (struct segment_list){
        .term = term,
        .count = entry->count,
        .block_count = (entry->count + SEGMENT_BLOCK - 1) / SEGMENT_BLOCK,
        .blocks = segment->blocks + entry->block,
        .data = segment->data + entry->data,
    };
}

bool segment_find(const struct segment *segment, const char *key, size_t length,
                  struct segment_list *ret)
{
    uint32_t term = segment_lower_bound(segment, key, length);
    size_t size;
    if (term == segment->header->terms)
        return false;
    const char *found = segment_key(segment, term, &size);
    if (segment_compare_keys(found, size, key, length) != 0)
        return false;
    segment_list_at(segment, term, ret);
    return true;
}

uint32_t segment_read_block(const struct segment_list *list, uint32_t block,
                            uint32_t slots[SEGMENT_BLOCK], uint32_t counts[SEGMENT_BLOCK])
{
    uint32_t left = list->count - block * SEGMENT_BLOCK;
    uint32_t count = left < SEGMENT_BLOCK ? left : SEGMENT_BLOCK;
    const uint8_t *data = list->data + list->blocks[block].offset;
    uint32_t before = block > 0 ? list->blocks[block - 1].last : 0;
    data += streamvbyte_delta_decode(data, slots, count, before);
    streamvbyte_decode_0124(data, counts, count);
    for (uint32_t i = 0; i < count; i++)
        counts[i]++;
    return count;
}

bool segment_terms_of(const struct segment *segment, uint32_t slot, uint32_t **terms,
                      size_t *capacity, size_t *ret_count, struct err *err)
{
    const uint8_t *data = segment->slot_terms + segment->terms_of[slot];
    uint32_t count;
    memcpy(&count, data, sizeof(count));
    /* Four more: Stream VByte writes whole groups. */
    if (!vec_reserve(terms, capacity, (size_t)count + 4, sizeof(**terms), TERMS_OF_MAX, err))
        return false;
    streamvbyte_delta_decode(data + sizeof(count), *terms, count, 0);
    *ret_count = count;
    return true;
}
