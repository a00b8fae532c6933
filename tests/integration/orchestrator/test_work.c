/* Work under a lease: order over parts, cancel, deadlines, and workers that die, hang, babble or flood. */
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "base/thread.h"
#include "fixture.h"

static void test_embed_keeps_order_over_parts(void **state)
{
    enum { TEXTS = 1000, SIZE = 40 };
    struct fixture *fixture = *state;
    fixture_open(fixture, &(struct fixture_options){0});
    fixture_model(fixture, "e", ROLE_EMBEDDING, 1, "dims=4");
    struct lease *lease = fixture_acquire(fixture, "e", ROLE_EMBEDDING);
    char(*memory)[SIZE] = arena_array(&fixture->arena, TEXTS, SIZE);
    const char **texts = arena_array(&fixture->arena, TEXTS, sizeof(*texts));
    for (int i = 0; i < TEXTS; i++) {
        snprintf(memory[i], SIZE, "%.*s", i % (SIZE - 1),
                 "abcdefghijklmnopqrstuvwxyzabcdefghijklmno");
        texts[i] = memory[i];
    }
    const struct wait wait = fixture_wait(NULL);
    struct msg_vectors vectors;
    struct err err;
    assert_ok(lease_embed(lease, "query: ", texts, TEXTS, &wait, &fixture->arena, &vectors, &err),
              &err);
    assert_int_equal(vectors.count, TEXTS);
    assert_int_equal(vectors.dimensions, 4);
    assert_int_equal(vectors.tokens, TEXTS);
    assert_int_equal(vectors.truncated, 4); /* one a part: 256 texts each */
    for (int i = 0; i < TEXTS; i++) {
        assert_true(vectors.values[4 * i] == (float)(i % (SIZE - 1) + 7));
        assert_true(vectors.values[4 * i + 1] == (float)'q');
    }
    assert_ok(lease_embed(lease, NULL, NULL, 0, &wait, &fixture->arena, &vectors, &err), &err);
    assert_int_equal(vectors.count, 0);
    assert_int_equal(vectors.dimensions, 4);
    lease_release(lease);
}

static void test_count_and_rerank(void **state)
{
    enum { TEXTS = 600 };
    struct fixture *fixture = *state;
    fixture_open(fixture, &(struct fixture_options){0});
    fixture_model(fixture, "e", ROLE_EMBEDDING, 1, "");
    fixture_model(fixture, "r", ROLE_RERANK, 1, "");
    const char **texts = arena_array(&fixture->arena, TEXTS, sizeof(*texts));
    for (int i = 0; i < TEXTS; i++)
        texts[i] = i % 2 ? "odd" : "even";
    const struct wait wait = fixture_wait(NULL);
    struct msg_counts counts;
    struct msg_scores scores;
    struct err err;
    struct lease *embedder = fixture_acquire(fixture, "e", ROLE_EMBEDDING);
    assert_ok(lease_count(embedder, texts, TEXTS, &wait, &fixture->arena, &counts, &err), &err);
    struct lease *reranker = fixture_acquire(fixture, "r", ROLE_RERANK);
    assert_ok(lease_rerank(reranker, "q", texts, TEXTS, &wait, &fixture->arena, &scores, &err),
              &err);
    assert_int_equal(counts.count, TEXTS);
    assert_int_equal(scores.count, TEXTS);
    assert_int_equal(scores.tokens, TEXTS);
    for (int i = 0; i < TEXTS; i++) {
        assert_int_equal(counts.tokens[i], i % 2 ? 3 : 4);
        assert_true(scores.scores[i] == (i % 2 ? 3.0F : 4.0F));
    }
    struct arena small; /* a caller's limit is an error, not a crash */
    arena_init(&small, 100);
    assert_false(lease_count(embedder, texts, TEXTS, &wait, &small, &counts, &err));
    assert_int_equal(err.code, ERR_TOO_LARGE);
    arena_free(&small);
    lease_release(embedder);
    lease_release(reranker);
}

static bool embed_one(struct fixture *fixture, struct lease *lease, const struct wait *wait,
                      struct err *err)
{
    const char *text = "text";
    struct msg_vectors vectors;
    bool ok = lease_embed(lease, "", &text, 1, wait, &fixture->arena, &vectors, err);
    if (ok)
        assert_true(vectors.values[0] == 4.0F);
    return ok;
}

