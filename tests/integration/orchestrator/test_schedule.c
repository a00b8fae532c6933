/* What the registry promises beyond one load: a slow one holds up nobody, the order of uses is exact, models come and
 * go by configuration and on request, and everything that was decided can be read. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "base/thread.h"
#include "fixture.h"

static void add(struct fixture *fixture, const char *name, const char *behaviour)
{
    fixture_model(fixture, name, ROLE_CHAT, 1, behaviour);
}

static void use(struct fixture *fixture, const char *name)
{
    lease_release(fixture_acquire(fixture, name, ROLE_CHAT));
}

static void use_many(struct fixture *fixture, const char *name, int times)
{
    for (int i = 0; i < times; i++)
        use(fixture, name);
}

/* ---------------------------------------------------------------- a slow load */

struct waiter {
    struct fixture *fixture;
    const char *name;
    struct cancel cancel;
    pthread_t thread;
    bool ok;
    struct err err;
};

static void *run_waiter(void *argument)
{
    struct waiter *waiter = argument;
    const struct wait wait = fixture_wait(&waiter->cancel);
    waiter->ok =
        registry_load(waiter->fixture->registry, waiter->name, &wait, NULL, NULL, &waiter->err);
    return NULL;
}

static void start(struct waiter *waiter, struct fixture *fixture, const char *name)
{
    *waiter = (struct waiter){.fixture = fixture, .name = name};
    cancel_init(&waiter->cancel);
    assert_true(thread_start(&waiter->thread, "waiter", run_waiter, waiter, NULL));
}

static void join(struct waiter *waiter)
{
    pthread_join(waiter->thread, NULL);
    cancel_destroy(&waiter->cancel);
}

/* Three loads are held; other models are loaded and used, many times, and everything can be asked. */
static void test_held_loads_hold_up_nobody(void **state)
{
    struct fixture *fixture = *state;
    struct waiter waiters[3];
    static const char *const slow[] = {"slow1", "slow2", "slow3"};
    fixture_open(fixture, &(struct fixture_options){.keep_spare = true});
    const char *gate = fixture_gate(fixture, "gate");
    char behaviour[200];
    snprintf(behaviour, sizeof(behaviour), "gate=%s", gate);
    for (int i = 0; i < 3; i++) {
        add(fixture, slow[i], behaviour);
        start(&waiters[i], fixture, slow[i]);
    }
    for (int i = 0; i < 3; i++)
        fixture_await_state(fixture, slow[i], MODEL_LOADING);
    add(fixture, "quick", "");
    use_many(fixture, "quick", 100);
    assert_true(registry_unload(fixture->registry, "quick", NULL));
    use(fixture, "quick");
    cancel_fire(&waiters[2].cancel); /* one of them is called off */
    fixture_await_state(fixture, "slow3", MODEL_COLD);
    for (int i = 0; i < 2; i++)
        assert_int_equal(fixture_status(fixture, slow[i]).state, MODEL_LOADING);
    fixture_open_gate(gate);
    for (int i = 0; i < 3; i++)
        join(&waiters[i]);
    assert_true(waiters[0].ok && waiters[1].ok);
    assert_int_equal(waiters[2].err.code, ERR_CANCELLED);
}

/* ---------------------------------------------------------------- the order of uses */

enum { USERS = 6, ROUNDS = 150, USED_MODELS = 5, LOG_MAX = 2 * USERS * ROUNDS + 64 };

/* What happened, one after the other: written under the registry's lock. */
struct use_log {
    atomic_size_t count;
    char models[LOG_MAX];
    uint64_t orders[LOG_MAX];
};

static void log_use(void *user, const char *model, uint64_t order)
{
    struct use_log *log = user;
    size_t at = atomic_load(&log->count);
    assert_true(at < LOG_MAX);
    log->models[at] = model[1];
    log->orders[at] = order;
    atomic_store(&log->count, at + 1);
}

struct user {
    struct fixture *fixture;
    struct use_log *log;
    struct testing_random random;
    pthread_t thread;
    int wrong;
};

static bool log_has(const struct use_log *log, size_t from, size_t to, char model)
{
    for (size_t i = from; i < to; i++)
        if (log->models[i] == model)
            return true;
    return false;
}

