/* Memory: who is ended for whom, who is never ended, and what is said when it does not fit. */
#include <inttypes.h>
#include <pthread.h>
#include <unistd.h>

#include "base/thread.h"
#include "fixture.h"

/* A chat model (its file is not hashed, which saves time) of which is predicted what it will take: its file, a
 * quarter of that for the KV cache, and 64 MiB. */
static void add(struct fixture *fixture, const char *name, uint64_t mib)
{
    char behaviour[64];
    assert_int_equal((mib - 64) % 5, 0);
    snprintf(behaviour, sizeof(behaviour), "resident=%" PRIu64, mib * MIB);
    fixture_model(fixture, name, ROLE_CHAT, (mib - 64) / 5 * 4, behaviour);
}

static void use(struct fixture *fixture, const char *name)
{
    lease_release(fixture_acquire(fixture, name, ROLE_CHAT));
}

static enum model_state state_of(struct fixture *fixture, const char *name)
{
    return fixture_status(fixture, name).state;
}

static uint64_t used(struct fixture *fixture)
{
    struct registry_memory memory;
    registry_memory(fixture->registry, &memory);
    assert_true(memory.used_bytes <= memory.limit_bytes);
    return memory.used_bytes;
}

static void test_least_recently_used_goes_first(void **state)
{
    struct fixture *fixture = *state;
    fixture_open(fixture, &(struct fixture_options){.memory_mib = 1000});
    add(fixture, "a", 304);
    add(fixture, "b", 304);
    add(fixture, "c", 304);
    add(fixture, "d", 304);
    use(fixture, "a");
    use(fixture, "b");
    use(fixture, "c");
    use(fixture, "a"); /* now b is the oldest */
    assert_int_equal(used(fixture), 912 * MIB);
    use(fixture, "d");
    assert_int_equal(state_of(fixture, "a"), MODEL_READY);
    assert_int_equal(state_of(fixture, "b"), MODEL_COLD);
    assert_int_equal(state_of(fixture, "c"), MODEL_READY);
    assert_int_equal(state_of(fixture, "d"), MODEL_READY);
    assert_true(fixture_why_has(fixture, "b", "unloaded to make room for \"d\""));
    assert_int_equal(used(fixture), 912 * MIB);
    use(fixture, "b");
    assert_int_equal(state_of(fixture, "c"), MODEL_COLD);
}

static void test_a_large_one_ends_several_but_not_more_than_needed(void **state)
{
    struct fixture *fixture = *state;
    fixture_open(fixture, &(struct fixture_options){.memory_mib = 1000});
    add(fixture, "small", 104);
    add(fixture, "middle", 304);
    add(fixture, "large", 404);
    add(fixture, "new", 604);
    use(fixture, "small");
    use(fixture, "middle");
    use(fixture, "large");
    use(fixture,
        "new"); /* 812 used, 416 must go: the two oldest, or the large one and the middle one */
    assert_int_equal(state_of(fixture, "new"), MODEL_READY);
    assert_true(used(fixture) <= 1000 * MIB);
    int ready = (state_of(fixture, "small") == MODEL_READY) +
                (state_of(fixture, "middle") == MODEL_READY) +
                (state_of(fixture, "large") == MODEL_READY);
    assert_true(ready >= 1);
}

static void test_busy_is_never_ended(void **state)
{
    struct fixture *fixture = *state;
    fixture_open(fixture, &(struct fixture_options){.memory_mib = 1000});
    add(fixture, "busy", 604);
    add(fixture, "idle", 304);
    add(fixture, "other", 304);
    struct lease *lease = fixture_acquire(fixture, "busy", ROLE_CHAT);
    use(fixture, "idle");
    use(fixture, "other"); /* "busy" is older, but in use */
    assert_int_equal(state_of(fixture, "busy"), MODEL_READY);
    assert_int_equal(state_of(fixture, "idle"), MODEL_COLD);

    add(fixture, "wide", 704);
    const struct wait wait = {.until =
                                  deadline_in_ms(1000)}; /* a worker looks into the file first */
    struct lease *none;
    struct err err;
    assert_false(
        registry_acquire(fixture->registry, "wide", ROLE_CHAT, &wait, NULL, NULL, &none, &err));
    assert_int_equal(err.code, ERR_OUT_OF_MEMORY_BUDGET);
    assert_int_equal(err.category, ERR_TRANSIENT);
    assert_true(err.retry_after_ms > 0);
    assert_non_null(
        strstr(err.message[LANG_EN],
               "\"wide\" needs 704 MiB, 396 MiB can be freed while \"busy\" is in use"));
    assert_int_equal(state_of(fixture, "busy"), MODEL_READY);
    lease_release(lease);
}

