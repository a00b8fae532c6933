/* How it works: each question is searched once, TUNE_PASSAGES deep; every hit comes with both scores and goes into a
 * struct tune_candidate. Where there is a rerank model, it reads the first TUNE_DEPTH_MAX candidates as the weight
 * chosen orders them. A question made of a passage is answered by the document of that passage; where the document has
 * other passages, the one that the question is made of is left out, so that its very words are not all that counts
 * (the inverse cloze task: Lee, Chang and Toutanova, ACL 2019). */
#include "cli/tune.h"

#include <stdlib.h>
#include <string.h>

#include "cli/progress.h"
#include "retrieval/dataset.h"

enum { TUNE_PASSAGES = 200, PATHS_MAX = 1 << 20, QUESTION_MAX = 64 * 1024 };

static const size_t ARENA_MAX = (size_t)8 << 30;

/* What a question asks, and what answers it. */
struct item {
    const char *text;
    const char *const *wanted; /* documents: ids, paths or file names, best first … */
    const double *grades;      /* … and their grades */
    size_t wanted_count;
    const char *hidden; /* the passage that the question is made of, "id offset length"; "": none */
    const char **texts; /* of the candidates, for the rerank model */
};

struct run {
    struct cli *cli;
    struct client *client;
    const struct tune_plan *plan;
    struct tune_result *result;
    struct item *items;
    struct tune_question *questions;
    struct progress progress;
    bool has_rerank;
};

/* ---------------------------------------------------------------- the API */

char *tune_path(struct client *client, const char *store, const char *leaf)
{
    struct str path;
    struct err ignored;
    str_init(&path, 8192);
    str_puts(&path, "/v1/jarvis/stores/");
    client_escape(client, store, &path, &ignored);
    str_printf(&path, "/%s", leaf);
    return str_take(&path);
}

static void show(struct run *run, const char *phase, size_t done)
{
    const struct progress_state state = {
        .phase = phase, .done = done, .total = run->result->questions, .path = ""};
    if (!run->cli->json)
        progress_show(&run->progress, &state);
}

static bool read_state(struct run *run, struct err *err)
{
    yyjson_doc *ranking;
    yyjson_doc *status;
    char *path = tune_path(run->client, run->plan->store, "ranking");
    if (!path)
        return err_no_memory(err);
    bool ok = client_call(run->client, "GET", path, NULL, &ranking, err);
    free(path);
    if (!ok)
        return false;
    yyjson_val *root = yyjson_doc_get_root(ranking);
    run->result->alpha_before = yyjson_get_num(yyjson_obj_get(root, "alpha"));
    run->result->depth_before = yyjson_get_uint(yyjson_obj_get(root, "rerank_depth"));
    yyjson_doc_free(ranking);
    if (!client_call(run->client, "GET", "/v1/jarvis/status", NULL, &status, err))
        return false;
    yyjson_val *ready = yyjson_obj_get(yyjson_doc_get_root(status), "readiness");
    run->has_rerank = yyjson_is_true(yyjson_obj_get(ready, "rerank_model"));
    bool embeds = yyjson_is_true(yyjson_obj_get(ready, "embedding_model"));
    yyjson_doc_free(status);
    return embeds || err_set(err, ERR_NO_EMBEDDER,
                             "there is no embedding model, so there is no weight to choose; add "
                             "one with: jarvis models add FILE.gguf");
}

/* ---------------------------------------------------------------- the user's questions */

static size_t judgements_of(const struct dataset_qrels *qrels, const char *query, struct item *item,
                            const char **wanted, double *grades)
{
    size_t count = 0;
    for (size_t i = 0; i < qrels->count; i++) {
        const struct dataset_qrel *qrel = &qrels->items[i];
        if (qrel->grade <= 0 || strcmp(qrel->query, query) != 0)
            continue;
        size_t at = count++;
        for (; at > 0 && grades[at - 1] < qrel->grade; at--) {
            grades[at] = grades[at - 1];
            wanted[at] = wanted[at - 1];
        }
        grades[at] = qrel->grade;
        wanted[at] = qrel->document;
    }
    item->wanted = wanted;
    item->grades = grades;
    item->wanted_count = count;
    return count;
}

