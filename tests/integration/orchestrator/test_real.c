/* The registry over real workers and tiny models: that the two sides of the protocol mean the same. */
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "base/fs.h"
#include "fixture.h"

enum { SEED = 7, TOKENS = 24 };

static void add_file(struct fixture *fixture, const char *name, const char *path,
                     enum model_role role)
{
    char *name_copy = strdup(name);
    char *path_copy = strdup(path);
    const struct model_entry entry = {
        .name = name_copy, .path = path_copy, .role = role, .slots = 2, .gpu_layers = 0};
    struct err err;
    assert_ok(registry_add(fixture->registry, &entry, &err), &err);
    free(name_copy);
    free(path_copy);
}

static void add_tiny(struct fixture *fixture, const char *name, const char *file,
                     enum model_role role)
{
    char *path = testing_path(getenv("JARVIS_TEST_MODELS"), file);
    add_file(fixture, name, path, role);
    free(path);
}

static void open_real(struct fixture *fixture)
{
    fixture_open(fixture, &(struct fixture_options){.program = getenv("JARVIS_PROGRAM"),
                                                    .memory_mib = 8192,
                                                    .keep_spare = true});
    add_tiny(fixture, "chat", "tiny-chat.gguf", ROLE_CHAT);
    add_tiny(fixture, "embed", "tiny-embed.gguf", ROLE_EMBEDDING);
    add_tiny(fixture, "rerank", "tiny-rerank.gguf", ROLE_RERANK);
}

static double cosine(const struct msg_vectors *vectors, uint32_t a, uint32_t b)
{
    const float *left = vectors->values + (size_t)a * vectors->dimensions;
    const float *right = vectors->values + (size_t)b * vectors->dimensions;
    double sum = 0;
    for (uint32_t i = 0; i < vectors->dimensions; i++)
        sum += (double)left[i] * (double)right[i];
    return sum;
}

static void test_embed_and_rerank(void **state)
{
    static const char *const texts[] = {"the cat drinks water", "the cat drinks water",
                                        "house and door"};
    struct fixture *fixture = *state;
    open_real(fixture);
    const struct wait wait = fixture_wait(NULL);
    struct msg_vectors vectors;
    struct msg_counts counts;
    struct msg_scores scores;
    struct err err;
    struct lease *embedder = fixture_acquire(fixture, "embed", ROLE_EMBEDDING);
    assert_true(lease_model(embedder)->sandboxed);
    assert_true(lease_model(embedder)->dimensions > 0);
    assert_non_null(lease_model_hash(embedder));
    assert_ok(lease_embed(embedder, "", texts, 3, &wait, &fixture->arena, &vectors, &err), &err);
    assert_int_equal(vectors.dimensions, lease_model(embedder)->dimensions);
    for (uint32_t i = 0; i < 3; i++)
        assert_true(fabs(cosine(&vectors, i, i) - 1) < 1e-3);
    assert_true(cosine(&vectors, 0, 1) > 0.999);
    assert_true(cosine(&vectors, 0, 2) < cosine(&vectors, 0, 1));
    assert_ok(lease_count(embedder, texts, 3, &wait, &fixture->arena, &counts, &err), &err);
    assert_true(counts.tokens[0] > 0 && counts.tokens[0] == counts.tokens[1]);
    lease_release(embedder);

    struct lease *reranker = fixture_acquire(fixture, "rerank", ROLE_RERANK);
    assert_ok(lease_rerank(reranker, "cat", texts, 3, &wait, &fixture->arena, &scores, &err), &err);
    assert_int_equal(scores.count, 3);
    assert_true(fabsf(scores.scores[0] - scores.scores[1]) < 1e-3F);
    lease_release(reranker);
    struct model_status status = fixture_status(fixture, "embed");
    assert_int_equal(status.state, MODEL_READY);
    assert_true(status.resident_bytes > 0);
}

static struct generation *start(struct lease *lease, const struct wait *wait, uint32_t tokens)
{
    static const struct msg_chat_message hello = {.role = "user", .content = "hello there"};
    struct msg_generate request = {.messages = &hello, .message_count = 1, .prompt = ""};
    sampling_default(&request.sampling);
    request.sampling.max_tokens = tokens;
    request.sampling.seed = SEED;
    request.sampling.has_seed = true;
    struct generation *generation = NULL;
    struct err err;
    assert_ok(lease_generate(lease, &request, wait, &generation, &err), &err);
    return generation;
}

/* The whole answer. */
static void answer(struct lease *lease, struct str *out)
{
    const struct wait wait = fixture_wait(NULL);
    struct generation *generation = start(lease, &wait, TOKENS);
    struct generation_event event = {0};
    struct err err;
    while (!event.done) {
        assert_ok(generation_next(generation, &event, &err), &err);
        if (!event.done)
            str_puts(out, event.text);
    }
    assert_true(event.last.completion_tokens > 0);
    assert_true(event.last.prompt_tokens > 0);
    generation_end(generation);
}

static void test_generation_repeats_with_its_seed(void **state)
{
    struct fixture *fixture = *state;
    open_real(fixture);
    struct lease *lease = fixture_acquire(fixture, "chat", ROLE_CHAT);
    struct str first;
    struct str second;
    str_init(&first, 1 << 20);
    str_init(&second, 1 << 20);
    answer(lease, &first);
    answer(lease, &second);
    assert_string_equal(str_text(&first), str_text(&second));
    str_free(&first);
    str_free(&second);
    lease_release(lease);
}

