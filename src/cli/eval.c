/* How it works: eval_store.c has the corpus read into a store of its own. Then every question is asked by every method:
 * once as a person would ask (a page of hits, timed), once deep, for Recall@100. A document is as good as its best
 * passage, so the first passage of each counts. Reranking is asked for as deep as the configuration reranks; behind
 * that the documents follow as the hybrid search has them. */
#include "cli/eval.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fs.h"
#include "cli/client.h"
#include "cli/eval_store.h"
#include "cli/interrupt.h"
#include "cli/progress.h"

enum { SPARSE, DENSE, HYBRID, RERANKED };

enum {
    DEEP_PASSAGES = 200, /* first asked for, so that EVALUATE_DEPTH documents are among them … */
    PASSAGES_MAX = 1000, /* … and the most that a search gives */
};

static const size_t ARENA_MAX = (size_t)16 << 30;

struct run {
    struct cli *cli;
    const struct eval_plan *plan;
    struct session session;
    struct interrupt interrupt;
    struct progress progress;
    struct eval_result *result;
    struct eval_store store;
    int64_t rerank_depth;
    uint32_t *seen; /* by document: the last search (`searches`) that found it */
    uint32_t searches;
};

/* ---------------------------------------------------------------- the corpus */

static void keep_answered(struct eval_result *result, size_t limit)
{
    size_t kept = 0;
    for (size_t i = 0; i < result->queries.count && (limit == 0 || kept < limit); i++) {
        if (result->answers[i].count == 0)
            continue;
        result->queries.items[kept] = result->queries.items[i];
        result->answers[kept] = result->answers[i];
        kept++;
    }
    result->queries.count = kept;
}

static bool join_parts(struct eval_result *result, const struct dataset_qrels *qrels,
                       struct err *err)
{
    struct map documents;
    map_init(&documents, DATASET_LINES_MAX);
    bool ok =
        dataset_index(&result->corpus, &documents, err) &&
        dataset_join(qrels, &result->queries, &documents, &result->arena, &result->answers, err);
    map_free(&documents);
    return ok;
}

static bool read_dataset(const struct eval_plan *plan, struct eval_result *result, struct err *err)
{
    struct dataset_qrels qrels;
    char *corpus = fs_join(plan->folder, "corpus.jsonl");
    char *queries = plan->queries ? strdup(plan->queries) : fs_join(plan->folder, "queries.jsonl");
    char *judgements = dataset_qrels_path(plan->folder);
    bool ok = corpus && queries && judgements ? true : err_no_memory(err);
    ok = ok && dataset_read_texts(corpus, &result->arena, &result->corpus, err) &&
         dataset_read_texts(queries, &result->arena, &result->queries, err) &&
         dataset_read_qrels(judgements, &result->arena, &qrels, err) &&
         join_parts(result, &qrels, err);
    free(corpus);
    free(queries);
    free(judgements);
    if (!ok)
        return false;
    keep_answered(result, plan->limit);
    if (result->queries.count == 0)
        return err_set(err, ERR_INVALID_REQUEST,
                       "no question of \"%s\" has a relevant document; do the ids of queries.jsonl "
                       "and qrels.tsv agree?",
                       plan->folder);
    return true;
}

/* Gives the result its place for what each method will find. */
static bool prepare_methods(struct eval_result *result, struct err *err)
{
    static const char *const names[EVAL_METHODS] = {"sparse", "dense", "hybrid", "hybrid+rerank"};
    size_t count = result->queries.count;
    for (size_t i = 0; i < EVAL_METHODS; i++) {
        struct eval_method *method = &result->methods[i];
        method->name = names[i];
        method->rankings = arena_array(&result->arena, count, sizeof(*method->rankings));
        method->values = arena_array(&result->arena, count, sizeof(*method->values));
        method->milliseconds = arena_array(&result->arena, count, sizeof(double));
        if (!method->rankings || !method->values || !method->milliseconds)
            return err_no_memory(err);
    }
    return true;
}

static void name_corpus(struct eval_result *result, const char *folder)
{
    size_t length = strlen(folder);
    while (length > 1 && folder[length - 1] == '/')
        length--;
    size_t start = length;
    while (start > 0 && folder[start - 1] != '/')
        start--;
    snprintf(result->name, sizeof(result->name), "%.*s", (int)(length - start), folder + start);
}

