/* A search, step by step: the question becomes terms; each index ranks its passages by words and by
 * meaning; the best of both lists are the candidates, each with both exact scores; fusion ranks the
 * candidates of all indexes together. */
#include <stdlib.h>
#include <string.h>

#include "base/vec.h"
#include "retrieval/index_content.h"
#include "retrieval/top.h"

enum { CANDIDATES_MAX = 1 << 24 };

/* Candidates of all indexes. A candidate's `slot` is its place in `keys`, for slots change when an
 * index is unlocked. */
struct pool {
    struct fusion_candidate *candidates;
    size_t capacity;
    struct passage_key *keys;
    size_t key_capacity;
    size_t count;
    uint32_t list; /* number of the index at hand */
};

/* The best slots of one index by both rankings, each slot once, with both exact scores. */
struct scan {
    size_t count;
    uint32_t *slots; /* ascending; room for both lists */
    float *sparse;   /* 0: no word is shared */
    float *dense;    /* VECTOR_NONE: no vector */
};

static void scan_free(struct scan *scan)
{
    free(scan->slots);
    free(scan->sparse);
    free(scan->dense);
}

static int compare_slots(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left;
    uint32_t b = *(const uint32_t *)right;
    return a < b ? -1 : a > b;
}

/* Sorts the slots and drops what is there twice. */
static void unite(struct scan *scan)
{
    qsort(scan->slots, scan->count, sizeof(*scan->slots), compare_slots);
    size_t kept = 0;
    for (size_t i = 0; i < scan->count; i++)
        if (i == 0 || scan->slots[i] != scan->slots[i - 1])
            scan->slots[kept++] = scan->slots[i];
    scan->count = kept;
}

static void add_slots(struct scan *scan, const struct top *top)
{
    for (size_t i = 0; i < top->count; i++)
        scan->slots[scan->count++] = top->items[i].number;
}

/* Both scores of the slots that were found. */
static bool score_slots(const struct content *content, const struct bm25_query *terms,
                        const struct index_query *query, struct scan *scan, struct err *err)
{
    for (size_t i = 0; i < scan->count; i++)
        scan->dense[i] = VECTOR_NONE;
    return bm25_scores(content->bm25, terms, scan->slots, scan->count, scan->sparse, err) &&
           (!query->vector || vectors_count(content->vectors) == 0 ||
            vectors_cosines(content->vectors, query->vector, query->dimensions, scan->slots,
                            scan->count, scan->dense, err));
}

static bool scan_lists(const struct content *content, const struct bm25_query *terms,
                       const struct index_query *query, bool use_dense, struct top *top,
                       struct scan *scan, struct err *err)
{
    if (!use_dense || query->method == FUSION_RRF || query->alpha < 1) {
        if (!bm25_top(content->bm25, terms, NULL, top, NULL, err))
            return false;
        add_slots(scan, top);
    }
    if (use_dense && vectors_count(content->vectors) > 0 &&
        (query->method == FUSION_RRF || query->alpha > 0)) {
        if (!vectors_top(content->vectors, query->vector, query->dimensions, NULL, top, err))
            return false;
        add_slots(scan, top);
    }
    unite(scan);
    return score_slots(content, terms, query, scan, err);
}

static bool scan_content(const struct content *content, const struct bm25_query *terms,
                         const struct index_query *query, bool use_dense, size_t want,
                         struct scan *scan, struct err *err)
{
    uint32_t slots = bm25_slots(content->bm25);
    struct top top = {.want = want < slots ? want : slots};
    top.items = calloc(top.want + 1, sizeof(*top.items));
    scan->slots = calloc(2 * top.want + 1, sizeof(*scan->slots));
    scan->sparse = calloc(2 * top.want + 1, sizeof(*scan->sparse));
    scan->dense = calloc(2 * top.want + 1, sizeof(*scan->dense));
    bool ok = top.items && scan->slots && scan->sparse && scan->dense;
    ok = ok ? scan_lists(content, terms, query, use_dense, &top, scan, err) : err_no_memory(err);
    free(top.items);
    return ok;
}

