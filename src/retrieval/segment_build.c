#include <stdlib.h>
#include <string.h>

#include <streamvbyte.h>
#include <streamvbytedelta.h>

#include "base/vec.h"
#include "retrieval/segment_layout.h"

enum {
    TERMS_MAX = 1 << 28,
    BLOCKS_MAX = 1 << 28,
    TERMS_OF_MAX = (1 << 20) - 4,
};

/* Bytes that grow. */
struct bytes {
    uint8_t *data;
    size_t count;
    size_t capacity;
};

struct segment_builder {
    uint32_t slots;
    uint8_t *lengths;
    struct bytes keys;
    struct bytes data;
    struct bytes slot_terms;
    uint32_t *keys_at; /* by term, and one more */
    size_t keys_at_capacity;
    struct segment_term *terms; /* the same */
    size_t terms_capacity;
    uint32_t term_count; /* that have postings */
    struct segment_block *blocks;
    size_t blocks_count;
    size_t blocks_capacity;
    uint64_t *terms_of; /* by slot, and one more */
    uint32_t terms_of_count;
    /* The term at hand. */
    char key[SEGMENT_KEY_MAX];
    size_t key_length;
    bool has_number;
    uint32_t before; /* last slot of the block before */
    uint32_t pending;
    uint32_t pending_slots[SEGMENT_BLOCK];
    uint32_t pending_counts[SEGMENT_BLOCK]; /* less one */
};

bool segment_builder_new(const uint8_t *lengths, uint32_t slots, struct segment_builder **ret,
                         struct err *err)
{
    struct segment_builder *builder = calloc(1, sizeof(*builder));
    if (!builder)
        return err_no_memory(err);
    builder->slots = slots;
    builder->lengths = malloc((size_t)slots + 1);
    builder->terms_of = calloc((size_t)slots + 1, sizeof(*builder->terms_of));
    if (!builder->lengths || !builder->terms_of) {
        segment_builder_free(builder);
        return err_no_memory(err);
    }
    if (slots > 0)
        memcpy(builder->lengths, lengths, slots);
    *ret = builder;
    return true;
}

void segment_builder_free(struct segment_builder *builder)
{
    if (!builder)
        return;
    free(builder->lengths);
    free(builder->keys.data);
    free(builder->data.data);
    free(builder->slot_terms.data);
    free(builder->keys_at);
    free(builder->terms);
    free(builder->blocks);
    free(builder->terms_of);
    free(builder);
}

static bool reserve(struct bytes *bytes, size_t more, struct err *err)
{
    return vec_reserve(&bytes->data, &bytes->capacity, bytes->count + more, 1, SIZE_MAX / 2, err);
}

static bool append(struct bytes *bytes, const void *data, size_t length, struct err *err)
{
    if (!reserve(bytes, length, err))
        return false;
    memcpy(bytes->data + bytes->count, data, length);
    bytes->count += length;
    return true;
}

/* ---------------------------------------------------------------- postings */

/* Writes the block that is pending. */
static bool flush(struct segment_builder *builder, struct err *err)
{
    uint32_t count = builder->pending;
    if (count == 0)
        return true;
    struct segment_term *term = &builder->terms[builder->term_count - 1];
    size_t offset = builder->data.count - term->data;
    if (offset > UINT32_MAX)
        return err_set(err, ERR_TOO_LARGE, "a word's list of passages is too long for the index");
    if (!reserve(&builder->data, 2 * streamvbyte_max_compressedbytes(count), err) ||
        !vec_reserve(&builder->blocks, &builder->blocks_capacity, builder->blocks_count + 1,
                     sizeof(*builder->blocks), BLOCKS_MAX, err))
        return false;
    struct segment_block block = {.last = builder->pending_slots[count - 1],
                                  .offset = (uint32_t)offset,
                                  .shortest = UINT8_MAX};
    for (uint32_t i = 0; i < count; i++) {
        uint8_t length = builder->lengths[builder->pending_slots[i]];
        uint32_t times = builder->pending_counts[i] + 1;
        block.shortest = length < block.shortest ? length : block.shortest;
        block.most = times > block.most ? (uint16_t)times : block.most;
    }
    struct bytes *data = &builder->data;
    data->count += streamvbyte_delta_encode(builder->pending_slots, count, data->data + data->count,
                                            builder->before);
    data->count +=
        streamvbyte_encode_0124(builder->pending_counts, count, data->data + data->count);
    builder->blocks[builder->blocks_count++] = block;
    builder->before = block.last;
    builder->pending = 0;
    return true;
}

bool segment_builder_term(struct segment_builder *builder, const char *key, size_t length,
                          struct err *err)
{
    if (!flush(builder, err))
        return false;
    if (length > SEGMENT_KEY_MAX)
        length = SEGMENT_KEY_MAX;
    memcpy(builder->key, key, length);
    builder->key_length = length;
    builder->has_number = false;
    builder->before = 0;
    return true;
}

