/* How it works, step by step: EMBED the question when there is an embedding model; RETRIEVE candidates by words
 * and by meaning and fuse them (retrieval/index.h); read the passages; RERANK the best ones when there is a model
 * for it. A step whose model is missing or broken is left out, and the result says so. */
#include "assistant/search.h"

#include <stdlib.h>
#include <string.h>

#include "assistant/rerank.h"
#include "assistant/scope.h"

enum { SEARCH_TEXT_MAX = 64 * 1024 };

/* Errors that end a request; after any other a search goes on without the model. */
static bool ends_request(const struct err *err)
{
    return err->code == ERR_CANCELLED || err->code == ERR_TIMEOUT || err->code == ERR_NO_MEMORY;
}

static bool has_model(struct runtime *runtime, enum model_role role)
{
    char name[MODEL_NAME_MAX];
    return registry_default(runtime->registry, role, name, sizeof(name));
}

/* The step EMBED. Without a usable model *ret_lease stays NULL and the notice tells. The lease is kept: its model's
 * hash names the vectors to compare with. */
static bool embed_question(struct runtime *runtime, struct request *request, const char *query,
                           struct lease **ret_lease, struct msg_vectors *ret_vector,
                           const char **ret_notice, struct err *err)
{
    if (!has_model(runtime, ROLE_EMBEDDING)) {
        *ret_notice = TR(request->lang,
                         "no embedding model: searched by words alone; add one with: jarvis models "
                         "add FILE.gguf");
        return true;
    }
    struct lease *lease;
    bool ok = model_lease(runtime, request, NULL, ROLE_EMBEDDING, &lease, NULL, err);
    if (ok) {
        int span = trace_begin(request->trace, "embed");
        struct wait wait = request_wait(request);
        ok = lease_embed(lease, lease_entry(lease)->query_prefix, &query, 1, &wait, request->arena,
                         ret_vector, err);
        trace_end(request->trace, span);
        if (ok)
            *ret_lease = lease;
        else
            lease_release(lease);
    }
    if (ok || ends_request(err))
        return ok;
    log_error(runtime->log, trace_id_of(request), "embed", err);
    *ret_notice = arena_printf(request->arena, TR(request->lang, "searched by words alone: %s"),
                               err_message(err, request->lang));
    return *ret_notice || err_no_memory(err);
}

static void fill_hit(struct search_hit *hit, const struct passage *passage,
                     const struct index_hit *from)
{
    *hit = (struct search_hit){
        .document_id = passage->document_id,
        .store_id = passage->collection,
        .path = passage->path,
        .title = passage->title,
        .offset = passage->place.offset,
        .length = passage->place.length,
        .line_start = passage->place.line_start,
        .line_end = passage->place.line_end,
        .text = passage->text,
        .score = from->score,
        .fused = from->score,
        .sparse = from->sparse,
        .dense = from->has_dense ? from->dense : 0,
        .lang = passage->lang,
        .document_number = passage->key.document,
        .text_offset = passage->text_offset,
    };
}

/* Reads the passages of the index's hits. Those that were deleted meanwhile are left out. */
static bool read_hits(struct runtime *runtime, struct request *request,
                      const struct index_hit *found, size_t count, struct search_result *ret,
                      struct err *err)
{
    struct passage_key *keys = arena_array(request->arena, count, sizeof(*keys));
    struct search_hit *hits = arena_array(request->arena, count, sizeof(*hits));
    if (!keys || !hits)
        return err_no_memory(err);
    for (size_t i = 0; i < count; i++)
        keys[i] = found[i].key;
    struct passage *passages;
    size_t passage_count;
    if (!store_passages(runtime->store, keys, count, request->arena, &passages, &passage_count,
                        err))
        return false;
    size_t at = 0;
    for (size_t i = 0; i < count && at < passage_count; i++) {
        const struct passage_key *key = &passages[at].key;
        if (key->document == found[i].key.document && key->ordinal == found[i].key.ordinal) {
            fill_hit(&hits[at], &passages[at], &found[i]);
            at++;
        }
    }
    ret->hits = hits;
    ret->count = at;
    return true;
}

/* The words of the question and what it demands. */
static bool read_question(struct request *request, const struct search_request *search,
                          struct query_syntax *ret, struct err *err)
{
    size_t length = strlen(search->query);
    if (!search->literal)
        return query_syntax_parse(search->query, length, request->arena, ret, err);
    *ret = (struct query_syntax){.plain = search->query, .length = length};
    return true;
}

