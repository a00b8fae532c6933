#include "retrieval/bm25.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/vec.h"
#include "retrieval/bm25_parts.h"

enum {
    TAIL_SLOTS = 4096,
    PARTS_MAX = 1 << 16,
};

bool bm25_new(struct bm25 **ret, struct err *err)
{
    struct bm25 *bm25 = calloc(1, sizeof(*bm25));
    if (!bm25)
        return err_no_memory(err);
    bm25->tail_slots = TAIL_SLOTS;
    bm25_tail_init(&bm25->tail, 0);
    *ret = bm25;
    return true;
}

void bm25_free(struct bm25 *bm25)
{
    if (!bm25)
        return;
    for (size_t i = 0; i < bm25->part_count; i++)
        bm25_part_free(&bm25->parts[i]);
    free(bm25->parts);
    bm25_tail_free(&bm25->tail);
    free(bm25);
}

void bm25_set_tail(struct bm25 *bm25, uint32_t slots)
{
    bm25->tail_slots = slots;
}

uint32_t bm25_slots(const struct bm25 *bm25)
{
    return bm25->tail.base + (uint32_t)bm25->tail.slot_count;
}

uint32_t bm25_count(const struct bm25 *bm25)
{
    return bm25->present;
}

size_t bm25_key(enum lang lang, const char *term, size_t length, char key[BM25_KEY_MAX])
{
    if (length > BM25_KEY_MAX - 1)
        length = BM25_KEY_MAX - 1;
    key[0] = (char)('0' + (int)lang);
    memcpy(key + 1, term, length);
    return length + 1;
}

/* ---------------------------------------------------------------- adding and removing */

bool bm25_add(struct bm25 *bm25, struct text_analyzer *analyzer, const char *text, size_t length,
              enum lang lang, struct err *err)
{
    struct bm25_tail *tail = &bm25->tail;
    if (!bm25_tail_add(tail, analyzer, text, length, lang, err))
        return false;
    bm25->present++;
    bm25->total_length += segment_length(tail->slots[tail->slot_count - 1].length);
    return true;
}

/* The part that holds a slot; NULL: the tail. */
static struct bm25_part *part_of(const struct bm25 *bm25, uint32_t slot)
{
    size_t low = 0;
    size_t high = bm25->part_count;
    if (slot >= bm25->tail.base)
        return NULL;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (bm25->parts[middle].base <= slot)
            low = middle;
        else
            high = middle;
    }
    return &bm25->parts[low];
}

static bool remove_from_part(struct bm25 *bm25, struct bm25_part *part, uint32_t slot,
                             struct err *err)
{
    uint32_t *terms = NULL;
    size_t capacity = 0;
    size_t count;
    if (!segment_terms_of(part->segment, slot, &terms, &capacity, &count, err))
        return false;
    for (size_t i = 0; i < count; i++)
        part->frequency[terms[i]]--;
    free(terms);
    part->present[slot / 64] &= ~(UINT64_C(1) << (slot % 64));
    bm25->present--;
    bm25->total_length -= segment_length(segment_lengths(part->segment)[slot]);
    return true;
}

bool bm25_remove(struct bm25 *bm25, uint32_t slot, struct err *err)
{
    struct bm25_part *part = part_of(bm25, slot);
    if (part)
        return !bm25_part_has(part, slot - part->base) ||
               remove_from_part(bm25, part, slot - part->base, err);
    struct bm25_slot *passage = &bm25->tail.slots[slot - bm25->tail.base];
    if (!passage->present)
        return true;
    bm25_tail_remove(&bm25->tail, slot - bm25->tail.base);
    bm25->present--;
    bm25->total_length -= segment_length(passage->length);
    return true;
}

/* ---------------------------------------------------------------- upkeep */

/* Parts first .. first + count become one. */
struct bm25_change {
    bool seal; /* the tail becomes a part; else: */
    size_t first;
    size_t count;
    struct bm25_part part;
};

static int tier(uint32_t slots)
{
    int tier = 0;
    for (; slots >= BM25_TIER; slots /= BM25_TIER)
        tier++;
    return tier;
}

