#include "assistant/meaning.h"

#include <stdlib.h>
#include <string.h>

#include "retrieval/sentence.h"

enum {
    SENTENCES_MAX = 256, /* compared with one question */
    SENTENCE_MIN = 30,   /* bytes; a shorter one is a heading or a fragment */
};

static const double least_of_best = 0.75; /* of the best cosine: what another quote must reach */

/* Sentences with the question first, as they are embedded. */
struct sentences {
    const char **texts;
    struct quote *quotes; /* of texts[1..] */
    size_t count;         /* of quotes */
};

static bool add_sentence(struct request *request, struct sentences *list,
                         const struct search_hit *hit, size_t passage, size_t start, size_t end,
                         struct err *err)
{
    char *text = arena_copy_n(request->arena, hit->text + start, end - start);
    if (!text)
        return err_no_memory(err);
    list->quotes[list->count] = (struct quote){passage, start, end - start, 0};
    list->texts[1 + list->count++] = text;
    return true;
}

static bool collect(struct request *request, const char *question, const struct search_hit *hits,
                    size_t hit_count, struct sentences *ret, struct err *err)
{
    *ret = (struct sentences){
        .texts = arena_array(request->arena, SENTENCES_MAX + 1, sizeof(char *)),
        .quotes = arena_array(request->arena, SENTENCES_MAX, sizeof(struct quote)),
    };
    if (!ret->texts || !ret->quotes)
        return err_no_memory(err);
    ret->texts[0] = question;
    for (size_t i = 0; i < hit_count; i++) {
        size_t length = strlen(hits[i].text);
        size_t cursor = 0;
        size_t start;
        size_t end;
        while (ret->count < SENTENCES_MAX &&
               sentence_next(hits[i].text, length, &cursor, &start, &end))
            if (end - start >= SENTENCE_MIN &&
                !add_sentence(request, ret, &hits[i], i, start, end, err))
                return false;
    }
    return true;
}

static int by_score(const void *a, const void *b)
{
    const struct quote *x = a;
    const struct quote *y = b;
    if (x->score != y->score)
        return x->score < y->score ? 1 : -1;
    return x->passage < y->passage ? -1 : x->passage > y->passage;
}

/* Fills in the cosines; false leaves why in *err. */
static bool compare(struct runtime *runtime, struct request *request, struct sentences *list,
                    struct err *err)
{
    struct msg_vectors vectors;
    const char *model;
    if (!models_embed(runtime, request, NULL, list->texts, list->count + 1, &vectors, &model, err))
        return false;
    for (size_t i = 0; i < list->count; i++) {
        const float *sentence = vectors.values + (i + 1) * vectors.dimensions;
        for (uint32_t d = 0; d < vectors.dimensions; d++)
            list->quotes[i].score += (double)vectors.values[d] * sentence[d];
    }
    qsort(list->quotes, list->count, sizeof(*list->quotes), by_score);
    return true;
}

/* Passages overlap: the same sentence may come twice. */
static bool is_among(const struct search_hit *hits, const struct quote *quotes, size_t count,
                     const struct quote *quote)
{
    for (size_t i = 0; i < count; i++)
        if (quotes[i].length == quote->length &&
            memcmp(hits[quotes[i].passage].text + quotes[i].offset,
                   hits[quote->passage].text + quote->offset, quote->length) == 0)
            return true;
    return false;
}

bool meaning_best_sentences(struct runtime *runtime, struct request *request, const char *question,
                            const struct search_hit *hits, size_t hit_count, size_t want,
                            struct quote **ret, size_t *ret_count, struct err *err)
{
    struct sentences list;
    if (!collect(request, question, hits, hit_count, &list, err))
        return false;
    *ret = list.quotes;
    *ret_count = 0;
    if (list.count == 0)
        return true;
    if (!compare(runtime, request, &list, err))
        return err->code != ERR_CANCELLED && err->code != ERR_TIMEOUT && err->code != ERR_NO_MEMORY;
    double least = least_of_best * list.quotes[0].score;
    for (size_t i = 0; i < list.count && *ret_count < want; i++) {
        const struct quote *quote = &list.quotes[i];
        if (quote->score > 0 && quote->score >= least &&
            !is_among(hits, list.quotes, *ret_count, quote))
            list.quotes[(*ret_count)++] = *quote;
    }
    return true;
}
