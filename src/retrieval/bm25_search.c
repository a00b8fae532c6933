/* Scores, and the best passages without scoring them all.
 *
 * Whole numbers. A posting is worth round(weight * tf / (tf + K)), where weight has the term's idf and a scale, a power of
 * two chosen for the question so that no sum reaches 2^24. Sums of whole numbers do not depend on their order, and up
 * to 2^24 a float holds them exactly: so the pruned search below and the plain one (bm25_score) agree to the last bit.
 *
 * Pruning is MaxScore (Turtle and Flood, "Query evaluation: strategies and optimizations", 1995) over windows of slots
 * with block maxima, as Lucene 10 has it. In a window of WINDOW slots each list has a bound, the largest of its blocks
 * there. Lists are put in the order of their bounds; the first ones, whose bounds together do not exceed the worst score
 * that is kept, cannot by themselves bring a passage in: they are not essential. The postings of the others are added up in
 * an array; only passages whose sum could still pass are looked up in the lists that are not essential. Where no list is
 * essential the window's blocks are not even decoded. Slots come in ascending order and equal scores prefer the smaller
 * slot, so a score must be larger than the worst kept one to come in.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "retrieval/bm25_parts.h"

enum {
    WINDOW = 4096,
    SUM_MAX = 1 << 24,
    SCALE_BITS_MAX = 24,
    TABLE_COUNTS = 4, /* counts whose worth is tabled */
    TABLE_MIN = 4096, /* postings from which a table pays */
};

/* A term of the question in one language. */
struct term {
    char key[SEGMENT_KEY_MAX];
    size_t length;
    float weight;
    uint32_t (*table)[SEGMENT_LENGTHS]; /* worth by count less one and length code; NULL: none */
};

/* What does not change while a question is answered. */
struct plan {
    const struct bm25 *bm25;
    float norm[SEGMENT_LENGTHS]; /* K by length code */
    float scale;
    struct term *terms;
    size_t count;
};

static uint32_t worth(const struct plan *plan, float weight, uint32_t times, uint8_t length)
{
    float tf = (float)times;
    return (uint32_t)(weight * (tf / (tf + plan->norm[length])) + 0.5F);
}

/* ---------------------------------------------------------------- planning */

static void plan_free(struct plan *plan)
{
    for (size_t i = 0; i < plan->count; i++)
        free(plan->terms[i].table);
    free(plan->terms);
}

/* The weights without scale into terms[].weight; their sum. Terms that nothing has are left out. */
static double weigh(struct plan *plan, const struct bm25_query *query)
{
    double sum = 0;
    for (size_t i = 0; i < query->count; i++) {
        const struct bm25_term *term = &query->terms[i];
        uint32_t frequency = bm25_frequency(plan->bm25, term->term, term->length);
        if (frequency == 0)
            continue;
        double idf = bm25_idf(plan->bm25->present, frequency);
        double largest = 0;
        for (int lang = 0; lang < LANG_COUNT; lang++) {
            if (term->count[lang] == 0)
                continue;
            struct term *own = &plan->terms[plan->count++];
            double weight = term->count[lang] * idf * (BM25_K1 + 1);
            own->length = bm25_key((enum lang)lang, term->term, term->length, own->key);
            own->weight = (float)weight;
            largest = weight > largest ? weight : largest;
        }
        sum += largest; /* a passage is of one language */
    }
    return sum;
}

static bool plan_make(const struct bm25 *bm25, const struct bm25_query *query, struct plan *ret,
                      struct err *err)
{
    struct plan plan = {.bm25 = bm25, .scale = 1};
    plan.terms = calloc(LANG_COUNT * query->count + 1, sizeof(*plan.terms));
    if (!plan.terms)
        return err_no_memory(err);
    double sum = bm25->present > 0 ? weigh(&plan, query) : 0;
    for (int bits = 0; bits < SCALE_BITS_MAX && sum * plan.scale * 2 + query->count < SUM_MAX;
         bits++)
        plan.scale *= 2;
    while (sum * plan.scale + query->count >= SUM_MAX)
        plan.scale /= 2;
    for (size_t i = 0; i < plan.count; i++)
        plan.terms[i].weight *= plan.scale;
    double average = bm25->present > 0 ? (double)bm25->total_length / bm25->present : 1;
    for (int code = 0; code < SEGMENT_LENGTHS; code++)
        plan.norm[code] =
            (float)(BM25_K1 * (1 - BM25_B + BM25_B * segment_length((uint8_t)code) / average));
    *ret = plan;
    return true;
}