/* Each use must be in the log between the two moments around it. */
static void *run_user(void *argument)
{
    struct user *user = argument;
    for (int i = 0; i < ROUNDS; i++) {
        char name[] = "m0";
        name[1] = (char)('0' + testing_below(&user->random, USED_MODELS));
        const struct wait wait = fixture_wait(NULL);
        struct lease *lease;
        size_t before = atomic_load(&user->log->count);
        if (!registry_acquire(user->fixture->registry, name, ROLE_CHAT, &wait, NULL, NULL, &lease,
                              NULL)) {
            user->wrong++;
            continue;
        }
        size_t between = atomic_load(&user->log->count);
        user->wrong += !log_has(user->log, before, between, name[1]);
        lease_release(lease);
        user->wrong += !log_has(user->log, between, atomic_load(&user->log->count), name[1]);
    }
    return NULL;
}

static size_t last_in_log(const struct use_log *log, char model)
{
    for (size_t i = atomic_load(&log->count); i > 0; i--)
        if (log->models[i - 1] == model)
            return i;
    return 0;
}

static void test_order_of_uses_is_exact(void **state)
{
    struct fixture *fixture = *state;
    struct use_log *log = calloc(1, sizeof(*log));
    struct user users[USERS];
    struct testing_random random;
    assert_non_null(log);
    testing_seed(&random);
    fixture_open(fixture, &(struct fixture_options){.on_use = log_use, .on_use_user = log});
    for (int i = 0; i < USED_MODELS; i++) {
        char name[] = {'m', (char)('0' + i), '\0'};
        add(fixture, name, "");
    }
    for (int i = 0; i < USERS; i++) {
        users[i] = (struct user){.fixture = fixture, .log = log};
        users[i].random.state = testing_next(&random);
        assert_true(thread_start(&users[i].thread, "user", run_user, &users[i], NULL));
    }
    int wrong = 0;
    for (int i = 0; i < USERS; i++) {
        pthread_join(users[i].thread, NULL);
        wrong += users[i].wrong;
    }
    assert_int_equal(wrong, 0);
    size_t count = atomic_load(&log->count);
    assert_int_equal(count, 2 * USERS * ROUNDS); /* a lease taken is a use, one given back too */
    for (size_t i = 1; i < count; i++)
        assert_int_equal(log->orders[i], log->orders[i - 1] + 1);
    for (int i = 0; i < USED_MODELS; i++) {
        char a = (char)('0' + i);
        char name[] = {'m', a, '\0'};
        size_t last = last_in_log(log, a);
        assert_int_equal(fixture_status(fixture, name).order, last ? log->orders[last - 1] : 0);
    }
    registry_close(fixture->registry);
    fixture->registry = NULL;
    free(log);
}

/* ---------------------------------------------------------------- by configuration */

static void write_model(struct fixture *fixture, const char *name, const char *behaviour)
{
    char line[256];
    int length = snprintf(line, sizeof(line), "fake %s\n", behaviour);
    free(testing_file(fixture->folder, name, line, (size_t)length));
}

static bool is_cold(void *user)
{
    struct fixture *fixture = user;
    return fixture_status(fixture, "brief").state == MODEL_COLD &&
           fixture_why_has(fixture, "brief", "nobody has used it for 1 s");
}

static void test_preload_pin_and_time_to_live(void **state)
{
    struct fixture *fixture = *state;
    write_model(fixture, "early", "");
    write_model(fixture, "brief", "");
    write_model(fixture, "broken", "fail-load");
    fixture_open(
        fixture,
        &(struct fixture_options){
            .memory_mib = 1000,
            .config =
                "{\"memory.reserve_mib\": 0, \"models\": ["
                "{\"name\": \"early\", \"path\": \"early\", \"role\": \"chat\", \"preload\": true,"
                " \"pin\": true},"
                "{\"name\": \"broken\", \"path\": \"broken\", \"role\": \"chat\", \"preload\": "
                "true},"
                "{\"name\": \"brief\", \"path\": \"brief\", \"role\": \"chat\", \"ttl_s\": 1}]}"});
    fixture_await_state(fixture, "early", MODEL_READY);
    fixture_await_state(fixture, "broken", MODEL_FAILED);
    struct model_status early = fixture_status(fixture, "early");
    assert_true(early.pinned && early.preload);
    assert_int_equal(early.uses, 0);
    assert_int_equal(early.in_flight, 0);

    struct lease *lease = fixture_acquire(fixture, "brief", ROLE_CHAT);
    assert_int_equal(fixture_status(fixture, "brief").ttl_s, 1);
    lease_release(lease);
    fixture_until(is_cold, fixture, "the end of its time");
    assert_int_equal(fixture_status(fixture, "early").state, MODEL_READY);
}