static void test_request_survives_one_death(void **state)
{
    struct fixture *fixture = *state;
    fixture_open(fixture, &(struct fixture_options){.keep_spare = true});
    const char *fuse = fixture_gate(fixture, "fuse");
    char behaviour[200];
    snprintf(behaviour, sizeof(behaviour), "kill-once=%s", fuse);
    fixture_model(fixture, "e", ROLE_EMBEDDING, 1, behaviour);
    struct lease *lease = fixture_acquire(fixture, "e", ROLE_EMBEDDING);
    const struct msg_loaded *before = lease_model(lease);
    pid_t pid = fixture_status(fixture, "e").pid;
    const struct wait wait = fixture_wait(NULL);
    struct err err;
    assert_ok(embed_one(fixture, lease, &wait, &err), &err);
    assert_int_not_equal(fixture_status(fixture, "e").pid, pid);
    assert_int_equal(fixture_status(fixture, "e").in_flight, 1);
    assert_string_equal(before->description, "fake"); /* still valid */
    lease_release(lease);
    assert_int_equal(fixture_status(fixture, "e").in_flight, 0);
}

static void test_deadly_request_fails_and_the_next_works(void **state)
{
    struct fixture *fixture = *state;
    fixture_open(fixture, &(struct fixture_options){0});
    fixture_model(fixture, "e", ROLE_EMBEDDING, 1, "crash,say=ggml_abort");
    struct lease *lease = fixture_acquire(fixture, "e", ROLE_EMBEDDING);
    const struct wait wait = fixture_wait(NULL);
    struct err err;
    assert_false(embed_one(fixture, lease, &wait, &err));
    assert_int_equal(err.code, ERR_WORKER_DIED);
    assert_int_equal(err.category, ERR_TRANSIENT);
    assert_non_null(strstr(err.message[LANG_EN], "signal 6"));
    assert_non_null(strstr(err.message[LANG_EN], "ggml_abort"));
    lease_release(lease);
    fixture_await_state(fixture, "e", MODEL_COLD);
    fixture_model(fixture, "e", ROLE_EMBEDDING, 1, "");
    lease = fixture_acquire(fixture, "e", ROLE_EMBEDDING);
    assert_ok(embed_one(fixture, lease, &wait, &err), &err);
    lease_release(lease);
}

/* A lease can be used again after its worker was killed; only a worker that keeps dying ends it. */
static void test_lease_outlives_workers(void **state)
{
    struct fixture *fixture = *state;
    fixture_open(fixture, &(struct fixture_options){0});
    fixture_model(fixture, "e", ROLE_EMBEDDING, 1, "");
    struct lease *lease = fixture_acquire(fixture, "e", ROLE_EMBEDDING);
    const struct wait wait = fixture_wait(NULL);
    struct err err;
    for (int i = 0; i < 4; i++) {
        kill(fixture_status(fixture, "e").pid, SIGKILL);
        assert_ok(embed_one(fixture, lease, &wait, &err), &err);
    }
    kill(fixture_status(fixture, "e").pid, SIGKILL);
    assert_false(embed_one(fixture, lease, &wait, &err));
    assert_int_equal(err.code, ERR_WORKER_DIED);
    lease_release(lease);
}

static void test_hang_ends_at_the_deadline(void **state)
{
    struct fixture *fixture = *state;
    fixture_open(fixture, &(struct fixture_options){0});
    fixture_model(fixture, "e", ROLE_EMBEDDING, 1, "hang");
    struct lease *lease = fixture_acquire(fixture, "e", ROLE_EMBEDDING);
    pid_t pid = fixture_status(fixture, "e").pid;
    const struct wait wait = {.until = deadline_in_ms(50)};
    struct err err;
    assert_false(embed_one(fixture, lease, &wait, &err));
    assert_int_equal(err.code, ERR_TIMEOUT);
    lease_release(lease);
    /* It reacted to the cancel, so it stays. */
    assert_int_equal(fixture_status(fixture, "e").pid, pid);
}

static void test_deaf_worker_is_killed(void **state)
{
    struct fixture *fixture = *state;
    fixture_open(fixture, &(struct fixture_options){.cancel_ms = 50});
    fixture_model(fixture, "e", ROLE_EMBEDDING, 1, "deaf");
    struct lease *lease = fixture_acquire(fixture, "e", ROLE_EMBEDDING);
    const struct wait wait = {.until = deadline_in_ms(20)};
    struct err err;
    assert_false(embed_one(fixture, lease, &wait, &err));
    assert_int_equal(err.code, ERR_TIMEOUT);
    lease_release(lease);
    fixture_await_state(fixture, "e", MODEL_COLD);
    assert_true(fixture_why_has(fixture, "e", "did not react"));
}

static void test_garbage_ends_the_worker(void **state)
{
    struct fixture *fixture = *state;
    fixture_open(fixture, &(struct fixture_options){0});
    fixture_model(fixture, "e", ROLE_EMBEDDING, 1, "garbage");
    struct lease *lease = fixture_acquire(fixture, "e", ROLE_EMBEDDING);
    const struct wait wait = fixture_wait(NULL);
    struct err err;
    assert_false(embed_one(fixture, lease, &wait, &err));
    assert_int_equal(err.code, ERR_WORKER_DIED);
    assert_non_null(strstr(err.message[LANG_EN], "protocol"));
    lease_release(lease);
}

