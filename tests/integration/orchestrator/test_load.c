/* Loading: shared, cancelled, failing, from the spare; and what is said about it. */
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/thread.h"
#include "fixture.h"

/* A thread that acquires, tells, and releases. */
struct client {
    struct fixture *fixture;
    const char *name;
    enum model_role role;
    struct cancel cancel;
    int64_t wait_ms; /* 0: long */
    pthread_t thread;
    bool ok;
    pid_t pid;
    struct err err;
};

static void *run_client(void *argument)
{
    struct client *client = argument;
    struct wait wait = fixture_wait(&client->cancel);
    if (client->wait_ms > 0)
        wait.until = deadline_in_ms(client->wait_ms);
    struct lease *lease;
    client->ok = registry_acquire(client->fixture->registry, client->name, client->role, &wait,
                                  NULL, NULL, &lease, &client->err);
    if (client->ok) {
        client->pid = fixture_status(client->fixture, client->name).pid;
        lease_release(lease);
    }
    return NULL;
}

static void start_client(struct client *client, struct fixture *fixture, const char *name)
{
    client->fixture = fixture;
    client->name = name;
    client->role = ROLE_CHAT;
    cancel_init(&client->cancel);
    assert_true(thread_start(&client->thread, "client", run_client, client, NULL));
}

static void join_client(struct client *client)
{
    pthread_join(client->thread, NULL);
    cancel_destroy(&client->cancel);
}

static void test_acquire_loads_once_and_keeps(void **state)
{
    struct fixture *fixture = *state;
    fixture_open(fixture, &(struct fixture_options){0});
    fixture_model(fixture, "m", ROLE_CHAT, 10, "resident=3145728,load-ms=20");
    assert_int_equal(fixture_status(fixture, "m").state, MODEL_COLD);
    assert_int_equal(fixture_status(fixture, "m").pid, 0);

    struct lease *first = fixture_acquire(fixture, "m", ROLE_CHAT);
    struct lease *second = fixture_acquire(fixture, "m", ROLE_CHAT);
    struct model_status status = fixture_status(fixture, "m");
    assert_int_equal(status.state, MODEL_READY);
    assert_int_equal(status.in_flight, 2);
    assert_int_equal(status.uses, 2);
    assert_true(status.pid > 0);
    assert_int_equal(status.resident_bytes, 3 * MIB);
    assert_int_equal(status.file_bytes, 10 * MIB);
    assert_true(status.predicted_bytes > 10 * MIB);
    assert_string_equal(lease_model(first)->description, "fake");
    assert_string_equal(lease_entry(first)->name, "m");
    assert_int_equal(fixture_children(NULL), 1);

    struct err err;
    assert_false(registry_unload(fixture->registry, "m", &err));
    assert_int_equal(err.code, ERR_BUSY);
    lease_release(first);
    lease_release(second);
    lease_release(NULL);
    assert_true(registry_unload(fixture->registry, "m", &err));
    assert_int_equal(fixture_status(fixture, "m").state, MODEL_COLD);
    assert_int_equal(fixture_children(NULL), 0);
    struct registry_memory memory;
    registry_memory(fixture->registry, &memory);
    assert_int_equal(memory.used_bytes, 0);
    assert_int_equal(memory.limit_bytes, 1024 * MIB);
}

static void test_several_share_one_load(void **state)
{
    enum { CLIENTS = 6 };
    struct fixture *fixture = *state;
    fixture_open(fixture, &(struct fixture_options){0});
    const char *gate = fixture_gate(fixture, "gate");
    char behaviour[200];
    snprintf(behaviour, sizeof(behaviour), "gate=%s", gate);
    fixture_model(fixture, "m", ROLE_CHAT, 1, behaviour);
    struct client clients[CLIENTS] = {0};
    for (int i = 0; i < CLIENTS; i++)
        start_client(&clients[i], fixture, "m");
    fixture_await_state(fixture, "m", MODEL_LOADING);
    fixture_open_gate(gate);
    for (int i = 0; i < CLIENTS; i++) {
        join_client(&clients[i]);
        assert_ok(clients[i].ok, &clients[i].err);
        assert_int_equal(clients[i].pid, clients[0].pid);
    }
    assert_int_equal(fixture_status(fixture, "m").uses, CLIENTS);
    assert_int_equal(fixture_children(NULL), 1);
}

static void test_one_waiter_leaves_the_other_stays(void **state)
{
    struct fixture *fixture = *state;
    fixture_open(fixture, &(struct fixture_options){0});
    const char *gate = fixture_gate(fixture, "gate");
    char behaviour[200];
    snprintf(behaviour, sizeof(behaviour), "gate=%s", gate);
    fixture_model(fixture, "m", ROLE_CHAT, 1, behaviour);
    struct client first = {0};
    struct client second = {0};
    start_client(&first, fixture, "m");
    fixture_await_state(fixture, "m", MODEL_LOADING);
    start_client(&second, fixture, "m");
    cancel_fire(&first.cancel);
    join_client(&first); /* although the gate is shut */
    assert_false(first.ok);
    assert_int_equal(first.err.code, ERR_CANCELLED);
    fixture_open_gate(gate);
    join_client(&second);
    assert_ok(second.ok, &second.err);
}

