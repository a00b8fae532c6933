/* Which sentences answer a question best. A sentence is worth the idf of the question's words in
 * it, each once. That alone would choose headings, which repeat the question's words and say
 * nothing, and the longest sentences, which contain many words by chance; so both count less, and
 * so does a question, as in "How do I install it?" above the answer. */
#include <stdlib.h>
#include <string.h>

#include "base/vec.h"
#include "retrieval/index_content.h"
#include "retrieval/sentence.h"

enum {
    WORDS_FEW = 5,   /* shorter than this: a heading or a fragment */
    WORDS_MANY = 60, /* longer than this: pays for its length */
    SENTENCES_MAX = 1 << 20,
};

static const double fragment_factor = 0.6; /* no full stop at its end */
static const double question_factor = 0.5;

/* The question's terms and what each is worth, per language. */
struct worth {
    struct bm25_query terms;
    double *idf; /* by term */
};

/* Reads one sentence. */
struct reader {
    const struct worth *worth;
    enum lang lang;
    bool *seen; /* by term */
    double sum;
    size_t words;
};

struct quote_list {
    struct quote *items;
    size_t count;
    size_t capacity;
};

static bool weigh_token(void *user, const struct text_token *token, struct err *err)
{
    (void)err;
    struct reader *reader = user;
    reader->words++;
    const struct bm25_query *terms = &reader->worth->terms;
    for (size_t i = 0; i < terms->count; i++) {
        const struct bm25_term *term = &terms->terms[i];
        if (!reader->seen[i] && term->count[reader->lang] > 0 && term->length == token->length &&
            memcmp(term->term, token->term, token->length) == 0) {
            reader->seen[i] = true;
            reader->sum += reader->worth->idf[i];
        }
    }
    return true;
}

/* The last character that is no quote or bracket. */
static char last_mark(const char *text, size_t length)
{
    while (length > 0 && strchr("\"')]*_", text[length - 1]))
        length--;
    return length > 0 ? text[length - 1] : '\0';
}

static double form_factor(const char *text, size_t length, size_t words)
{
    double factor = words < WORDS_FEW    ? (double)words / WORDS_FEW
                    : words > WORDS_MANY ? 2.0 * WORDS_MANY / (double)(words + WORDS_MANY)
                                         : 1;
    char mark = last_mark(text, length);
    if (mark == '?')
        return factor * question_factor;
    return mark == '.' || mark == '!' || mark == ':' || mark == ';' ? factor
                                                                    : factor * fragment_factor;
}

/* Adds the sentences of a passage that share a word with the question. */
static bool add_sentences(struct quote_list *list, const struct worth *worth,
                          struct text_analyzer *analyzer, const struct quotable *passage,
                          size_t number, struct err *err)
{
    struct reader reader = {.worth = worth, .lang = passage->lang};
    reader.seen = calloc(worth->terms.count + 1, sizeof(*reader.seen));
    if (!reader.seen)
        return err_no_memory(err);
    size_t cursor = 0;
    size_t start;
    size_t end;
    bool ok = true;
    while (ok && sentence_next(passage->text, passage->length, &cursor, &start, &end)) {
        memset(reader.seen, 0, worth->terms.count * sizeof(*reader.seen));
        reader.sum = 0;
        reader.words = 0;
        const char *text = passage->text + start;
        ok = text_analyze(analyzer, text, end - start, passage->lang, weigh_token, &reader, err);
        double score = reader.sum * form_factor(text, end - start, reader.words) * passage->weight;
        if (!ok || !(score > 0))
            continue;
        ok = vec_reserve(&list->items, &list->capacity, list->count + 1, sizeof(*list->items),
                         SENTENCES_MAX, err);
        if (ok)
            list->items[list->count++] = (struct quote){
                .passage = number, .offset = start, .length = end - start, .score = score};
    }
    free(reader.seen);
    return ok;
}

