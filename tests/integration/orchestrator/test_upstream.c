/* Models that another server answers for: what goes well, each way to fail, retries, addresses, keys, fallbacks. */
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "base/thread.h"
#include "fixture.h"
#include "helper/fake_upstream.h"

enum { SERVERS = 2, TEXT_MAX = 4096 };

struct world {
    struct fixture *fixture;
    struct fake_upstream *servers[SERVERS];
};

static int setup(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    void *fixture = NULL;
    assert_non_null(world);
    unsetenv("http_proxy");
    unsetenv("all_proxy");
    unsetenv("ALL_PROXY");
    fixture_setup(&fixture);
    world->fixture = fixture;
    for (int i = 0; i < SERVERS; i++)
        world->servers[i] = fake_upstream_start();
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    void *fixture = world->fixture;
    registry_close(world->fixture->registry);
    world->fixture->registry = NULL;
    world->fixture->descriptors = 0; /* the servers' own come and go */
    for (int i = 0; i < SERVERS; i++)
        fake_upstream_stop(world->servers[i]);
    free(world);
    return fixture_teardown(&fixture);
}

/* A registry with the models "far" (chat), "vectors", "order" at the first server, "both" (chat) at both, and "near"
 * (chat), whose fallbacks are "far" and "both". `more` are further settings, each ending in a comma. */
static void open_world(struct world *world, const char *more, const char *upstream_more)
{
    struct arena *arena = &world->fixture->arena;
    const char *one = fake_upstream_url(world->servers[0]);
    const char *two = fake_upstream_url(world->servers[1]);
    const char *config = arena_printf(
        arena,
        "{%s \"memory.reserve_mib\": 0, \"worker.threads\": 1, \"upstream.health_interval_s\": "
        "3600, \"models\": ["
        "{\"name\": \"far\", \"role\": \"chat\", \"upstream\": {\"urls\": [\"%s\"], \"model\": "
        "\"m\"%s}},"
        "{\"name\": \"vectors\", \"role\": \"embedding\", \"upstream\": {\"urls\": [\"%s\"], "
        "\"model\": \"v\"%s}},"
        "{\"name\": \"order\", \"role\": \"rerank\", \"upstream\": {\"urls\": [\"%s\"], \"model\": "
        "\"r\"%s}},"
        "{\"name\": \"both\", \"role\": \"chat\", \"upstream\": {\"urls\": [\"%s\", \"%s\"], "
        "\"model\": \"m\"%s}},"
        "{\"name\": \"near\", \"role\": \"chat\", \"path\": \"missing.gguf\", \"fallback\": "
        "[\"far\", \"both\"]}]}",
        more, one, upstream_more, one, upstream_more, one, upstream_more, one, two, upstream_more);
    assert_non_null(config);
    fixture_open(world->fixture, &(struct fixture_options){.config = config});
}

/* A lease that may fail. */
static struct lease *acquire(struct world *world, const char *name, enum model_role role,
                             struct err *err)
{
    const struct wait wait = fixture_wait(NULL);
    struct lease *lease = NULL;
    if (!registry_acquire(world->fixture->registry, name, role, &wait, NULL, NULL, &lease, err))
        return NULL;
    return lease;
}

static const struct msg_chat_message question[] = {{"system", "be \"brief\""}, {"user", "¿qué?"}};

static struct msg_generate chat_request(void)
{
    struct msg_generate request = {.messages = question, .message_count = 2, .prompt = ""};
    sampling_default(&request.sampling);
    return request;
}

/* The text of a whole generation, in `out`; what was told before an error stays there. */
static bool chat(struct lease *lease, struct cancel *cancel, char out[TEXT_MAX],
                 struct msg_done *ret, struct err *err)
{
    const struct wait wait = fixture_wait(cancel);
    const struct msg_generate request = chat_request();
    struct generation *generation;
    struct generation_event event = {0};
    size_t used = 0;
    out[0] = '\0';
    if (!lease_generate(lease, &request, &wait, &generation, err))
        return false;
    bool ok;
    while ((ok = generation_next(generation, &event, err)) && !event.done)
        used += (size_t)snprintf(out + used, TEXT_MAX - used, "%s", event.text);
    if (ok)
        *ret = event.last;
    generation_end(generation);
    return ok;
}