static void test_last_waiter_cancels_the_load(void **state)
{
    struct fixture *fixture = *state;
    fixture_open(fixture, &(struct fixture_options){0});
    const char *gate = fixture_gate(fixture, "gate");
    char behaviour[200];
    snprintf(behaviour, sizeof(behaviour), "gate=%s", gate);
    fixture_model(fixture, "m", ROLE_CHAT, 1, behaviour);
    struct client client = {0};
    start_client(&client, fixture, "m");
    fixture_await_state(fixture, "m", MODEL_LOADING);
    cancel_fire(&client.cancel);
    join_client(&client);
    assert_int_equal(client.err.code, ERR_CANCELLED);
    fixture_await_state(fixture, "m", MODEL_COLD);

    struct client late = {.wait_ms = 50}; /* a deadline ends a load as well */
    start_client(&late, fixture, "m");
    join_client(&late);
    assert_false(late.ok);
    assert_int_equal(late.err.code, ERR_TIMEOUT);
    fixture_await_state(fixture, "m", MODEL_COLD);
    fixture_open_gate(gate);
    lease_release(fixture_acquire(fixture, "m", ROLE_CHAT));
}

static void refused(struct fixture *fixture, const char *name, enum model_role role,
                    enum err_code code, const char *hint)
{
    const struct wait wait = fixture_wait(NULL);
    struct lease *lease = NULL;
    struct err err;
    assert_false(registry_acquire(fixture->registry, name, role, &wait, NULL, NULL, &lease, &err));
    assert_null(lease);
    if (err.code != code || !strstr(err.message[LANG_EN], hint))
        fail_msg("%s: %s", err_info(err.code)->name, err.message[LANG_EN]);
    if (!strstr(hint, "told to refuse")) /* the fake worker speaks English only */
        assert_true(err.message[LANG_ES][0] != '\0');
}

static void test_what_cannot_be_loaded(void **state)
{
    struct fixture *fixture = *state;
    fixture_open(fixture, &(struct fixture_options){0});
    fixture_model(fixture, "m", ROLE_CHAT, 1, "fail-load");
    fixture_model(fixture, "crash", ROLE_CHAT, 1, "crash-load,say=GGML_ASSERT(x) failed");
    fixture_model(fixture, "killed", ROLE_CHAT, 1, "kill-load");
    fixture_model(fixture, "gone", ROLE_CHAT, 1, "");
    refused(fixture, "none", ROLE_CHAT, ERR_MODEL_NOT_FOUND, "jarvis models");
    refused(fixture, "m", ROLE_EMBEDDING, ERR_INVALID_REQUEST, "chat");
    refused(fixture, "m", ROLE_CHAT, ERR_MODEL_INVALID, "told to refuse");
    assert_int_equal(fixture_status(fixture, "m").state, MODEL_FAILED);
    assert_true(fixture_why_has(fixture, "m", "told to refuse"));
    refused(fixture, "crash", ROLE_CHAT, ERR_MODEL_INVALID, "GGML_ASSERT(x) failed");
    refused(fixture, "killed", ROLE_CHAT, ERR_WORKER_DIED, "signal 9");
    char *path = testing_path(fixture->folder, "gone");
    assert_int_equal(unlink(path), 0);
    refused(fixture, "gone", ROLE_CHAT, ERR_MODEL_NOT_FOUND, path);
    free(path);
    path = testing_path(fixture->folder, "gone");
    assert_true(fs_make_dirs(path, NULL));
    refused(fixture, "gone", ROLE_CHAT, ERR_MODEL_INVALID, "is not a file");
    free(path);
    assert_int_equal(fixture_status(fixture, "gone").file_bytes, 0);

    /* A model that failed is tried again. */
    fixture_model(fixture, "m", ROLE_CHAT, 1, "");
    lease_release(fixture_acquire(fixture, "m", ROLE_CHAT));
    assert_int_equal(fixture_status(fixture, "m").state, MODEL_READY);
}

static void test_program_that_is_no_worker(void **state)
{
    struct fixture *fixture = *state;
    fixture_open(fixture, &(struct fixture_options){.program = "/bin/false", .keep_spare = true});
    fixture_model(fixture, "m", ROLE_CHAT, 1, "");
    refused(fixture, "m", ROLE_CHAT, ERR_UNAVAILABLE, "exit status 1");
}