/* How many of the last parts are of one size; as many as a tier takes are merged. */
static size_t same_tier(const struct bm25 *bm25)
{
    size_t count = 0;
    int last = 0;
    for (size_t i = bm25->part_count; i > 0; i--, count++) {
        int own = tier(segment_slots(bm25->parts[i - 1].segment));
        if (count > 0 && own != last)
            break;
        last = own;
    }
    return count;
}

bool bm25_upkeep_due(const struct bm25 *bm25)
{
    return bm25->tail.slot_count >= bm25->tail_slots || same_tier(bm25) >= BM25_TIER;
}

bool bm25_upkeep_begin(const struct bm25 *bm25, struct bm25_change **ret, struct err *err)
{
    struct bm25_change *change = calloc(1, sizeof(*change));
    if (!change)
        return err_no_memory(err);
    change->seal = bm25->tail.slot_count >= bm25->tail_slots;
    change->count = change->seal ? 0 : same_tier(bm25);
    change->first = bm25->part_count - change->count;
    bool ok = change->seal ? bm25_tail_seal(&bm25->tail, &change->part, err)
                           : bm25_merge(bm25->parts + change->first, change->count, false,
                                        &change->part, err);
    if (!ok) {
        free(change);
        return false;
    }
    *ret = change;
    return true;
}

bool bm25_upkeep_end(struct bm25 *bm25, struct bm25_change *change, struct err *err)
{
    if (!vec_reserve(&bm25->parts, &bm25->part_capacity, bm25->part_count + 1, sizeof(*bm25->parts),
                     PARTS_MAX, err)) {
        bm25_part_free(&change->part);
        free(change);
        return false;
    }
    for (size_t i = 0; i < change->count; i++)
        bm25_part_free(&bm25->parts[change->first + i]);
    bm25->parts[change->first] = change->part;
    bm25->part_count = change->first + 1;
    if (change->seal) {
        uint32_t base = bm25_slots(bm25);
        bm25_tail_free(&bm25->tail);
        bm25_tail_init(&bm25->tail, base);
    }
    free(change);
    return true;
}

bool bm25_upkeep(struct bm25 *bm25, struct err *err)
{
    struct bm25_change *change;
    while (bm25_upkeep_due(bm25))
        if (!bm25_upkeep_begin(bm25, &change, err) || !bm25_upkeep_end(bm25, change, err))
            return false;
    return true;
}

bool bm25_compact(struct bm25 *bm25, struct err *err)
{
    struct bm25_part tail;
    struct bm25_part whole;
    if (!vec_reserve(&bm25->parts, &bm25->part_capacity, bm25->part_count + 1, sizeof(*bm25->parts),
                     PARTS_MAX, err) ||
        !bm25_tail_seal(&bm25->tail, &tail, err))
        return false;
    bm25->parts[bm25->part_count] = tail;
    if (!bm25_merge(bm25->parts, bm25->part_count + 1, true, &whole, err)) {
        bm25_part_free(&tail);
        return false;
    }
    for (size_t i = 0; i <= bm25->part_count; i++)
        bm25_part_free(&bm25->parts[i]);
    bm25->parts[0] = whole;
    bm25->part_count = 1;
    bm25_tail_free(&bm25->tail);
    bm25_tail_init(&bm25->tail, segment_slots(whole.segment));
    return true;
}

/* ---------------------------------------------------------------- frequencies */

double bm25_idf(uint32_t passages, uint32_t frequency)
{
    return log(1 + ((double)passages - frequency + 0.5) / (frequency + 0.5));
}

uint32_t bm25_frequency(const struct bm25 *bm25, const char *term, size_t length)
{
    uint32_t frequency = 0;
    for (int lang = 0; lang < LANG_COUNT; lang++) {
        char key[BM25_KEY_MAX];
        size_t size = bm25_key((enum lang)lang, term, length, key);
        for (size_t i = 0; i < bm25->part_count; i++) {
            struct segment_list list;
            if (segment_find(bm25->parts[i].segment, key, size, &list))
                frequency += bm25->parts[i].frequency[list.term];
        }
        const struct bm25_postings *postings = bm25_tail_find(&bm25->tail, key, size);
        if (postings)
            frequency += postings->frequency;
    }
    return frequency;
}