/* One chat with a model; the code of its error. */
static enum err_code chat_code(struct world *world, const char *name, char out[TEXT_MAX],
                               struct err *err)
{
    struct msg_done done;
    struct lease *lease = acquire(world, name, ROLE_CHAT, err);
    out[0] = '\0';
    if (!lease)
        return err->code;
    bool ok = chat(lease, NULL, out, &done, err);
    lease_release(lease);
    return ok ? ERR_NONE : err->code;
}

static void plan(struct fake_upstream *server, enum fake_fault fault, int tokens)
{
    fake_upstream_plan(server, &(struct fake_plan){.fault = fault, .tokens = tokens});
}

static void plan_status(struct fake_upstream *server, int status, const char *retry_after)
{
    fake_upstream_plan(
        server,
        &(struct fake_plan){.fault = FAKE_STATUS, .status = status, .retry_after = retry_after});
}

/* ---------------------------------------------------------------- what goes well */

static void test_chat(void **state)
{
    struct world *world = *state;
    char text[TEXT_MAX], body[TEXT_MAX], key[512];
    struct msg_done done;
    struct err err;
    open_world(world, "", "");
    struct lease *lease = acquire(world, "far", ROLE_CHAT, &err);
    assert_non_null(lease);
    assert_null(lease_degraded(lease));
    assert_int_equal(lease_model(lease)->context_length, 8192);
    assert_ok(chat(lease, NULL, text, &done, &err), &err);
    assert_string_equal(text, "t0 t1 t2 ");
    assert_int_equal(done.prompt_tokens, 7);
    assert_int_equal(done.completion_tokens, 3);
    assert_int_equal(done.finish, FINISH_STOP);
    fake_upstream_last(world->servers[0], body, sizeof(body), key, sizeof(key));
    assert_non_null(strstr(body, "\"model\":\"m\""));
    assert_non_null(strstr(body, "{\"role\":\"system\",\"content\":\"be \\\"brief\\\"\"}"));
    assert_non_null(strstr(body, "\"stream\":true"));
    assert_null(strstr(body, "min_p")); /* OpenAI's own server would refuse it */
    assert_string_equal(key, "");
    assert_int_equal(fixture_status(world->fixture, "far").in_flight, 1);
    lease_release(lease);
    struct model_status status = fixture_status(world->fixture, "far");
    assert_true(status.upstream);
    assert_string_equal(status.circuit, "closed");
    assert_int_equal(status.state, MODEL_READY);
    assert_int_equal(status.uses, 1);
    assert_int_equal(status.resident_bytes, 0);
}

/* A server of its own, so that nobody else's connections are counted. */
static void test_connection_is_used_again(void **state)
{
    struct world *world = *state;
    char text[TEXT_MAX];
    struct err err;
    const char *config = arena_printf(
        &world->fixture->arena,
        "{\"memory.reserve_mib\": 0, \"models\": [{\"name\": \"far\", \"role\": \"chat\", "
        "\"upstream\": {\"urls\": [\"%s\"], \"model\": \"m\"}}]}",
        fake_upstream_url(world->servers[0]));
    fixture_open(world->fixture, &(struct fixture_options){.config = config});
    for (int i = 0; i < 3; i++)
        assert_int_equal(chat_code(world, "far", text, &err), ERR_NONE);
    assert_int_equal(fake_upstream_connections(world->servers[0]), 1);
}