static bool add_candidates(struct pool *pool, const struct content *content,
                           const struct scan *scan, struct err *err)
{
    size_t need = pool->count + scan->count;
    if (!vec_reserve(&pool->candidates, &pool->capacity, need + 1, sizeof(*pool->candidates),
                     CANDIDATES_MAX, err) ||
        !vec_reserve(&pool->keys, &pool->key_capacity, need + 1, sizeof(*pool->keys),
                     CANDIDATES_MAX, err))
        return false;
    for (size_t i = 0; i < scan->count; i++) {
        bool has_dense = scan->dense[i] > VECTOR_NONE;
        pool->keys[pool->count] = content->keys[scan->slots[i]];
        pool->candidates[pool->count] =
            (struct fusion_candidate){.list = pool->list,
                                      .slot = (uint32_t)pool->count,
                                      .sparse = scan->sparse[i],
                                      .dense = has_dense ? scan->dense[i] : 0,
                                      .has_dense = has_dense};
        pool->count++;
    }
    return true;
}

/* Adds the candidates of one index. */
static bool search_index(struct index *index, const struct bm25_query *terms,
                         const struct index_query *query, bool use_dense, struct pool *pool,
                         struct err *err)
{
    size_t want = query->candidates > 0 ? query->candidates : INDEX_CANDIDATES_DEFAULT;
    if (want < query->top_k)
        want = query->top_k;
    struct scan scan = {.sparse = NULL};
    pthread_rwlock_rdlock(&index->lock);
    bool ok = scan_content(index->content, terms, query, use_dense, want, &scan, err) &&
              add_candidates(pool, index->content, &scan, err);
    pthread_rwlock_unlock(&index->lock);
    scan_free(&scan);
    return ok;
}

static bool any_vectors(struct index *const *indexes, size_t count)
{
    bool any = false;
    for (size_t i = 0; i < count && !any; i++) {
        pthread_rwlock_rdlock(&indexes[i]->lock);
        any = vectors_count(indexes[i]->content->vectors) > 0;
        pthread_rwlock_unlock(&indexes[i]->lock);
    }
    return any;
}

/* In how many passages of all indexes each of the question's words is; returns how many passages
 * there are. */
static uint32_t count_words(struct index *const *indexes, size_t count,
                            const struct bm25_query *terms,
                            uint32_t frequencies[BM25_QUERY_TERMS_MAX])
{
    uint32_t passages = 0;
    for (size_t i = 0; i < count; i++) {
        pthread_rwlock_rdlock(&indexes[i]->lock);
        const struct bm25 *bm25 = indexes[i]->content->bm25;
        passages += bm25_count(bm25);
        for (size_t t = 0; t < terms->count; t++)
            frequencies[t] += bm25_frequency(bm25, terms->terms[t].term, terms->terms[t].length);
        pthread_rwlock_unlock(&indexes[i]->lock);
    }
    return passages;
}

/* What a passage of average length scores that has each of the question's words once: the sum of
 * their idf over all indexes, words that nobody has being the rarest. Read as the language in which
 * it asks for less. */
static double question_mass(struct index *const *indexes, size_t count,
                            const struct bm25_query *terms)
{
    uint32_t frequencies[BM25_QUERY_TERMS_MAX] = {0};
    double mass[LANG_COUNT] = {0};
    uint32_t passages = count_words(indexes, count, terms, frequencies);
    for (size_t t = 0; t < terms->count; t++)
        for (int lang = 0; lang < LANG_COUNT; lang++)
            mass[lang] += terms->terms[t].count[lang] * bm25_idf(passages, frequencies[t]);
    double least = mass[0];
    for (int lang = 1; lang < LANG_COUNT; lang++)
        least = mass[lang] < least ? mass[lang] : least;
    return least;
}

