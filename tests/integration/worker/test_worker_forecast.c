/* What a worker foretells of a load, and what the load then takes. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/bench_model.h"
#include "helper/gguf_make.h"
#include "helper/testing.h"
#include "helper/worker_peer.h"

#define MIB 1048576.0

/* Sanitizers keep a shadow of what is allocated and hold back what is freed: sums do not match in their builds. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { MEASURABLE = false };
#else
enum { MEASURABLE = true };
#endif

enum { NEAR_MIB = 3 }; /* heap of a few threads, and pages that were or were not touched */

struct fixture {
    const char *program;
    char *directory;
    char *chat;
    char *embed;
    char *rerank;
    struct worker_peer peer;
};

static int start_worker(void **state)
{
    struct fixture *fixture = *state;
    worker_peer_start(&fixture->peer, fixture->program);
    return 0;
}

static int stop_worker(void **state)
{
    struct fixture *fixture = *state;
    worker_peer_stop(&fixture->peer);
    return 0;
}

static struct msg_load load_of(const char *path, enum model_role role, uint32_t context,
                               uint32_t slots)
{
    return (struct msg_load){.role = role,
                             .path = path,
                             .context_length = context,
                             .slots = slots,
                             .threads = WORKER_PEER_THREADS,
                             .charset = ""};
}

static uint64_t send(struct worker_peer *peer, uint8_t type, const struct msg_load *load)
{
    struct str payload;
    str_init(&payload, FRAME_PAYLOAD_MAX);
    msg_put_load(&payload, load);
    return worker_peer_send(peer, type, &payload);
}

static struct msg_forecast forecast(struct worker_peer *peer, const struct msg_load *load)
{
    struct frame frame;
    struct msg_forecast told;
    worker_peer_expect(peer, FRAME_FORECASTED, send(peer, FRAME_FORECAST, load), &frame);
    assert_true(msg_get_forecast(frame.payload, frame.length, &peer->arena, &told, NULL));
    frame_free(&frame);
    return told;
}

static uint64_t part_of(const struct msg_forecast *told, enum memory_part part)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < told->count; i++)
        if (told->parts[i].part == part)
            sum += told->parts[i].bytes;
    return sum;
}

static uint64_t sum_of(const struct msg_forecast *told)
{
    uint64_t sum = 0;
    for (int part = 0; part < PART_COUNT; part++)
        sum += part_of(told, (enum memory_part)part);
    return sum;
}

static void print(const struct msg_forecast *told)
{
    for (uint32_t i = 0; i < told->count; i++)
        print_message("#   %-8s %-6s %9.2f MiB\n", memory_part_name(told->parts[i].part),
                      told->parts[i].device, (double)told->parts[i].bytes / MIB);
}

static struct msg_loaded load_now(struct worker_peer *peer, const struct msg_load *load)
{
    struct frame frame;
    struct msg_loaded loaded;
    worker_peer_expect(peer, FRAME_LOADED, send(peer, FRAME_LOAD, load), &frame);
    assert_true(msg_get_loaded(frame.payload, frame.length, &peer->arena, &loaded, NULL));
    frame_free(&frame);
    return loaded;
}

static uint64_t held_by(struct worker_peer *peer)
{
    struct frame frame;
    struct msg_stats stats;
    worker_peer_expect(peer, FRAME_STATED, worker_peer_send(peer, FRAME_STATS, NULL), &frame);
    assert_true(msg_get_stats(frame.payload, frame.length, &peer->arena, &stats, NULL));
    frame_free(&frame);
    return stats.held_bytes;
}

/* Fills a slot's whole context. */
static void fill_context(struct worker_peer *peer, uint32_t context)
{
    struct msg_generate generate = {.prompt = "a"};
    sampling_default(&generate.sampling);
    generate.sampling.temperature = 0;
    generate.sampling.max_tokens = context;
    generate.sampling.grammar = "root ::= [a-z] root";
    struct str payload;
    struct frame frame;
    str_init(&payload, FRAME_PAYLOAD_MAX);
    msg_put_generate(&payload, &generate);
    worker_peer_expect(peer, FRAME_DONE, worker_peer_send(peer, FRAME_GENERATE, &payload), &frame);
    frame_free(&frame);
}

