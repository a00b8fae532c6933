/* Does it fit? What is told without loading, over fake workers; and how near a forecast comes to a real load. */
#include <inttypes.h>

#include "fixture.h"
#include "orchestrator/fit.h"

/* As in test_budget.c: its file, a quarter of that for the cache of 8192 tokens, and 64 MiB. */
static void add(struct fixture *fixture, const char *name, uint64_t mib)
{
    char behaviour[64];
    snprintf(behaviour, sizeof(behaviour), "resident=%" PRIu64, mib * MIB);
    fixture_model(fixture, name, ROLE_CHAT, (mib - 64) / 5 * 4, behaviour);
}

static struct model_fit fit(struct fixture *fixture, const char *name, uint32_t context)
{
    const struct wait wait = fixture_wait(NULL);
    const struct fit_options options = {.context = context};
    struct model_fit found;
    struct err err;
    assert_ok(registry_fit(fixture->registry, name, &options, &wait, &fixture->arena, &found, &err),
              &err);
    return found;
}

static void test_nothing_is_loaded_for_it(void **state)
{
    struct fixture *fixture = *state;
    fixture_open(fixture, &(struct fixture_options){.memory_mib = 1000});
    add(fixture, "m", 304);
    struct model_fit found = fit(fixture, "m", 0);
    assert_int_equal(found.verdict, FIT_FITS);
    assert_int_equal(found.forecast.bytes, 304 * MIB);
    assert_int_equal(found.budget_bytes, 1000 * MIB);
    assert_int_equal(found.free_bytes, 1000 * MIB);
    assert_int_equal(found.largest_context, 8192); /* what it was trained with */
    assert_int_equal(fixture_status(fixture, "m").state, MODEL_COLD);
    assert_int_equal(fixture_status(fixture, "m").uses, 0);
}

static void test_another_context_takes_another_amount(void **state)
{
    struct fixture *fixture = *state;
    fixture_open(fixture, &(struct fixture_options){.memory_mib = 1000});
    add(fixture, "m", 304); /* 192 MiB, 48 for 8192 tokens, 64 */
    assert_int_equal(fit(fixture, "m", 4096).forecast.bytes, 280 * MIB);
    assert_int_equal(fit(fixture, "m", 4096).forecast.context_length, 4096);
    const struct wait wait = fixture_wait(NULL);
    const struct fit_options options = {.slots = 4};
    struct model_fit found;
    assert_true(
        registry_fit(fixture->registry, "m", &options, &wait, &fixture->arena, &found, NULL));
    assert_int_equal(found.forecast.bytes, (192 + 4 * 48 + 64) * MIB);
    assert_int_equal(found.slots, 4);
}

static void test_who_would_go(void **state)
{
    struct fixture *fixture = *state;
    fixture_open(fixture, &(struct fixture_options){.memory_mib = 1000});
    add(fixture, "old", 304);
    add(fixture, "new", 304);
    add(fixture, "wide", 604);
    lease_release(fixture_acquire(fixture, "old", ROLE_CHAT));
    lease_release(fixture_acquire(fixture, "new", ROLE_CHAT));
    struct model_fit found = fit(fixture, "wide", 0);
    assert_int_equal(found.verdict, FIT_EVICT);
    assert_int_equal(found.evict_count, 1);
    assert_string_equal(found.evict[0].name, "old");
    assert_int_equal(found.used_bytes, 608 * MIB);
    assert_int_equal(fixture_status(fixture, "old").state, MODEL_READY);

    struct lease *busy = fixture_acquire(fixture, "old", ROLE_CHAT);
    struct lease *too = fixture_acquire(fixture, "new", ROLE_CHAT);
    found = fit(fixture, "wide", 0);
    assert_int_equal(found.verdict, FIT_WAIT);
    assert_int_equal(found.reachable_bytes, 392 * MIB);
    lease_release(busy);
    lease_release(too);
}

static void test_the_largest_context(void **state)
{
    struct fixture *fixture = *state;
    fixture_open(fixture, &(struct fixture_options){.memory_mib = 500});
    add(fixture, "m", 564); /* 400 MiB, 100 for 8192 tokens, 64 */
    struct model_fit found = fit(fixture, "m", 0);
    assert_int_equal(found.verdict, FIT_NEVER);
    assert_int_equal(found.largest_context, 2816); /* 34 MiB: the next step, 3072, takes 37 */
    assert_int_equal(fit(fixture, "m", 2816).verdict, FIT_FITS);
    assert_int_equal(fit(fixture, "m", 3072).verdict, FIT_NEVER);
    add(fixture, "hopeless", 764);
    assert_int_equal(fit(fixture, "hopeless", 0).largest_context, 0);
}

static void test_unknown_models_and_files_that_are_gone(void **state)
{
    struct fixture *fixture = *state;
    fixture_open(fixture, &(struct fixture_options){.memory_mib = 500});
    add(fixture, "m", 304);
    const struct wait wait = fixture_wait(NULL);
    const struct fit_options options = {0};
    struct model_fit found;
    struct err err;
    assert_false(
        registry_fit(fixture->registry, "none", &options, &wait, &fixture->arena, &found, &err));
    assert_int_equal(err.code, ERR_MODEL_NOT_FOUND);
    char *path = testing_path(fixture->folder, "m");
    assert_int_equal(remove(path), 0);
    free(path);
    assert_false(
        registry_fit(fixture->registry, "m", &options, &wait, &fixture->arena, &found, &err));
    assert_int_equal(err.code, ERR_MODEL_NOT_FOUND);
}

/* A file that no worker can look into is judged by the rule. */
static void test_what_cannot_be_looked_into(void **state)
{
    struct fixture *fixture = *state;
    fixture_open(fixture, &(struct fixture_options){.program = getenv("JARVIS_PROGRAM"),
                                                    .memory_mib = 4096});
    fixture_model(fixture, "m", ROLE_CHAT, 100, "this is no GGUF");
    struct model_fit found = fit(fixture, "m", 1000);
    assert_false(found.forecast.analysed);
    assert_int_equal(found.forecast.bytes, (100 * MIB + 100000000) / 20 * 21);
    assert_int_equal(found.largest_context, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
        TEST(test_nothing_is_loaded_for_it),
        TEST(test_another_context_takes_another_amount),
        TEST(test_who_would_go),
        TEST(test_the_largest_context),
        TEST(test_unknown_models_and_files_that_are_gone),
        TEST(test_what_cannot_be_looked_into),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
