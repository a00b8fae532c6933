/* The live index: what is written is found, what is deleted is not, and whatever happened, it
 * answers like one that was read anew from the store. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "retrieval/index.h"
#include "unit/retrieval/fixture.h"

enum { DIMENSIONS = 8 };

struct world {
    struct fixture *fixture;
    struct index_set *set;
    struct embedder_key embedder;
};

static int setup(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    void *fixture;
    fixture_setup(&fixture);
    world->fixture = fixture;
    world->embedder = (struct embedder_key){.prefix = "", .pooling = "mean"};
    assert_ok(index_set_new(world->fixture->store, &world->set, &world->fixture->err),
              &world->fixture->err);
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    index_set_free(world->set);
    void *fixture = world->fixture;
    fixture_teardown(&fixture);
    free(world);
    return 0;
}

static struct index *acquire(struct world *world, const struct embedder_key *embedder)
{
    struct index *index;
    struct index_load load = {.embedder = embedder};
    assert_ok(index_set_acquire(world->set, world->fixture->collection.id, &load, &index,
                                &world->fixture->err),
              &world->fixture->err);
    return index;
}

static struct document_written put(struct world *world, const char *path, const char *text,
                                   enum lang lang)
{
    struct document_written written = fixture_put(world->fixture, path, text, lang);
    assert_ok(index_set_document(world->set, world->fixture->collection.id, &written,
                                 &world->fixture->err),
              &world->fixture->err);
    return written;
}

static void delete_document(struct world *world, const struct document_written *written)
{
    int64_t number;
    assert_ok(store_document_delete(world->fixture->store, world->fixture->collection.id,
                                    written->id, &number, &world->fixture->err),
              &world->fixture->err);
    index_set_forget(world->set, world->fixture->collection.id, number);
}

static size_t search(struct world *world, struct index *index, const char *text,
                     const float *vector, double alpha, struct index_hit **hits)
{
    struct index_query query = {.text = text,
                                .length = strlen(text),
                                .vector = vector,
                                .dimensions = DIMENSIONS,
                                .top_k = 10,
                                .alpha = alpha};
    size_t count;
    assert_ok(
        index_search(&index, 1, &query, &world->fixture->arena, hits, &count, &world->fixture->err),
        &world->fixture->err);
    return count;
}

/* A vector that points along one axis, more or less. */
static void axis(float *vector, size_t which, double blur)
{
    for (size_t i = 0; i < DIMENSIONS; i++)
        vector[i] = (float)(i == which ? 1 : blur);
}

/* Gives the first passage of a document a vector. */
static void embed(struct world *world, const struct document_written *written, size_t which)
{
    struct fixture *f = world->fixture;
    struct passage *passages;
    size_t count;
    assert_ok(store_document_passages(f->store, written->number, 0, 1, &f->arena, &passages, &count,
                                      &f->err),
              &f->err);
    float vector[DIMENSIONS];
    axis(vector, which, 0.01);
    assert_ok(store_vectors_put(f->store, &world->embedder, &passages[0].text_hash, 1, vector,
                                DIMENSIONS, &f->err),
              &f->err);
    assert_ok(index_set_vectors(world->set, f->collection.id, &world->embedder, &passages[0].key, 1,
                                vector, DIMENSIONS, &f->err),
              &f->err);
}

/* ---------------------------------------------------------------- words */

static void test_found_at_once(void **state)
{
    struct world *world = *state;
    struct index *index = acquire(world, NULL);
    struct index_hit *hits;
    assert_int_equal(search(world, index, "harbour", NULL, 0.5, &hits), 0);
    struct document_written ships = put(world, "/ships", "The ship left the harbour.", LANG_EN);
    put(world, "/trees", "A tree stood alone.", LANG_EN);
    assert_int_equal(search(world, index, "harbours", NULL, 0.5, &hits), 1);
    assert_true(hits[0].key.document == ships.number);
    assert_true(hits[0].sparse > 0 && hits[0].score == 1 && !hits[0].has_dense);

    struct document_written changed = put(world, "/ships", "The train left.", LANG_EN);
    assert_int_equal(search(world, index, "harbour", NULL, 0.5, &hits), 0);
    assert_int_equal(search(world, index, "train", NULL, 0.5, &hits), 1);
    assert_true(hits[0].key.document == changed.number);
    delete_document(world, &changed);
    assert_int_equal(search(world, index, "train", NULL, 0.5, &hits), 0);
    struct index_stats stats;
    index_stats(index, &stats);
    assert_int_equal(stats.documents, 1);
    assert_int_equal(stats.passages, 1);
    index_release(index);
}