/* The best candidate's share of the question's mass; fusion.h says what for. */
static double coverage_of(const struct pool *pool, double mass)
{
    float best = 0;
    for (size_t i = 0; i < pool->count; i++)
        best = pool->candidates[i].sparse > best ? pool->candidates[i].sparse : best;
    return mass > 0 ? (double)best / mass : 0;
}

static void fuse(struct pool *pool, const struct index_query *query, double coverage)
{
    double alpha = fusion_alpha(query->alpha, coverage);
    if (query->method == FUSION_RRF)
        fusion_rrf(pool->candidates, pool->count);
    else if (query->method == FUSION_MAX)
        fusion_max(pool->candidates, pool->count, query->alpha);
    else
        fusion_convex(pool->candidates, pool->count, alpha);
    if (query->outcome)
        *query->outcome = (struct index_outcome){
            .coverage = coverage, .alpha = query->method == FUSION_CONVEX ? alpha : query->alpha};
}

static bool write_hits(const struct pool *pool, size_t top_k, struct arena *arena,
                       struct index_hit **ret, size_t *ret_count, struct err *err)
{
    size_t count = pool->count < top_k ? pool->count : top_k;
    struct index_hit *hits = arena_array(arena, count, sizeof(*hits));
    if (!hits)
        return err_no_memory(err);
    for (size_t i = 0; i < count; i++) {
        const struct fusion_candidate *candidate = &pool->candidates[i];
        hits[i] = (struct index_hit){.index = candidate->list,
                                     .key = pool->keys[candidate->slot],
                                     .score = candidate->fused,
                                     .sparse = candidate->sparse,
                                     .dense = candidate->dense,
                                     .has_dense = candidate->has_dense};
    }
    *ret = hits;
    *ret_count = count;
    return true;
}

static bool search_terms(struct index *const *indexes, size_t index_count,
                         const struct bm25_query *terms, const struct index_query *query,
                         struct arena *arena, struct index_hit **ret, size_t *ret_count,
                         struct err *err)
{
    bool use_dense = query->vector && any_vectors(indexes, index_count);
    struct pool pool = {.candidates = NULL};
    bool ok = true;
    for (size_t i = 0; ok && i < index_count; i++) {
        pool.list = (uint32_t)i;
        ok = search_index(indexes[i], terms, query, use_dense, &pool, err);
    }
    if (ok)
        fuse(&pool, query, coverage_of(&pool, question_mass(indexes, index_count, terms)));
    ok = ok && write_hits(&pool, query->top_k, arena, ret, ret_count, err);
    free(pool.candidates);
    free(pool.keys);
    return ok;
}

static bool check_query(const struct index_query *query, struct err *err)
{
    if (query->top_k == 0 || query->top_k > INDEX_TOP_K_MAX)
        return err_set_param(err, ERR_INVALID_REQUEST, "top_k",
                             "top_k must be between 1 and %d, not %zu", INDEX_TOP_K_MAX,
                             query->top_k);
    if (!(query->alpha >= 0 && query->alpha <= 1))
        return err_set_param(err, ERR_INVALID_REQUEST, "alpha",
                             "alpha must be between 0 and 1, not %g", query->alpha);
    return true;
}

bool index_search(struct index *const *indexes, size_t index_count, const struct index_query *query,
                  struct arena *arena, struct index_hit **ret, size_t *ret_count, struct err *err)
{
    if (!check_query(query, err))
        return false;
    if (index_count == 0) {
        *ret = NULL;
        *ret_count = 0;
        return true;
    }
    struct text_analyzer *analyzer;
    struct bm25_query terms;
    if (!index_analyzer_take(indexes[0]->set, &analyzer, err))
        return false;
    bool ok = bm25_query_make(analyzer, query->text, query->length, &terms, err);
    index_analyzer_give(indexes[0]->set, analyzer);
    if (!ok)
        return false;
    ok = search_terms(indexes, index_count, &terms, query, arena, ret, ret_count, err);
    bm25_query_free(&terms);
    return ok;
}
