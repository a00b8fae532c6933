/* How well search finds, on real questions with known answers. Skipped where the data is not there.
 * The bounds are a little below what was measured when they were written: they catch what breaks,
 * not what wobbles. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "retrieval/fusion.h"
#include "retrieval/index.h"
#include "unit/retrieval/beir.h"
#include "unit/retrieval/fixture.h"

enum { TOP = 10 };

struct subject {
    struct beir beir;
    struct index_set *set;
    struct index *index;
    size_t *document_of; /* by number of the stored document */
    size_t numbers;
};

/* A whole document is one passage, so that what is measured is the ranking. */
static void put_whole(struct fixture *f, const char *id, const char *text, enum lang lang,
                      struct document_written *written)
{
    size_t length = strlen(text);
    struct chunk chunk = {.offset = 0, .length = (uint32_t)length, .line_start = 1, .line_end = 1};
    struct document_new document = {.collection = f->collection.id,
                                    .path = id,
                                    .lang = lang,
                                    .text = text,
                                    .text_length = length,
                                    .chunks = &chunk,
                                    .chunk_count = length > 0};
    assert_ok(store_document_put(f->store, &document, written, &f->err), &f->err);
}

/* Skips the test when the data is not there. */
static void open_subject(struct fixture *f, const char *name, enum lang lang, struct subject *ret)
{
    if (!beir_load(name, &ret->beir))
        skip();
    ret->numbers = ret->beir.document_count * 2 + 16;
    ret->document_of = calloc(ret->numbers, sizeof(*ret->document_of));
    for (size_t i = 0; i < ret->beir.document_count; i++) {
        struct document_written written;
        put_whole(f, ret->beir.documents[i].id, ret->beir.documents[i].text, lang, &written);
        assert_true((size_t)written.number < ret->numbers);
        ret->document_of[written.number] = i;
    }
    struct index_load load = {.embedder = NULL};
    assert_ok(index_set_new(f->store, &ret->set, &f->err), &f->err);
    assert_ok(index_set_acquire(ret->set, f->collection.id, &load, &ret->index, &f->err), &f->err);
}

static void close_subject(struct subject *subject)
{
    index_release(subject->index);
    index_set_free(subject->set);
    free(subject->document_of);
    beir_free(&subject->beir);
}

static size_t rank(struct fixture *f, struct subject *subject, const char *text, size_t *ranking)
{
    struct index_query query = {.text = text, .length = strlen(text), .top_k = TOP};
    struct index_hit *hits;
    size_t count;
    struct arena arena;
    arena_init(&arena, 1 << 20);
    assert_ok(index_search(&subject->index, 1, &query, &arena, &hits, &count, &f->err), &f->err);
    for (size_t i = 0; i < count; i++)
        ranking[i] = subject->document_of[hits[i].key.document];
    arena_free(&arena);
    return count;
}

static double mean_ndcg(struct fixture *f, struct subject *subject, char *(*change)(const char *))
{
    double sum = 0;
    size_t queries = 0;
    for (size_t q = 0; q < subject->beir.query_count; q++) {
        size_t ranking[TOP];
        char *text = change ? change(subject->beir.queries[q].text) : NULL;
        size_t count = rank(f, subject, text ? text : subject->beir.queries[q].text, ranking);
        double ndcg = beir_ndcg(&subject->beir, q, ranking, count, TOP);
        free(text);
        if (ndcg >= 0) {
            sum += ndcg;
            queries++;
        }
    }
    return sum / (double)queries;
}

static void expect(const char *name, double value, double bound)
{
    print_message("# %s: %.4f (at least %.2f)\n", name, value, bound);
    assert_true(value >= bound);
}

static void test_cranfield(void **state)
{
    struct fixture *f = *state;
    struct subject subject;
    open_subject(f, "cranfield", LANG_EN, &subject);
    expect("Cranfield, words, nDCG@10", mean_ndcg(f, &subject, NULL), 0.40);
    close_subject(&subject);
}

/* As people type who have no accents on their keyboard, or no patience. */
static char *without_accents(const char *text)
{
    static const char *const from[] = {"á", "é", "í", "ó", "ú", "Á", "É", "Í", "Ó", "Ú", "ü", NULL};
    static const char to[] = "aeiouAEIOUu";
    struct str out;
    str_init(&out, 1 << 20);
    while (*text) {
        size_t i = 0;
        while (from[i] && strncmp(text, from[i], 2) != 0)
            i++;
        str_putc(&out, from[i] ? to[i] : *text);
        text += from[i] ? 2 : 1;
    }
    return str_take(&out);
}

static void test_xquad_spanish(void **state)
{
    struct fixture *f = *state;
    struct subject subject;
    open_subject(f, "xquad-es", LANG_ES, &subject);
    expect("XQuAD es, words, nDCG@10", mean_ndcg(f, &subject, NULL), 0.85);
    expect("XQuAD es, questions without accents", mean_ndcg(f, &subject, without_accents), 0.85);
    close_subject(&subject);
}

/* The part of the questions whose best sentence, out of the right paragraph, holds the answer's
 * text. */
static double answered(struct fixture *f, struct subject *subject, enum lang lang)
{
    size_t asked = 0;
    size_t found = 0;
    for (size_t i = 0; i < subject->beir.judgement_count; i++) {
        const struct beir_judgement *judgement = &subject->beir.judgements[i];
        const struct beir_text *query = &subject->beir.queries[judgement->query];
        const char *text = subject->beir.documents[judgement->document].text;
        if (!query->answer || !strstr(text, query->answer))
            continue;
        struct quotable passage = {text, strlen(text), lang, 1};
        struct quote *quotes;
        size_t count;
        struct arena arena;
        arena_init(&arena, 1 << 20);
        struct quote_query wanted = {query->text, &passage, 1, 1};
        assert_ok(
            index_best_sentences(&subject->index, 1, &wanted, &arena, &quotes, &count, &f->err),
            &f->err);
        asked++;
        found += count > 0 && memmem(text + quotes[0].offset, quotes[0].length, query->answer,
                                     strlen(query->answer)) != NULL;
        arena_free(&arena);
    }
    assert_true(asked > 0);
    return (double)found / (double)asked;
}

static void test_xquad_english(void **state)
{
    struct fixture *f = *state;
    struct subject subject;
    open_subject(f, "xquad-en", LANG_EN, &subject);
    expect("XQuAD en, words, nDCG@10", mean_ndcg(f, &subject, NULL), 0.85);
    expect("XQuAD en, the best sentence has the answer", answered(f, &subject, LANG_EN), 0.5);
    close_subject(&subject);
}

static void test_xquad_spanish_sentences(void **state)
{
    struct fixture *f = *state;
    struct subject subject;
    open_subject(f, "xquad-es", LANG_ES, &subject);
    expect("XQuAD es, the best sentence has the answer", answered(f, &subject, LANG_ES), 0.5);
    close_subject(&subject);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_cranfield),
        CASE(test_xquad_spanish),
        CASE(test_xquad_english),
        CASE(test_xquad_spanish_sentences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
