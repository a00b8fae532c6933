/* Workers that hang or keep dying: found out, ended, left alone for a while, replaced by another model. */
#include <poll.h>

#include "fixture.h"

enum { HEART_MS = 20, HANG_MS = 200 };

static bool embed(struct fixture *fixture, struct lease *lease, struct err *err)
{
    const struct wait wait = fixture_wait(NULL);
    const char *text = "text";
    struct msg_vectors vectors;
    return lease_embed(lease, "", &text, 1, &wait, &fixture->arena, &vectors, err);
}

/* One use of a model; the code of its error. */
static enum err_code use(struct fixture *fixture, const char *name, struct err *err)
{
    const struct wait wait = fixture_wait(NULL);
    struct lease *lease;
    if (!registry_acquire(fixture->registry, name, ROLE_EMBEDDING, &wait, NULL, NULL, &lease, err))
        return err->code;
    bool ok = embed(fixture, lease, err);
    lease_release(lease);
    return ok ? ERR_NONE : err->code;
}

static const struct fixture_options watchful = {.heartbeat_ms = HEART_MS, .hang_ms = HANG_MS};

struct failing {
    struct fixture *fixture;
    const char *name;
    uint32_t failures;
};

static bool has_failed(void *user)
{
    const struct failing *failing = user;
    return fixture_status(failing->fixture, failing->name).failures >= failing->failures;
}

/* A death is told to the request first, and then to the table. */
static struct model_status await_failures(struct fixture *fixture, const char *name,
                                          uint32_t failures)
{
    struct failing failing = {fixture, name, failures};
    fixture_until(has_failed, &failing, "the failures to be counted");
    struct model_status status = fixture_status(fixture, name);
    assert_int_equal(status.failures, failures);
    return status;
}

/* A worker whose reader is silent, and one whose model thread stands still, are ended; the cause says which. */
static void test_hanging_workers_are_found(void **state)
{
    static const struct {
        const char *behaviour;
        const char *cause;
    } cases[] = {{"hang,mute", "no sign of life"}, {"hang,stuck", "without getting on"}};
    struct fixture *fixture = *state;
    fixture_open(fixture, &watchful);
    for (size_t i = 0; i < 2; i++) {
        char name[] = {'m', (char)('0' + i), '\0'};
        fixture_model(fixture, name, ROLE_EMBEDDING, 1, cases[i].behaviour);
        struct err err;
        assert_int_equal(use(fixture, name, &err), ERR_WORKER_DIED);
        assert_non_null(strstr(err.message[LANG_EN], cases[i].cause));
        /* The request was tried once more. */
        struct model_status status = await_failures(fixture, name, 2);
        assert_non_null(strstr(status.cause, cases[i].cause));
        assert_true(status.failed_us > 0);
        assert_string_equal(status.circuit, "closed");
    }
}

/* A long computation is none that hangs: it beats. */
static void test_long_work_is_left_alone(void **state)
{
    struct fixture *fixture = *state;
    fixture_open(fixture, &watchful);
    fixture_model(fixture, "slow", ROLE_EMBEDDING, 1, "ms=1000"); /* five times hang_ms */
    struct err err;
    if (use(fixture, "slow", &err) != ERR_NONE)
        fail_msg("%s", err.message[LANG_EN]);
    assert_int_equal(fixture_status(fixture, "slow").failures, 0);
}

static void test_circuit_of_a_model_that_keeps_dying(void **state)
{
    struct fixture *fixture = *state;
    const struct fixture_options options = {
        .config = "{\"memory.reserve_mib\": 0, \"worker.threads\": 1, "
                  "\"errors.circuit_failures\": 3, \"errors.circuit_open_s\": 3600}"};
    fixture_open(fixture, &options);
    fixture_model(fixture, "e", ROLE_EMBEDDING, 1, "crash,say=last_words_of_it");
    struct err err;
    assert_int_equal(use(fixture, "e", &err), ERR_WORKER_DIED); /* twice */
    assert_int_equal(use(fixture, "e", &err), ERR_WORKER_DIED);
    struct model_status status = await_failures(fixture, "e", 3);
    assert_string_equal(status.circuit, "open");
    assert_true(status.retry_in_ms > 0);
    assert_non_null(strstr(status.cause, "signal 6"));
    assert_non_null(strstr(status.last_words, "last_words_of_it"));
    /* Nothing is started any more, and the error says until when. */
    assert_int_equal(use(fixture, "e", &err), ERR_CIRCUIT_OPEN);
    assert_true(err.retry_after_ms > 0);
    assert_non_null(strstr(err.message[LANG_EN], "signal 6"));
    assert_int_equal(fixture_status(fixture, "e").failures, 3);
}