/* Telling twice, too late, or about what nobody has loaded, does no harm. */
static void test_notices_in_any_order(void **state)
{
    struct world *world = *state;
    const char *collection = world->fixture->collection.id;
    struct document_written written = put(world, "/a", "Anchor.", LANG_EN);
    struct index *index = acquire(world, NULL);
    struct index_hit *hits;
    assert_int_equal(search(world, index, "anchor", NULL, 0, &hits), 1);
    assert_ok(index_set_document(world->set, collection, &written, &world->fixture->err),
              &world->fixture->err);
    assert_int_equal(search(world, index, "anchor", NULL, 0, &hits), 1);
    delete_document(world, &written);
    index_set_forget(world->set, collection, written.number);
    assert_ok(index_set_document(world->set, collection, &written, &world->fixture->err),
              &world->fixture->err);
    assert_int_equal(search(world, index, "anchor", NULL, 0, &hits), 0);
    index_set_forget(world->set, "vs_unknown", 1);
    index_set_drop(world->set, "vs_unknown");
    index_release(index);
}

static void test_two_languages(void **state)
{
    struct world *world = *state;
    struct index *index = acquire(world, NULL);
    struct document_written spanish =
        put(world, "/es", "Las licencias libres del núcleo.", LANG_ES);
    struct document_written english = put(world, "/en", "Free licences of the kernel.", LANG_EN);
    struct index_hit *hits;
    assert_int_equal(search(world, index, "licencia", NULL, 0, &hits), 1);
    assert_true(hits[0].key.document == spanish.number);
    assert_int_equal(search(world, index, "nucleo", NULL, 0, &hits), 1);
    assert_int_equal(search(world, index, "licence", NULL, 0, &hits), 1);
    assert_true(hits[0].key.document == english.number);
    assert_int_equal(search(world, index, "¿Qué es el kernel?", NULL, 0, &hits), 1);
    index_release(index);
}

/* ---------------------------------------------------------------- meaning */

static void test_vectors_are_followed(void **state)
{
    struct world *world = *state;
    struct document_written first = put(world, "/first", "The ship sails.", LANG_EN);
    embed(world, &first, 0);
    struct index *index = acquire(world, &world->embedder);
    struct document_written second = put(world, "/second", "The train stops.", LANG_EN);
    struct document_written third = put(world, "/third", "The ship sinks.", LANG_EN);
    embed(world, &second, 1);

    float query[DIMENSIONS];
    axis(query, 1, 0);
    struct index_hit *hits;
    assert_int_equal(search(world, index, "ship", query, 1, &hits), 2); /* third has no vector */
    assert_true(hits[0].key.document == second.number);
    assert_true(hits[0].has_dense && hits[0].dense > 0.99);
    assert_int_equal(search(world, index, "ship", query, 0, &hits), 2); /* words alone */
    assert_true(hits[0].key.document == first.number);
    assert_true(hits[1].key.document == third.number);
    assert_int_equal(search(world, index, "ship", query, 0.5, &hits), 3);
    assert_int_equal(search(world, index, "nothing", query, 0.5, &hits), 2);
    assert_true(hits[0].key.document == second.number);

    /* Without a vector of the question, or any at all, words decide whatever alpha says. */
    assert_int_equal(search(world, index, "ship", NULL, 1, &hits), 2);
    struct index_query wrong = {
        .text = "ship", .length = 4, .vector = query, .dimensions = 3, .top_k = 5, .alpha = 0.5};
    size_t count;
    assert_false(index_search(&index, 1, &wrong, &world->fixture->arena, &hits, &count,
                              &world->fixture->err));
    assert_int_equal(world->fixture->err.code, ERR_INVALID_REQUEST);
    index_release(index);
}

