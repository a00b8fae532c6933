/* The measures on rankings small enough to compute by hand, their intervals, and the files that questions come in. An
 * independent computation over whole runs is in tests/e2e/eval_test.py. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "helper/testing.h"
#include "retrieval/dataset.h"
#include "retrieval/evaluate.h"
#include "unit/retrieval/fixture.h"

static void assert_near(double value, double expected)
{
    if (!(fabs(value - expected) < 1e-9))
        fail_msg("%.12g, should be %.12g", value, expected);
}

static void test_by_hand(void **state)
{
    (void)state;
    /* Grades 1 and 3 at ranks 2 and 4; the question has 3, 2 and 1. */
    const double grades[] = {0, 1, 0, 3};
    const double relevant[] = {3, 2, 1};
    struct evaluate_values values;
    evaluate_ranking(grades, 4, relevant, 3, &values);
    double gained = 1 / log2(3) + 3 / log2(5);
    double best = 3 + 2 / log2(3) + 1 / log2(4);
    assert_near(values.of[EVALUATE_NDCG_10], gained / best);
    assert_near(values.of[EVALUATE_RECALL_3], 1.0 / 3);
    assert_near(values.of[EVALUATE_RECALL_10], 2.0 / 3);
    assert_near(values.of[EVALUATE_RECALL_100], 2.0 / 3);
    assert_near(values.of[EVALUATE_MRR_10], 0.5);
}

static void test_extremes(void **state)
{
    (void)state;
    struct evaluate_values values;
    double grades[EVALUATE_DEPTH] = {0};
    double relevant[12];
    for (size_t i = 0; i < 12; i++)
        relevant[i] = grades[i] = 1;
    evaluate_ranking(grades, 12, relevant, 12, &values);
    assert_near(values.of[EVALUATE_NDCG_10], 1);
    assert_near(values.of[EVALUATE_RECALL_3], 0.25);
    assert_near(values.of[EVALUATE_RECALL_10], 10.0 / 12);
    assert_near(values.of[EVALUATE_RECALL_100], 1);
    evaluate_ranking(grades, 0, relevant, 12, &values); /* nothing was found */
    for (size_t i = 0; i < EVALUATE_COUNT; i++)
        assert_near(values.of[i], 0);
    memset(grades, 0, sizeof(grades));
    grades[10] = 1; /* found, but past the tenth */
    evaluate_ranking(grades, 11, relevant, 1, &values);
    assert_near(values.of[EVALUATE_NDCG_10], 0);
    assert_near(values.of[EVALUATE_MRR_10], 0);
    assert_near(values.of[EVALUATE_RECALL_100], 1);
}

static void test_intervals(void **state)
{
    (void)state;
    struct testing_random random;
    testing_seed(&random);
    enum { COUNT = 400 };
    double values[COUNT];
    double sum = 0;
    for (size_t i = 0; i < COUNT; i++)
        sum += values[i] = (double)testing_below(&random, 1000) / 1000;
    struct evaluate_interval interval;
    struct evaluate_interval again;
    struct err err;
    assert_ok(evaluate_bootstrap(values, COUNT, 7, &interval, &err), &err);
    assert_ok(evaluate_bootstrap(values, COUNT, 7, &again, &err), &err);
    assert_memory_equal(&interval, &again, sizeof(interval));
    assert_near(interval.mean, sum / COUNT);
    /* Uniform values: standard deviation 0.289, so 1.96 standard errors are 0.0283 of either side. */
    double half = (interval.high - interval.low) / 2;
    assert_true(interval.low < interval.mean && interval.mean < interval.high);
    assert_true(half > 0.022 && half < 0.035);
    for (size_t i = 0; i < COUNT; i++)
        values[i] = 0.25;
    assert_ok(evaluate_bootstrap(values, COUNT, 7, &interval, &err), &err);
    assert_near(interval.low, 0.25);
    assert_near(interval.high, 0.25);
}

static void test_quantiles(void **state)
{
    (void)state;
    double values[] = {4, 1, 3, 2};
    assert_near(evaluate_quantile(values, 4, 0), 1);
    assert_near(evaluate_quantile(values, 4, 0.5), 2.5);
    assert_near(evaluate_quantile(values, 4, 0.95), 3.85);
    assert_near(evaluate_quantile(values, 4, 1), 4);
    assert_near(evaluate_quantile(values, 1, 0.95), 1);
    assert_near(evaluate_quantile(values, 0, 0.5), 0);
}

/* ---------------------------------------------------------------- files */

struct files {
    char *folder;
    struct arena arena;
    struct err err;
};