static void test_program_that_is_not_there(void **state)
{
    struct fixture *fixture = *state;
    fixture_open(fixture, &(struct fixture_options){.program = "/nowhere/at/all"});
    fixture_model(fixture, "m", ROLE_CHAT, 1, "");
    refused(fixture, "m", ROLE_CHAT, ERR_UNAVAILABLE, "/nowhere/at/all");
}

static void test_worker_of_another_version(void **state)
{
    struct fixture *fixture = *state;
    setenv("JARVIS_FAKE_WORKER", "version=0.0.0-other", 1); /* allow(setenv): no thread is there */
    fixture_open(fixture, &(struct fixture_options){0});
    fixture_model(fixture, "m", ROLE_CHAT, 1, "");
    refused(fixture, "m", ROLE_CHAT, ERR_UNAVAILABLE, "version");
    unsetenv("JARVIS_FAKE_WORKER"); /* allow(unsetenv): the workers have ended */
}

static void test_same_name_and_removal(void **state)
{
    struct fixture *fixture = *state;
    struct err err;
    char name[128];
    fixture_open(fixture, &(struct fixture_options){0});
    assert_false(registry_default(fixture->registry, ROLE_CHAT, name, sizeof(name)));
    fixture_model(fixture, "a", ROLE_CHAT, 1, "");
    fixture_model(fixture, "b", ROLE_CHAT, 1, "");
    assert_true(registry_default(fixture->registry, ROLE_CHAT, name, sizeof(name)));
    assert_string_equal(name, "a");
    struct lease *lease = fixture_acquire(fixture, "a", ROLE_CHAT);
    struct model_entry entry = {.name = name, .path = name, .role = ROLE_CHAT};
    assert_false(registry_add(fixture->registry, &entry, &err));
    assert_int_equal(err.code, ERR_BUSY);
    assert_false(registry_remove(fixture->registry, "a", &err));
    assert_int_equal(err.code, ERR_BUSY);
    lease_release(lease);
    assert_true(registry_remove(fixture->registry, "a", &err));
    assert_int_equal(fixture_children(NULL), 0);
    assert_false(registry_remove(fixture->registry, "a", &err));
    assert_int_equal(err.code, ERR_MODEL_NOT_FOUND);
    assert_true(registry_default(fixture->registry, ROLE_CHAT, name, sizeof(name)));
    assert_string_equal(name, "b");
}

static void expect_embedder(const struct fixture *fixture, const char *expected)
{
    char name[128];
    assert_true(registry_default(fixture->registry, ROLE_EMBEDDING, name, sizeof(name)));
    assert_string_equal(name, expected);
}

static void test_house_embedder_is_the_last_resort(void **state)
{
    struct fixture *fixture = *state;
    struct err err;
    fixture_open(fixture, &(struct fixture_options){.house_embedder = "/absent/house.gguf"});
    expect_embedder(fixture, REGISTRY_HOUSE_EMBEDDER);
    fixture_model(fixture, "mine", ROLE_EMBEDDING, 1, "");
    expect_embedder(fixture, "mine");
    assert_true(registry_remove(fixture->registry, "mine", &err));
    expect_embedder(fixture, REGISTRY_HOUSE_EMBEDDER);
}

static void test_configured_model_replaces_the_house_one(void **state)
{
    struct fixture *fixture = *state;
    fixture_open(fixture, &(struct fixture_options){
                              .house_embedder = "/absent/house.gguf",
                              .config = "{\"models\": [{\"name\": \"jarvis-embed\", \"path\": "
                                        "\"mine.gguf\", \"role\": \"embedding\"}]}"});
    expect_embedder(fixture, "jarvis-embed");
    assert_null(strstr(fixture_status(fixture, "jarvis-embed").path, "house"));
}

struct heard {
    int calls;
    float last;
    uint64_t bytes_total;
    bool falls;
};

static void hear(void *user, const char *model, float fraction, uint64_t bytes_total)
{
    struct heard *heard = user;
    assert_string_equal(model, "m");
    heard->falls = heard->falls || fraction < heard->last;
    heard->last = fraction;
    heard->bytes_total = bytes_total;
    heard->calls++;
}

static void test_progress_is_told(void **state)
{
    struct fixture *fixture = *state;
    fixture_open(fixture, &(struct fixture_options){0});
    fixture_model(fixture, "m", ROLE_CHAT, 1, "load-ms=100");
    const struct wait wait = fixture_wait(NULL);
    struct heard heard = {0};
    struct lease *lease;
    struct err err;
    assert_ok(
        registry_acquire(fixture->registry, "m", ROLE_CHAT, &wait, hear, &heard, &lease, &err),
        &err);
    assert_true(heard.calls > 1);
    assert_false(heard.falls);
    assert_int_equal(heard.bytes_total, 1000);
    lease_release(lease);
}