static bool take_labelled(struct run *run, const struct dataset_texts *texts,
                          const struct dataset_qrels *qrels, struct err *err)
{
    struct arena *arena = &run->result->arena;
    const char **wanted = arena_array(arena, qrels->count + 1, sizeof(char *));
    double *grades = arena_array(arena, qrels->count + 1, sizeof(*grades));
    run->items = arena_array(arena, texts->count + 1, sizeof(*run->items));
    if (!wanted || !grades || !run->items)
        return err_no_memory(err);
    size_t count = 0;
    for (size_t i = 0; i < texts->count && count < run->plan->count; i++) {
        struct item *item = &run->items[count];
        size_t used = judgements_of(qrels, texts->items[i].id, item, wanted, grades);
        if (used == 0)
            continue;
        item->text = texts->items[i].text;
        item->hidden = "";
        wanted += used;
        grades += used;
        count++;
    }
    run->result->questions = count;
    run->result->labelled = true;
    return true;
}

static bool read_labelled(struct run *run, struct err *err)
{
    struct dataset_texts texts;
    struct dataset_qrels qrels;
    struct arena *arena = &run->result->arena;
    return dataset_read_texts(run->plan->queries, arena, &texts, err) &&
           dataset_read_qrels(run->plan->qrels, arena, &qrels, err) &&
           take_labelled(run, &texts, &qrels, err);
}

/* ---------------------------------------------------------------- questions out of passages */

static const char *text_of(yyjson_val *object, const char *key)
{
    const char *text = yyjson_get_str(yyjson_obj_get(object, key));
    return text ? text : "";
}

/* Names a passage. */
static char *passage_name(struct arena *arena, yyjson_val *passage)
{
    return arena_printf(arena, "%s %llu %llu", text_of(passage, "document_id"),
                        (unsigned long long)yyjson_get_uint(yyjson_obj_get(passage, "offset")),
                        (unsigned long long)yyjson_get_uint(yyjson_obj_get(passage, "length")));
}

static bool make_item(struct run *run, yyjson_val *passage, uint64_t *random, struct err *err)
{
    struct arena *arena = &run->result->arena;
    const char *text = text_of(passage, "text");
    bool alone = yyjson_get_uint(yyjson_obj_get(passage, "siblings")) < 2;
    struct str question;
    str_init(&question, QUESTION_MAX);
    if (!tune_question_text(text, strlen(text), alone, random, &question) || !str_ok(&question)) {
        str_free(&question);
        return true; /* a table, a list: nothing to ask of it */
    }
    struct item *item = &run->items[run->result->questions];
    const char **wanted = arena_array(arena, 1, sizeof(char *));
    double *grades = arena_array(arena, 1, sizeof(*grades));
    item->text = arena_copy(arena, str_text(&question));
    item->hidden = alone ? "" : passage_name(arena, passage);
    str_free(&question);
    if (!wanted || !grades || !item->text || !item->hidden)
        return err_no_memory(err);
    wanted[0] = arena_copy(arena, text_of(passage, "document_id"));
    grades[0] = 1;
    item->wanted = wanted;
    item->grades = grades;
    item->wanted_count = 1;
    run->result->questions++;
    return wanted[0] || err_no_memory(err);
}

static bool make_questions(struct run *run, struct err *err)
{
    yyjson_mut_doc *request = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(request);
    yyjson_mut_doc_set_root(request, root);
    yyjson_mut_obj_add_uint(request, root, "count", run->plan->count);
    yyjson_mut_obj_add_uint(request, root, "seed", run->plan->seed);
    char *path = tune_path(run->client, run->plan->store, "sample");
    yyjson_doc *answer = NULL;
    bool ok =
        path ? client_call(run->client, "POST", path, request, &answer, err) : err_no_memory(err);
    free(path);
    yyjson_mut_doc_free(request);
    if (!ok)
        return false;
    run->items = arena_array(&run->result->arena, run->plan->count, sizeof(*run->items));
    ok = run->items || err_no_memory(err);
    uint64_t random = run->plan->seed;
    yyjson_arr_iter walk =
        yyjson_arr_iter_with(yyjson_obj_get(yyjson_doc_get_root(answer), "passages"));
    yyjson_val *passage;
    while (ok && run->result->questions < run->plan->count &&
           (passage = yyjson_arr_iter_next(&walk)))
        ok = make_item(run, passage, &random, err);
    yyjson_doc_free(answer);
    return ok;
}