/* ---------------------------------------------------------------- every passage: the oracle */

static void score_list(const struct plan *plan, const struct bm25_part *part,
                       const struct term *term, const struct segment_list *list, uint32_t *sums)
{
    const uint8_t *lengths = segment_lengths(part->segment);
    for (uint32_t block = 0; block < list->block_count; block++) {
        uint32_t slots[SEGMENT_BLOCK];
        uint32_t counts[SEGMENT_BLOCK];
        uint32_t count = segment_read_block(list, block, slots, counts);
        for (uint32_t i = 0; i < count; i++)
            if (bm25_part_has(part, slots[i]))
                sums[slots[i]] += worth(plan, term->weight, counts[i], lengths[slots[i]]);
    }
}

static void score_tail(const struct plan *plan, const struct term *term, uint32_t *sums)
{
    const struct bm25_tail *tail = &plan->bm25->tail;
    const struct bm25_postings *postings = bm25_tail_find(tail, term->key, term->length);
    for (size_t i = 0; postings && i < postings->count; i++) {
        const struct bm25_posting *posting = &postings->items[i];
        const struct bm25_slot *slot = &tail->slots[posting->slot];
        if (slot->present)
            sums[posting->slot] += worth(plan, term->weight, posting->count, slot->length);
    }
}

bool bm25_score(const struct bm25 *bm25, const struct bm25_query *query, float *scores,
                struct err *err)
{
    struct plan plan;
    uint32_t slots = bm25_slots(bm25);
    uint32_t *sums = calloc((size_t)slots + 1, sizeof(*sums));
    if (!sums)
        return err_no_memory(err);
    if (!plan_make(bm25, query, &plan, err)) {
        free(sums);
        return false;
    }
    for (size_t i = 0; i < plan.count; i++) {
        const struct term *term = &plan.terms[i];
        for (size_t p = 0; p < bm25->part_count; p++) {
            const struct bm25_part *part = &bm25->parts[p];
            struct segment_list list;
            if (segment_find(part->segment, term->key, term->length, &list))
                score_list(&plan, part, term, &list, sums + part->base);
        }
        score_tail(&plan, term, sums + bm25->tail.base);
    }
    for (uint32_t slot = 0; slot < slots; slot++)
        scores[slot] = (float)sums[slot] / plan.scale;
    plan_free(&plan);
    free(sums);
    return true;
}

/* ---------------------------------------------------------------- the best */

/* A list on its way through a part. The block that was read last stays decoded. */
struct cursor {
    struct segment_list list;
    const struct term *term;
    uint32_t block;  /* first whose last slot is not before the window */
    uint32_t loaded; /* block in slots and counts; UINT32_MAX: none */
    uint32_t count;
    uint32_t at;    /* in the loaded block */
    uint32_t bound; /* in the window */
    uint32_t slots[SEGMENT_BLOCK];
    uint32_t counts[SEGMENT_BLOCK];
};

/* A search through one part. */
struct search {
    const struct plan *plan;
    const struct bm25_part *part;
    const uint8_t *lengths;
    const struct slot_filter *filter;
    struct top *top;
    struct bm25_work *work;
    struct cursor *cursors;
    struct cursor **order; /* by bound, smallest first */
    size_t count;
    uint32_t *sums; /* WINDOW */
    uint64_t touched[WINDOW / 64];
};

/* The largest sum that does not come in. */
static uint32_t threshold(const struct search *search)
{
    const struct top *top = search->top;
    return top->count < top->want ? 0 : (uint32_t)(top->items[0].score * search->plan->scale);
}