/* The step RETRIEVE. */
static bool retrieve(struct runtime *runtime, struct request *request,
                     const struct search_request *search, const struct query_syntax *question,
                     const struct embedder_key *embedder, const struct msg_vectors *vector,
                     size_t want, struct search_result *ret, struct err *err)
{
    struct scope scope;
    if (!scope_open(runtime, request, search, embedder, &scope, err))
        return false;
    struct index_query query = {
        .text = question->plain,
        .length = question->length,
        .clauses = question->clauses,
        .clause_count = question->count,
        .vector = embedder ? vector->values : NULL,
        .dimensions = embedder ? vector->dimensions : 0,
        .top_k = want,
        .alpha = search->alpha,
        .method = (enum fusion_method)search->fusion,
        .outcome = &ret->outcome,
    };
    struct index_hit *found = NULL;
    size_t count = 0;
    bool ok = index_search(scope.indexes, scope.count, &query, request->arena, &found, &count, err);
    scope_close(&scope);
    return ok && read_hits(runtime, request, found, count, ret, err);
}

static int by_score(const void *a, const void *b)
{
    const struct search_hit *x = a;
    const struct search_hit *y = b;
    if (x->score != y->score)
        return x->score < y->score ? 1 : -1;
    return x->fused < y->fused ? 1 : x->fused > y->fused ? -1 : 0;
}

/* The rerank model's word and the search's together: w * p + (1 - w) * fused / best fused. A model that reads pairs
 * overlooks what exact words tell, and the other way round (Askari et al., 2023). A passage that was not read counts
 * as one that the model holds for wrong. */
static void mix_scores(double weight, const struct rerank_answer *answer,
                       struct search_result *result)
{
    double best = 0;
    for (size_t i = 0; i < result->count; i++)
        best = result->hits[i].fused > best ? result->hits[i].fused : best;
    for (size_t i = 0; i < result->count; i++) {
        struct search_hit *hit = &result->hits[i];
        hit->reranked = answer->scored[i];
        hit->rerank = hit->reranked ? answer->scores[i] : 0;
        hit->score = weight * hit->rerank + (1 - weight) * (best > 0 ? hit->fused / best : 0);
    }
    qsort(result->hits, result->count, sizeof(*result->hits), by_score);
}

/* Adds to what the result has to say. `more` may be NULL: no memory. */
static bool add_notice(struct request *request, struct search_result *result, const char *more,
                       struct err *err)
{
    const char *notice = more;
    if (more && *result->notice)
        notice = arena_printf(request->arena, "%s; %s", result->notice, more);
    if (!notice)
        return err_no_memory(err);
    result->notice = notice;
    return true;
}

/* Says what the rerank model did not read. */
static bool tell_rerank(struct runtime *runtime, struct request *request,
                        const struct rerank_answer *answer, struct search_result *result,
                        struct err *err)
{
    if (answer->scored_count < result->count &&
        !add_notice(
            request, result,
            arena_printf(request->arena,
                         TR(request->lang, "reranked %zu of %zu candidates in the %lld ms of "
                                           "retrieval.rerank_budget_ms"),
                         answer->scored_count, result->count,
                         (long long)runtime->config->retrieval_rerank_budget_ms),
            err))
        return false;
    return answer->truncated == 0 ||
           add_notice(request, result,
                      arena_printf(request->arena,
                                   TR(request->lang,
                                      "the rerank model could not read %u of the candidates to the "
                                      "end"),
                                   answer->truncated),
                      err);
}

/* The step RERANK: a model reads the question beside each passage. */
static bool rerank(struct runtime *runtime, struct request *request, const char *query,
                   struct search_result *result, struct err *err)
{
    const char **texts = arena_array(request->arena, result->count, sizeof(char *));
    if (!texts)
        return err_no_memory(err);
    for (size_t i = 0; i < result->count; i++)
        texts[i] = result->hits[i].text;
    const struct rerank_question question = {
        .query = query,
        .texts = texts,
        .count = result->count,
        .budget_ms = runtime->config->retrieval_rerank_budget_ms,
    };
    struct rerank_answer answer;
    if (!rerank_run(runtime, request, &question, &answer, err)) {
        if (ends_request(err))
            return false;
        log_error(runtime->log, trace_id_of(request), "rerank", err);
        return add_notice(request, result,
                          arena_printf(request->arena, TR(request->lang, "not reranked: %s"),
                                       err_message(err, request->lang)),
                          err);
    }
    result->reranked = answer.scored_count > 0;
    result->reranked_count = answer.scored_count;
    result->rerank_asked = result->count;
    mix_scores(runtime->config->retrieval_rerank_weight, &answer, result);
    return tell_rerank(runtime, request, &answer, result, err);
}