static void test_embed_and_rerank(void **state)
{
    enum { COUNT = 150 };
    struct world *world = *state;
    struct fixture *fixture = world->fixture;
    const struct wait wait = fixture_wait(NULL);
    struct err err;
    open_world(world, "", "");
    const char *texts[COUNT];
    for (int i = 0; i < COUNT; i++)
        texts[i] = i % 2 ? "odd" : "even";
    struct lease *lease = acquire(world, "vectors", ROLE_EMBEDDING, &err);
    assert_non_null(lease);
    assert_non_null(lease_model_hash(lease));
    struct msg_vectors vectors;
    assert_ok(lease_embed(lease, "query: ", texts, COUNT, &wait, &fixture->arena, &vectors, &err),
              &err);
    assert_int_equal(vectors.count, COUNT);
    assert_int_equal(vectors.dimensions, 4);
    assert_int_equal(lease_model(lease)->dimensions, 4);
    assert_int_equal(vectors.tokens, 15); /* three parts, 5 each */
    for (int i = 0; i < COUNT; i++) {     /* (3, 4) made as long as 1 */
        assert_true(vectors.values[4 * i] > 0.599F && vectors.values[4 * i] < 0.601F);
        assert_true(vectors.values[4 * i + 1] > 0.799F && vectors.values[4 * i + 1] < 0.801F);
    }
    struct msg_counts counts;
    assert_ok(lease_count(lease, texts, COUNT, &wait, &fixture->arena, &counts, &err), &err);
    assert_int_equal(counts.tokens[0], 2);
    lease_release(lease);

    lease = acquire(world, "order", ROLE_RERANK, &err);
    assert_non_null(lease);
    struct msg_scores scores;
    assert_ok(lease_rerank(lease, "q", texts, COUNT, &wait, &fixture->arena, &scores, &err), &err);
    assert_int_equal(scores.count, COUNT);
    assert_true(scores.scores[0] > scores.scores[1]); /* "even" is longer */
    assert_true(scores.scores[0] < 0);                /* the logit of 0.04 */
    lease_release(lease);
    assert_null(acquire(world, "order", ROLE_CHAT, &err));
    assert_int_equal(err.code, ERR_INVALID_REQUEST);
}

static void test_keys(void **state)
{
    struct world *world = *state;
    char text[TEXT_MAX], body[TEXT_MAX], key[512];
    struct err err;
    char *file = testing_file(world->fixture->folder, "key", "sk-secret\nnot this\n", 19);
    char *more = str_format(512, ", \"api_key_file\": \"%s\"", file);
    open_world(world, "", more);
    assert_int_equal(chat_code(world, "far", text, &err), ERR_NONE);
    fake_upstream_last(world->servers[0], body, sizeof(body), key, sizeof(key));
    assert_string_equal(key, "Bearer sk-secret");
    /* A refusal tells the server's words, and never the key. */
    plan_status(world->servers[0], 401, NULL);
    assert_int_equal(chat_code(world, "far", text, &err), ERR_UPSTREAM_REFUSED);
    assert_non_null(strstr(err.message[LANG_EN], "as planned"));
    assert_null(strstr(err.message[LANG_EN], "sk-secret"));
    assert_null(strstr(fixture_status(world->fixture, "far").cause, "sk-secret"));
    /* A new key counts at once; without one nothing is sent. */
    free(testing_file(world->fixture->folder, "key", "sk-new", 6));
    assert_int_equal(chat_code(world, "far", text, &err), ERR_NONE);
    fake_upstream_last(world->servers[0], body, sizeof(body), key, sizeof(key));
    assert_string_equal(key, "Bearer sk-new");
    int before = fake_upstream_posts(world->servers[0]);
    assert_int_equal(unlink(file), 0);
    assert_int_equal(chat_code(world, "far", text, &err), ERR_UPSTREAM_REFUSED);
    assert_int_equal(fake_upstream_posts(world->servers[0]), before);
    free(more);
    free(file);
}

/* ---------------------------------------------------------------- what fails, and is tried again */