static void load(struct search *search, struct cursor *cursor, uint32_t block)
{
    if (cursor->loaded == block)
        return;
    cursor->count = segment_read_block(&cursor->list, block, cursor->slots, cursor->counts);
    cursor->loaded = block;
    cursor->at = 0;
    search->work->postings += cursor->count;
}

static uint32_t posting_worth(const struct search *search, const struct cursor *cursor, uint32_t i)
{
    uint32_t times = cursor->counts[i];
    uint8_t length = search->lengths[cursor->slots[i]];
    if (cursor->term->table && times <= TABLE_COUNTS)
        return cursor->term->table[times - 1][length];
    return worth(search->plan, cursor->term->weight, times, length);
}

/* Moves to the window [first, end) and bounds what the list can add there. */
static void enter_window(struct search *search, struct cursor *cursor, uint32_t first, uint32_t end)
{
    const struct segment_list *list = &cursor->list;
    while (cursor->block < list->block_count && list->blocks[cursor->block].last < first)
        cursor->block++;
    cursor->bound = 0;
    uint32_t before = cursor->block > 0 ? list->blocks[cursor->block - 1].last + 1 : 0;
    for (uint32_t b = cursor->block; b < list->block_count && before < end; b++) {
        const struct segment_block *block = &list->blocks[b];
        uint32_t bound = worth(search->plan, cursor->term->weight, block->most, block->shortest);
        cursor->bound = bound > cursor->bound ? bound : cursor->bound;
        before = block->last + 1;
    }
}

/* Adds up a list's postings of the window. */
static void add_postings(struct search *search, struct cursor *cursor, uint32_t first, uint32_t end)
{
    const struct segment_list *list = &cursor->list;
    for (uint32_t b = cursor->block; b < list->block_count; b++) {
        if (b > 0 && list->blocks[b - 1].last + 1 >= end)
            return;
        load(search, cursor, b);
        uint32_t i = cursor->at;
        while (i < cursor->count && cursor->slots[i] < first)
            i++;
        for (; i < cursor->count && cursor->slots[i] < end; i++) {
            uint32_t place = cursor->slots[i] - first;
            search->sums[place] += posting_worth(search, cursor, i);
            search->touched[place / 64] |= UINT64_C(1) << (place % 64);
        }
        cursor->at = i;
    }
}

/* What a list adds to one slot. Slots are asked in ascending order. */
static uint32_t look_up(struct search *search, struct cursor *cursor, uint32_t slot)
{
    const struct segment_list *list = &cursor->list;
    while (cursor->block < list->block_count && list->blocks[cursor->block].last < slot)
        cursor->block++;
    if (cursor->block == list->block_count)
        return 0;
    load(search, cursor, cursor->block);
    while (cursor->slots[cursor->at] < slot)
        cursor->at++;
    return cursor->slots[cursor->at] == slot ? posting_worth(search, cursor, cursor->at) : 0;
}

/* A passage with what the essential lists give it. `others` lists are not essential; reach[i] is the sum of the bounds
 * of order[0 .. i]. */
static void consider(struct search *search, uint32_t slot, uint32_t sum, size_t others,
                     const uint32_t *reach)
{
    uint32_t least = threshold(search);
    for (size_t i = others; i > 0; i--) {
        if (sum + reach[i - 1] <= least)
            return;
        sum += look_up(search, search->order[i - 1], slot);
    }
    if (sum <= least || sum == 0 || !bm25_part_has(search->part, slot))
        return;
    uint32_t number = search->part->base + slot;
    if (search->filter && !search->filter->allows(search->filter->user, number))
        return;
    top_offer(search->top, (struct top_item){(float)sum / search->plan->scale, number});
}

static void sort_by_bound(struct search *search)
{
    for (size_t i = 1; i < search->count; i++) {
        struct cursor *cursor = search->order[i];
        size_t at = i;
        for (; at > 0 && search->order[at - 1]->bound > cursor->bound; at--)
            search->order[at] = search->order[at - 1];
        search->order[at] = cursor;
    }
}