/* The term at hand gets its first posting, and so a number. */
static bool begin_term(struct segment_builder *builder, struct err *err)
{
    size_t need = (size_t)builder->term_count + 2;
    if (!vec_reserve(&builder->keys_at, &builder->keys_at_capacity, need, sizeof(*builder->keys_at),
                     TERMS_MAX, err) ||
        !vec_reserve(&builder->terms, &builder->terms_capacity, need, sizeof(*builder->terms),
                     TERMS_MAX, err))
        return false;
    if (builder->keys.count + builder->key_length > UINT32_MAX)
        return err_set(err, ERR_TOO_LARGE, "the index has too many different words");
    builder->keys_at[builder->term_count] = (uint32_t)builder->keys.count;
    builder->terms[builder->term_count] = (struct segment_term){
        .data = builder->data.count, .block = (uint32_t)builder->blocks_count};
    if (!append(&builder->keys, builder->key, builder->key_length, err))
        return false;
    builder->term_count++;
    builder->has_number = true;
    return true;
}

bool segment_builder_posting(struct segment_builder *builder, uint32_t slot, uint32_t count,
                             struct err *err)
{
    if ((!builder->has_number && !begin_term(builder, err)) ||
        (builder->pending == SEGMENT_BLOCK && !flush(builder, err)))
        return false;
    if (count > SEGMENT_COUNT_MAX)
        count = SEGMENT_COUNT_MAX;
    builder->pending_slots[builder->pending] = slot;
    builder->pending_counts[builder->pending++] = count - 1;
    builder->terms[builder->term_count - 1].count++;
    return true;
}

uint32_t segment_builder_number(const struct segment_builder *builder)
{
    return builder->has_number ? builder->term_count - 1 : UINT32_MAX;
}

bool segment_builder_terms_of(struct segment_builder *builder, const uint32_t *terms, size_t count,
                              struct err *err)
{
    uint32_t number = (uint32_t)(count < TERMS_OF_MAX ? count : TERMS_OF_MAX);
    struct bytes *out = &builder->slot_terms;
    builder->terms_of[builder->terms_of_count++] = out->count;
    if (!append(out, &number, sizeof(number), err) ||
        !reserve(out, streamvbyte_max_compressedbytes(number), err))
        return false;
    out->count += streamvbyte_delta_encode(terms, number, out->data + out->count, 0);
    return true;
}

/* ---------------------------------------------------------------- finishing */

/* Closes the tables with the entry that ends the last one, and pads what Stream VByte reads. */
static bool close_tables(struct segment_builder *builder, struct err *err)
{
    static const uint8_t padding[SEGMENT_PADDING] = {0};
    size_t need = (size_t)builder->term_count + 1;
    if (!flush(builder, err) ||
        !vec_reserve(&builder->keys_at, &builder->keys_at_capacity, need, sizeof(*builder->keys_at),
                     TERMS_MAX, err) ||
        !vec_reserve(&builder->terms, &builder->terms_capacity, need, sizeof(*builder->terms),
                     TERMS_MAX, err))
        return false;
    builder->keys_at[builder->term_count] = (uint32_t)builder->keys.count;
    builder->terms[builder->term_count] = (struct segment_term){
        .data = builder->data.count, .block = (uint32_t)builder->blocks_count};
    builder->terms_of[builder->slots] = builder->slot_terms.count;
    return append(&builder->data, padding, sizeof(padding), err) &&
           append(&builder->slot_terms, padding, sizeof(padding), err);
}

static void put(uint8_t *to, const void *data, size_t length)
{
    if (length > 0)
        memcpy(to, data, length);
}

static void write_sections(const struct segment_builder *builder, const struct segment_sections *at,
                           uint8_t *bytes)
{
    size_t terms = (size_t)builder->term_count + 1;
    size_t slots = (size_t)builder->slots + 1;
    put(bytes + at->terms, builder->terms, terms * sizeof(*builder->terms));
    put(bytes + at->terms_of, builder->terms_of, slots * sizeof(*builder->terms_of));
    put(bytes + at->keys_at, builder->keys_at, terms * sizeof(*builder->keys_at));
    put(bytes + at->blocks, builder->blocks, builder->blocks_count * sizeof(*builder->blocks));
    put(bytes + at->lengths, builder->lengths, builder->slots);
    put(bytes + at->keys, builder->keys.data, builder->keys.count);
    put(bytes + at->data, builder->data.data, builder->data.count);
    put(bytes + at->slot_terms, builder->slot_terms.data, builder->slot_terms.count);
}

bool segment_builder_finish(struct segment_builder *builder, struct segment **ret, struct err *err)
{
    if (!close_tables(builder, err))
        return false;
    struct segment_header header = {.version = SEGMENT_VERSION,
                                    .slots = builder->slots,
                                    .terms = builder->term_count,
                                    .blocks = (uint32_t)builder->blocks_count,
                                    .key_bytes = builder->keys.count,
                                    .data_bytes = builder->data.count,
                                    .terms_of_bytes = builder->slot_terms.count};
    memcpy(header.magic, SEGMENT_MAGIC, sizeof(header.magic));
    struct segment_sections at;
    segment_sections(&header, &at);
    uint8_t *bytes = calloc(1, at.end);
    if (!bytes)
        return err_no_memory(err);
    write_sections(builder, &at, bytes);
    header.sum = hash_bytes(bytes + sizeof(header), at.end - sizeof(header));
    memcpy(bytes, &header, sizeof(header));
    if (!segment_wrap(bytes, at.end, ret, err)) {
        free(bytes);
        return false;
    }
    segment_builder_free(builder);
    return true;
}