static void test_retries_before_the_first_word(void **state)
{
    static const enum fake_fault faults[] = {FAKE_CUT_AT_ONCE, FAKE_NO_JSON, FAKE_HUGE_LINE,
                                             FAKE_ERROR_EVENT, FAKE_CUT};
    struct world *world = *state;
    struct fake_upstream *server = world->servers[0];
    char text[TEXT_MAX];
    struct err err;
    open_world(world, "\"errors.circuit_failures\": 100,", "");
    for (size_t i = 0; i < sizeof(faults) / sizeof(*faults); i++) {
        int before = fake_upstream_posts(server);
        plan(server, faults[i], 0);
        enum err_code code = chat_code(world, "far", text, &err);
        if (code != ERR_NONE)
            fail_msg("fault %zu: %s", i, err.message[LANG_EN]);
        assert_string_equal(text, "t0 t1 t2 ");
        assert_int_equal(fake_upstream_posts(server) - before, 2);
    }
    static const int statuses[] = {500, 502, 503, 429};
    for (size_t i = 0; i < sizeof(statuses) / sizeof(*statuses); i++) {
        plan_status(server, statuses[i], NULL);
        assert_int_equal(chat_code(world, "far", text, &err), ERR_NONE);
    }
    plan(server, FAKE_NO_DONE, 0); /* complete enough */
    int before = fake_upstream_posts(server);
    assert_int_equal(chat_code(world, "far", text, &err), ERR_NONE);
    assert_int_equal(fake_upstream_posts(server) - before, 1);
}

static void test_retries_end(void **state)
{
    struct world *world = *state;
    char text[TEXT_MAX];
    struct err err;
    open_world(world, "\"errors.retries\": 1, \"errors.circuit_failures\": 100,", "");
    for (int i = 0; i < 2; i++)
        plan_status(world->servers[0], 500, NULL);
    assert_int_equal(chat_code(world, "far", text, &err), ERR_UPSTREAM);
    assert_non_null(strstr(err.message[LANG_EN], "as planned"));
    assert_int_equal(fake_upstream_posts(world->servers[0]), 2);
    /* What the request is to blame for is not tried again. */
    plan_status(world->servers[0], 400, NULL);
    assert_int_equal(chat_code(world, "far", text, &err), ERR_INVALID_REQUEST);
    fake_upstream_plan(world->servers[0], &(struct fake_plan){.fault = FAKE_STATUS,
                                                              .status = 400,
                                                              .code = "context_length_exceeded"});
    assert_int_equal(chat_code(world, "far", text, &err), ERR_CONTEXT_LENGTH);
    plan_status(world->servers[0], 404, NULL);
    assert_int_equal(chat_code(world, "far", text, &err), ERR_UPSTREAM_REFUSED);
    assert_int_equal(fake_upstream_posts(world->servers[0]), 5);
}

static void test_retry_after_is_honoured(void **state)
{
    struct world *world = *state;
    char text[TEXT_MAX];
    struct err err;
    open_world(world, "", "");
    plan_status(world->servers[0], 429, "1");
    int64_t start = clock_now_ns();
    assert_int_equal(chat_code(world, "far", text, &err), ERR_NONE);
    assert_true(clock_ms_since(start) >= 1000); /* not before; how much later is not said */
    /* Longer than anybody waits: told to the client, and nobody asks meanwhile. */
    plan_status(world->servers[0], 503, "77");
    assert_int_equal(chat_code(world, "far", text, &err), ERR_UPSTREAM);
    assert_int_equal(err.retry_after_ms, 77000);
    int before = fake_upstream_posts(world->servers[0]);
    assert_int_equal(chat_code(world, "far", text, &err), ERR_RATE_LIMITED);
    assert_true(err.retry_after_ms > 0 && err.retry_after_ms <= 77000);
    assert_int_equal(fake_upstream_posts(world->servers[0]), before);
}

static void test_no_retry_after_the_first_word(void **state)
{
    static const enum fake_fault faults[] = {FAKE_CUT, FAKE_NO_JSON, FAKE_ERROR_EVENT,
                                             FAKE_HUGE_LINE};
    struct world *world = *state;
    char text[TEXT_MAX];
    struct err err;
    open_world(world, "\"errors.circuit_failures\": 100,", "");
    for (size_t i = 0; i < sizeof(faults) / sizeof(*faults); i++) {
        int before = fake_upstream_posts(world->servers[0]);
        plan(world->servers[0], faults[i], 2);
        enum err_code code = chat_code(world, "far", text, &err);
        assert_true(code == ERR_UPSTREAM || code == ERR_PROTOCOL);
        assert_string_equal(text, "t0 t1 ");
        assert_int_equal(fake_upstream_posts(world->servers[0]) - before, 1);
    }
}