struct waiter {
    struct fixture *fixture;
    const char *name;
    bool ok;
    struct err err;
};

static void *run_waiter(void *argument)
{
    struct waiter *waiter = argument;
    const struct wait wait = fixture_wait(NULL);
    struct lease *lease;
    waiter->ok = registry_acquire(waiter->fixture->registry, waiter->name, ROLE_CHAT, &wait, NULL,
                                  NULL, &lease, &waiter->err);
    if (waiter->ok)
        lease_release(lease);
    return NULL;
}

static bool waits_for_memory(void *user)
{
    const struct waiter *waiter = user;
    return fixture_status(waiter->fixture, waiter->name).state == MODEL_LOADING &&
           fixture_why_has(waiter->fixture, waiter->name, "waits for memory");
}

static void test_release_lets_a_waiter_in(void **state)
{
    struct fixture *fixture = *state;
    fixture_open(fixture, &(struct fixture_options){.memory_mib = 1000});
    add(fixture, "busy", 604);
    add(fixture, "wide", 704);
    struct lease *lease = fixture_acquire(fixture, "busy", ROLE_CHAT);
    struct waiter waiter = {.fixture = fixture, .name = "wide"};
    pthread_t thread;
    assert_true(thread_start(&thread, "waiter", run_waiter, &waiter, NULL));
    fixture_until(waits_for_memory, &waiter, "the wait for memory");
    use(fixture, "busy"); /* other requests of the busy model go on meanwhile */
    lease_release(lease);
    pthread_join(thread, NULL);
    assert_ok(waiter.ok, &waiter.err);
    assert_int_equal(state_of(fixture, "busy"), MODEL_COLD);
    assert_int_equal(state_of(fixture, "wide"), MODEL_READY);
}

/* A small model passes one that waits for memory: the queue is not blocked by its first. */
static void test_small_passes_while_large_waits(void **state)
{
    struct fixture *fixture = *state;
    fixture_open(fixture, &(struct fixture_options){.memory_mib = 1000});
    add(fixture, "busy", 604);
    add(fixture, "wide", 704);
    add(fixture, "small", 104);
    struct lease *lease = fixture_acquire(fixture, "busy", ROLE_CHAT);
    struct waiter waiter = {.fixture = fixture, .name = "wide"};
    pthread_t thread;
    assert_true(thread_start(&thread, "waiter", run_waiter, &waiter, NULL));
    fixture_until(waits_for_memory, &waiter, "the wait for memory");
    use(fixture, "small");
    lease_release(lease);
    pthread_join(thread, NULL);
    assert_ok(waiter.ok, &waiter.err);
}

static void test_never_fits(void **state)
{
    struct fixture *fixture = *state;
    fixture_open(fixture, &(struct fixture_options){.memory_mib = 1000});
    add(fixture, "giant", 1204);
    fixture_model(fixture, "deep", ROLE_CHAT, 800, "");
    add(fixture, "busy", 304);
    struct lease *lease = fixture_acquire(fixture, "busy", ROLE_CHAT);
    const struct wait wait = fixture_wait(NULL);
    struct lease *none;
    struct err err;
    assert_false(registry_acquire(fixture->registry, "giant", ROLE_CHAT, &wait, NULL, NULL, &none,
                                  &err)); /* at once: nobody releases anything */
    assert_int_equal(err.code, ERR_MODEL_TOO_LARGE);
    assert_non_null(strstr(err.message[LANG_EN], "needs 1.2 GiB and 1.0 GiB is all"));
    assert_false(
        registry_acquire(fixture->registry, "deep", ROLE_CHAT, &wait, NULL, NULL, &none, &err));
    assert_int_equal(err.code, ERR_MODEL_TOO_LARGE);
    assert_non_null(strstr(err.message[LANG_EN], "lower its context_length to "));
    lease_release(lease);
}

