/* Writers, readers and searches at the same time on one store: for ThreadSanitizer, and for what
 * must hold whatever the order. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "retrieval/index.h"
#include "unit/retrieval/fixture.h"

enum { WRITERS = 2, SEARCHERS = 3, PATHS = 15, WRITES = 120, DIMENSIONS = 4 };

struct world {
    struct fixture *fixture;
    struct index_set *set;
    const char *collection;
    struct embedder_key embedder;
    atomic_bool done;
    atomic_size_t hits;
    struct cancel cancel;
};

struct role {
    struct world *world;
    uint64_t seed;
    size_t number;
    struct err err; /* of the first failure */
    bool failed;
};

static const char *const words[] = {"ship", "kernel", "memory", "river", "storm", "licence"};

static void random_text(struct testing_random *random, struct str *text)
{
    str_truncate(text, 0);
    size_t count = 1 + testing_below(random, 150);
    for (size_t i = 0; i < count; i++)
        str_printf(text, "%s%s ", words[testing_below(random, 6)],
                   testing_below(random, 9) ? "" : ".");
}

/* Gives all pending passages vectors, as an ingest does. */
static bool embed(struct world *world, struct arena *arena, struct err *err)
{
    struct passage *passages;
    size_t count;
    if (!store_pending(world->fixture->store, world->collection, &world->embedder,
                       (struct passage_key){0}, 50, arena, &passages, &count, err))
        return false;
    for (size_t i = 0; i < count; i++) {
        float vector[DIMENSIONS] = {1, (float)passages[i].text[0], (float)passages[i].tokens, 1};
        if (!store_vectors_put(world->fixture->store, &world->embedder, &passages[i].text_hash, 1,
                               vector, DIMENSIONS, err) ||
            !index_set_vectors(world->set, world->collection, &world->embedder, &passages[i].key, 1,
                               vector, DIMENSIONS, err))
            return false;
    }
    return true;
}

static bool write_once(struct role *role, struct testing_random *random, struct str *text,
                       struct arena *arena)
{
    struct world *world = role->world;
    char path[32];
    snprintf(path, sizeof(path), "/%zu/%zu", role->number, (size_t)testing_below(random, PATHS));
    struct document_written written;
    random_text(random, text);
    if (!fixture_write(world->fixture->store, world->collection, path, str_text(text), LANG_EN,
                       &written, &role->err) ||
        !index_set_document(world->set, world->collection, &written, &role->err))
        return false;
    if (testing_below(random, 4) == 0) {
        int64_t number;
        if (!store_document_delete(world->fixture->store, world->collection, written.id, &number,
                                   &role->err))
            return false;
        index_set_forget(world->set, world->collection, number);
    }
    return testing_below(random, 5) > 0 || embed(world, arena, &role->err);
}

static void *writer(void *user)
{
    struct role *role = user;
    struct testing_random random = {.state = role->seed};
    struct str text;
    str_init(&text, 1 << 16);
    for (int i = 0; i < WRITES && !role->failed; i++) {
        struct arena arena;
        arena_init(&arena, 1 << 24);
        role->failed = !write_once(role, &random, &text, &arena);
        arena_free(&arena);
    }
    str_free(&text);
    return NULL;
}

/* Searches, and reads the passages that were found: each has the words it was found by. */
static bool search_once(struct role *role, struct testing_random *random, struct arena *arena)
{
    struct world *world = role->world;
    const char *word = words[testing_below(random, 6)];
    float vector[DIMENSIONS] = {1, (float)testing_below(random, 100), 1, 1};
    struct index_load load = {.embedder = &world->embedder, .cancel = &world->cancel};
    struct index *index;
    if (!index_set_acquire(world->set, world->collection, &load, &index, &role->err))
        return false;
    struct index_query query = {.text = word,
                                .length = strlen(word),
                                .vector = vector,
                                .dimensions = DIMENSIONS,
                                .top_k = 8,
                                .alpha = testing_below(random, 2) ? 0 : 0.5};
    struct index_hit *hits;
    size_t count;
    bool ok = index_search(&index, 1, &query, arena, &hits, &count, &role->err);
    index_release(index);
    if (!ok)
        return false;
    struct passage_key keys[8];
    struct passage *passages;
    size_t found;
    for (size_t i = 0; i < count; i++)
        keys[i] = hits[i].key;
    if (!store_passages(world->fixture->store, keys, count, arena, &passages, &found, &role->err))
        return false;
    for (size_t p = 0; p < found; p++)
        for (size_t i = 0; i < count; i++)
            if (hits[i].key.document == passages[p].key.document &&
                hits[i].key.ordinal == passages[p].key.ordinal && hits[i].sparse > 0 &&
                !strstr(passages[p].text, word))
                return err_set(&role->err, ERR_INTERNAL, "\"%s\" is not in what it found", word);
    atomic_fetch_add(&world->hits, found);
    return true;
}