static void test_silence_has_a_limit(void **state)
{
    static const enum fake_fault faults[] = {FAKE_HANG, FAKE_DRIP, FAKE_HANG_LATER};
    struct world *world = *state;
    char text[TEXT_MAX];
    struct err err;
    open_world(world, "\"errors.retries\": 0,", ", \"timeout_s\": 1");
    for (int i = 0; i < 3; i++) {
        plan(world->servers[0], faults[i], i == 2 ? 1 : 0);
        assert_int_equal(chat_code(world, "far", text, &err), ERR_UPSTREAM);
        assert_non_null(strstr(err.message[LANG_EN], "1 s"));
        fake_upstream_await_left(world->servers[0], i + 1); /* the connection was closed */
    }
}

/* ---------------------------------------------------------------- cancel */

struct cancelling {
    struct fake_upstream *server;
    struct cancel *cancel;
    int posts;
};

static bool has_posted(void *user)
{
    const struct cancelling *cancelling = user;
    return fake_upstream_posts(cancelling->server) >= cancelling->posts;
}

static void *run_cancel(void *argument)
{
    struct cancelling *cancelling = argument;
    fixture_until(has_posted, cancelling, "the request");
    cancel_fire(cancelling->cancel);
    return NULL;
}

static void test_cancel_closes_the_connection(void **state)
{
    struct world *world = *state;
    char text[TEXT_MAX];
    struct msg_done done;
    struct err err;
    open_world(world, "", "");
    struct lease *lease = acquire(world, "far", ROLE_CHAT, &err);
    for (int i = 0; i < 2; i++) { /* before the first word, and after it */
        struct cancel cancel;
        pthread_t thread;
        cancel_init(&cancel);
        plan(world->servers[0], i ? FAKE_HANG_LATER : FAKE_HANG, 1);
        struct cancelling cancelling = {world->servers[0], &cancel, i + 1};
        assert_true(thread_start(&thread, "cancel", run_cancel, &cancelling, NULL));
        assert_false(chat(lease, &cancel, text, &done, &err));
        assert_int_equal(err.code, ERR_CANCELLED);
        pthread_join(thread, NULL);
        fake_upstream_await_left(world->servers[0], i + 1);
        cancel_destroy(&cancel);
    }
    lease_release(lease);
    /* A generation that is ended early closes it, too. */
    lease = acquire(world, "far", ROLE_CHAT, &err);
    plan(world->servers[0], FAKE_HANG_LATER, 1);
    const struct msg_generate request = chat_request();
    const struct wait wait = fixture_wait(NULL);
    struct generation *generation;
    struct generation_event event;
    assert_ok(lease_generate(lease, &request, &wait, &generation, &err), &err);
    assert_ok(generation_next(generation, &event, &err), &err);
    assert_string_equal(event.text, "t0 "); /* at once, though nothing follows */
    generation_end(generation);
    lease_release(lease);
    fake_upstream_await_left(world->servers[0], 3);
}

/* ---------------------------------------------------------------- several addresses, circuits */