/* The passages that the essential lists have touched, in ascending order; leaves the sums at 0. */
static void take_touched(struct search *search, uint32_t first, size_t others,
                         const uint32_t *reach)
{
    for (size_t word = 0; word < WINDOW / 64; word++) {
        uint64_t bits = search->touched[word];
        search->touched[word] = 0;
        for (; bits; bits &= bits - 1) {
            uint32_t place = (uint32_t)(word * 64) + (uint32_t)__builtin_ctzll(bits);
            uint32_t sum = search->sums[place];
            search->sums[place] = 0;
            consider(search, first + place, sum, others, reach);
        }
    }
}

static void search_window(struct search *search, uint32_t first, uint32_t end, uint32_t *reach)
{
    for (size_t i = 0; i < search->count; i++)
        enter_window(search, &search->cursors[i], first, end);
    sort_by_bound(search);
    uint32_t least = threshold(search);
    uint32_t sum = 0;
    size_t others = 0;
    for (size_t i = 0; i < search->count; i++) {
        sum += search->order[i]->bound;
        reach[i] = sum;
        others += sum <= least;
    }
    if (others == search->count)
        return;
    for (size_t i = others; i < search->count; i++)
        add_postings(search, search->order[i], first, end);
    take_touched(search, first, others, reach);
}

static void search_part(struct search *search, uint32_t *reach)
{
    search->lengths = segment_lengths(search->part->segment);
    search->count = 0;
    for (size_t i = 0; i < search->plan->count; i++) {
        struct cursor *cursor = &search->cursors[search->count];
        const struct term *term = &search->plan->terms[i];
        if (!segment_find(search->part->segment, term->key, term->length, &cursor->list))
            continue;
        cursor->term = term;
        cursor->block = 0;
        cursor->at = 0;
        cursor->loaded = UINT32_MAX;
        search->order[search->count++] = cursor;
        search->work->listed += cursor->list.count;
    }
    uint32_t slots = segment_slots(search->part->segment);
    for (uint32_t first = 0; search->count > 0 && first < slots; first += WINDOW)
        search_window(search, first, first + WINDOW < slots ? first + WINDOW : slots, reach);
}

/* The tail is short: every posting. */
static bool search_tail(struct search *search, struct err *err)
{
    const struct bm25_tail *tail = &search->plan->bm25->tail;
    uint32_t *sums = calloc(tail->slot_count + 1, sizeof(*sums));
    if (!sums)
        return err_no_memory(err);
    for (size_t i = 0; i < search->plan->count; i++)
        score_tail(search->plan, &search->plan->terms[i], sums);
    for (uint32_t slot = 0; slot < tail->slot_count; slot++) {
        uint32_t number = tail->base + slot;
        if (sums[slot] > threshold(search) &&
            (!search->filter || search->filter->allows(search->filter->user, number)))
            top_offer(search->top,
                      (struct top_item){(float)sums[slot] / search->plan->scale, number});
    }
    free(sums);
    return true;
}

/* Tables of what postings of long lists are worth. */
static bool make_tables(struct plan *plan, struct err *err)
{
    for (size_t i = 0; i < plan->count; i++) {
        struct term *term = &plan->terms[i];
        uint64_t postings = 0;
        for (size_t p = 0; p < plan->bm25->part_count; p++) {
            struct segment_list list;
            if (segment_find(plan->bm25->parts[p].segment, term->key, term->length, &list))
                postings += list.count;
        }
        if (postings < TABLE_MIN)
            continue;
        term->table = calloc(TABLE_COUNTS, sizeof(*term->table));
        if (!term->table)
            return err_no_memory(err);
        for (uint32_t times = 1; times <= TABLE_COUNTS; times++)
            for (int code = 0; code < SEGMENT_LENGTHS; code++)
                term->table[times - 1][code] = worth(plan, term->weight, times, (uint8_t)code);
    }
    return true;
}