/* ---------------------------------------------------------------- one search */

static yyjson_mut_doc *search_request(const struct run *run, size_t method, const char *query,
                                      size_t passages)
{
    static const double alphas[EVAL_METHODS] = {0, 1, -1, -1};
    double alpha = alphas[method] < 0 ? run->plan->alpha : alphas[method];
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_obj_add_str(doc, root, "query", query);
    yyjson_mut_val *stores = yyjson_mut_obj_add_arr(doc, root, "stores");
    yyjson_mut_arr_add_str(doc, stores, run->store.id);
    yyjson_mut_obj_add_uint(doc, root, "top_k", passages);
    if (alpha >= 0)
        yyjson_mut_obj_add_real(doc, root, "alpha", alpha);
    if (run->plan->fusion && alphas[method] < 0)
        yyjson_mut_obj_add_str(doc, root, "fusion", run->plan->fusion);
    yyjson_mut_obj_add_bool(doc, root, "literal", true); /* a sentence, as a chat asks it */
    yyjson_mut_obj_add_bool(doc, root, "rerank", method == RERANKED);
    return doc;
}

static bool search(struct run *run, size_t method, const char *query, size_t passages,
                   yyjson_doc **ret, struct err *err)
{
    yyjson_mut_doc *request = search_request(run, method, query, passages);
    bool ok = client_call(run->session.client, "POST", "/v1/jarvis/search", request, ret, err);
    yyjson_mut_doc_free(request);
    return ok;
}

/* The number in ".../12.txt"; DATASET_NOT_THERE for another path. */
static size_t document_of(const struct run *run, yyjson_val *hit)
{
    const char *path = yyjson_get_str(yyjson_obj_get(hit, "path"));
    const char *slash = path ? strrchr(path, '/') : NULL;
    char *end = NULL;
    unsigned long long number = slash ? strtoull(slash + 1, &end, 10) : 0;
    if (!slash || strcmp(end, ".txt") != 0 || number >= run->result->corpus.count)
        return DATASET_NOT_THERE;
    return (size_t)number;
}

/* The documents of the hits, each by its first passage. */
static bool take_ranking(struct run *run, yyjson_doc *answer, struct eval_ranking *ret,
                         struct err *err)
{
    struct arena *arena = &run->result->arena;
    struct eval_rank *ranks = arena_array(arena, EVALUATE_DEPTH, sizeof(*ranks));
    if (!ranks)
        return err_no_memory(err);
    size_t count = 0;
    run->searches++;
    yyjson_val *hits = yyjson_obj_get(yyjson_doc_get_root(answer), "hits");
    yyjson_arr_iter walk = yyjson_arr_iter_with(hits);
    yyjson_val *hit;
    while (count < EVALUATE_DEPTH && (hit = yyjson_arr_iter_next(&walk))) {
        size_t document = document_of(run, hit);
        if (document == DATASET_NOT_THERE || run->seen[document] == run->searches)
            continue;
        run->seen[document] = run->searches;
        ranks[count++] =
            (struct eval_rank){(uint32_t)document, yyjson_get_num(yyjson_obj_get(hit, "score"))};
    }
    *ret = (struct eval_ranking){.ranks = ranks, .count = count};
    return true;
}

/* As many documents as Recall@100 wants, if there are so many: passages are asked for until they are enough. */
static bool search_deep(struct run *run, size_t method, const char *query, struct eval_ranking *ret,
                        struct err *err)
{
    for (size_t passages = DEEP_PASSAGES;; passages = PASSAGES_MAX) {
        yyjson_doc *answer;
        if (!search(run, method, query, passages, &answer, err))
            return false;
        size_t hits = yyjson_arr_size(yyjson_obj_get(yyjson_doc_get_root(answer), "hits"));
        bool ok = take_ranking(run, answer, ret, err);
        yyjson_doc_free(answer);
        if (!ok || ret->count == EVALUATE_DEPTH || hits < passages || passages == PASSAGES_MAX)
            return ok;
    }
}

