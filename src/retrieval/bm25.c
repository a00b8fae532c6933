#include "retrieval/bm25.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/vec.h"

enum {
    TERMS_MAX = 1 << 28,
    POSTINGS_MAX = 1 << 30,
};

struct posting {
    uint32_t slot;
    uint32_t count; /* of the term in the passage */
};

struct term {
    struct posting
        *postings; /* by ascending slot; those of removed passages stay until compaction */
    size_t count;
    size_t capacity;
    uint32_t frequency; /* passages present that have it */
};

/* A passage. Its terms stand in bm25->terms_of, so that removing it finds what to correct. */
struct slot {
    size_t first; /* in terms_of */
    uint32_t terms;
    uint32_t length; /* words */
    uint8_t lang;
    bool present;
};

struct bm25 {
    struct map dictionary; /* term -> number in `terms` */
    struct term *terms;
    size_t term_count;
    size_t term_capacity;
    struct slot *slots;
    size_t slot_count;
    size_t slot_capacity;
    uint32_t *terms_of;
    size_t terms_of_count;
    size_t terms_of_capacity;
    uint32_t present;      /* passages */
    uint64_t total_length; /* of them, in words */
};

bool bm25_new(struct bm25 **ret, struct err *err)
{
    struct bm25 *bm25 = calloc(1, sizeof(*bm25));
    if (!bm25)
        return err_no_memory(err);
    map_init(&bm25->dictionary, TERMS_MAX);
    *ret = bm25;
    return true;
}

void bm25_free(struct bm25 *bm25)
{
    if (!bm25)
        return;
    for (size_t i = 0; i < bm25->term_count; i++)
        free(bm25->terms[i].postings);
    map_free(&bm25->dictionary);
    free(bm25->terms);
    free(bm25->slots);
    free(bm25->terms_of);
    free(bm25);
}

uint32_t bm25_slots(const struct bm25 *bm25)
{
    return (uint32_t)bm25->slot_count;
}

uint32_t bm25_count(const struct bm25 *bm25)
{
    return bm25->present;
}

/* ---------------------------------------------------------------- adding and removing */

static bool term_number(struct bm25 *bm25, const char *term, size_t length, uint32_t *ret,
                        struct err *err)
{
    uint64_t number;
    if (map_get(&bm25->dictionary, term, length, &number)) {
        *ret = (uint32_t)number;
        return true;
    }
    if (!vec_reserve(&bm25->terms, &bm25->term_capacity, bm25->term_count + 1, sizeof(*bm25->terms),
                     TERMS_MAX, err) ||
        !map_put(&bm25->dictionary, term, length, bm25->term_count, err))
        return false;
    bm25->terms[bm25->term_count] = (struct term){.count = 0};
    *ret = (uint32_t)bm25->term_count++;
    return true;
}

/* Adds one word of the passage in the making, which is the last slot. */
static bool add_word(void *user, const struct text_token *token, struct err *err)
{
    struct bm25 *bm25 = user;
    struct slot *slot = &bm25->slots[bm25->slot_count - 1];
    uint32_t number;
    if (!term_number(bm25, token->term, token->length, &number, err))
        return false;
    struct term *term = &bm25->terms[number];
    slot->length++;
    if (term->count > 0 && term->postings[term->count - 1].slot == bm25->slot_count - 1) {
        term->postings[term->count - 1].count++;
        return true;
    }
    if (!vec_reserve(&term->postings, &term->capacity, term->count + 1, sizeof(*term->postings),
                     POSTINGS_MAX, err) ||
        !vec_reserve(&bm25->terms_of, &bm25->terms_of_capacity, bm25->terms_of_count + 1,
                     sizeof(*bm25->terms_of), SIZE_MAX / sizeof(*bm25->terms_of), err))
        return false;
    term->postings[term->count++] =
        (struct posting){.slot = (uint32_t)(bm25->slot_count - 1), .count = 1};
    term->frequency++;
    bm25->terms_of[bm25->terms_of_count++] = number;
    slot->terms++;
    return true;
}

/* Takes back what add_word() did for the last slot, and the slot. */
static void undo_add(struct bm25 *bm25)
{
    struct slot *slot = &bm25->slots[bm25->slot_count - 1];
    for (uint32_t i = 0; i < slot->terms; i++) {
        struct term *term = &bm25->terms[bm25->terms_of[slot->first + i]];
        term->count--;
        term->frequency--;
    }
    bm25->terms_of_count = slot->first;
    bm25->slot_count--;
}

bool bm25_add(struct bm25 *bm25, struct text_analyzer *analyzer, const char *text, size_t length,
              enum lang lang, struct err *err)
{
    if (!vec_reserve(&bm25->slots, &bm25->slot_capacity, bm25->slot_count + 1, sizeof(*bm25->slots),
                     BM25_SLOTS_MAX, err))
        return false;
    bm25->slots[bm25->slot_count++] =
        (struct slot){.first = bm25->terms_of_count, .lang = (uint8_t)lang, .present = true};
    if (!text_analyze(analyzer, text, length, lang, add_word, bm25, err)) {
        undo_add(bm25);
        return false;
    }
    bm25->present++;
    bm25->total_length += bm25->slots[bm25->slot_count - 1].length;
    return true;
}

void bm25_remove(struct bm25 *bm25, uint32_t slot)
{
    struct slot *passage = &bm25->slots[slot];
    if (!passage->present)
        return;
    for (uint32_t i = 0; i < passage->terms; i++)
        bm25->terms[bm25->terms_of[passage->first + i]].frequency--;
    passage->present = false;
    bm25->present--;
    bm25->total_length -= passage->length;
}