static bool search_all(struct plan *plan, const struct slot_filter *filter, struct top *top,
                       struct bm25_work *work, struct err *err)
{
    struct search search = {.plan = plan, .filter = filter, .top = top, .work = work};
    uint32_t *reach = calloc(plan->count + 1, sizeof(*reach));
    search.cursors = calloc(plan->count + 1, sizeof(*search.cursors));
    search.order = calloc(plan->count + 1, sizeof(*search.order));
    search.sums = calloc(WINDOW, sizeof(*search.sums));
    bool ok = reach && search.cursors && search.order && search.sums;
    ok = ok ? make_tables(plan, err) : err_no_memory(err);
    for (size_t i = 0; ok && i < plan->bm25->part_count; i++) {
        search.part = &plan->bm25->parts[i];
        search_part(&search, reach);
    }
    ok = ok && search_tail(&search, err);
    free(reach);
    free(search.cursors);
    free(search.order);
    free(search.sums);
    return ok;
}

bool bm25_top(const struct bm25 *bm25, const struct bm25_query *query,
              const struct slot_filter *filter, struct top *top, struct bm25_work *work,
              struct err *err)
{
    struct plan plan;
    struct bm25_work own = {.postings = 0};
    top->count = 0;
    if (!plan_make(bm25, query, &plan, err))
        return false;
    bool ok = top->want == 0 || search_all(&plan, filter, top, &own, err);
    if (ok)
        top_sort(top);
    if (work)
        *work = own;
    plan_free(&plan);
    return ok;
}

/* ---------------------------------------------------------------- some passages */

/* One list's worth for ascending slots of a part. */
static void add_some(const struct plan *plan, const struct bm25_part *part, const struct term *term,
                     const uint32_t *slots, size_t count, uint32_t *sums)
{
    struct segment_list list;
    if (!segment_find(part->segment, term->key, term->length, &list))
        return;
    struct bm25_work work = {.postings = 0};
    struct search search = {
        .plan = plan, .part = part, .lengths = segment_lengths(part->segment), .work = &work};
    struct cursor cursor = {.list = list, .term = term, .loaded = UINT32_MAX};
    for (size_t i = 0; i < count; i++)
        sums[i] += look_up(&search, &cursor, slots[i] - part->base);
}

static void add_some_of_tail(const struct plan *plan, const struct term *term,
                             const uint32_t *slots, size_t count, uint32_t *sums)
{
    const struct bm25_tail *tail = &plan->bm25->tail;
    const struct bm25_postings *postings = bm25_tail_find(tail, term->key, term->length);
    size_t at = 0;
    for (size_t i = 0; postings && i < count; i++) {
        uint32_t slot = slots[i] - tail->base;
        while (at < postings->count && postings->items[at].slot < slot)
            at++;
        if (at < postings->count && postings->items[at].slot == slot)
            sums[i] +=
                worth(plan, term->weight, postings->items[at].count, tail->slots[slot].length);
    }
}

/* How many of the slots, from the first one on, lie before `end`. */
static size_t before(const uint32_t *slots, size_t count, uint32_t end)
{
    size_t n = 0;
    while (n < count && slots[n] < end)
        n++;
    return n;
}

bool bm25_scores(const struct bm25 *bm25, const struct bm25_query *query, const uint32_t *slots,
                 size_t count, float *ret, struct err *err)
{
    struct plan plan;
    uint32_t *sums = calloc(count + 1, sizeof(*sums));
    if (!sums)
        return err_no_memory(err);
    if (!plan_make(bm25, query, &plan, err)) {
        free(sums);
        return false;
    }
    size_t at = 0;
    for (size_t p = 0; p < bm25->part_count; p++) {
        const struct bm25_part *part = &bm25->parts[p];
        size_t own = before(slots + at, count - at, part->base + segment_slots(part->segment));
        for (size_t t = 0; t < plan.count; t++)
            add_some(&plan, part, &plan.terms[t], slots + at, own, sums + at);
        at += own;
    }
    for (size_t t = 0; t < plan.count; t++)
        add_some_of_tail(&plan, &plan.terms[t], slots + at, count - at, sums + at);
    for (size_t i = 0; i < count; i++)
        ret[i] = (float)sums[i] / plan.scale;
    plan_free(&plan);
    free(sums);
    return true;
}