/* The idf of each term, over all the indexes as if they were one. */
static bool weigh_terms(struct index *const *indexes, size_t index_count, struct worth *worth,
                        struct err *err)
{
    size_t count = worth->terms.count;
    worth->idf = calloc(count + 1, sizeof(*worth->idf));
    uint32_t *frequency = calloc(count + 1, sizeof(*frequency));
    uint32_t passages = 0;
    if (!worth->idf || !frequency) {
        free(frequency);
        return err_no_memory(err);
    }
    for (size_t i = 0; i < index_count; i++) {
        pthread_rwlock_rdlock(&indexes[i]->lock);
        const struct bm25 *bm25 = indexes[i]->content->bm25;
        passages += bm25_count(bm25);
        for (size_t t = 0; t < count; t++)
            frequency[t] +=
                bm25_frequency(bm25, worth->terms.terms[t].term, worth->terms.terms[t].length);
        pthread_rwlock_unlock(&indexes[i]->lock);
    }
    for (size_t t = 0; t < count; t++)
        worth->idf[t] = bm25_idf(passages, frequency[t]);
    free(frequency);
    return true;
}

static int compare_quotes(const void *left, const void *right)
{
    const struct quote *a = left;
    const struct quote *b = right;
    if (a->score != b->score)
        return a->score > b->score ? -1 : 1;
    if (a->passage != b->passage)
        return a->passage < b->passage ? -1 : 1;
    return a->offset < b->offset ? -1 : a->offset > b->offset;
}

/* Passages overlap and documents repeat themselves: is the quote's text among those chosen? */
static bool repeats(const struct quotable *passages, const struct quote *chosen, size_t count,
                    const struct quote *quote)
{
    for (size_t i = 0; i < count; i++)
        if (chosen[i].length == quote->length &&
            memcmp(passages[chosen[i].passage].text + chosen[i].offset,
                   passages[quote->passage].text + quote->offset, quote->length) == 0)
            return true;
    return false;
}

static bool choose(struct quote_list *list, const struct quotable *passages, size_t want,
                   struct arena *arena, struct quote **ret, size_t *ret_count, struct err *err)
{
    if (want > INDEX_SENTENCES_MAX)
        want = INDEX_SENTENCES_MAX;
    struct quote *chosen = arena_array(arena, want, sizeof(*chosen));
    if (!chosen)
        return err_no_memory(err);
    qsort(list->items, list->count, sizeof(*list->items), compare_quotes);
    size_t count = 0;
    for (size_t i = 0; i < list->count && count < want; i++)
        if (!repeats(passages, chosen, count, &list->items[i]))
            chosen[count++] = list->items[i];
    *ret = chosen;
    *ret_count = count;
    return true;
}

static bool best_sentences(struct index *const *indexes, size_t index_count,
                           struct text_analyzer *analyzer, const char *question,
                           const struct quotable *passages, size_t passage_count, size_t want,
                           struct arena *arena, struct quote **ret, size_t *ret_count,
                           struct err *err)
{
    struct worth worth = {.idf = NULL};
    struct quote_list list = {.items = NULL};
    if (!bm25_query_make(analyzer, question, strlen(question), &worth.terms, err))
        return false;
    bool ok = weigh_terms(indexes, index_count, &worth, err);
    for (size_t i = 0; ok && i < passage_count; i++)
        ok = add_sentences(&list, &worth, analyzer, &passages[i], i, err);
    ok = ok && choose(&list, passages, want, arena, ret, ret_count, err);
    bm25_query_free(&worth.terms);
    free(worth.idf);
    free(list.items);
    return ok;
}

bool index_best_sentences(struct index *const *indexes, size_t index_count, const char *question,
                          const struct quotable *passages, size_t passage_count, size_t want,
                          struct arena *arena, struct quote **ret, size_t *ret_count,
                          struct err *err)
{
    if (index_count == 0) {
        *ret = NULL;
        *ret_count = 0;
        return true;
    }
    struct text_analyzer *analyzer;
    if (!index_analyzer_take(indexes[0]->set, &analyzer, err))
        return false;
    bool ok = best_sentences(indexes, index_count, analyzer, question, passages, passage_count,
                             want, arena, ret, ret_count, err);
    index_analyzer_give(indexes[0]->set, analyzer);
    return ok;
}