static void test_next_address_at_once(void **state)
{
    struct world *world = *state;
    char text[TEXT_MAX];
    struct err err;
    open_world(world, "\"errors.retries\": 0, \"errors.circuit_failures\": 2,", "");
    fake_upstream_refuse(world->servers[0], true);
    for (int i = 0; i < 6; i++)
        assert_int_equal(chat_code(world, "both", text, &err), ERR_NONE);
    assert_int_equal(fake_upstream_posts(world->servers[1]), 6);
    assert_string_equal(fixture_status(world->fixture, "both").circuit, "closed"); /* the best */
    /* With none left the error says why, and then nobody is asked any more. */
    fake_upstream_refuse(world->servers[1], true);
    for (int i = 0; i < 2; i++)
        assert_int_equal(chat_code(world, "both", text, &err), ERR_UPSTREAM);
    assert_int_equal(chat_code(world, "both", text, &err), ERR_CIRCUIT_OPEN);
    assert_true(err.retry_after_ms > 0);
    struct model_status status = fixture_status(world->fixture, "both");
    assert_string_equal(status.circuit, "open");
    assert_int_equal(status.state, MODEL_FAILED);
    assert_true(status.retry_in_ms > 0 && status.cause[0]);
}

static void test_least_loaded_address(void **state)
{
    enum { LEASES = 4 };
    struct world *world = *state;
    struct err err;
    struct lease *lease;
    struct generation *generations[LEASES];
    const struct msg_generate request = chat_request();
    const struct wait wait = fixture_wait(NULL);
    open_world(world, "", "");
    for (int i = 0; i < LEASES; i++)
        plan(world->servers[i % 2], FAKE_HANG_LATER, 1);
    lease = acquire(world, "both", ROLE_CHAT, &err);
    for (int i = 0; i < LEASES; i++)
        assert_ok(lease_generate(lease, &request, &wait, &generations[i], &err), &err);
    assert_int_equal(fake_upstream_posts(world->servers[0]), LEASES / 2);
    assert_int_equal(fake_upstream_posts(world->servers[1]), LEASES / 2);
    for (int i = 0; i < LEASES; i++)
        generation_end(generations[i]);
    lease_release(lease);
}

struct recovery {
    struct world *world;
};

static bool has_recovered(void *user)
{
    const struct recovery *recovery = user;
    char text[TEXT_MAX];
    struct err err;
    return chat_code(recovery->world, "far", text, &err) == ERR_NONE;
}

/* A health check finds the server again long before the circuit would have tried. */
static void test_health_check_finds_it_again(void **state)
{
    struct world *world = *state;
    char text[TEXT_MAX];
    struct err err;
    const char *config = arena_printf(
        &world->fixture->arena,
        "{\"errors.retries\": 0, \"errors.circuit_failures\": 1, \"errors.circuit_open_s\": 3000, "
        "\"memory.reserve_mib\": 0, \"models\": [{\"name\": \"far\", \"role\": \"chat\", "
        "\"upstream\": {\"urls\": [\"%s\"], \"model\": \"m\"}}]}",
        fake_upstream_url(world->servers[0]));
    fixture_open(world->fixture,
                 &(struct fixture_options){.config = config, .health_interval_ms = 20});
    assert_int_equal(chat_code(world, "far", text, &err), ERR_NONE);
    assert_int_equal(fake_upstream_checks(world->servers[0]), 0); /* it works: nobody asks */
    fake_upstream_refuse(world->servers[0], true);
    assert_int_equal(chat_code(world, "far", text, &err), ERR_UPSTREAM);
    assert_int_equal(chat_code(world, "far", text, &err), ERR_CIRCUIT_OPEN);
    fake_upstream_refuse(world->servers[0], false);
    struct recovery recovery = {world};
    fixture_until(has_recovered, &recovery, "the server to be found again");
    assert_string_equal(fixture_status(world->fixture, "far").circuit, "closed");
}

/* ---------------------------------------------------------------- fallbacks */