static bool check_query(const struct search_request *search, struct err *err)
{
    size_t length = search->query ? strlen(search->query) : 0;
    if (length == 0)
        return err_set_param(err, ERR_INVALID_REQUEST, "query",
                             "the question is empty; write what to look for");
    if (length > SEARCH_TEXT_MAX)
        return err_set_param(err, ERR_TOO_LARGE, "query",
                             "the question has %zu bytes and may have %d; shorten it", length,
                             SEARCH_TEXT_MAX);
    if (search->top_k > INDEX_TOP_K_MAX)
        return err_set_param(err, ERR_INVALID_REQUEST, "top_k", "\"top_k\" must be at most %d",
                             INDEX_TOP_K_MAX);
    return true;
}

/* What the client left open, as `jarvis tune` chose it for the store; several stores have no choice in common. */
static bool apply_tuning(struct runtime *runtime, struct search_request *filled, struct err *err)
{
    if (filled->store_count > 1)
        return true;
    const char *store = filled->store_count == 1 ? filled->stores[0] : STORE_DEFAULT;
    struct ranking ranking;
    bool found;
    if (!store_ranking_get(runtime->store, store, &ranking, &found, err))
        return false;
    if (found && filled->alpha < 0)
        filled->alpha = ranking.alpha;
    if (found && filled->rerank < 0 && ranking.rerank_depth == 0)
        filled->rerank = 0;
    if (found && filled->rerank_depth == 0)
        filled->rerank_depth = ranking.rerank_depth;
    return true;
}

/* What the client and the store left open, as the configuration has it. */
static struct search_request with_defaults(struct runtime *runtime,
                                           const struct search_request *search)
{
    struct search_request filled = *search;
    if (filled.rerank_depth == 0)
        filled.rerank_depth = (size_t)runtime->config->retrieval_rerank_depth;
    if (filled.top_k == 0)
        filled.top_k = (size_t)runtime->config->retrieval_top_k;
    if (filled.alpha < 0)
        filled.alpha = runtime->config->retrieval_alpha;
    enum fusion_method method;
    if (filled.fusion < 0 && fusion_parse(runtime->config->retrieval_fusion, &method))
        filled.fusion = (int)method;
    if (filled.rerank < 0)
        filled.rerank = runtime->config->retrieval_rerank;
    filled.rerank = filled.rerank && has_model(runtime, ROLE_RERANK);
    return filled;
}

bool search_run(struct runtime *runtime, struct request *request,
                const struct search_request *asked, struct search_result *ret, struct err *err)
{
    if (!check_query(asked, err))
        return false;
    struct search_request filled = *asked;
    if (!apply_tuning(runtime, &filled, err))
        return false;
    filled = with_defaults(runtime, &filled);
    const struct search_request *search = &filled;
    struct search_result result = {.notice = ""};
    struct lease *embedder_lease = NULL;
    struct msg_vectors vector = {0};
    struct query_syntax question;
    if (!read_question(request, search, &question, err) ||
        (search->alpha != 0 && !embed_question(runtime, request, question.plain, &embedder_lease,
                                               &vector, &result.notice, err)))
        return false;
    struct embedder_key embedder = {0};
    if (embedder_lease)
        embedder = scope_embedder(embedder_lease);
    size_t depth = search->rerank_depth;
    size_t want = search->rerank && depth > search->top_k ? depth : search->top_k;
    int span = trace_begin(request->trace, "retrieve");
    bool ok = retrieve(runtime, request, search, &question, embedder_lease ? &embedder : NULL,
                       &vector, want, &result, err);
    trace_end(request->trace, span);
    result.used_embedder = embedder_lease != NULL;
    lease_release(embedder_lease);
    if (ok && search->rerank && result.count > 0)
        ok = rerank(runtime, request, question.plain, &result, err);
    if (!ok)
        return false;
    if (result.count > search->top_k)
        result.count = search->top_k;
    *ret = result;
    return true;
}
