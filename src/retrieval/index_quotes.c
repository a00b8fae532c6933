/* Which sentences answer a question best. A sentence is worth the idf of the question's words in
 * it, each once. That alone would choose headings, which repeat the question's words and say
 * nothing, and the longest sentences, which contain many words by chance; so both count less, and
 * so does a question, as in "How do I install it?" above the answer.
 *
 * Sentences are chosen one after the other, and a word that a chosen one has already counts little
 * from then on: a question about two things gets sentences about both (the idea of maximal marginal
 * relevance; Carbonell and Goldstein, SIGIR 1998). */
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
static const double covered_factor = 0.3; /* a word that a chosen sentence has already */
static const double least_factor = 0.25;  /* of the first one's score: what another must add */

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

/* A sentence that may be chosen. */
struct candidate {
    struct quote quote;
    double factor;  /* of its form and its passage: score = factor · sum of idf */
    uint64_t terms; /* bit i: it has term i of the question; terms past the 64th have no bit */
};

struct candidate_list {
    struct candidate *items;
    size_t count;
    size_t capacity;
};

static bool weigh_token(void *user, const struct text_token *token, struct err *err)
{
    (void)err;
    struct reader *reader = user;
    reader->words += !token->extra;
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

static uint64_t term_bits(const struct reader *reader)
{
    uint64_t bits = 0;
    for (size_t i = 0; i < reader->worth->terms.count && i < 64; i++)
        bits |= (uint64_t)reader->seen[i] << i;
    return bits;
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
static bool add_sentences(struct candidate_list *list, const struct worth *worth,
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
        double factor = form_factor(text, end - start, reader.words) * passage->weight;
        if (!ok || !(reader.sum * factor > 0))
            continue;
        ok = vec_reserve(&list->items, &list->capacity, list->count + 1, sizeof(*list->items),
                         SENTENCES_MAX, err);
        if (ok)
            list->items[list->count++] = (struct candidate){
                .quote = {number, start, end - start, reader.sum * factor},
                .factor = factor,
                .terms = term_bits(&reader),
            };
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

/* What a sentence adds to those chosen, which have the terms `covered`. */
static double gain(const struct candidate *candidate, const struct worth *worth, uint64_t covered)
{
    double value = candidate->quote.score;
    for (size_t i = 0; i < worth->terms.count && i < 64; i++)
        if (candidate->terms & covered & (uint64_t)1 << i)
            value -= (1 - covered_factor) * worth->idf[i] * candidate->factor;
    return value;
}

/* The candidate that adds most; the earlier one among equals. NULL when none adds more than
 * `least`. */
static struct candidate *next_choice(struct candidate_list *list, const struct worth *worth,
                                     uint64_t covered, double least)
{
    struct candidate *best = NULL;
    double most = least;
    for (size_t i = 0; i < list->count; i++) {
        double value = list->items[i].quote.length > 0 ? gain(&list->items[i], worth, covered) : 0;
        if (value > most) {
            most = value;
            best = &list->items[i];
        }
    }
    return best;
}

static bool choose(struct candidate_list *list, const struct worth *worth,
                   const struct quote_query *query, struct arena *arena, struct quote **ret,
                   size_t *ret_count, struct err *err)
{
    size_t want = query->want < INDEX_SENTENCES_MAX ? query->want : INDEX_SENTENCES_MAX;
    struct quote *chosen = arena_array(arena, want, sizeof(*chosen));
    if (!chosen)
        return err_no_memory(err);
    size_t count = 0;
    uint64_t covered = 0;
    double least = 0;
    struct candidate *next;
    while (count < want && (next = next_choice(list, worth, covered, least))) {
        if (!repeats(query->passages, chosen, count, &next->quote)) {
            chosen[count++] = next->quote;
            covered |= next->terms;
            least = least_factor * chosen[0].score;
        }
        next->quote.length = 0; /* it is not looked at again */
    }
    *ret = chosen;
    *ret_count = count;
    return true;
}

static bool best_sentences(struct index *const *indexes, size_t index_count,
                           struct text_analyzer *analyzer, const struct quote_query *query,
                           struct arena *arena, struct quote **ret, size_t *ret_count,
                           struct err *err)
{
    struct worth worth = {.idf = NULL};
    struct candidate_list list = {.items = NULL};
    if (!bm25_query_make(analyzer, query->question, strlen(query->question), &worth.terms, err))
        return false;
    bool ok = weigh_terms(indexes, index_count, &worth, err);
    for (size_t i = 0; ok && i < query->passage_count; i++)
        ok = add_sentences(&list, &worth, analyzer, &query->passages[i], i, err);
    ok = ok && choose(&list, &worth, query, arena, ret, ret_count, err);
    bm25_query_free(&worth.terms);
    free(worth.idf);
    free(list.items);
    return ok;
}

bool index_best_sentences(struct index *const *indexes, size_t index_count,
                          const struct quote_query *query, struct arena *arena, struct quote **ret,
                          size_t *ret_count, struct err *err)
{
    if (index_count == 0) {
        *ret = NULL;
        *ret_count = 0;
        return true;
    }
    struct text_analyzer *analyzer;
    if (!index_analyzer_take(indexes[0]->set, &analyzer, err))
        return false;
    bool ok = best_sentences(indexes, index_count, analyzer, query, arena, ret, ret_count, err);
    index_analyzer_give(indexes[0]->set, analyzer);
    return ok;
}