/* Words that the passages lack hand their weight over to meaning. */
static void test_alpha_follows_the_question(void **state)
{
    struct world *world = *state;
    struct document_written ship = put(world, "/ship", "The ship sails.", LANG_EN);
    struct document_written train = put(world, "/train", "The train stops.", LANG_EN);
    embed(world, &ship, 0);
    embed(world, &train, 1);
    struct index *index = acquire(world, &world->embedder);
    float vector[DIMENSIONS];
    axis(vector, 1, 0);
    struct index_outcome outcome = {0};
    struct index_query query = {.text = "ship sails",
                                .length = strlen("ship sails"),
                                .vector = vector,
                                .dimensions = DIMENSIONS,
                                .top_k = 2,
                                .alpha = 0.5,
                                .outcome = &outcome};
    struct index_hit *hits;
    size_t count;
    struct fixture *f = world->fixture;
    assert_ok(index_search(&index, 1, &query, &f->arena, &hits, &count, &f->err), &f->err);
    assert_true(outcome.coverage > 0.9 && outcome.alpha < 0.56);
    assert_true(hits[0].key.document == ship.number && hits[0].sparse > 0 && hits[0].has_dense);
    query.text = "ship mañana navegar puerto lejano";
    query.length = strlen(query.text);
    assert_ok(index_search(&index, 1, &query, &f->arena, &hits, &count, &f->err), &f->err);
    assert_true(outcome.coverage > 0 && outcome.coverage < 0.3 && outcome.alpha > 0.8);
    assert_true(hits[0].key.document == train.number);
    query.method = FUSION_MAX; /* says what it was told */
    assert_ok(index_search(&index, 1, &query, &f->arena, &hits, &count, &f->err), &f->err);
    assert_true(outcome.alpha == 0.5);
    index_release(index);
}

static void test_another_embedder(void **state)
{
    struct world *world = *state;
    struct document_written written = put(world, "/doc", "The ship sails.", LANG_EN);
    embed(world, &written, 0);
    struct index *index = acquire(world, &world->embedder);
    struct index_stats stats;
    index_stats(index, &stats);
    assert_int_equal(stats.vectors, 1);
    assert_int_equal(stats.dimensions, DIMENSIONS);

    struct embedder_key other = world->embedder;
    other.prefix = "passage: ";
    struct index *same = acquire(world, &other);
    assert_ptr_equal(same, index);
    index_stats(index, &stats);
    assert_int_equal(stats.vectors, 0);
    assert_int_equal(stats.passages, 1);
    embed(world, &written, 1); /* of the first embedder: not for this index */
    index_stats(index, &stats);
    assert_int_equal(stats.vectors, 0);
    index_release(same);
    same = acquire(world, NULL); /* whatever is there */
    index_stats(index, &stats);
    assert_int_equal(stats.vectors, 0);
    index_release(same);
    same = acquire(world, &world->embedder);
    index_stats(index, &stats);
    assert_int_equal(stats.vectors, 1);
    index_release(same);
    index_release(index);
}

/* ---------------------------------------------------------------- several collections */