static char *write_file(struct files *f, const char *name, const char *text)
{
    return testing_file(f->folder, name, text, strlen(text));
}

static int setup_files(void **state)
{
    struct files *f = calloc(1, sizeof(*f));
    f->folder = testing_directory();
    arena_init(&f->arena, 1 << 20);
    *state = f;
    return 0;
}

static int teardown_files(void **state)
{
    struct files *f = *state;
    arena_free(&f->arena);
    testing_remove(f->folder);
    free(f);
    return 0;
}

static void test_dataset(void **state)
{
    struct files *f = *state;
    char *corpus = write_file(f, "corpus.jsonl",
                              "{\"_id\": \"a\", \"title\": \"T\", \"text\": \"eins\"}\r\n"
                              "\n{\"_id\": \"b\", \"text\": \"zwei\", \"metadata\": {}}");
    char *queries =
        write_file(f, "queries.jsonl",
                   "{\"_id\": \"1\", \"text\": \"?\"}\n{\"_id\": \"2\", \"text\": \"!\"}\n");
    char *qrels = write_file(f, "qrels.tsv",
                             "query-id\tcorpus-id\tscore\n1\tb\t1\n1\ta\t2\n1\tgone\t3\n9\ta\t1\n"
                             "2\ta\t0\n");
    struct dataset_texts documents;
    struct dataset_texts questions;
    struct dataset_qrels judgements;
    struct dataset_answers *answers;
    assert_ok(dataset_read_texts(corpus, &f->arena, &documents, &f->err), &f->err);
    assert_ok(dataset_read_texts(queries, &f->arena, &questions, &f->err), &f->err);
    assert_ok(dataset_read_qrels(qrels, &f->arena, &judgements, &f->err), &f->err);
    assert_int_equal(documents.count, 2);
    assert_string_equal(documents.items[0].title, "T");
    assert_string_equal(documents.items[1].title, "");
    assert_string_equal(documents.items[1].text, "zwei");
    assert_int_equal(judgements.count, 5);
    struct map places;
    map_init(&places, 100);
    assert_ok(dataset_index(&documents, &places, &f->err), &f->err);
    assert_ok(dataset_join(&judgements, &questions, &places, &f->arena, &answers, &f->err),
              &f->err);
    map_free(&places);
    assert_int_equal(answers[0].count, 3); /* the best first, one that the corpus lacks included */
    assert_near(answers[0].grades[0], 3);
    assert_true(answers[0].documents[0] == DATASET_NOT_THERE);
    assert_int_equal(answers[0].documents[1], 0);
    assert_int_equal(answers[0].documents[2], 1);
    assert_int_equal(answers[1].count, 0);
    assert_near(dataset_grade(&answers[0], 0), 2);
    assert_near(dataset_grade(&answers[1], 0), 0);
    free(corpus);
    free(queries);
    free(qrels);
}

static void expect_fault(struct files *f, bool ok, const char *words)
{
    assert_false(ok);
    assert_int_equal(f->err.code, ERR_INVALID_REQUEST);
    assert_non_null(strstr(err_message(&f->err, LANG_EN), words));
}

static void test_broken_files(void **state)
{
    struct files *f = *state;
    struct dataset_texts texts;
    struct dataset_qrels qrels;
    char *path =
        write_file(f, "a", "{\"_id\": \"a\", \"text\": \"x\"}\n{\"_id\": 3, \"text\": \"x\"}\n");
    expect_fault(f, dataset_read_texts(path, &f->arena, &texts, &f->err), "line 2");
    free(path);
    path = write_file(f, "b", "not json\n");
    expect_fault(f, dataset_read_texts(path, &f->arena, &texts, &f->err), "line 1");
    free(path);
    path = write_file(f, "c", "q\td\tscore\nq\td\t1\nq d 1\n");
    expect_fault(f, dataset_read_qrels(path, &f->arena, &qrels, &f->err), "line 3");
    free(path);
    path = write_file(f, "d", "q\td\t1x\n\nq\td\tx\n");
    expect_fault(f, dataset_read_qrels(path, &f->arena, &qrels, &f->err), "line 3");
    free(path);
    path = testing_path(f->folder, "nowhere");
    assert_false(dataset_read_texts(path, &f->arena, &texts, &f->err));
    assert_int_equal(f->err.code, ERR_NOT_FOUND);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_hand),
        cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_intervals),
        cmocka_unit_test(test_quantiles),
        cmocka_unit_test_setup_teardown(test_dataset, setup_files, teardown_files),
        cmocka_unit_test_setup_teardown(test_broken_files, setup_files, teardown_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