static void test_pinned_model_stays_until_unpinned(void **state)
{
    struct fixture *fixture = *state;
    struct err err;
    fixture_open(fixture, &(struct fixture_options){.memory_mib = 1000});
    fixture_model(fixture, "kept", ROLE_CHAT, 432, "resident=633339904"); /* 604 MiB */
    fixture_model(fixture, "wide", ROLE_CHAT, 432, "resident=633339904");
    use(fixture, "kept");
    assert_true(registry_pin(fixture->registry, "kept", true, &err));
    const struct wait wait = fixture_wait(NULL);
    assert_false(registry_load(fixture->registry, "wide", &wait, NULL, NULL, &err));
    assert_int_equal(err.code, ERR_OUT_OF_MEMORY_BUDGET); /* at once: nobody will give way */
    assert_non_null(strstr(err.message[LANG_EN], "unpin \"kept\""));
    assert_true(err.message[LANG_ES][0] != '\0');
    assert_true(fixture_why_has(fixture, "wide", "refused: "));
    assert_true(registry_pin(fixture->registry, "kept", false, &err));
    assert_ok(registry_load(fixture->registry, "wide", &wait, NULL, NULL, &err), &err);
    assert_int_equal(fixture_status(fixture, "kept").state, MODEL_COLD);
    assert_false(registry_pin(fixture->registry, "none", true, &err));
    assert_int_equal(err.code, ERR_MODEL_NOT_FOUND);
}

static void test_smaller_context_where_it_is_allowed(void **state)
{
    struct fixture *fixture = *state;
    struct err err;
    char name[] = "deep";
    fixture_open(fixture, &(struct fixture_options){.memory_mib = 1000});
    fixture_model(fixture, name, ROLE_CHAT, 800, ""); /* 1064 MiB with 8192 tokens */
    const struct wait wait = fixture_wait(NULL);
    assert_false(registry_load(fixture->registry, name, &wait, NULL, NULL, &err));
    assert_int_equal(err.code, ERR_MODEL_TOO_LARGE);
    fixture_await_state(fixture, name, MODEL_COLD); /* that try has ended altogether */
    const struct model_entry entry = {
        .name = name,
        .path = name,
        .role = ROLE_CHAT,
        .slots = 1,
        .gpu_layers = -1,
        .alternatives = {ALTERNATIVE_SMALLER_CONTEXT},
        .alternative_count = 1,
    };
    assert_ok(registry_add(fixture->registry, &entry, &err), &err);
    assert_ok(registry_load(fixture->registry, name, &wait, NULL, NULL, &err), &err);
    assert_int_equal(fixture_status(fixture, name).context_length, 4096);
}

/* ---------------------------------------------------------------- what can be read */

static void test_decisions_are_explained(void **state)
{
    struct fixture *fixture = *state;
    struct why rows[64];
    size_t count;
    struct err err;
    char words[LANG_COUNT][WHY_TEXT_MAX];
    fixture_open(fixture, &(struct fixture_options){0});
    add(fixture, "a", "");
    assert_true(registry_explain(fixture->registry, "a", rows, 64, &count, &err));
    assert_int_equal(count, 0);
    use(fixture, "a");
    assert_true(registry_unload(fixture->registry, "a", &err));
    assert_true(registry_explain(fixture->registry, "a", rows, 64, &count, &err));
    static const enum why_code expected[] = {WHY_WANTED, WHY_LOADING, WHY_LOADED, WHY_UNLOADED};
    assert_int_equal(count, 4);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(rows[i].code, expected[i]);
        assert_true(rows[i].at_us > 0);
        for (int lang = 0; lang < LANG_COUNT; lang++)
            why_render(&rows[i], (enum lang)lang, words[lang]);
        assert_string_not_equal(words[LANG_EN], words[LANG_ES]);
    }
    for (int i = 0; i < 20; i++) { /* the ring is bounded: the oldest go */
        use(fixture, "a");
        assert_true(registry_unload(fixture->registry, "a", &err));
    }
    assert_true(registry_explain(fixture->registry, "a", rows, 64, &count, &err));
    assert_int_equal(count, 16);
    assert_int_equal(rows[count - 1].code, WHY_UNLOADED);
    assert_true(registry_explain(fixture->registry, "a", rows, 2, &count, &err));
    assert_int_equal(count, 2);
    assert_int_equal(rows[1].code, WHY_UNLOADED);
    assert_false(registry_explain(fixture->registry, "none", rows, 64, &count, &err));
}