static void embed_much(struct worker_peer *peer, uint8_t type)
{
    enum { BYTES = 4000 };
    char text[BYTES + 1];
    for (int i = 0; i < BYTES; i++)
        text[i] = i % 4 == 3 ? ' ' : 'a';
    text[BYTES] = '\0';
    const char *const texts[] = {text, text};
    struct msg_texts message = {.texts = texts, .count = 2};
    struct str payload;
    struct frame frame;
    str_init(&payload, FRAME_PAYLOAD_MAX);
    if (type == FRAME_EMBED)
        msg_put_texts(&payload, &message);
    else
        msg_put_rerank(&payload, &(struct msg_rerank){.query = "a", .documents = message});
    worker_peer_expect(peer, type == FRAME_EMBED ? FRAME_VECTORS : FRAME_SCORES,
                       worker_peer_send(peer, type, &payload), &frame);
    frame_free(&frame);
}

static void near_to(uint64_t told, uint64_t held, const char *what)
{
    print_message("# %s: told %.2f MiB, held %.2f MiB\n", what, (double)told / MIB,
                  (double)held / MIB);
    if (MEASURABLE && (double)llabs((int64_t)(told - held)) > NEAR_MIB * MIB)
        fail_msg("%s: told %" PRIu64 " bytes, held %" PRIu64, what, told, held);
}

/* ---------------------------------------------------------------- tests */

static void a_chat_model_takes_what_was_told(void **state)
{
    struct fixture *fixture = *state;
    const struct msg_load load = load_of(fixture->chat, ROLE_CHAT, 512, 3);
    struct msg_forecast told = forecast(&fixture->peer, &load);
    print(&told);
    assert_int_equal(told.context_length, 512);
    assert_int_equal(told.slots, 3);
    /* 2 layers x 3 slots x 512 cells x 2 KV heads of 16 numbers, K and V, two bytes each; libllama rounds what it says
     * to a hundredth of a MiB. */
    assert_true(llabs((int64_t)part_of(&told, PART_CACHE) - 2 * 3 * 512 * 2 * 16 * 2 * 2) < 6000);
    /* the worker that told it can load it as well */
    struct msg_loaded loaded = load_now(&fixture->peer, &load);
    fill_context(&fixture->peer, 400);
    near_to(sum_of(&told), held_by(&fixture->peer), "chat");
    assert_true(loaded.resident_bytes > 0);
}

static void the_type_of_the_cache_counts(void **state)
{
    struct fixture *fixture = *state;
    struct msg_load load = load_of(fixture->chat, ROLE_CHAT, 512, 8);
    struct msg_forecast told = forecast(&fixture->peer, &load);
    uint64_t f16 = part_of(&told, PART_CACHE);
    load.kv_type = KV_F32;
    told = forecast(&fixture->peer, &load);
    assert_true(llabs((int64_t)(part_of(&told, PART_CACHE) - 2 * f16)) < 12000);
    load_now(&fixture->peer, &load);
    fill_context(&fixture->peer, 400);
    near_to(sum_of(&told), held_by(&fixture->peer), "f32 cache");
}

/* A prompt that fills a whole batch, and with it the buffers: each letter and each blank is a token. */
static void fill_batch(struct worker_peer *peer)
{
    enum { TOKENS = 500 };
    char prompt[TOKENS + 1];
    for (int i = 0; i < TOKENS; i++)
        prompt[i] = i % 2 ? ' ' : 'a';
    prompt[TOKENS] = '\0';
    struct msg_generate generate = {.prompt = prompt};
    sampling_default(&generate.sampling);
    generate.sampling.max_tokens = 1;
    struct str payload;
    struct frame frame;
    str_init(&payload, FRAME_PAYLOAD_MAX);
    msg_put_generate(&payload, &generate);
    worker_peer_expect(peer, FRAME_DONE, worker_peer_send(peer, FRAME_GENERATE, &payload), &frame);
    frame_free(&frame);
}

/* A model of some megabytes, told, loaded, used, measured. */
static void made_model(struct fixture *fixture, const struct bench_shape *shape, enum kv_type kv)
{
    struct err err;
    char *path = testing_path(fixture->directory, shape->name);
    assert_true(bench_model_write(shape, 1, path, &err));
    struct msg_load load = load_of(path, ROLE_CHAT, 512, 2);
    load.kv_type = kv;
    struct msg_forecast told = forecast(&fixture->peer, &load);
    print(&told);
    uint64_t cells = 2 * 512, row = (uint64_t)shape->heads_kv * shape->key_length * 2;
    uint64_t cache = shape->layers * cells * (kv == KV_Q8_0 ? row / 32 * 34 : row * 2);
    assert_true(llabs((int64_t)(part_of(&told, PART_CACHE) - cache)) < 12000);
    load_now(&fixture->peer, &load);
    fill_batch(&fixture->peer);
    near_to(sum_of(&told), held_by(&fixture->peer), shape->name);
    worker_peer_stop(&fixture->peer);
    worker_peer_start(&fixture->peer, fixture->program);
    free(path);
}