/* What the reranker has read, and behind it what the hybrid search found. */
static bool complete_reranked(struct run *run, yyjson_doc *answer, size_t query,
                              struct eval_ranking *ret, struct err *err)
{
    const struct eval_ranking *hybrid = &run->result->methods[HYBRID].rankings[query];
    if (!take_ranking(run, answer, ret, err))
        return false;
    for (size_t i = 0; i < hybrid->count && ret->count < EVALUATE_DEPTH; i++) {
        struct eval_rank rank = hybrid->ranks[i];
        if (run->seen[rank.document] == run->searches)
            continue;
        double last = ret->count > 0 ? ret->ranks[ret->count - 1].score : 0;
        ret->ranks[ret->count++] = (struct eval_rank){rank.document, last - 1};
    }
    return true;
}

/* ---------------------------------------------------------------- one method */

/* Whether the answer was made as the method wants it; else why not. */
static bool took_part(struct run *run, size_t number, yyjson_doc *answer, struct err *err)
{
    yyjson_val *root = yyjson_doc_get_root(answer);
    bool embedded = yyjson_is_true(yyjson_obj_get(root, "used_embedder"));
    bool reranked = yyjson_is_true(yyjson_obj_get(root, "reranked"));
    bool found = yyjson_arr_size(yyjson_obj_get(root, "hits")) > 0;
    if ((number == SPARSE || embedded) && (number != RERANKED || reranked || !found))
        return true;
    const char *notice = yyjson_get_str(yyjson_obj_get(root, "notice"));
    const char *why =
        notice && *notice ? notice : TR(run->cli->lang, "the service left the model out");
    run->result->methods[number].why = arena_copy(&run->result->arena, why);
    return run->result->methods[number].why || err_no_memory(err);
}

static bool ask(struct run *run, size_t number, size_t query, struct err *err)
{
    struct eval_method *method = &run->result->methods[number];
    const char *text = run->result->queries.items[query].text;
    size_t passages = number == RERANKED && run->rerank_depth > EVAL_SHOWN
                          ? (size_t)run->rerank_depth
                          : EVAL_SHOWN;
    yyjson_doc *answer;
    int64_t start = clock_now_ns();
    if (!search(run, number, text, passages, &answer, err))
        return false;
    method->milliseconds[query] = clock_ms_since(start);
    struct eval_ranking *ranking = &method->rankings[query];
    bool ok = took_part(run, number, answer, err);
    if (ok && !method->why)
        ok = number == RERANKED ? complete_reranked(run, answer, query, ranking, err)
                                : search_deep(run, number, text, ranking, err);
    yyjson_doc_free(run->result->last);
    run->result->last = answer;
    return ok;
}

static void judge(struct run *run, struct eval_method *method, size_t query)
{
    const struct dataset_answers *answers = &run->result->answers[query];
    const struct eval_ranking *ranking = &method->rankings[query];
    double grades[EVALUATE_DEPTH];
    for (size_t i = 0; i < ranking->count; i++)
        grades[i] = dataset_grade(answers, ranking->ranks[i].document);
    evaluate_ranking(grades, ranking->count, answers->grades, answers->count,
                     &method->values[query]);
}

static bool ask_all(struct run *run, size_t number, struct err *err)
{
    struct eval_method *method = &run->result->methods[number];
    size_t count = run->result->queries.count;
    if (!ask(run, number, 0, err)) /* loads models and indexes, so that no answer's time has that */
        return false;
    for (size_t query = 0; query < count && !method->why; query++) {
        eval_show(&run->store, method->name, query, count);
        if (!ask(run, number, query, err))
            return false;
        judge(run, method, query);
    }
    eval_show(&run->store, method->name, count, count);
    return true;
}

/* Means, intervals and times of a method. */
static bool summarize(struct eval_result *result, size_t number, struct err *err)
{
    const struct eval_method *sparse = &result->methods[SPARSE];
    struct eval_method *method = &result->methods[number];
    size_t count = result->queries.count;
    double *column = arena_array(&result->arena, count, sizeof(*column));
    if (!column)
        return err_no_memory(err);
    for (size_t measure = 0; measure < EVALUATE_COUNT; measure++) {
        for (size_t i = 0; i < count; i++)
            column[i] = method->values[i].of[measure];
        if (!evaluate_bootstrap(column, count, measure, &method->of[measure], err))
            return false;
    }
    for (size_t i = 0; i < count; i++)
        column[i] = method->values[i].of[EVALUATE_NDCG_10] - sparse->values[i].of[EVALUATE_NDCG_10];
    method->p50_ms = evaluate_quantile(method->milliseconds, count, 0.50);
    method->p95_ms = evaluate_quantile(method->milliseconds, count, 0.95);
    return evaluate_bootstrap(column, count, EVALUATE_COUNT, &method->gain, err);
}