static void test_every_reason_has_words(void **state)
{
    (void)state;
    for (int code = WHY_NONE + 1; code < WHY_CODE_COUNT; code++) {
        struct why why = {.code = (enum why_code)code, .other = "b", .need = 1 << 20};
        char english[WHY_TEXT_MAX];
        char spanish[WHY_TEXT_MAX];
        why_put_cause(&why, "cause");
        why_render(&why, LANG_EN, english);
        why_render(&why, LANG_ES, spanish);
        assert_true(english[0] != '\0' && spanish[0] != '\0');
        assert_string_not_equal(english, spanish);
    }
}

static void test_events_come_in_order_and_are_bounded(void **state)
{
    struct fixture *fixture = *state;
    enum { ROWS = 64, KEPT = 512 };
    struct registry_event rows[ROWS];
    const struct wait now = {.until = deadline_in_ms(0)};
    struct err err;
    fixture_open(fixture, &(struct fixture_options){0});
    add(fixture, "a", "");
    uint64_t last = registry_event_last(fixture->registry);
    assert_int_equal(registry_events(fixture->registry, last, &now, rows, ROWS), 0);
    use(fixture, "a");
    size_t count = registry_events(fixture->registry, last, &now, rows, ROWS);
    assert_true(count >= 3); /* wanted, loading, perhaps how far it is, loaded */
    for (size_t i = 0; i < count; i++)
        assert_int_equal(rows[i].number, last + 1 + i);
    assert_string_equal(rows[0].model, "a");
    assert_int_equal(rows[0].why.code, WHY_WANTED);
    assert_int_equal(rows[count - 1].why.code, WHY_LOADED);
    assert_int_equal(rows[count - 1].state, MODEL_READY);
    for (int i = 0; i < KEPT + ROWS; i++)
        assert_true(registry_pin(fixture->registry, "a", i % 2 == 0, &err));
    count = registry_events(fixture->registry, last, &now, rows, ROWS);
    assert_int_equal(count, ROWS);
    assert_int_equal(rows[0].number, registry_event_last(fixture->registry) - KEPT + 1);
}

/* Asking for anything neither loads a model nor counts as a use. */
static void test_looking_changes_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct why rows[16];
    size_t count;
    struct registry_memory memory;
    fixture_open(fixture, &(struct fixture_options){0});
    add(fixture, "a", "");
    add(fixture, "b", "");
    use(fixture, "b");
    uint64_t events = registry_event_last(fixture->registry);
    uint64_t order = fixture_status(fixture, "b").order;
    for (int i = 0; i < 50; i++) {
        assert_true(registry_explain(fixture->registry, "a", rows, 16, &count, NULL));
        registry_memory(fixture->registry, &memory);
    }
    assert_int_equal(fixture_status(fixture, "a").state, MODEL_COLD);
    assert_int_equal(fixture_status(fixture, "b").order, order);
    assert_int_equal(fixture_status(fixture, "b").uses, 1);
    assert_int_equal(registry_event_last(fixture->registry), events);
}

/* ---------------------------------------------------------------- other programs */

/* A model that takes more than was thought pushes idle ones out. */
static void test_more_than_predicted(void **state)
{
    struct fixture *fixture = *state;
    fixture_open(fixture, &(struct fixture_options){.memory_mib = 500});
    add(fixture, "idle", "resident=209715200"); /* 200 MiB */
    add(fixture, "fat", "resident=419430400");  /* 400 MiB, thought to be 66 */
    use(fixture, "idle");
    use(fixture, "fat");
    fixture_await_state(fixture, "idle", MODEL_COLD);
    assert_true(fixture_why_has(fixture, "idle", "other programs need the memory"));
    assert_int_equal(fixture_status(fixture, "fat").state, MODEL_READY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
        TEST(test_held_loads_hold_up_nobody),
        TEST(test_order_of_uses_is_exact),
        TEST(test_preload_pin_and_time_to_live),
        TEST(test_pinned_model_stays_until_unpinned),
        TEST(test_smaller_context_where_it_is_allowed),
        TEST(test_decisions_are_explained),
        cmocka_unit_test(test_every_reason_has_words),
        TEST(test_events_come_in_order_and_are_bounded),
        TEST(test_looking_changes_nothing),
        TEST(test_more_than_predicted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