static void test_several_indexes(void **state)
{
    struct world *world = *state;
    struct fixture *f = world->fixture;
    struct collection other;
    assert_ok(store_collection_create(f->store, "other", NULL, &f->arena, &other, &f->err),
              &f->err);
    struct document_written here = put(world, "/here", "A ship and a ship.", LANG_EN);
    struct document_written there;
    assert_ok(fixture_write(f->store, other.id, "/there", "A ship among trees.", LANG_EN, &there,
                            &f->err),
              &f->err);
    struct index *indexes[2];
    struct index_load load = {.embedder = NULL};
    indexes[0] = acquire(world, NULL);
    assert_ok(index_set_acquire(world->set, other.id, &load, &indexes[1], &f->err), &f->err);
    struct index_query query = {.text = "ship", .length = 4, .top_k = 5, .alpha = 0.5};
    struct index_hit *hits;
    size_t count;
    assert_ok(index_search(indexes, 2, &query, &f->arena, &hits, &count, &f->err), &f->err);
    assert_int_equal(count, 2);
    assert_int_equal(hits[0].index, 0);
    assert_true(hits[0].key.document == here.number);
    assert_int_equal(hits[1].index, 1);
    assert_true(hits[1].key.document == there.number);
    assert_true(hits[0].score == 1 && hits[1].score < 1);

    /* Deleting a collection while its index is in use. */
    assert_ok(store_collection_delete(f->store, other.id, &f->err), &f->err);
    index_set_drop(world->set, other.id);
    assert_ok(index_search(indexes, 2, &query, &f->arena, &hits, &count, &f->err), &f->err);
    assert_int_equal(count, 2);
    index_release(indexes[1]);
    index_release(indexes[0]);
    assert_false(index_set_acquire(world->set, other.id, &load, &indexes[1], &f->err));
    assert_int_equal(f->err.code, ERR_NOT_FOUND);
}

static void test_bad_queries(void **state)
{
    struct world *world = *state;
    struct index *index = acquire(world, NULL);
    struct fixture *f = world->fixture;
    struct index_hit *hits;
    size_t count;
    struct index_query query = {.text = "a", .length = 1, .top_k = 0, .alpha = 0.5};
    assert_false(index_search(&index, 1, &query, &f->arena, &hits, &count, &f->err));
    assert_string_equal(f->err.param, "top_k");
    query.top_k = 1;
    query.alpha = NAN;
    assert_false(index_search(&index, 1, &query, &f->arena, &hits, &count, &f->err));
    assert_string_equal(f->err.param, "alpha");
    index_release(index);
    query.alpha = 0;
    assert_ok(index_search(NULL, 0, &query, &f->arena, &hits, &count, &f->err), &f->err);
    assert_int_equal(count, 0);
}

/* ---------------------------------------------------------------- against a fresh one */

static void random_document(struct testing_random *random, struct str *text)
{
    static const char *const words[] = {"ship",  "tree",  "kernel", "memory", "river",
                                        "stone", "light", "copy",   "house",  "storm"};
    str_truncate(text, 0);
    size_t count = 1 + testing_below(random, 200);
    for (size_t i = 0; i < count; i++)
        str_printf(text, "%s%s ", words[testing_below(random, 10)],
                   testing_below(random, 12) ? "" : ".");
}

static void assert_same_answers(struct world *world, struct index *live)
{
    struct index_set *fresh_set;
    struct index *fresh;
    struct fixture *f = world->fixture;
    struct index_load load = {.embedder = &world->embedder};
    assert_ok(index_set_new(f->store, &fresh_set, &f->err), &f->err);
    assert_ok(index_set_acquire(fresh_set, f->collection.id, &load, &fresh, &f->err), &f->err);
    static const char *const questions[] = {"ship", "kernel memory", "river stone light", "house"};
    float vector[DIMENSIONS];
    for (size_t q = 0; q < 4; q++) {
        axis(vector, q, 0.1);
        struct index_hit *a;
        struct index_hit *b;
        size_t count = search(world, live, questions[q], vector, 0.4, &a);
        assert_int_equal(search(world, fresh, questions[q], vector, 0.4, &b), count);
        for (size_t i = 0; i < count; i++) {
            assert_true(a[i].key.document == b[i].key.document);
            assert_int_equal(a[i].key.ordinal, b[i].key.ordinal);
            assert_true(fabs(a[i].score - b[i].score) < 1e-6);
            assert_true(fabs(a[i].sparse - b[i].sparse) < 1e-5);
            assert_true(fabs(a[i].dense - b[i].dense) < 1e-6);
        }
    }
    index_release(fresh);
    index_set_free(fresh_set);
}