/* ---------------------------------------------------------------- asking */

static bool search(struct run *run, const char *question, yyjson_doc **ret, struct err *err)
{
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_obj_add_str(doc, root, "query", question);
    yyjson_mut_val *stores = yyjson_mut_obj_add_arr(doc, root, "stores");
    yyjson_mut_arr_add_str(doc, stores, run->plan->store);
    yyjson_mut_obj_add_uint(doc, root, "top_k", TUNE_PASSAGES);
    yyjson_mut_obj_add_real(doc, root, "alpha", 0.5); /* both lists take part */
    yyjson_mut_obj_add_str(doc, root, "fusion", "convex");
    yyjson_mut_obj_add_bool(doc, root, "literal", true);
    yyjson_mut_obj_add_bool(doc, root, "rerank", false);
    bool ok = client_call(run->client, "POST", "/v1/jarvis/search", doc, ret, err);
    yyjson_mut_doc_free(doc);
    return ok;
}

static double grade_of(const struct item *item, yyjson_val *hit)
{
    const char *id = text_of(hit, "document_id");
    const char *path = text_of(hit, "path");
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    for (size_t i = 0; i < item->wanted_count; i++)
        if (strcmp(item->wanted[i], id) == 0 || strcmp(item->wanted[i], path) == 0 ||
            strcmp(item->wanted[i], name) == 0)
            return item->grades[i];
    return 0;
}

/* Documents get numbers in the order in which a question's hits name them. */
static bool number_of(struct map *documents, const char *id, uint32_t *ret, struct err *err)
{
    uint64_t number = documents->count;
    if (!map_get(documents, id, strlen(id), &number) &&
        !map_put(documents, id, strlen(id), number, err))
        return false;
    *ret = (uint32_t)number;
    return true;
}

static bool take_hit(const struct item *item, struct map *documents, yyjson_val *hit,
                     struct tune_candidate *ret, struct err *err)
{
    yyjson_val *dense = yyjson_obj_get(hit, "dense");
    *ret = (struct tune_candidate){
        .sparse = (float)yyjson_get_num(yyjson_obj_get(hit, "sparse")),
        .dense = (float)yyjson_get_num(dense),
        .has_dense = true,
        .grade = grade_of(item, hit),
    };
    return number_of(documents, text_of(hit, "document_id"), &ret->document, err);
}

static bool take_hits(struct run *run, size_t number, yyjson_val *root, struct map *documents,
                      struct err *err)
{
    struct arena *arena = &run->result->arena;
    struct item *item = &run->items[number];
    yyjson_val *hits = yyjson_obj_get(root, "hits");
    size_t room = yyjson_arr_size(hits);
    struct tune_candidate *candidates = arena_array(arena, room + 1, sizeof(*candidates));
    item->texts = arena_array(arena, room + 1, sizeof(char *));
    if (!candidates || !item->texts)
        return err_no_memory(err);
    size_t count = 0;
    yyjson_arr_iter walk = yyjson_arr_iter_with(hits);
    yyjson_val *hit;
    while ((hit = yyjson_arr_iter_next(&walk))) {
        const char *name = passage_name(arena, hit);
        if (!name)
            return err_no_memory(err);
        if (strcmp(name, item->hidden) == 0)
            continue;
        if (!take_hit(item, documents, hit, &candidates[count], err))
            return false;
        if (run->has_rerank && !(item->texts[count] = arena_copy(arena, text_of(hit, "text"))))
            return err_no_memory(err);
        count++;
    }
    run->questions[number] = (struct tune_question){
        .candidates = candidates,
        .count = count,
        .coverage = yyjson_get_num(yyjson_obj_get(root, "coverage")),
        .relevant = item->grades,
        .relevant_count = item->wanted_count,
    };
    return true;
}

static bool ask(struct run *run, size_t number, struct err *err)
{
    yyjson_doc *answer;
    struct map documents;
    if (!search(run, run->items[number].text, &answer, err))
        return false;
    map_init(&documents, PATHS_MAX);
    bool ok = take_hits(run, number, yyjson_doc_get_root(answer), &documents, err);
    map_free(&documents);
    yyjson_doc_free(run->result->last);
    run->result->last = answer;
    return ok;
}

/* ---------------------------------------------------------------- reranking */

