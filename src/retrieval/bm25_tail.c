#include <stdlib.h>
#include <string.h>

#include "base/vec.h"
#include "retrieval/bm25_parts.h"

enum { POSTINGS_MAX = 1 << 30 };

void bm25_tail_init(struct bm25_tail *tail, uint32_t base)
{
    *tail = (struct bm25_tail){.base = base};
    map_init(&tail->dictionary, BM25_TERMS_MAX);
}

void bm25_tail_free(struct bm25_tail *tail)
{
    for (size_t i = 0; i < tail->term_count; i++)
        free(tail->terms[i].items);
    map_free(&tail->dictionary);
    free(tail->terms);
    free(tail->slots);
    free(tail->terms_of);
}

const struct bm25_postings *bm25_tail_find(const struct bm25_tail *tail, const char *key,
                                           size_t length)
{
    uint64_t number;
    return map_get(&tail->dictionary, key, length, &number) ? &tail->terms[number] : NULL;
}

/* ---------------------------------------------------------------- adding and removing */

/* A passage in the making: the tail's last slot. */
struct writer {
    struct bm25_tail *tail;
    enum lang lang;
};

static bool term_number(struct bm25_tail *tail, const char *key, size_t length, uint32_t *ret,
                        struct err *err)
{
    uint64_t number;
    if (map_get(&tail->dictionary, key, length, &number)) {
        *ret = (uint32_t)number;
        return true;
    }
    if (!vec_reserve(&tail->terms, &tail->term_capacity, tail->term_count + 1, sizeof(*tail->terms),
                     BM25_TERMS_MAX, err) ||
        !map_put(&tail->dictionary, key, length, tail->term_count, err))
        return false;
    tail->terms[tail->term_count] = (struct bm25_postings){.count = 0};
    *ret = (uint32_t)tail->term_count++;
    return true;
}

static bool add_word(void *user, const struct text_token *token, struct err *err)
{
    const struct writer *writer = user;
    struct bm25_tail *tail = writer->tail;
    uint32_t at = (uint32_t)tail->slot_count - 1;
    char key[SEGMENT_KEY_MAX];
    uint32_t number;
    if (!term_number(tail, key, bm25_key(writer->lang, token->term, token->length, key), &number,
                     err))
        return false;
    struct bm25_postings *term = &tail->terms[number];
    tail->slots[at].words += !token->extra;
    if (term->count > 0 && term->items[term->count - 1].slot == at) {
        term->items[term->count - 1].count++;
        return true;
    }
    if (!vec_reserve(&term->items, &term->capacity, term->count + 1, sizeof(*term->items),
                     POSTINGS_MAX, err) ||
        !vec_reserve(&tail->terms_of, &tail->terms_of_capacity, tail->terms_of_count + 1,
                     sizeof(*tail->terms_of), SIZE_MAX / sizeof(*tail->terms_of), err))
        return false;
    term->items[term->count++] = (struct bm25_posting){.slot = at, .count = 1};
    term->frequency++;
    tail->terms_of[tail->terms_of_count++] = number;
    tail->slots[at].terms++;
    return true;
}

/* Takes back what add_word() did for the last slot, and the slot. */
static void undo_add(struct bm25_tail *tail)
{
    struct bm25_slot *slot = &tail->slots[tail->slot_count - 1];
    for (uint32_t i = 0; i < slot->terms; i++) {
        struct bm25_postings *term = &tail->terms[tail->terms_of[slot->first + i]];
        term->count--;
        term->frequency--;
    }
    tail->terms_of_count = slot->first;
    tail->slot_count--;
}

bool bm25_tail_add(struct bm25_tail *tail, struct text_analyzer *analyzer, const char *text,
                   size_t length, enum lang lang, struct err *err)
{
    if (!vec_reserve(&tail->slots, &tail->slot_capacity, tail->slot_count + 1, sizeof(*tail->slots),
                     BM25_SLOTS_MAX, err))
        return false;
    tail->slots[tail->slot_count++] =
        (struct bm25_slot){.first = tail->terms_of_count, .present = true};
    struct writer writer = {tail, lang};
    if (!text_analyze(analyzer, text, length, lang, add_word, &writer, err)) {
        undo_add(tail);
        return false;
    }
    struct bm25_slot *slot = &tail->slots[tail->slot_count - 1];
    slot->length = segment_length_code(slot->words);
    return true;
}

void bm25_tail_remove(struct bm25_tail *tail, uint32_t slot)
{
    struct bm25_slot *passage = &tail->slots[slot];
    for (uint32_t i = 0; i < passage->terms; i++)
        tail->terms[tail->terms_of[passage->first + i]].frequency--;
    passage->present = false;
}