static void test_fallback(void **state)
{
    struct world *world = *state;
    char text[TEXT_MAX];
    struct msg_done done;
    struct err err;
    open_world(world, "\"errors.retries\": 0,", "");
    /* The file of "near" is missing: "far" answers. */
    struct lease *lease = acquire(world, "near", ROLE_CHAT, &err);
    assert_non_null(lease);
    assert_string_equal(lease_entry(lease)->name, "far");
    assert_int_equal(lease_degraded(lease)->code, ERR_MODEL_NOT_FOUND);
    assert_ok(chat(lease, NULL, text, &done, &err), &err);
    assert_string_equal(text, "t0 t1 t2 ");
    /* "far" fails before its first word: "both" answers, still instead of "near". */
    plan_status(world->servers[0], 500, NULL);
    assert_ok(chat(lease, NULL, text, &done, &err), &err);
    assert_string_equal(lease_entry(lease)->name, "both");
    assert_int_equal(lease_degraded(lease)->code, ERR_MODEL_NOT_FOUND);
    /* There is no other one: the error is that of the model that was asked for. */
    for (int i = 0; i < 2; i++)
        plan_status(world->servers[i], 500, NULL);
    assert_false(chat(lease, NULL, text, &done, &err));
    assert_int_equal(err.code, ERR_MODEL_NOT_FOUND);
    lease_release(lease);
    /* After the first word nobody else goes on. */
    lease = acquire(world, "near", ROLE_CHAT, &err);
    assert_non_null(lease);
    plan(world->servers[0], FAKE_CUT, 1);
    assert_false(chat(lease, NULL, text, &done, &err));
    assert_int_equal(err.code, ERR_UPSTREAM);
    assert_string_equal(text, "t0 ");
    assert_string_equal(lease_entry(lease)->name, "far");
    lease_release(lease);
    assert_int_equal(fixture_status(world->fixture, "far").in_flight, 0);
    assert_int_equal(fixture_status(world->fixture, "both").in_flight, 0);
    /* A model that others fall back on stays. */
    assert_false(registry_remove(world->fixture->registry, "far", &err));
    assert_int_equal(err.code, ERR_CONFLICT);
}

/* ---------------------------------------------------------------- many at once */

enum { CLIENTS = 6, ROUNDS = 12 };

static void *run_client(void *argument)
{
    struct world *world = argument;
    for (int i = 0; i < ROUNDS; i++) {
        char text[TEXT_MAX];
        struct err err;
        enum err_code code = chat_code(world, i % 2 ? "both" : "near", text, &err);
        if (code == ERR_NONE && strcmp(text, "t0 t1 t2 ") != 0)
            return (void *)(uintptr_t) "a wrong text";
    }
    return NULL;
}

static void test_many_clients_and_faults(void **state)
{
    struct world *world = *state;
    struct testing_random random;
    pthread_t threads[CLIENTS];
    testing_seed(&random);
    open_world(world, "\"errors.circuit_open_s\": 1,", "");
    for (int i = 0; i < 40; i++) {
        enum fake_fault fault = (enum fake_fault)testing_below(&random, FAKE_NO_DONE + 1);
        if (fault == FAKE_HANG || fault == FAKE_HANG_LATER || fault == FAKE_DRIP)
            fault = FAKE_CUT_AT_ONCE;
        fake_upstream_plan(world->servers[testing_below(&random, 2)],
                           &(struct fake_plan){.fault = fault,
                                               .status = 503,
                                               .tokens = (int)testing_below(&random, 3)});
    }
    for (int i = 0; i < CLIENTS; i++)
        assert_true(thread_start(&threads[i], "client", run_client, world, NULL));
    for (int i = 0; i < CLIENTS; i++) {
        void *wrong;
        pthread_join(threads[i], &wrong);
        assert_null(wrong);
    }
    assert_int_equal(fixture_status(world->fixture, "far").in_flight, 0);
    assert_int_equal(fixture_status(world->fixture, "both").in_flight, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
    const struct CMUnitTest tests[] = {
        TEST(test_chat),
        TEST(test_connection_is_used_again),
        TEST(test_embed_and_rerank),
        TEST(test_keys),
        TEST(test_retries_before_the_first_word),
        TEST(test_retries_end),
        TEST(test_retry_after_is_honoured),
        TEST(test_no_retry_after_the_first_word),
        TEST(test_silence_has_a_limit),
        TEST(test_cancel_closes_the_connection),
        TEST(test_next_address_at_once),
        TEST(test_least_loaded_address),
        TEST(test_health_check_finds_it_again),
        TEST(test_fallback),
        TEST(test_many_clients_and_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