static void test_hash_of_the_file(void **state)
{
    struct fixture *fixture = *state;
    fixture_open(fixture, &(struct fixture_options){0});
    fixture_model(fixture, "chat", ROLE_CHAT, 1, "");
    fixture_model(fixture, "embedder", ROLE_EMBEDDING, 2, "");
    static const struct {
        const char *name;
        enum model_role role;
    } models[] = {{"chat", ROLE_CHAT}, {"embedder", ROLE_EMBEDDING}, {"embedder", ROLE_EMBEDDING}};
    for (size_t i = 0; i < 3; i++) {
        char *path = testing_path(fixture->folder, models[i].name);
        struct hash expected;
        assert_true(hash_file(path, &expected, NULL));
        struct lease *lease = fixture_acquire(fixture, models[i].name, models[i].role);
        assert_true(hash_equal(lease_model_hash(lease), &expected));
        lease_release(lease);
        assert_true(registry_unload(fixture->registry, models[i].name, NULL));
        free(path);
    }
}

static bool one_child(void *user)
{
    (void)user;
    return fixture_children(NULL) == 1;
}

static bool two_children(void *user)
{
    (void)user;
    return fixture_children(NULL) == 2;
}

static void test_spare_is_used_and_replaced(void **state)
{
    struct fixture *fixture = *state;
    fixture_open(fixture, &(struct fixture_options){.keep_spare = true});
    fixture_model(fixture, "m", ROLE_CHAT, 1, "");
    fixture_until(one_child, NULL, "the spare");
    struct lease *lease = fixture_acquire(fixture, "m", ROLE_CHAT);
    fixture_until(two_children, NULL, "a new spare");
    lease_release(lease);
    assert_true(registry_unload(fixture->registry, "m", NULL));
    fixture_until(one_child, NULL, "only the spare");
}

static bool spare_differs(void *user)
{
    const pid_t *old = user;
    pid_t now = 0;
    return fixture_children(&now) == 1 && now != *old;
}

static void test_spare_that_dies_is_replaced(void **state)
{
    struct fixture *fixture = *state;
    fixture_open(fixture, &(struct fixture_options){.keep_spare = true});
    fixture_model(fixture, "m", ROLE_CHAT, 1, "");
    pid_t spare = 0;
    fixture_until(spare_differs, &spare, "the spare");
    fixture_children(&spare);
    kill(spare, SIGKILL);
    fixture_until(spare_differs, &spare, "another spare");
    lease_release(fixture_acquire(fixture, "m", ROLE_CHAT));
}

static void test_idle_worker_that_dies_is_loaded_anew(void **state)
{
    struct fixture *fixture = *state;
    fixture_open(fixture, &(struct fixture_options){0});
    fixture_model(fixture, "m", ROLE_CHAT, 1, "");
    lease_release(fixture_acquire(fixture, "m", ROLE_CHAT));
    pid_t pid = fixture_status(fixture, "m").pid;
    kill(pid, SIGKILL);
    fixture_await_state(fixture, "m", MODEL_COLD);
    assert_true(fixture_why_has(fixture, "m", "signal 9"));
    lease_release(fixture_acquire(fixture, "m", ROLE_CHAT));
    assert_int_not_equal(fixture_status(fixture, "m").pid, pid);
}

static void test_close_while_loading(void **state)
{
    struct fixture *fixture = *state;
    fixture_open(fixture, &(struct fixture_options){.keep_spare = true});
    const char *gate = fixture_gate(fixture, "gate");
    char behaviour[200];
    snprintf(behaviour, sizeof(behaviour), "gate=%s", gate);
    fixture_model(fixture, "m", ROLE_CHAT, 1, behaviour);
    fixture_model(fixture, "idle", ROLE_CHAT, 1, "");
    lease_release(fixture_acquire(fixture, "idle", ROLE_CHAT));
    struct client client = {0};
    start_client(&client, fixture, "m");
    fixture_await_state(fixture, "m", MODEL_LOADING);
    cancel_fire(&client.cancel); /* the load goes on without a waiter, or is just ending */
    join_client(&client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
        TEST(test_acquire_loads_once_and_keeps),
        TEST(test_several_share_one_load),
        TEST(test_one_waiter_leaves_the_other_stays),
        TEST(test_last_waiter_cancels_the_load),
        TEST(test_what_cannot_be_loaded),
        TEST(test_program_that_is_no_worker),
        TEST(test_program_that_is_not_there),
        TEST(test_worker_of_another_version),
        TEST(test_same_name_and_removal),
        TEST(test_house_embedder_is_the_last_resort),
        TEST(test_configured_model_replaces_the_house_one),
        TEST(test_progress_is_told),
        TEST(test_hash_of_the_file),
        TEST(test_spare_is_used_and_replaced),
        TEST(test_spare_that_dies_is_replaced),
        TEST(test_idle_worker_that_dies_is_loaded_anew),
        TEST(test_close_while_loading),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