/* ---------------------------------------------------------------- generation */

static const struct msg_chat_message hello = {.role = "user", .content = "hello"};

static struct generation *generate(struct lease *lease, const struct wait *wait)
{
    struct msg_generate request = {.messages = &hello, .message_count = 1, .prompt = ""};
    sampling_default(&request.sampling);
    struct generation *generation = NULL;
    struct err err;
    assert_ok(lease_generate(lease, &request, wait, &generation, &err), &err);
    return generation;
}

static void test_generation(void **state)
{
    struct fixture *fixture = *state;
    fixture_open(fixture, &(struct fixture_options){0});
    fixture_model(fixture, "m", ROLE_CHAT, 1, "tokens=3");
    struct lease *lease = fixture_acquire(fixture, "m", ROLE_CHAT);
    const struct wait wait = fixture_wait(NULL);
    struct generation *generation = generate(lease, &wait);
    struct generation_event event;
    struct err err;
    static const char *const expected[] = {"t0 ", "t1 ", "t2 "};
    for (int i = 0; i < 3; i++) {
        assert_ok(generation_next(generation, &event, &err), &err);
        assert_false(event.done);
        assert_string_equal(event.text, expected[i]);
    }
    assert_ok(generation_next(generation, &event, &err), &err);
    assert_true(event.done);
    assert_int_equal(event.last.completion_tokens, 3);
    generation_end(generation);
    generation_end(NULL);
    lease_release(lease);
}

static void test_two_generations_at_once(void **state)
{
    struct fixture *fixture = *state;
    fixture_open(fixture, &(struct fixture_options){0});
    fixture_model(fixture, "m", ROLE_CHAT, 1, "tokens=100");
    struct lease *first = fixture_acquire(fixture, "m", ROLE_CHAT);
    struct lease *second = fixture_acquire(fixture, "m", ROLE_CHAT);
    const struct wait wait = fixture_wait(NULL);
    struct generation *generations[2] = {generate(first, &wait), generate(second, &wait)};
    for (int i = 0; i <= 100; i++) {
        for (int k = 0; k < 2; k++) {
            struct generation_event event;
            struct err err;
            char word[32];
            assert_ok(generation_next(generations[k], &event, &err), &err);
            assert_int_equal(event.done, i == 100);
            snprintf(word, sizeof(word), "t%d ", i);
            if (!event.done)
                assert_string_equal(event.text, word);
        }
    }
    generation_end(generations[0]);
    generation_end(generations[1]);
    lease_release(first);
    lease_release(second);
}

static void test_death_in_mid_answer(void **state)
{
    struct fixture *fixture = *state;
    fixture_open(fixture, &(struct fixture_options){.keep_spare = true});
    fixture_model(fixture, "m", ROLE_CHAT, 1, "tokens=10,die-after=3");
    struct lease *lease = fixture_acquire(fixture, "m", ROLE_CHAT);
    const struct wait wait = fixture_wait(NULL);
    struct generation *generation = generate(lease, &wait);
    struct generation_event event;
    struct err err;
    for (int i = 0; i < 3; i++)
        assert_ok(generation_next(generation, &event, &err), &err);
    assert_false(generation_next(generation, &event, &err));
    assert_int_equal(err.code, ERR_WORKER_DIED);
    generation_end(generation);
    lease_release(lease);

    fixture_await_state(fixture, "m", MODEL_COLD);
    fixture_model(fixture, "m", ROLE_CHAT, 1, "tokens=1");
    lease = fixture_acquire(fixture, "m", ROLE_CHAT);
    generation = generate(lease, &wait);
    assert_ok(generation_next(generation, &event, &err), &err);
    assert_string_equal(event.text, "t0 ");
    generation_end(generation);
    lease_release(lease);
}

static void test_death_before_the_first_token_is_retried(void **state)
{
    struct fixture *fixture = *state;
    fixture_open(fixture, &(struct fixture_options){0});
    const char *fuse = fixture_gate(fixture, "fuse");
    char behaviour[200];
    snprintf(behaviour, sizeof(behaviour), "tokens=2,kill-once=%s", fuse);
    fixture_model(fixture, "m", ROLE_CHAT, 1, behaviour);
    struct lease *lease = fixture_acquire(fixture, "m", ROLE_CHAT);
    const struct wait wait = fixture_wait(NULL);
    struct generation *generation = generate(lease, &wait);
    struct generation_event event;
    struct err err;
    assert_ok(generation_next(generation, &event, &err), &err);
    assert_string_equal(event.text, "t0 ");
    generation_end(generation);
    lease_release(lease);
}

