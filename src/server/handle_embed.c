#include <math.h>
#include <stdlib.h>

#include "assistant/models.h"
#include "assistant/rerank.h"
#include "base/hash.h"
#include "server/handlers.h"
#include "server/openai_parse.h"
#include "server/openai_write.h"

bool handle_embeddings(struct http_request *request, struct err *err)
{
    struct openai_embeddings asked;
    struct msg_vectors vectors = {0};
    const char *model = NULL;
    if (!openai_parse_embeddings(request->body.data, request->body.length, &request->arena, &asked,
                                 err))
        return false;
    request->record.query = asked.inputs[0];
    request->record.model = asked.model;
    if (!models_embed(request->runtime, &request->request, asked.model, asked.inputs, asked.count,
                      &vectors, &model, err))
        return false;
    if (asked.dimensions > vectors.dimensions)
        return err_set_param(err, ERR_INVALID_REQUEST, "dimensions",
                             "\"dimensions\" is %u, but vectors of \"%s\" have %u numbers",
                             asked.dimensions, model, vectors.dimensions);
    request->record.model = model;
    request->record.tokens = vectors.tokens;
    openai_write_embeddings(&request->answer.body, &vectors, model,
                            asked.dimensions > 0 ? asked.dimensions : vectors.dimensions,
                            asked.base64);
    return true;
}

static int compare_scores(const void *left, const void *right, void *scores)
{
    uint32_t a = *(const uint32_t *)left;
    uint32_t b = *(const uint32_t *)right;
    const float *score = scores;
    /* A broken model may say NaN, which has no order: it goes last. */
    float first = isnan(score[a]) ? -INFINITY : score[a];
    float second = isnan(score[b]) ? -INFINITY : score[b];
    if (first != second)
        return first > second ? -1 : 1;
    return a < b ? -1 : a > b;
}

bool handle_rerank(struct http_request *request, struct err *err)
{
    struct openai_rerank asked;
    if (!openai_parse_rerank(request->body.data, request->body.length, &request->arena, &asked,
                             err))
        return false;
    request->record.query = asked.query;
    request->record.model = asked.model;
    const struct rerank_question question = {
        .model = asked.model, .query = asked.query, .texts = asked.documents, .count = asked.count};
    struct rerank_answer answer;
    if (!rerank_run(request->runtime, &request->request, &question, &answer, err))
        return false;
    uint32_t *order = arena_array(&request->arena, asked.count, sizeof(*order));
    if (!order)
        return err_no_memory(err);
    for (size_t i = 0; i < asked.count; i++)
        order[i] = (uint32_t)i;
    float *values = (float *)(uintptr_t)answer.scores; /* qsort_r hands it on; it is only read */
    qsort_r(order, asked.count, sizeof(*order), compare_scores, values);
    char id[ID_MAX];
    hash_random_id("rerank-", id);
    request->record.model = answer.model;
    request->record.tokens = answer.tokens;
    openai_write_rerank(&request->answer.body, &asked, &answer, order, id);
    return true;
}