/* ---------------------------------------------------------------- all of it */

static bool read_state(struct run *run, struct err *err)
{
    yyjson_doc *status;
    yyjson_doc *depth;
    if (!client_call(run->session.client, "GET", "/v1/jarvis/status", NULL, &status, err))
        return false;
    yyjson_val *ready = yyjson_obj_get(yyjson_doc_get_root(status), "readiness");
    enum lang lang = run->cli->lang;
    struct eval_method *methods = run->result->methods;
    if (!yyjson_is_true(yyjson_obj_get(ready, "rerank_model")))
        methods[RERANKED].why =
            TR(lang, "there is no rerank model; add one with: jarvis models add FILE.gguf");
    if (!yyjson_is_true(yyjson_obj_get(ready, "embedding_model")))
        methods[DENSE].why = methods[HYBRID].why = methods[RERANKED].why =
            TR(lang, "there is no embedding model; add one with: jarvis models add FILE.gguf");
    yyjson_doc_free(status);
    if (!client_call(run->session.client, "GET", "/v1/jarvis/config/retrieval.rerank_depth", NULL,
                     &depth, err))
        return false;
    const char *value = yyjson_get_str(yyjson_obj_get(yyjson_doc_get_root(depth), "value"));
    run->rerank_depth = value ? strtoll(value, NULL, 10) : 0;
    yyjson_doc_free(depth);
    if (run->rerank_depth > PASSAGES_MAX)
        run->rerank_depth = PASSAGES_MAX;
    return true;
}

static bool measure_all(struct run *run, struct err *err)
{
    struct eval_result *result = run->result;
    run->seen = arena_array(&result->arena, result->corpus.count + 1, sizeof(*run->seen));
    if (!run->seen)
        return err_no_memory(err);
    if (!read_state(run, err) || !eval_store_make(&run->store, err))
        return false;
    for (size_t i = 0; i < EVAL_METHODS; i++) {
        if (!result->methods[i].why && !ask_all(run, i, err))
            return false;
        if (i == HYBRID && result->methods[HYBRID].why && !result->methods[RERANKED].why)
            result->methods[RERANKED].why = result->methods[HYBRID].why;
        if (!result->methods[i].why && !summarize(result, i, err))
            return false;
    }
    return true;
}

static bool measure_with_service(struct run *run, struct err *err)
{
    if (!session_open(run->cli, &run->session, err))
        return false;
    bool ok = interrupt_begin(&run->interrupt, err);
    if (ok) {
        client_interrupt_by(run->session.client, run->interrupt.fd);
        progress_begin(&run->progress, &run->cli->err, run->cli->lang);
        run->store = (struct eval_store){.cli = run->cli,
                                         .client = run->session.client,
                                         .cache = run->session.paths.cache,
                                         .progress = &run->progress,
                                         .result = run->result};
        ok = measure_all(run, err);
        progress_end(&run->progress);
        eval_store_remove(&run->store);
        interrupt_end(&run->interrupt);
    }
    session_close(&run->session);
    return ok;
}

bool eval_run(struct cli *cli, const struct eval_plan *plan, struct eval_result *ret,
              struct err *err)
{
    struct eval_result result = {.corpus = {.items = NULL}};
    arena_init(&result.arena, ARENA_MAX);
    name_corpus(&result, plan->folder);
    struct run run = {.cli = cli, .plan = plan, .result = &result};
    bool ok = read_dataset(plan, &result, err) && prepare_methods(&result, err) &&
              measure_with_service(&run, err);
    if (!ok) {
        eval_result_free(&result);
        return false;
    }
    *ret = result;
    return true;
}

void eval_result_free(struct eval_result *result)
{
    yyjson_doc_free(result->last);
    arena_free(&result->arena);
}