static bool request_rerank(struct run *run, size_t number, const size_t *order, size_t count,
                           yyjson_doc **ret, struct err *err)
{
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_obj_add_str(doc, root, "query", run->items[number].text);
    yyjson_mut_val *texts = yyjson_mut_obj_add_arr(doc, root, "documents");
    for (size_t i = 0; i < count; i++)
        yyjson_mut_arr_add_str(doc, texts, run->items[number].texts[order[i]]);
    bool ok = client_call(run->client, "POST", "/v1/rerank", doc, ret, err);
    yyjson_mut_doc_free(doc);
    return ok;
}

/* The rerank model's scores of a question's first candidates. */
static bool rerank(struct run *run, size_t number, struct err *err)
{
    size_t order[TUNE_CANDIDATES_MAX];
    struct tune_question *question = &run->questions[number];
    size_t count = tune_order(question, run->result->alpha_after, order);
    count = count < TUNE_DEPTH_MAX ? count : TUNE_DEPTH_MAX;
    yyjson_doc *answer;
    if (count == 0)
        return true;
    if (!request_rerank(run, number, order, count, &answer, err))
        return false;
    struct tune_candidate *candidates = (struct tune_candidate *)(uintptr_t)question->candidates;
    yyjson_arr_iter walk =
        yyjson_arr_iter_with(yyjson_obj_get(yyjson_doc_get_root(answer), "results"));
    yyjson_val *row;
    while ((row = yyjson_arr_iter_next(&walk))) {
        uint64_t index = yyjson_get_uint(yyjson_obj_get(row, "index"));
        if (index >= count)
            continue;
        candidates[order[index]].rerank = yyjson_get_num(yyjson_obj_get(row, "relevance_score"));
        candidates[order[index]].reranked = true;
    }
    yyjson_doc_free(answer);
    return true;
}

static bool choose_depth(struct run *run, struct err *err)
{
    struct tune_result *result = run->result;
    for (size_t i = 0; i < result->questions; i++) {
        show(run, "rerank", i);
        if (!rerank(run, i, err))
            return false;
    }
    if (!tune_depth(run->questions, result->questions, result->alpha_after, result->depth_before,
                    &result->depth, err))
        return false;
    result->has_depth = true;
    if (result->depth.shown)
        result->depth_after = tune_depths[result->depth.best];
    return true;
}

/* ---------------------------------------------------------------- all of it */

static bool check_count(const struct run *run, struct err *err)
{
    if (run->result->questions >= TUNE_QUESTIONS_MIN)
        return true;
    return err_set(err, ERR_INVALID_REQUEST,
                   "%zu questions are too few to choose by, at least %d are needed; give more with "
                   "--queries and --qrels, or put more documents into the store",
                   run->result->questions, TUNE_QUESTIONS_MIN);
}

static bool measure(struct run *run, struct err *err)
{
    struct tune_result *result = run->result;
    if (!read_state(run, err) ||
        !(run->plan->queries ? read_labelled(run, err) : make_questions(run, err)) ||
        !check_count(run, err))
        return false;
    run->questions = arena_array(&result->arena, result->questions, sizeof(*run->questions));
    if (!run->questions)
        return err_no_memory(err);
    for (size_t i = 0; i < result->questions; i++) {
        show(run, "search", i);
        if (!ask(run, i, err))
            return false;
    }
    if (!tune_alpha(run->questions, result->questions, result->alpha_before, &result->alpha, err))
        return false;
    result->alpha_after =
        result->alpha.shown ? (double)result->alpha.best / (TUNE_STEPS - 1) : result->alpha_before;
    result->depth_after = result->depth_before;
    return !run->has_rerank || choose_depth(run, err);
}

bool tune_run(struct cli *cli, struct client *client, const struct tune_plan *plan,
              struct tune_result *ret, struct err *err)
{
    struct tune_result result = {.questions = 0};
    arena_init(&result.arena, ARENA_MAX);
    struct run run = {.cli = cli, .client = client, .plan = plan, .result = &result};
    progress_begin(&run.progress, &cli->err, cli->lang);
    bool ok = measure(&run, err);
    progress_end(&run.progress);
    if (!ok) {
        tune_result_free(&result);
        return false;
    }
    *ret = result;
    return true;
}

void tune_result_free(struct tune_result *result)
{
    yyjson_doc_free(result->last);
    arena_free(&result->arena);
}