/* Writes, replacements and deletions until gaps have been closed more than once. */
static void test_live_equals_fresh(void **state)
{
    struct world *world = *state;
    struct testing_random random;
    testing_seed(&random);
    struct str text;
    str_init(&text, 1 << 16);
    struct index *index = acquire(world, &world->embedder);
    struct document_written known[40] = {{.number = 0}};
    for (int round = 0; round < 900; round++) {
        size_t which = testing_below(&random, 40);
        char path[32];
        snprintf(path, sizeof(path), "/%zu", which);
        if (known[which].number > 0 && testing_below(&random, 4) == 0) {
            delete_document(world, &known[which]);
            known[which].number = 0;
        } else {
            random_document(&random, &text);
            known[which] = put(world, path, str_text(&text), LANG_EN);
            if (testing_below(&random, 2))
                embed(world, &known[which], testing_below(&random, DIMENSIONS));
        }
        if (round % 225 == 224)
            assert_same_answers(world, index);
    }
    index_release(index);
    str_free(&text);
}

/* ---------------------------------------------------------------- sentences */

static void test_best_sentences(void **state)
{
    struct world *world = *state;
    struct index *index = acquire(world, NULL);
    static const char text[] = "# Who may copy?\n\nWho may copy the licence? "
                               "Everyone is permitted to copy and distribute verbatim copies. "
                               "Changing it is not allowed.";
    put(world, "/licence", text, LANG_EN);
    put(world, "/other", "Trees grow. They are permitted to.", LANG_EN);
    struct quotable passages[] = {
        {text, strlen(text), LANG_EN, 1},
        {"Trees grow. They may grow high.", 31, LANG_EN, 1},
        {text, strlen(text), LANG_EN, 0.5},
    };
    struct quote *quotes;
    size_t count;
    struct fixture *f = world->fixture;
    struct quote_query query = {"Who is permitted to copy the licence?", passages, 3, 5};
    assert_ok(index_best_sentences(&index, 1, &query, &f->arena, &quotes, &count, &f->err),
              &f->err);
    assert_true(count >= 2);
    assert_int_equal(quotes[0].passage, 0);
    assert_memory_equal(text + quotes[0].offset, "Everyone is permitted", 21);
    for (size_t i = 1; i < count; i++) {
        assert_true(quotes[i].score <= quotes[i - 1].score && quotes[i].score > 0);
        assert_int_equal(quotes[i].passage, 0); /* the third repeats the first */
    }
    query.question = "zebras";
    assert_ok(index_best_sentences(&index, 1, &query, &f->arena, &quotes, &count, &f->err),
              &f->err);
    assert_int_equal(count, 0);
    index_release(index);
}

/* ---------------------------------------------------------------- cancelling */

static void fire(void *user, size_t done, size_t total)
{
    (void)total;
    if (done == 1)
        cancel_fire(user);
}

static void test_cancelled_load_is_repeated(void **state)
{
    struct world *world = *state;
    for (int i = 0; i < 5; i++) {
        char path[32];
        snprintf(path, sizeof(path), "/%d", i);
        put(world, path, "A ship.", LANG_EN);
    }
    struct cancel cancel;
    cancel_init(&cancel);
    struct index_load load = {.progress = fire, .user = &cancel, .cancel = &cancel};
    struct index *index;
    assert_false(index_set_acquire(world->set, world->fixture->collection.id, &load, &index,
                                   &world->fixture->err));
    assert_int_equal(world->fixture->err.code, ERR_CANCELLED);
    cancel_destroy(&cancel);
    index = acquire(world, NULL);
    struct index_hit *hits;
    assert_int_equal(search(world, index, "ship", NULL, 0, &hits), 5);
    index_release(index);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_found_at_once),
        CASE(test_notices_in_any_order),
        CASE(test_two_languages),
        CASE(test_vectors_are_followed),
        CASE(test_another_embedder),
        CASE(test_several_indexes),
        CASE(test_alpha_follows_the_question),
        CASE(test_bad_queries),
        CASE(test_live_equals_fresh),
        CASE(test_best_sentences),
        CASE(test_cancelled_load_is_repeated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
