/* A search, step by step: the question becomes terms, and what it demands a set of passages; each
 * index ranks its passages by words and by meaning; the best of both lists are the candidates, each
 * with both exact scores; those that lack a phrase go; fusion ranks the candidates of all indexes
 * together. */
#include <stdlib.h>
#include <string.h>

#include "base/vec.h"
#include "retrieval/index_clauses.h"
#include "retrieval/top.h"

enum {
    CANDIDATES_MAX = 1 << 24,
    MATCH_BATCH = 64, /* candidates whose texts are read at a time */
    MATCH_ARENA_MAX = 64 << 20,
};

/* A question on its way. */
struct question {
    const struct index_query *query;
    struct text_analyzer *analyzer;
    struct bm25_query terms;
    struct clauses *clauses;
    bool use_dense;
    size_t want; /* candidates of each ranking */
};

/* Candidates of all indexes. A candidate's `slot` is its place in `keys`, for slots change when an
 * index is unlocked. */
struct pool {
    struct fusion_candidate *candidates;
    size_t capacity;
    struct passage_key *keys;
    size_t key_capacity;
    size_t count;
    uint32_t list; /* number of the index at hand */
    bool cut;      /* a ranking had more than were taken */
};

/* The best slots of one index by both rankings, each slot once, with both exact scores. */
struct scan {
    size_t count;
    uint32_t *slots; /* ascending; room for both lists */
    float *sparse;   /* 0: no word is shared */
    float *dense;    /* VECTOR_NONE: no vector */
    bool cut;        /* a list had more */
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
static bool score_slots(const struct content *content, const struct question *question,
                        struct scan *scan, struct err *err)
{
    const struct index_query *query = question->query;
    for (size_t i = 0; i < scan->count; i++)
        scan->dense[i] = VECTOR_NONE;
    return bm25_scores(content->bm25, &question->terms, scan->slots, scan->count, scan->sparse,
                       err) &&
           (!query->vector || vectors_count(content->vectors) == 0 ||
            vectors_cosines(content->vectors, query->vector, query->dimensions, scan->slots,
                            scan->count, scan->dense, err));
}

static bool scan_lists(const struct content *content, const struct question *question,
                       const struct slot_filter *filter, struct top *top, struct scan *scan,
                       struct err *err)
{
    const struct index_query *query = question->query;
    bool rrf = query->method == FUSION_RRF;
    if (!question->use_dense || rrf || query->alpha < 1) {
        if (!bm25_top(content->bm25, &question->terms, filter, top, NULL, err))
            return false;
        add_slots(scan, top);
        scan->cut |= top->count == question->want;
    }
    if (question->use_dense && vectors_count(content->vectors) > 0 && (rrf || query->alpha > 0)) {
        if (!vectors_top(content->vectors, query->vector, query->dimensions, filter, top, err))
            return false;
        add_slots(scan, top);
        scan->cut |= top->count == question->want;
    }
    unite(scan);
    return score_slots(content, question, scan, err);
}

static bool scan_content(const struct content *content, const struct question *question,
                         struct scan *scan, struct err *err)
{
    uint32_t slots = bm25_slots(content->bm25);
    struct top top = {.want = question->want < slots ? question->want : slots};
    struct clause_set set;
    if (!clause_set_make(question->clauses, content, question->query->documents, &set, err))
        return false;
    const struct slot_filter filter = {.allows = clause_set_allows, .user = &set};
    bool filtered = set.allowed || set.denied || set.documents;
    top.items = calloc(top.want + 1, sizeof(*top.items));
    scan->slots = calloc(2 * top.want + 1, sizeof(*scan->slots));
    scan->sparse = calloc(2 * top.want + 1, sizeof(*scan->sparse));
    scan->dense = calloc(2 * top.want + 1, sizeof(*scan->dense));
    bool ok = top.items && scan->slots && scan->sparse && scan->dense;
    ok = ok ? scan_lists(content, question, filtered ? &filter : NULL, &top, scan, err)
            : err_no_memory(err);
    free(top.items);
    clause_set_free(&set);
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
static bool search_index(struct index *index, const struct question *question, struct pool *pool,
                         struct err *err)
{
    struct scan scan = {.slots = NULL};
    pthread_rwlock_rdlock(&index->lock);
    bool ok = scan_content(index->content, question, &scan, err) &&
              add_candidates(pool, index->content, &scan, err);
    pthread_rwlock_unlock(&index->lock);
    pool->cut |= scan.cut;
    scan_free(&scan);
    return ok;
}

/* Looks the phrases up in the texts of candidates from .. from + count, and keeps those at *kept on that have them. */
static bool match_batch(struct store *store, const struct question *question, struct pool *pool,
                        size_t from, size_t count, size_t *kept, struct err *err)
{
    struct arena arena;
    struct passage *passages;
    size_t found;
    arena_init(&arena, MATCH_ARENA_MAX);
    bool ok = store_passages(store, pool->keys + from, count, &arena, &passages, &found, err);
    size_t at = 0;
    for (size_t i = from; ok && i < from + count && at < found; i++) {
        bool match;
        const struct passage *passage = &passages[at];
        if (passage->key.document != pool->keys[i].document ||
            passage->key.ordinal != pool->keys[i].ordinal)
            continue; /* it is gone */
        at++;
        ok = clauses_match(question->clauses, question->analyzer, passage->text,
                           passage->text_length, passage->lang, &match, err);
        if (!ok || !match)
            continue;
        pool->candidates[*kept] = pool->candidates[i];
        pool->candidates[*kept].slot = (uint32_t)*kept;
        pool->keys[(*kept)++] = pool->keys[i];
    }
    arena_free(&arena);
    return ok;
}

/* Drops the candidates that lack a phrase. */
static bool match_phrases(struct store *store, const struct question *question, struct pool *pool,
                          struct err *err)
{
    size_t kept = 0;
    for (size_t at = 0; at < pool->count; at += MATCH_BATCH) {
        size_t left = pool->count - at;
        if (!match_batch(store, question, pool, at, left < MATCH_BATCH ? left : MATCH_BATCH, &kept,
                         err))
            return false;
    }
    pool->count = kept;
    return true;
}

/* The candidates of all indexes. Where phrases leave too few, more are taken. */
static bool fill_pool(struct index *const *indexes, size_t index_count, struct question *question,
                      struct pool *pool, struct err *err)
{
    for (;;) {
        pool->count = 0;
        pool->cut = false;
        for (size_t i = 0; i < index_count; i++) {
            pool->list = (uint32_t)i;
            if (!search_index(indexes[i], question, pool, err))
                return false;
        }
        if (!clauses_have_phrase(question->clauses))
            return true;
        if (!match_phrases(index_set_store(indexes[0]->set), question, pool, err))
            return false;
        if (pool->count >= question->query->top_k || !pool->cut ||
            question->want >= INDEX_TOP_K_MAX)
            return true;
        question->want *= 4;
    }
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
                         struct question *question, struct arena *arena, struct index_hit **ret,
                         size_t *ret_count, struct err *err)
{
    const struct index_query *query = question->query;
    struct pool pool = {.candidates = NULL};
    bool ok = fill_pool(indexes, index_count, question, &pool, err);
    if (ok)
        fuse(&pool, query,
             coverage_of(&pool, question_mass(indexes, index_count, &question->terms)));
    ok = ok && write_hits(&pool, query->top_k, arena, ret, ret_count, err);
    free(pool.candidates);
    free(pool.keys);
    return ok;
}

/* Adds to the words to rank by those that begin like the question's prefixes. */
static bool expand_prefixes(struct index *const *indexes, size_t index_count,
                            struct question *question, struct err *err)
{
    bool ok = true;
    for (size_t i = 0; ok && i < index_count; i++) {
        pthread_rwlock_rdlock(&indexes[i]->lock);
        ok = clauses_expand(question->clauses, indexes[i]->content, &question->terms, err);
        pthread_rwlock_unlock(&indexes[i]->lock);
    }
    return ok;
}

static bool ask(struct index *const *indexes, size_t index_count, struct question *question,
                struct arena *arena, struct index_hit **ret, size_t *ret_count, struct err *err)
{
    const struct index_query *query = question->query;
    question->use_dense = query->vector && any_vectors(indexes, index_count);
    question->want = query->candidates > 0 ? query->candidates : INDEX_CANDIDATES_DEFAULT;
    if (question->want < query->top_k)
        question->want = query->top_k;
    bool ok =
        bm25_query_make(question->analyzer, query->text, query->length, &question->terms, err) &&
        clauses_new(query->clauses, query->clause_count, question->analyzer, &question->clauses,
                    err) &&
        expand_prefixes(indexes, index_count, question, err) &&
        search_terms(indexes, index_count, question, arena, ret, ret_count, err);
    clauses_free(question->clauses);
    bm25_query_free(&question->terms);
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
    struct question question = {.query = query};
    struct index_set *set = indexes[0]->set;
    if (!index_analyzer_take(set, &question.analyzer, err))
        return false;
    bool ok = ask(indexes, index_count, &question, arena, ret, ret_count, err);
    index_analyzer_give(set, question.analyzer);
    return ok;
}
