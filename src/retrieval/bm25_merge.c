/* One part out of several: their dictionaries are walked side by side in the order of keys, and the postings of equal
 * keys written one part after the other, which is the order of slots. */
#include <stdlib.h>
#include <string.h>

#include "base/vec.h"
#include "retrieval/bm25_parts.h"

/* A part that is being merged. */
struct input {
    const struct bm25_part *part;
    uint32_t slots;
    uint32_t terms;
    uint32_t at;       /* next term */
    bool here;         /* that is the one being written */
    uint32_t *slot_of; /* its slot -> the result's; UINT32_MAX for a removed passage */
    uint32_t *numbers; /* its term -> the result's; UINT32_MAX for one that is gone */
};

struct merge {
    struct input *inputs;
    size_t count;
    struct segment_builder *builder;
    uint8_t *lengths;  /* by the result's slots; the caller's, and so is: */
    uint64_t *present; /* a bit a slot */
    uint32_t slots;
    uint32_t *scratch; /* terms of a passage */
    size_t scratch_capacity;
};

void bm25_part_free(struct bm25_part *part)
{
    segment_free(part->segment);
    free(part->present);
    free(part->frequency);
    *part = (struct bm25_part){.segment = NULL};
}

bool bm25_part_finish(struct bm25_part *part, const uint64_t *present, struct err *err)
{
    uint32_t slots = segment_slots(part->segment);
    uint32_t terms = segment_terms(part->segment);
    size_t words = (size_t)slots / 64 + 1;
    part->present = calloc(words, sizeof(*part->present));
    part->frequency = calloc((size_t)terms + 1, sizeof(*part->frequency));
    if (!part->present || !part->frequency)
        return err_no_memory(err);
    if (present)
        memcpy(part->present, present, words * sizeof(*present));
    for (uint32_t slot = 0; !present && slot < slots; slot++)
        part->present[slot / 64] |= UINT64_C(1) << (slot % 64);
    for (uint32_t term = 0; term < terms; term++) {
        struct segment_list list;
        segment_list_at(part->segment, term, &list);
        part->frequency[term] = list.count;
    }
    return true;
}

static void merge_free(struct merge *merge)
{
    for (size_t i = 0; merge->inputs && i < merge->count; i++) {
        free(merge->inputs[i].slot_of);
        free(merge->inputs[i].numbers);
    }
    free(merge->inputs);
    free(merge->scratch);
    segment_builder_free(merge->builder);
}

/* Gives the slots of one input their new numbers. */
static bool place_slots(struct merge *merge, struct input *input, bool drop, struct err *err)
{
    input->slot_of = malloc(((size_t)input->slots + 1) * sizeof(*input->slot_of));
    input->numbers = malloc(((size_t)input->terms + 1) * sizeof(*input->numbers));
    if (!input->slot_of || !input->numbers)
        return err_no_memory(err);
    const uint8_t *lengths = segment_lengths(input->part->segment);
    for (uint32_t slot = 0; slot < input->slots; slot++) {
        bool present = bm25_part_has(input->part, slot);
        input->slot_of[slot] = present ? merge->slots : UINT32_MAX;
        if (!present && drop)
            continue;
        merge->lengths[merge->slots] = lengths[slot];
        if (present)
            merge->present[merge->slots / 64] |= UINT64_C(1) << (merge->slots % 64);
        merge->slots++;
    }
    return true;
}

static bool merge_begin(struct merge *merge, const struct bm25_part *parts, size_t count, bool drop,
                        struct err *err)
{
    merge->count = count;
    merge->inputs = calloc(count + 1, sizeof(*merge->inputs));
    if (!merge->inputs)
        return err_no_memory(err);
    for (size_t i = 0; i < count; i++) {
        merge->inputs[i] = (struct input){.part = &parts[i],
                                          .slots = segment_slots(parts[i].segment),
                                          .terms = segment_terms(parts[i].segment)};
        if (!place_slots(merge, &merge->inputs[i], drop, err))
            return false;
    }
    return segment_builder_new(merge->lengths, merge->slots, &merge->builder, err);
}