/* ---------------------------------------------------------------- terms and their passages */

static bool begins_with(const char *key, size_t length, const char *prefix, size_t prefix_length)
{
    return length >= prefix_length && memcmp(key, prefix, prefix_length) == 0;
}

static bool visit_list(const struct bm25_part *part, uint32_t term,
                       bool (*visit)(void *user, uint32_t slot), void *user)
{
    struct segment_list list;
    segment_list_at(part->segment, term, &list);
    for (uint32_t block = 0; block < list.block_count; block++) {
        uint32_t slots[SEGMENT_BLOCK];
        uint32_t counts[SEGMENT_BLOCK];
        uint32_t count = segment_read_block(&list, block, slots, counts);
        for (uint32_t i = 0; i < count; i++)
            if (bm25_part_has(part, slots[i]) && !visit(user, part->base + slots[i]))
                return false;
    }
    return true;
}

static bool visit_postings(const struct bm25_tail *tail, const struct bm25_postings *postings,
                           bool (*visit)(void *user, uint32_t slot), void *user)
{
    for (size_t i = 0; i < postings->count; i++) {
        uint32_t slot = postings->items[i].slot;
        if (tail->slots[slot].present && !visit(user, tail->base + slot))
            return false;
    }
    return true;
}

/* All terms with the prefix, in the parts (part != NULL) or the tail. */
struct term_visitor {
    bool (*slot)(void *user, uint32_t slot);
    bool (*key)(void *user, const char *key, size_t length);
    void *user;
};

static bool visit_prefix(const struct bm25_part *part, const char *prefix, size_t length,
                         const struct term_visitor *visitor)
{
    uint32_t terms = segment_terms(part->segment);
    for (uint32_t t = segment_lower_bound(part->segment, prefix, length); t < terms; t++) {
        size_t size;
        const char *key = segment_key(part->segment, t, &size);
        if (!begins_with(key, size, prefix, length))
            return true;
        if (visitor->key ? !visitor->key(visitor->user, key, size)
                         : !visit_list(part, t, visitor->slot, visitor->user))
            return false;
    }
    return true;
}

static bool visit_tail_prefix(const struct bm25_tail *tail, const char *prefix, size_t length,
                              const struct term_visitor *visitor)
{
    size_t cursor = 0;
    const char *key;
    size_t size;
    uint64_t number;
    while (map_next(&tail->dictionary, &cursor, &key, &size, &number))
        if (begins_with(key, size, prefix, length) &&
            (visitor->key
                 ? !visitor->key(visitor->user, key, size)
                 : !visit_postings(tail, &tail->terms[number], visitor->slot, visitor->user)))
            return false;
    return true;
}

static void each_prefix(const struct bm25 *bm25, const char *prefix, size_t length,
                        const struct term_visitor *visitor)
{
    bool more = true;
    for (size_t i = 0; more && i < bm25->part_count; i++)
        more = visit_prefix(&bm25->parts[i], prefix, length, visitor);
    if (more)
        visit_tail_prefix(&bm25->tail, prefix, length, visitor);
}

void bm25_each_key(const struct bm25 *bm25, const char *key, size_t length,
                   bool (*visit)(void *user, const char *key, size_t length), void *user)
{
    const struct term_visitor visitor = {.key = visit, .user = user};
    each_prefix(bm25, key, length, &visitor);
}

void bm25_each_slot(const struct bm25 *bm25, const char *key, size_t length, bool prefix,
                    bool (*visit)(void *user, uint32_t slot), void *user)
{
    const struct term_visitor visitor = {.slot = visit, .user = user};
    if (prefix) {
        each_prefix(bm25, key, length, &visitor);
        return;
    }
    for (size_t i = 0; i < bm25->part_count; i++) {
        struct segment_list list;
        if (segment_find(bm25->parts[i].segment, key, length, &list) &&
            !visit_list(&bm25->parts[i], list.term, visit, user))
            return;
    }
    const struct bm25_postings *postings = bm25_tail_find(&bm25->tail, key, length);
    if (postings)
        visit_postings(&bm25->tail, postings, visit, user);
}