static void compact_term(struct term *term, const uint32_t *remap)
{
    size_t kept = 0;
    for (size_t i = 0; i < term->count; i++) {
        struct posting posting = term->postings[i];
        posting.slot = remap[posting.slot];
        if (posting.slot != UINT32_MAX)
            term->postings[kept++] = posting;
    }
    term->count = kept;
}

bool bm25_compact(struct bm25 *bm25, struct err *err)
{
    uint32_t *remap = malloc((bm25->slot_count + 1) * sizeof(*remap));
    if (!remap)
        return err_no_memory(err);
    size_t slots = 0;
    size_t terms_of = 0;
    for (size_t i = 0; i < bm25->slot_count; i++) {
        struct slot slot = bm25->slots[i];
        remap[i] = slot.present ? (uint32_t)slots : UINT32_MAX;
        if (!slot.present)
            continue;
        memmove(bm25->terms_of + terms_of, bm25->terms_of + slot.first,
                slot.terms * sizeof(*bm25->terms_of));
        slot.first = terms_of;
        terms_of += slot.terms;
        bm25->slots[slots++] = slot;
    }
    bm25->slot_count = slots;
    bm25->terms_of_count = terms_of;
    for (size_t i = 0; i < bm25->term_count; i++)
        compact_term(&bm25->terms[i], remap);
    free(remap);
    return true;
}

/* ---------------------------------------------------------------- questions */

/* Reads a question as one language. */
struct query_reader {
    struct bm25_query *query;
    enum lang lang;     /* that it is read as */
    enum lang detected; /* that it seems to be in */
    bool want_stops;    /* take the stop words too: there is nothing else */
    size_t words;       /* taken */
};

static struct bm25_term *find_term(struct bm25_query *query, const char *term, size_t length)
{
    for (size_t i = 0; i < query->count; i++)
        if (query->terms[i].length == length && memcmp(query->terms[i].term, term, length) == 0)
            return &query->terms[i];
    return NULL;
}

static bool take_word(void *user, const struct text_token *token, struct err *err)
{
    struct query_reader *reader = user;
    struct bm25_query *query = reader->query;
    bool stop = text_is_stop_word(token->word, token->word_length, reader->lang) ||
                text_is_stop_word(token->word, token->word_length, reader->detected);
    if (stop && !reader->want_stops)
        return true;
    reader->words++;
    struct bm25_term *term = find_term(query, token->term, token->length);
    if (!term) {
        if (query->count == BM25_QUERY_TERMS_MAX)
            return true;
        if (!vec_reserve(&query->terms, &query->capacity, query->count + 1, sizeof(*query->terms),
                         BM25_QUERY_TERMS_MAX, err))
            return false;
        term = &query->terms[query->count++];
        *term = (struct bm25_term){.length = token->length};
        memcpy(term->term, token->term, token->length);
    }
    term->count[reader->lang]++;
    return true;
}

bool bm25_query_make(struct text_analyzer *analyzer, const char *text, size_t length,
                     struct bm25_query *ret, struct err *err)
{
    struct bm25_query query = {.terms = NULL};
    for (int lang = 0; lang < LANG_COUNT; lang++) {
        struct query_reader reader = {.query = &query,
                                      .lang = (enum lang)lang,
                                      .detected = text_detect(text, length, (enum lang)lang)};
        bool ok = text_analyze(analyzer, text, length, reader.lang, take_word, &reader, err);
        if (ok && reader.words == 0) {
            reader.want_stops = true;
            ok = text_analyze(analyzer, text, length, reader.lang, take_word, &reader, err);
        }
        if (!ok) {
            bm25_query_free(&query);
            return false;
        }
    }
    *ret = query;
    return true;
}

void bm25_query_free(struct bm25_query *query)
{
    free(query->terms);
    *query = (struct bm25_query){.terms = NULL};
}

/* ---------------------------------------------------------------- scoring */

double bm25_idf(uint32_t passages, uint32_t frequency)
{
    return log(1 + ((double)passages - frequency + 0.5) / (frequency + 0.5));
}

uint32_t bm25_frequency(const struct bm25 *bm25, const char *term, size_t length)
{
    uint64_t number;
    return map_get(&bm25->dictionary, term, length, &number) ? bm25->terms[number].frequency : 0;
}

static void score_term(const struct bm25 *bm25, const struct bm25_term *wanted,
                       const struct term *term, double average, float *scores)
{
    double idf = bm25_idf(bm25->present, term->frequency);
    for (size_t i = 0; i < term->count; i++) {
        const struct posting *posting = &term->postings[i];
        const struct slot *slot = &bm25->slots[posting->slot];
        uint32_t times = wanted->count[slot->lang];
        if (!slot->present || times == 0)
            continue;
        double tf = posting->count;
        double norm = BM25_K1 * (1 - BM25_B + BM25_B * slot->length / average);
        scores[posting->slot] += (float)(times * idf * tf * (BM25_K1 + 1) / (tf + norm));
    }
}

void bm25_score(const struct bm25 *bm25, const struct bm25_query *query, float *scores)
{
    memset(scores, 0, bm25->slot_count * sizeof(*scores));
    if (bm25->present == 0)
        return;
    double average = (double)bm25->total_length / bm25->present;
    for (size_t i = 0; i < query->count; i++) {
        uint64_t number;
        if (map_get(&bm25->dictionary, query->terms[i].term, query->terms[i].length, &number))
            score_term(bm25, &query->terms[i], &bm25->terms[number], average, scores);
    }
}