static void test_cancel_stops_within_a_token(void **state)
{
    struct fixture *fixture = *state;
    fixture_open(fixture, &(struct fixture_options){0});
    fixture_model(fixture, "m", ROLE_CHAT, 1, "tokens=1000000,token-ms=1");
    struct lease *lease = fixture_acquire(fixture, "m", ROLE_CHAT);
    struct cancel cancel;
    cancel_init(&cancel);
    const struct wait wait = fixture_wait(&cancel);
    struct generation *generation = generate(lease, &wait);
    struct generation_event event;
    struct err err;
    for (int i = 0; i < 5; i++)
        assert_ok(generation_next(generation, &event, &err), &err);
    cancel_fire(&cancel);
    assert_false(generation_next(generation, &event, &err));
    assert_int_equal(err.code, ERR_CANCELLED);
    generation_end(generation);
    assert_false(embed_one(fixture, lease, &wait, &err)); /* the flag stays set */
    assert_int_equal(err.code, ERR_CANCELLED);
    cancel_destroy(&cancel);
    lease_release(lease);
    assert_int_equal(fixture_status(fixture, "m").state, MODEL_READY);
}

static void *fire(void *argument)
{
    cancel_fire(argument);
    return NULL;
}

static void test_cancel_from_another_thread(void **state)
{
    struct fixture *fixture = *state;
    fixture_open(fixture, &(struct fixture_options){0});
    fixture_model(fixture, "m", ROLE_CHAT, 1, "hang");
    struct lease *lease = fixture_acquire(fixture, "m", ROLE_CHAT);
    struct cancel cancel;
    cancel_init(&cancel);
    const struct wait wait = fixture_wait(&cancel);
    struct generation *generation = generate(lease, &wait);
    struct generation_event event;
    struct err err;
    pthread_t thread;
    assert_true(thread_start(&thread, "fire", fire, &cancel, NULL));
    assert_false(generation_next(generation, &event, &err));
    assert_int_equal(err.code, ERR_CANCELLED);
    pthread_join(thread, NULL);
    generation_end(generation);
    lease_release(lease);
    cancel_destroy(&cancel);
}

static void test_generation_given_up_without_reading(void **state)
{
    struct fixture *fixture = *state;
    fixture_open(fixture, &(struct fixture_options){0});
    fixture_model(fixture, "m", ROLE_CHAT, 1, "tokens=50");
    struct lease *lease = fixture_acquire(fixture, "m", ROLE_CHAT);
    const struct wait wait = fixture_wait(NULL);
    for (int i = 0; i < 20; i++)
        generation_end(generate(lease, &wait));
    struct generation *generation = generate(lease, &wait);
    struct generation_event event;
    struct err err;
    assert_ok(generation_next(generation, &event, &err), &err);
    assert_string_equal(event.text, "t0 "); /* and nothing of the others */
    generation_end(generation);
    lease_release(lease);
}

static bool is_gone(void *path)
{
    return access(path, F_OK) != 0;
}

/* A client that does not read while its worker floods: its call ends, and the worker can do other work. */
static void test_flood_is_bounded(void **state)
{
    enum { QUEUE_MIB = 8 };
    struct fixture *fixture = *state;
    fixture_open(fixture, &(struct fixture_options){0});
    const char *flooding = fixture_gate(fixture, "flooding");
    char behaviour[200];
    snprintf(behaviour, sizeof(behaviour), "flood=%s", flooding);
    fixture_model(fixture, "m", ROLE_CHAT, 1, behaviour);
    struct lease *lease = fixture_acquire(fixture, "m", ROLE_CHAT);
    const struct wait wait = fixture_wait(NULL);
    struct generation *generation = generate(lease, &wait);
    fixture_until(is_gone, (void *)(uintptr_t)flooding, "the end of the flood");
    struct generation_event event;
    struct err err;
    int got = 0;
    while (generation_next(generation, &event, &err)) {
        assert_false(event.done);
        got++;
    }
    assert_int_equal(err.code, ERR_BUSY);
    assert_true(got >= 1 && got <= QUEUE_MIB);
    generation_end(generation);
    assert_ok(embed_one(fixture, lease, &wait, &err), &err);
    lease_release(lease);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
        TEST(test_embed_keeps_order_over_parts),
        TEST(test_count_and_rerank),
        TEST(test_request_survives_one_death),
        TEST(test_deadly_request_fails_and_the_next_works),
        TEST(test_lease_outlives_workers),
        TEST(test_hang_ends_at_the_deadline),
        TEST(test_deaf_worker_is_killed),
        TEST(test_garbage_ends_the_worker),
        TEST(test_generation),
        TEST(test_two_generations_at_once),
        TEST(test_death_in_mid_answer),
        TEST(test_death_before_the_first_token_is_retried),
        TEST(test_cancel_stops_within_a_token),
        TEST(test_cancel_from_another_thread),
        TEST(test_generation_given_up_without_reading),
        TEST(test_flood_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
