/* The choice of alpha and depth on questions made so that the right answer is known, questions made of passages, and
 * what the store keeps of a choice. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "retrieval/index.h"
#include "retrieval/tune.h"
#include "unit/retrieval/fixture.h"

enum { QUESTIONS = 60, CANDIDATES = 12 };

struct world {
    struct tune_question questions[QUESTIONS];
    struct tune_candidate candidates[QUESTIONS][CANDIDATES];
    double relevant;
};

/* Each question has one relevant document. Which of its scores tell it: 0..1, the rest is chance. */
static struct world *make_world(double words, double meaning, double model)
{
    struct testing_random random;
    testing_seed(&random);
    struct world *world = calloc(1, sizeof(*world));
    assert_non_null(world);
    world->relevant = 1;
    for (size_t q = 0; q < QUESTIONS; q++) {
        for (uint32_t i = 0; i < CANDIDATES; i++) {
            double right = i == 5;
            double chance[3];
            for (size_t c = 0; c < 3; c++)
                chance[c] = (double)testing_below(&random, 1000) / 1000;
            world->candidates[q][i] = (struct tune_candidate){
                .document = i,
                .sparse = (float)(10 * (words * right + (1 - words) * chance[0])),
                .dense = (float)(meaning * right + (1 - meaning) * chance[1]),
                .has_dense = true,
                .grade = right,
                .rerank = model * right + (1 - model) * chance[2],
                .reranked = true,
            };
        }
        world->questions[q] = (struct tune_question){.candidates = world->candidates[q],
                                                     .count = CANDIDATES,
                                                     .coverage = 1,
                                                     .relevant = &world->relevant,
                                                     .relevant_count = 1};
    }
    return world;
}

static void test_alpha_goes_where_the_answers_are(void **state)
{
    (void)state;
    struct err err;
    struct tune_choice choice;
    struct world *world = make_world(0, 1, 0); /* only meaning knows */
    assert_ok(tune_alpha(world->questions, QUESTIONS, 0.2, &choice, &err), &err);
    assert_true(choice.shown && choice.best >= 8 && choice.gain.low > 0);
    assert_true(fabs(choice.quality[TUNE_STEPS - 1] - 1) < 1e-9 && choice.quality[0] < 0.8);
    free(world);
    world = make_world(1, 0, 0); /* only words know */
    assert_ok(tune_alpha(world->questions, QUESTIONS, 0.9, &choice, &err), &err);
    assert_true(choice.shown && choice.best <= 10);
    free(world);
}

static void test_what_gains_nothing_stays(void **state)
{
    (void)state;
    struct err err;
    struct tune_choice choice;
    struct world *world = make_world(1, 1, 0); /* both know: any weight is right */
    assert_ok(tune_alpha(world->questions, QUESTIONS, 0.5, &choice, &err), &err);
    assert_false(choice.shown);
    assert_ok(tune_depth(world->questions, QUESTIONS, 0.5, 0, &choice, &err), &err);
    assert_false(choice.shown); /* a rerank model that guesses */
    assert_int_equal(choice.best, 0);
    assert_int_equal(choice.values, TUNE_DEPTHS);
    free(world);
    world = make_world(0, 0, 0); /* nobody knows: chance must not be taken for a gain */
    assert_ok(tune_alpha(world->questions, QUESTIONS, 0.5, &choice, &err), &err);
    assert_true(choice.gain.low < 0.1);
    free(world);
}

static void test_depth(void **state)
{
    (void)state;
    struct err err;
    struct tune_choice choice;
    struct world *world = make_world(0, 0, 1); /* only the rerank model knows */
    assert_ok(tune_depth(world->questions, QUESTIONS, 0.5, 0, &choice, &err), &err);
    assert_true(choice.shown && tune_depths[choice.best] >= 20); /* deep enough for all of them */
    assert_true(fabs(choice.quality[choice.best] - 1) < 1e-9);
    free(world);
}

