/* Many threads doing anything at all, with workers that die and a budget that is too small: nobody waits for ever,
 * nothing is lost, the budget holds, and what is counted at the end is zero. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "base/thread.h"
#include "fixture.h"

enum { THREADS = 8, STEPS = 100, MODELS = 5, WAIT_MS = 20000 };

struct shared {
    struct fixture *fixture;
    atomic_int worked;
    atomic_int failed; /* with an error that may come */
    atomic_int wrong;
};

struct player {
    struct shared *shared;
    struct testing_random random;
    pthread_t thread;
};

static enum model_role role_of(uint64_t model)
{
    return model % 2 ? ROLE_CHAT : ROLE_EMBEDDING;
}

static void name_of(uint64_t model, char out[8])
{
    snprintf(out, 8, "m%llu", (unsigned long long)model);
}

static bool may_come(const struct err *err)
{
    return err->code == ERR_TIMEOUT || err->code == ERR_CANCELLED || err->code == ERR_WORKER_DIED ||
           err->code == ERR_OUT_OF_MEMORY_BUDGET || err->code == ERR_BUSY ||
           err->code == ERR_UNAVAILABLE;
}

static void note(struct player *player, bool ok, const struct err *err)
{
    struct shared *shared = player->shared;
    if (ok) {
        atomic_fetch_add(&shared->worked, 1);
    } else if (may_come(err)) {
        atomic_fetch_add(&shared->failed, 1);
    } else {
        atomic_fetch_add(&shared->wrong, 1);
        fprintf(stderr, "%s: %s\n", err_info(err->code)->name, err->message[LANG_EN]);
    }
}

static bool embed(struct lease *lease, const struct wait *wait, struct err *err)
{
    static const char *const texts[] = {"a", "bb", "ccc"};
    struct arena arena;
    struct msg_vectors vectors;
    arena_init(&arena, 1 << 20);
    bool ok = lease_embed(lease, "", texts, 3, wait, &arena, &vectors, err);
    if (ok && vectors.values[2 * vectors.dimensions] != 3.0F)
        ok = err_set(err, ERR_INTERNAL, "wrong vector");
    arena_free(&arena);
    return ok;
}

/* Reads some tokens, or all. */
static bool generate(struct player *player, struct lease *lease, const struct wait *wait,
                     struct err *err)
{
    static const struct msg_chat_message hello = {.role = "user", .content = "hello"};
    struct msg_generate request = {.messages = &hello, .message_count = 1, .prompt = ""};
    sampling_default(&request.sampling);
    struct generation *generation;
    struct generation_event event = {0};
    if (!lease_generate(lease, &request, wait, &generation, err))
        return false;
    uint64_t wanted = testing_below(&player->random, 8);
    bool ok = true;
    for (uint64_t i = 0; ok && !event.done && i < wanted; i++) {
        char word[32];
        snprintf(word, sizeof(word), "t%llu ", (unsigned long long)i);
        ok = generation_next(generation, &event, err);
        if (ok && !event.done && strcmp(event.text, word) != 0)
            ok = err_set(err, ERR_INTERNAL, "a token is missing: %s", event.text);
    }
    generation_end(generation);
    return ok;
}

static void use_model(struct player *player, struct cancel *cancel)
{
    struct fixture *fixture = player->shared->fixture;
    uint64_t model = testing_below(&player->random, MODELS);
    char name[8];
    name_of(model, name);
    const struct wait wait = {.cancel = cancel, .until = deadline_in_ms(WAIT_MS)};
    struct lease *lease;
    struct err err;
    if (!registry_acquire(fixture->registry, name, role_of(model), &wait, NULL, NULL, &lease,
                          &err)) {
        note(player, false, &err);
        return;
    }
    bool ok = role_of(model) == ROLE_CHAT ? generate(player, lease, &wait, &err)
                                          : embed(lease, &wait, &err);
    note(player, ok, &err);
    lease_release(lease);
}

static void kill_one(struct player *player)
{
    struct model_status rows[MODELS];
    registry_status(player->shared->fixture->registry, rows, MODELS);
    uint64_t model = testing_below(&player->random, MODELS);
    if (rows[model].pid > 0)
        kill(rows[model].pid, SIGKILL); /* it may have just ended: then nothing happens */
}

static void unload_one(struct player *player)
{
    char name[8];
    struct err err;
    name_of(testing_below(&player->random, MODELS), name);
    note(player, registry_unload(player->shared->fixture->registry, name, &err), &err);
}

static void parse_one(struct player *player)
{
    const struct msg_parse request = {
        .name = "a.txt", .bytes = (const uint8_t *)"text", .length = 4};
    const struct wait wait = {.until = deadline_in_ms(WAIT_MS)};
    struct arena arena;
    struct msg_parsed parsed;
    struct err err;
    arena_init(&arena, 1 << 20);
    note(player,
         registry_parse(player->shared->fixture->registry, &request, &wait, &arena, &parsed, &err),
         &err);
    arena_free(&arena);
}

static void *fire(void *argument)
{
    cancel_fire(argument);
    return NULL;
}

/* A request that is cancelled at some time during it. */
static void use_and_cancel(struct player *player)
{
    struct cancel cancel;
    pthread_t thread;
    cancel_init(&cancel);
    if (thread_start(&thread, "fire", fire, &cancel, NULL)) {
        use_model(player, &cancel);
        pthread_join(thread, NULL);
    }
    cancel_destroy(&cancel);
}

static void check_memory(struct player *player)
{
    struct registry_memory memory;
    registry_memory(player->shared->fixture->registry, &memory);
    if (memory.used_bytes > memory.limit_bytes)
        atomic_fetch_add(&player->shared->wrong, 1);
}

static void *play(void *argument)
{
    struct player *player = argument;
    for (int step = 0; step < STEPS; step++) {
        switch (testing_below(&player->random, 16)) {
        case 0: kill_one(player); break;
        case 1: unload_one(player); break;
        case 2:
        case 3: use_and_cancel(player); break;
        case 4: parse_one(player); break;
        default: use_model(player, NULL); break;
        }
        check_memory(player);
    }
    return NULL;
}

static void test_anything_at_once(void **state)
{
    struct fixture *fixture = *state;
    struct shared shared = {.fixture = fixture};
    struct player players[THREADS];
    struct testing_random random;
    testing_seed(&random);
    /* Room for three of the five. */
    fixture_open(fixture, &(struct fixture_options){.memory_mib = 260, .keep_spare = true});
    for (uint64_t model = 0; model < MODELS; model++) {
        char name[8];
        name_of(model, name);
        fixture_model(fixture, name, role_of(model), 1, "resident=68157440,load-ms=5,tokens=6");
    }
    for (int i = 0; i < THREADS; i++) {
        players[i].shared = &shared;
        players[i].random.state = testing_next(&random);
        assert_true(thread_start(&players[i].thread, "player", play, &players[i], NULL));
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(players[i].thread, NULL);
    print_message("# %d worked, %d failed as they may\n", atomic_load(&shared.worked),
                  atomic_load(&shared.failed));
    assert_int_equal(atomic_load(&shared.wrong), 0);
    assert_true(atomic_load(&shared.worked) > THREADS);
    struct model_status rows[MODELS];
    registry_status(fixture->registry, rows, MODELS);
    for (int i = 0; i < MODELS; i++)
        assert_int_equal(rows[i].in_flight, 0);
    struct lease *lease = fixture_acquire(fixture, "m1", ROLE_CHAT);
    lease_release(lease);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_anything_at_once, fixture_setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