static void test_cancel_and_kill_in_mid_answer(void **state)
{
    struct fixture *fixture = *state;
    open_real(fixture);
    struct lease *lease = fixture_acquire(fixture, "chat", ROLE_CHAT);
    struct cancel cancel;
    cancel_init(&cancel);
    const struct wait cancellable = fixture_wait(&cancel);
    struct generation *generation = start(lease, &cancellable, 400);
    struct generation_event event;
    struct err err;
    assert_ok(generation_next(generation, &event, &err), &err);
    cancel_fire(&cancel);
    assert_false(generation_next(generation, &event, &err));
    assert_int_equal(err.code, ERR_CANCELLED);
    generation_end(generation);
    cancel_destroy(&cancel);

    const struct wait wait = fixture_wait(NULL);
    generation = start(lease, &wait, 400);
    assert_ok(generation_next(generation, &event, &err), &err);
    kill(fixture_status(fixture, "chat").pid, SIGKILL);
    bool ok = true;
    while (ok && !event.done) /* what was already on its way still comes */
        ok = generation_next(generation, &event, &err);
    if (!ok)
        assert_int_equal(err.code, ERR_WORKER_DIED);
    generation_end(generation);

    struct str text; /* the next request works, under the same lease */
    str_init(&text, 1 << 20);
    fixture_await_state(fixture, "chat", MODEL_COLD);
    lease_release(lease);
    lease = fixture_acquire(fixture, "chat", ROLE_CHAT);
    answer(lease, &text);
    str_free(&text);
    lease_release(lease);
}

static void refused(struct fixture *fixture, const char *name, enum model_role role)
{
    const struct wait wait = fixture_wait(NULL);
    struct lease *lease;
    struct err err;
    assert_false(registry_acquire(fixture->registry, name, role, &wait, NULL, NULL, &lease, &err));
    if (err.code != ERR_MODEL_INVALID)
        fail_msg("%s: %s: %s", name, err_info(err.code)->name, err.message[LANG_EN]);
}

static void test_files_that_are_no_models(void **state)
{
    struct fixture *fixture = *state;
    open_real(fixture);
    struct testing_random random;
    testing_seed(&random);
    char *model_path = testing_path(getenv("JARVIS_TEST_MODELS"), "tiny-chat.gguf");
    char *bytes;
    size_t length;
    assert_true(fs_read(model_path, 1 << 28, &bytes, &length, NULL));
    free(model_path);
    static const char *const names[] = {"empty", "garbage", "head", "half"};
    const size_t lengths[] = {0, 4096, 100, length / 2};
    for (size_t i = 0; i < 4; i++) {
        char noise[4096];
        for (size_t k = 0; k < sizeof(noise); k++)
            noise[k] = (char)testing_next(&random);
        char *path = testing_file(fixture->folder, names[i], i == 1 ? noise : bytes, lengths[i]);
        add_file(fixture, names[i], path, ROLE_CHAT);
        refused(fixture, names[i], ROLE_CHAT);
        free(path);
    }
    free(bytes);
    lease_release(fixture_acquire(fixture, "chat", ROLE_CHAT));
}

static void test_inspect_parse_and_probe(void **state)
{
    struct fixture *fixture = *state;
    open_real(fixture);
    const struct wait wait = fixture_wait(NULL);
    struct msg_inspected inspected;
    struct msg_probed probed;
    struct msg_parsed parsed;
    struct err err;
    char *path = testing_path(getenv("JARVIS_TEST_MODELS"), "tiny-embed.gguf");
    assert_ok(registry_inspect(fixture->registry, path, &wait, &fixture->arena, &inspected, &err),
              &err);
    free(path);
    assert_int_equal(inspected.role, ROLE_EMBEDDING);

    assert_ok(registry_probe(fixture->registry, &wait, &probed, &err), &err);
    assert_int_not_equal(probed.open_errno, 0);
    assert_int_not_equal(probed.socket_errno, 0);
    assert_int_not_equal(probed.exec_errno, 0);
    assert_true(probed.no_new_privileges);

    static const char page[] =
        "<html><head><title>T</title></head><body><p>caf\xe9</p></body></html>";
    const struct msg_parse request = {
        .name = "a.html", .bytes = (const uint8_t *)page, .length = strlen(page)};
    assert_ok(registry_parse(fixture->registry, &request, &wait, &fixture->arena, &parsed, &err),
              &err);
    assert_non_null(strstr(parsed.text, "caf\xc3\xa9"));
}

static void test_tiny_models_start_fast(void **state)
{
    enum { ROUNDS = 5 };
    struct fixture *fixture = *state;
    open_real(fixture);
    for (int i = 0; i < ROUNDS; i++) {
        int64_t start_ns = clock_now_ns();
        lease_release(fixture_acquire(fixture, "chat", ROLE_CHAT));
        print_message("# cold acquire: %.1f ms\n", clock_ms_since(start_ns));
        assert_true(registry_unload(fixture->registry, "chat", NULL));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
        TEST(test_embed_and_rerank),
        TEST(test_generation_repeats_with_its_seed),
        TEST(test_cancel_and_kill_in_mid_answer),
        TEST(test_files_that_are_no_models),
        TEST(test_inspect_parse_and_probe),
        TEST(test_tiny_models_start_fast),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