static void test_question_out_of_a_passage(void **state)
{
    (void)state;
    static const char passage[] =
        "Short one. The second sentence of this passage has more than six words. "
        "The third sentence, which stands in the middle, is taken as a question. "
        "And a fourth sentence closes the passage with some more words.";
    uint64_t random = 1;
    struct str out;
    str_init(&out, 4096);
    assert_true(tune_question_text(passage, strlen(passage), false, &random, &out));
    assert_string_equal(str_text(&out),
                        "The third sentence, which stands in the middle, is taken as a question.");
    size_t whole = out.length;
    str_truncate(&out, 0);
    assert_true(tune_question_text(passage, strlen(passage), true, &random, &out));
    assert_true(out.length > 0 && out.length < whole);
    assert_false(tune_question_text("Too short.", 10, false, &random, &out));
    assert_false(tune_question_text("", 0, false, &random, &out));
    str_free(&out);
}

/* ---------------------------------------------------------------- the store */

static void test_ranking_is_kept(void **state)
{
    struct fixture *f = *state;
    struct ranking ranking = {.alpha = 0.35, .rerank_depth = 30};
    struct ranking read = {.alpha = 7};
    bool found;
    assert_ok(store_ranking_get(f->store, "tests", &read, &found, &f->err), &f->err);
    assert_true(!found && read.alpha == 7);
    assert_ok(store_ranking_put(f->store, f->collection.id, &ranking, &f->err), &f->err);
    fixture_reopen(f);
    assert_ok(store_ranking_get(f->store, "tests", &read, &found, &f->err), &f->err);
    assert_true(found && read.alpha == 0.35 && read.rerank_depth == 30 && read.tuned_at > 0);
    ranking.rerank_depth = 0;
    assert_ok(store_ranking_put(f->store, f->collection.id, &ranking, &f->err), &f->err);
    assert_ok(store_ranking_get(f->store, f->collection.id, &read, &found, &f->err), &f->err);
    assert_true(found && read.rerank_depth == 0);
    assert_ok(store_ranking_clear(f->store, f->collection.id, &f->err), &f->err);
    assert_ok(store_ranking_get(f->store, "tests", &read, &found, &f->err), &f->err);
    assert_false(found);
    assert_false(store_ranking_put(f->store, "vs_none", &ranking, &f->err));
    assert_int_equal(f->err.code, ERR_NOT_FOUND);
    /* A choice goes with its store. */
    assert_ok(store_ranking_put(f->store, f->collection.id, &ranking, &f->err), &f->err);
    assert_ok(store_collection_delete(f->store, f->collection.id, &f->err), &f->err);
    assert_ok(store_ranking_get(f->store, "tests", &read, &found, &f->err), &f->err);
    assert_false(found);
}

static void test_sample(void **state)
{
    struct fixture *f = *state;
    enum { DOCUMENTS = 30, WANT = 10 };
    for (int i = 0; i < DOCUMENTS; i++) {
        char path[16];
        snprintf(path, sizeof(path), "/%d", i);
        fixture_put(f, path, "A few words about a ship. And some about a train.", LANG_EN);
    }
    struct index_set *set;
    struct index *index;
    struct index_load load = {.embedder = NULL};
    assert_ok(index_set_new(f->store, &set, &f->err), &f->err);
    assert_ok(index_set_acquire(set, f->collection.id, &load, &index, &f->err), &f->err);
    struct index_drawn *drawn;
    struct index_drawn *again;
    size_t count;
    assert_ok(index_sample(index, 3, WANT, &f->arena, &drawn, &count, &f->err), &f->err);
    assert_int_equal(count, WANT);
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < i; j++)
            assert_true(drawn[i].key.document != drawn[j].key.document);
    assert_ok(index_sample(index, 3, WANT, &f->arena, &again, &count, &f->err), &f->err);
    for (size_t i = 0; i < count; i++)
        assert_true(drawn[i].key.document == again[i].key.document && drawn[i].siblings >= 1);
    assert_ok(index_sample(index, 3, 100, &f->arena, &drawn, &count, &f->err), &f->err);
    assert_int_equal(count, DOCUMENTS);
    index_release(index);
    index_set_free(set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alpha_goes_where_the_answers_are),
        cmocka_unit_test(test_what_gains_nothing_stays),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_question_out_of_a_passage),
        cmocka_unit_test_setup_teardown(test_ranking_is_kept, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_sample, fixture_setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