static void test_circuit_closes_again(void **state)
{
    struct fixture *fixture = *state;
    const struct fixture_options options = {
        .config = "{\"memory.reserve_mib\": 0, \"worker.threads\": 1, "
                  "\"errors.circuit_failures\": 1, \"errors.circuit_open_s\": 1}"};
    fixture_open(fixture, &options);
    const char *fuse = fixture_gate(fixture, "fuse");
    char behaviour[200];
    snprintf(behaviour, sizeof(behaviour), "kill-once=%s", fuse);
    fixture_model(fixture, "e", ROLE_EMBEDDING, 1, behaviour);
    struct err err;
    assert_int_equal(use(fixture, "e", &err),
                     ERR_WORKER_DIED); /* the circuit allows no second try */
    assert_int_equal(use(fixture, "e", &err), ERR_CIRCUIT_OPEN);
    deadline until = deadline_in_ms(FIXTURE_WAIT_MS);
    while (use(fixture, "e", &err) != ERR_NONE && !deadline_passed(until))
        poll(NULL, 0, 10); /* until the circuit lets one through */
    struct model_status status = fixture_status(fixture, "e");
    assert_string_equal(status.circuit, "closed");
    assert_int_equal(status.failures, 0);
    assert_non_null(strstr(status.cause, "signal 9")); /* it is still told */
}

/* Loads that end their worker count as well. */
static void test_circuit_of_a_model_that_cannot_be_loaded(void **state)
{
    struct fixture *fixture = *state;
    const struct fixture_options options = {
        .config = "{\"memory.reserve_mib\": 0, \"worker.threads\": 1, "
                  "\"errors.circuit_failures\": 2, \"errors.circuit_open_s\": 3600}"};
    fixture_open(fixture, &options);
    fixture_model(fixture, "e", ROLE_EMBEDDING, 1, "crash-load");
    struct err err;
    assert_int_equal(use(fixture, "e", &err), ERR_MODEL_INVALID);
    assert_int_equal(use(fixture, "e", &err), ERR_MODEL_INVALID);
    assert_int_equal(use(fixture, "e", &err), ERR_CIRCUIT_OPEN);
    fixture_model(fixture, "f", ROLE_EMBEDDING, 1, "fail-load"); /* an orderly refusal does not */
    for (int i = 0; i < 4; i++)
        assert_int_equal(use(fixture, "f", &err), ERR_MODEL_INVALID);
    assert_int_equal(fixture_status(fixture, "f").failures, 0);
}

static void test_fallback_of_a_model_whose_worker_dies(void **state)
{
    struct fixture *fixture = *state;
    fixture_open(fixture, &(struct fixture_options){0});
    fixture_model(fixture, "spare", ROLE_RERANK, 1, "");
    fixture_model(fixture, "weak", ROLE_RERANK, 1, "crash");
    char spare[] = "spare";
    char weak[] = "weak";
    char *fallback[] = {spare};
    const struct model_entry entry = {.name = weak,
                                      .path = weak,
                                      .role = ROLE_RERANK,
                                      .slots = 1,
                                      .fallback = fallback,
                                      .fallback_count = 1};
    struct err err;
    assert_ok(registry_add(fixture->registry, &entry, &err), &err);
    struct lease *lease = fixture_acquire(fixture, "weak", ROLE_RERANK);
    assert_null(lease_degraded(lease));
    const struct wait wait = fixture_wait(NULL);
    const char *texts[] = {"a", "bb"};
    struct msg_scores scores;
    assert_ok(lease_rerank(lease, "q", texts, 2, &wait, &fixture->arena, &scores, &err), &err);
    assert_true(scores.scores[1] == 2.0F);
    assert_string_equal(lease_entry(lease)->name, "spare");
    assert_int_equal(lease_degraded(lease)->code, ERR_WORKER_DIED);
    lease_release(lease);
    assert_int_equal(fixture_status(fixture, "weak").in_flight, 0);
    assert_int_equal(fixture_status(fixture, "spare").in_flight, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_hanging_workers_are_found),
        TEST(test_long_work_is_left_alone),
        TEST(test_circuit_of_a_model_that_keeps_dying),
        TEST(test_circuit_closes_again),
        TEST(test_circuit_of_a_model_that_cannot_be_loaded),
        TEST(test_fallback_of_a_model_whose_worker_dies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