static void *searcher(void *user)
{
    struct role *role = user;
    struct testing_random random = {.state = role->seed};
    while (!atomic_load(&role->world->done) && !role->failed) {
        struct arena arena;
        arena_init(&arena, 1 << 24);
        role->failed = !search_once(role, &random, &arena);
        arena_free(&arena);
    }
    return NULL;
}

static void start(struct role *role, pthread_t *thread, void *(*run)(void *), struct world *world,
                  size_t number)
{
    struct err err;
    *role = (struct role){.world = world, .seed = number * 7919 + 1, .number = number};
    assert_ok(thread_start(thread, "role", run, role, &err), &err);
}

static void finish(struct role *role, pthread_t thread)
{
    assert_int_equal(pthread_join(thread, NULL), 0);
    if (role->failed)
        fail_msg("%s", role->err.message[LANG_EN]);
}

static void open_world(struct fixture *f, struct world *world)
{
    *world = (struct world){.fixture = f,
                            .collection = f->collection.id,
                            .embedder = {.prefix = "", .pooling = "mean"}};
    cancel_init(&world->cancel);
    assert_ok(index_set_new(f->store, &world->set, &f->err), &f->err);
}

static void close_world(struct world *world)
{
    index_set_free(world->set);
    cancel_destroy(&world->cancel);
}

static void assert_same_as_fresh(struct fixture *f, struct world *world)
{
    struct index_set *fresh_set;
    struct index *live;
    struct index *fresh;
    struct index_load load = {.embedder = &world->embedder};
    assert_ok(index_set_new(f->store, &fresh_set, &f->err), &f->err);
    assert_ok(index_set_acquire(fresh_set, world->collection, &load, &fresh, &f->err), &f->err);
    assert_ok(index_set_acquire(world->set, world->collection, &load, &live, &f->err), &f->err);
    struct index_stats a;
    struct index_stats b;
    index_stats(live, &a);
    index_stats(fresh, &b);
    assert_int_equal(a.documents, b.documents);
    assert_int_equal(a.passages, b.passages);
    index_release(live);
    index_release(fresh);
    index_set_free(fresh_set);
}

static void test_writers_and_searchers(void **state)
{
    struct fixture *f = *state;
    struct world world;
    open_world(f, &world);
    struct role roles[WRITERS + SEARCHERS];
    pthread_t threads[WRITERS + SEARCHERS];
    for (size_t i = 0; i < WRITERS + SEARCHERS; i++)
        start(&roles[i], &threads[i], i < WRITERS ? writer : searcher, &world, i);
    for (size_t i = 0; i < WRITERS; i++)
        finish(&roles[i], threads[i]);
    atomic_store(&world.done, true);
    for (size_t i = WRITERS; i < WRITERS + SEARCHERS; i++)
        finish(&roles[i], threads[i]);
    assert_true(atomic_load(&world.hits) > 0);
    assert_same_as_fresh(f, &world);
    assert_ok(store_check(f->store, &f->err), &f->err);
    close_world(&world);
}

/* The collection goes while it is searched: searches end in ERR_NOT_FOUND, not in rubble. */
static void test_collection_goes_away(void **state)
{
    struct fixture *f = *state;
    struct world world;
    open_world(f, &world);
    for (size_t i = 0; i < 30; i++) {
        char path[32];
        snprintf(path, sizeof(path), "/%zu", i);
        fixture_put(f, path, "A ship on the river in a storm.", LANG_EN);
    }
    struct role roles[SEARCHERS];
    pthread_t threads[SEARCHERS];
    for (size_t i = 0; i < SEARCHERS; i++)
        start(&roles[i], &threads[i], searcher, &world, i);
    deadline until = deadline_in_ms(30000);
    while (atomic_load(&world.hits) < 20 && !deadline_passed(until))
        sched_yield();
    assert_true(atomic_load(&world.hits) >= 20);
    assert_ok(store_collection_delete(f->store, world.collection, &f->err), &f->err);
    index_set_drop(world.set, world.collection);
    for (size_t i = 0; i < SEARCHERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_true(roles[i].failed);
        assert_int_equal(roles[i].err.code, ERR_NOT_FOUND);
    }
    close_world(&world);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_writers_and_searchers),
        CASE(test_collection_goes_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