/* ---------------------------------------------------------------- becoming a segment */

/* A term on its way into the segment. */
struct sealed {
    const char *key;
    size_t length;
    const struct bm25_postings *postings;
    uint32_t tail_number;
};

static int compare_sealed(const void *left, const void *right)
{
    const struct sealed *a = left;
    const struct sealed *b = right;
    return segment_compare_keys(a->key, a->length, b->key, b->length);
}

static int compare_numbers(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left;
    uint32_t b = *(const uint32_t *)right;
    return a < b ? -1 : a > b;
}

/* Writes the terms; numbers[tail number] becomes the segment's. */
static bool write_terms(const struct bm25_tail *tail, struct sealed *terms, uint32_t *numbers,
                        struct segment_builder *builder, struct err *err)
{
    size_t cursor = 0;
    uint64_t number;
    for (size_t i = 0;
         map_next(&tail->dictionary, &cursor, &terms[i].key, &terms[i].length, &number); i++) {
        terms[i].postings = &tail->terms[number];
        terms[i].tail_number = (uint32_t)number;
    }
    qsort(terms, tail->term_count, sizeof(*terms), compare_sealed);
    for (size_t i = 0; i < tail->term_count; i++) {
        if (!segment_builder_term(builder, terms[i].key, terms[i].length, err))
            return false;
        for (size_t p = 0; p < terms[i].postings->count; p++) {
            const struct bm25_posting *posting = &terms[i].postings->items[p];
            if (tail->slots[posting->slot].present &&
                !segment_builder_posting(builder, posting->slot, posting->count, err))
                return false;
        }
        numbers[terms[i].tail_number] = segment_builder_number(builder);
    }
    return true;
}

static bool write_terms_of(const struct bm25_tail *tail, const uint32_t *numbers, uint32_t *scratch,
                           struct segment_builder *builder, struct err *err)
{
    for (size_t i = 0; i < tail->slot_count; i++) {
        const struct bm25_slot *slot = &tail->slots[i];
        uint32_t count = slot->present ? slot->terms : 0;
        for (uint32_t t = 0; t < count; t++)
            scratch[t] = numbers[tail->terms_of[slot->first + t]];
        qsort(scratch, count, sizeof(*scratch), compare_numbers);
        if (!segment_builder_terms_of(builder, scratch, count, err))
            return false;
    }
    return true;
}

/* The most terms of one passage. */
static size_t widest(const struct bm25_tail *tail)
{
    size_t most = 0;
    for (size_t i = 0; i < tail->slot_count; i++)
        if (tail->slots[i].terms > most)
            most = tail->slots[i].terms;
    return most;
}

static bool write_segment(const struct bm25_tail *tail, struct segment_builder *builder,
                          struct segment **ret, struct err *err)
{
    struct sealed *terms = calloc(tail->term_count + 1, sizeof(*terms));
    uint32_t *numbers = calloc(tail->term_count + 1, sizeof(*numbers));
    uint32_t *scratch = calloc(widest(tail) + 1, sizeof(*scratch));
    bool ok = terms && numbers && scratch;
    ok = ok ? write_terms(tail, terms, numbers, builder, err) &&
                  write_terms_of(tail, numbers, scratch, builder, err) &&
                  segment_builder_finish(builder, ret, err)
            : err_no_memory(err);
    free(terms);
    free(numbers);
    free(scratch);
    return ok;
}

bool bm25_tail_seal(const struct bm25_tail *tail, struct bm25_part *ret, struct err *err)
{
    struct bm25_part part = {.base = tail->base};
    struct segment_builder *builder = NULL;
    uint8_t *lengths = calloc(tail->slot_count + 1, 1);
    uint64_t *present = calloc(tail->slot_count / 64 + 1, sizeof(*present));
    bool ok = lengths && present;
    if (!ok)
        err_no_memory(err);
    for (size_t i = 0; ok && i < tail->slot_count; i++) {
        lengths[i] = tail->slots[i].length;
        present[i / 64] |= (uint64_t)tail->slots[i].present << (i % 64);
    }
    ok = ok && segment_builder_new(lengths, (uint32_t)tail->slot_count, &builder, err);
    if (ok && !write_segment(tail, builder, &part.segment, err)) {
        segment_builder_free(builder);
        ok = false;
    }
    ok = ok && bm25_part_finish(&part, present, err);
    free(lengths);
    free(present);
    if (!ok) {
        bm25_part_free(&part);
        return false;
    }
    *ret = part;
    return true;
}