/* The smallest key that is next in any input; false at the end. */
static bool next_key(const struct merge *merge, const char **ret, size_t *ret_length)
{
    *ret = NULL;
    for (size_t i = 0; i < merge->count; i++) {
        const struct input *input = &merge->inputs[i];
        size_t length;
        if (input->at == input->terms)
            continue;
        const char *key = segment_key(input->part->segment, input->at, &length);
        if (!*ret || segment_compare_keys(key, length, *ret, *ret_length) < 0) {
            *ret = key;
            *ret_length = length;
        }
    }
    return *ret != NULL;
}

static bool copy_postings(struct merge *merge, const struct input *input, struct err *err)
{
    struct segment_list list;
    segment_list_at(input->part->segment, input->at, &list);
    for (uint32_t block = 0; block < list.block_count; block++) {
        uint32_t slots[SEGMENT_BLOCK];
        uint32_t counts[SEGMENT_BLOCK];
        uint32_t count = segment_read_block(&list, block, slots, counts);
        for (uint32_t i = 0; i < count; i++) {
            uint32_t slot = input->slot_of[slots[i]];
            if (slot != UINT32_MAX &&
                !segment_builder_posting(merge->builder, slot, counts[i], err))
                return false;
        }
    }
    return true;
}

/* Finds out which inputs are at that key. */
static void mark_here(struct merge *merge, const char *key, size_t length)
{
    for (size_t i = 0; i < merge->count; i++) {
        struct input *input = &merge->inputs[i];
        size_t size = 0;
        const char *own =
            input->at < input->terms ? segment_key(input->part->segment, input->at, &size) : NULL;
        input->here = own && segment_compare_keys(own, size, key, length) == 0;
    }
}

static bool merge_terms(struct merge *merge, struct err *err)
{
    const char *key;
    size_t length = 0;
    while (next_key(merge, &key, &length)) {
        if (!segment_builder_term(merge->builder, key, length, err))
            return false;
        mark_here(merge, key, length);
        for (size_t i = 0; i < merge->count; i++)
            if (merge->inputs[i].here && !copy_postings(merge, &merge->inputs[i], err))
                return false;
        for (size_t i = 0; i < merge->count; i++)
            if (merge->inputs[i].here)
                merge->inputs[i].numbers[merge->inputs[i].at++] =
                    segment_builder_number(merge->builder);
    }
    return true;
}

static bool merge_terms_of(struct merge *merge, bool drop, struct err *err)
{
    for (size_t i = 0; i < merge->count; i++) {
        const struct input *input = &merge->inputs[i];
        for (uint32_t slot = 0; slot < input->slots; slot++) {
            bool present = input->slot_of[slot] != UINT32_MAX;
            size_t count = 0;
            if (!present && drop)
                continue;
            if (present && !segment_terms_of(input->part->segment, slot, &merge->scratch,
                                             &merge->scratch_capacity, &count, err))
                return false;
            for (size_t t = 0; t < count; t++)
                merge->scratch[t] = input->numbers[merge->scratch[t]];
            if (!segment_builder_terms_of(merge->builder, merge->scratch, count, err))
                return false;
        }
    }
    return true;
}

static bool merge_end(struct merge *merge, struct bm25_part *part, struct err *err)
{
    if (!segment_builder_finish(merge->builder, &part->segment, err))
        return false;
    merge->builder = NULL;
    return bm25_part_finish(part, merge->present, err);
}

bool bm25_merge(const struct bm25_part *parts, size_t count, bool drop, struct bm25_part *ret,
                struct err *err)
{
    size_t slots = 0;
    for (size_t i = 0; i < count; i++)
        slots += segment_slots(parts[i].segment);
    uint8_t *lengths = calloc(slots + 1, 1);
    uint64_t *present = calloc(slots / 64 + 1, sizeof(*present));
    struct merge merge = {.lengths = lengths, .present = present};
    struct bm25_part part = {.base = parts[0].base};
    bool ok = lengths && present;
    ok = ok ? merge_begin(&merge, parts, count, drop, err) && merge_terms(&merge, err) &&
                  merge_terms_of(&merge, drop, err) && merge_end(&merge, &part, err)
            : err_no_memory(err);
    merge_free(&merge);
    free(lengths);
    free(present);
    if (!ok) {
        bm25_part_free(&part);
        return false;
    }
    *ret = part;
    return true;
}
