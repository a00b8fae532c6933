/* What dense search loses by keeping two bytes or one bit a number, on real vectors: the sentences of the shared
 * corpora and their questions, embedded by the house embedder, against exact cosines of 32-bit floats. Skipped where the
 * data is not there. */
#include <stdlib.h>
#include <string.h>

#include "engine/static_embed.h"
#include "retrieval/vector.h"
#include "unit/retrieval/beir.h"
#include "unit/retrieval/fixture.h"

enum { TOP = 10, PASSAGES_MAX = 100000, QUERIES_A_SET = 200 };

struct bodies {
    struct static_embed model;
    float *rows; /* PASSAGES_MAX x dimensions at most */
    uint32_t count;
    struct vectors *vectors;
};

static const char *const corpora[] = {"cranfield", "xquad-en", "xquad-es"};
enum { CORPORA = sizeof(corpora) / sizeof(*corpora) };

static float *row(const struct bodies *bodies, uint32_t number)
{
    return bodies->rows + (size_t)number * bodies->model.dimensions;
}

/* Every sentence of some length is a passage. */
static void add_sentences(struct bodies *bodies, const char *text)
{
    struct err err;
    while (*text) {
        const char *end = strstr(text, ". ");
        size_t length = end ? (size_t)(end - text) : strlen(text);
        assert_true(bodies->count < PASSAGES_MAX);
        float *values = row(bodies, bodies->count);
        if (length > 20 && static_embed_text(&bodies->model, text, length, values) > 0) {
            assert_ok(
                vectors_set(bodies->vectors, bodies->count, values, bodies->model.dimensions, &err),
                &err);
            bodies->count++;
        }
        text += length + (end ? 2 : 0);
    }
}

static float exact(const struct bodies *bodies, const float *query, uint32_t number)
{
    const float *values = row(bodies, number);
    double sum = 0;
    for (uint32_t j = 0; j < bodies->model.dimensions; j++)
        sum += (double)query[j] * values[j];
    return (float)sum;
}

/* How many of the ten found are as near as the tenth nearest truly is. */
static size_t found(const struct bodies *bodies, const char *text)
{
    float query[STATIC_DIMENSIONS_MAX];
    struct top_item nearest[TOP];
    struct top_item items[TOP];
    struct top truth = {.items = nearest, .want = TOP};
    struct top top = {.items = items, .want = TOP};
    struct err err;
    static_embed_text(&bodies->model, text, strlen(text), query);
    for (uint32_t i = 0; i < bodies->count; i++)
        top_offer(&truth, (struct top_item){exact(bodies, query, i), i});
    top_sort(&truth);
    assert_ok(vectors_top(bodies->vectors, query, bodies->model.dimensions, NULL, &top, &err),
              &err);
    size_t right = 0;
    for (size_t i = 0; i < top.count; i++)
        right += exact(bodies, query, items[i].number) >= nearest[TOP - 1].score;
    return right;
}

static double recall(const struct bodies *bodies, struct beir *sets)
{
    size_t right = 0;
    size_t asked = 0;
    for (size_t set = 0; set < CORPORA; set++)
        for (size_t q = 0; q < sets[set].query_count && q < QUERIES_A_SET; q++, asked++)
            right += found(bodies, sets[set].queries[q].text);
    return (double)right / (double)(asked * TOP);
}

static void test_real_vectors(void **state)
{
    (void)state;
    struct beir sets[CORPORA];
    struct bodies bodies = {.count = 0};
    struct err err;
    for (size_t i = 0; i < CORPORA; i++)
        if (!beir_load(corpora[i], &sets[i])) {
            while (i > 0)
                beir_free(&sets[--i]);
            skip();
        }
    assert_ok(static_embed_open(getenv("JARVIS_TEST_HOUSE_EMBEDDER"), &bodies.model, &err), &err);
    bodies.rows = malloc((size_t)PASSAGES_MAX * bodies.model.dimensions * sizeof(float));
    assert_non_null(bodies.rows);
    assert_ok(vectors_new(&bodies.vectors, &err), &err);
    for (size_t i = 0; i < CORPORA; i++)
        for (size_t d = 0; d < sets[i].document_count; d++)
            add_sentences(&bodies, sets[i].documents[d].text);
    static const size_t bits_bytes[] = {SIZE_MAX, 0};
    for (size_t i = 0; i < 2; i++) {
        vectors_configure(bodies.vectors, NULL, bits_bytes[i]);
        double part = recall(&bodies, sets);
        print_message("# %u sentences, %s: recall@10 %.4f (at least 0.995)\n", bodies.count,
                      i ? "signs first" : "bytes", part);
        assert_true(part >= 0.995);
    }
    vectors_free(bodies.vectors);
    free(bodies.rows);
    static_embed_close(&bodies.model);
    for (size_t i = 0; i < CORPORA; i++)
        beir_free(&sets[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_real_vectors)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