static void test_configured_limit_and_reserve(void **state)
{
    struct fixture *fixture = *state;
    fixture_open(fixture,
                 &(struct fixture_options){
                     .memory_mib = 2000,
                     .config = "{\"memory.limit_mib\": 500, \"memory.reserve_mib\": 100}"});
    add(fixture, "a", 404);
    add(fixture, "b", 604);
    use(fixture, "a");
    struct registry_memory memory;
    registry_memory(fixture->registry, &memory);
    assert_int_equal(memory.limit_bytes, 500 * MIB);
    assert_int_equal(memory.used_bytes, 404 * MIB);
    const struct wait wait = fixture_wait(NULL);
    struct lease *none;
    struct err err;
    assert_false(
        registry_acquire(fixture->registry, "b", ROLE_CHAT, &wait, NULL, NULL, &none, &err));
    assert_int_equal(err.code, ERR_MODEL_TOO_LARGE);
    assert_int_equal(state_of(fixture, "a"), MODEL_READY); /* not ended in vain */
}

static void test_measured_replaces_predicted(void **state)
{
    struct fixture *fixture = *state;
    fixture_open(fixture, &(struct fixture_options){.memory_mib = 1000});
    fixture_model(fixture, "m", ROLE_EMBEDDING, 100, "resident=209715200");
    lease_release(fixture_acquire(fixture, "m", ROLE_EMBEDDING));
    assert_int_equal(fixture_status(fixture, "m").predicted_bytes, 164 * MIB);
    assert_int_equal(used(fixture), 200 * MIB);
    assert_true(registry_unload(fixture->registry, "m", NULL));
    lease_release(fixture_acquire(fixture, "m", ROLE_EMBEDDING));
    assert_int_equal(fixture_status(fixture, "m").predicted_bytes, 200 * MIB);

    /* Another file under the same path is another model. */
    assert_true(registry_unload(fixture->registry, "m", NULL));
    char *path = testing_path(fixture->folder, "m");
    assert_int_equal(truncate(path, 50 * MIB), 0);
    free(path);
    lease_release(fixture_acquire(fixture, "m", ROLE_EMBEDDING));
    assert_int_equal(fixture_status(fixture, "m").predicted_bytes, 114 * MIB);
}

/* Two loads at once count against one budget before either has finished. */
static void test_loads_reserve_memory(void **state)
{
    struct fixture *fixture = *state;
    fixture_open(fixture, &(struct fixture_options){.memory_mib = 1000});
    const char *gate = fixture_gate(fixture, "gate");
    char behaviour[200];
    snprintf(behaviour, sizeof(behaviour), "resident=633339904,gate=%s", gate);
    fixture_model(fixture, "a", ROLE_CHAT, 432, behaviour);
    fixture_model(fixture, "b", ROLE_CHAT, 432, behaviour);
    struct waiter waiters[2] = {{.fixture = fixture, .name = "a"},
                                {.fixture = fixture, .name = "b"}};
    pthread_t threads[2];
    assert_true(thread_start(&threads[0], "a", run_waiter, &waiters[0], NULL));
    fixture_await_state(fixture, "a", MODEL_LOADING);
    while (used(fixture) == 0)
        fixture_await_state(fixture, "a", MODEL_LOADING);
    assert_int_equal(used(fixture), 604 * MIB);
    assert_true(thread_start(&threads[1], "b", run_waiter, &waiters[1], NULL));
    fixture_until(waits_for_memory, &waiters[1], "the wait for memory");
    fixture_open_gate(gate);
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        assert_ok(waiters[i].ok, &waiters[i].err);
    }
    assert_int_equal(used(fixture), 604 * MIB);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
        TEST(test_least_recently_used_goes_first),
        TEST(test_a_large_one_ends_several_but_not_more_than_needed),
        TEST(test_busy_is_never_ended),
        TEST(test_release_lets_a_waiter_in),
        TEST(test_small_passes_while_large_waits),
        TEST(test_never_fits),
        TEST(test_configured_limit_and_reserve),
        TEST(test_measured_replaces_predicted),
        TEST(test_loads_reserve_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