/* Weights that this CPU may repack, keys that are longer than width / heads, a sliding window that is kept whole. */
static void models_of_other_shapes(void **state)
{
    static const struct bench_shape shapes[] = {
        {"repacked", "llama", ROLE_CHAT, BENCH_Q4_0, 256, 4, 4, 2, 64, 512, 4000, 0, 1024},
        {"long-keys", "qwen3", ROLE_CHAT, BENCH_Q8_0, 256, 2, 4, 2, 128, 512, 4000, 0, 1024},
        {"window", "gemma3", ROLE_CHAT, BENCH_F16, 256, 6, 4, 1, 128, 512, 4000, 256, 1024},
    };
    struct fixture *fixture = *state;
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
        made_model(fixture, &shapes[i], i == 1 ? KV_Q8_0 : KV_F16);
}

static void embedders_and_rerankers_too(void **state)
{
    struct fixture *fixture = *state;
    struct msg_load load = load_of(fixture->embed, ROLE_EMBEDDING, 0, 1);
    struct msg_forecast told = forecast(&fixture->peer, &load);
    print(&told);
    load_now(&fixture->peer, &load);
    embed_much(&fixture->peer, FRAME_EMBED);
    near_to(sum_of(&told), held_by(&fixture->peer), "embedding");
    worker_peer_stop(&fixture->peer);

    worker_peer_start(&fixture->peer, fixture->program);
    load = load_of(fixture->rerank, ROLE_RERANK, 256, 1);
    told = forecast(&fixture->peer, &load);
    load_now(&fixture->peer, &load);
    embed_much(&fixture->peer, FRAME_RERANK);
    near_to(sum_of(&told), held_by(&fixture->peer), "rerank");
}

static void the_house_embedder_too(void **state)
{
    struct fixture *fixture = *state;
    const struct msg_load load = load_of(getenv("JARVIS_TEST_HOUSE"), ROLE_EMBEDDING, 0, 1);
    struct msg_forecast told = forecast(&fixture->peer, &load);
    print(&told);
    load_now(&fixture->peer, &load);
    near_to(sum_of(&told), held_by(&fixture->peer), "house");
}

static void a_damaged_file_is_told_of(void **state)
{
    struct fixture *fixture = *state;
    char *path = testing_file(fixture->directory, "damaged.gguf", "GGUF....", 8);
    const struct msg_load load = load_of(path, ROLE_CHAT, 0, 1);
    struct frame frame;
    uint64_t id = send(&fixture->peer, FRAME_FORECAST, &load);
    assert_true(worker_peer_receive(&fixture->peer, &frame));
    assert_int_equal(frame.id, id);
    assert_int_equal(frame.type, FRAME_ERROR);
    struct err error;
    assert_true(msg_get_err(frame.payload, frame.length, &error, NULL));
    assert_int_equal(error.code, ERR_MODEL_INVALID);
    frame_free(&frame);
    free(path);
}

int main(int argc, char **argv)
{
    struct fixture fixture = {.program = argc > 1 ? argv[1] : getenv("JARVIS_TEST_PROGRAM")};
    assert_non_null(fixture.program);
    fixture.directory = testing_directory();
    fixture.chat = testing_path(fixture.directory, GGUF_MAKE_CHAT);
    fixture.embed = testing_path(fixture.directory, GGUF_MAKE_EMBED);
    fixture.rerank = testing_path(fixture.directory, GGUF_MAKE_RERANK);
    if (!gguf_make_all(fixture.directory, NULL))
        return 1;
#define TEST(name) \
    cmocka_unit_test_prestate_setup_teardown(name, start_worker, stop_worker, &fixture)
    const struct CMUnitTest tests[] = {
        TEST(a_chat_model_takes_what_was_told), TEST(the_type_of_the_cache_counts),
        TEST(embedders_and_rerankers_too),      TEST(the_house_embedder_too),
        TEST(models_of_other_shapes),           TEST(a_damaged_file_is_told_of),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    testing_remove(fixture.directory);
    free(fixture.chat);
    free(fixture.embed);
    free(fixture.rerank);
    return failed;
}
