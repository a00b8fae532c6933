/* Forecasts: the formula of the cache against known shapes and against a dry run, what is read of libllama's log, and
 * which weights ggml copies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/forecast.h"
#include "engine/model.h"
#include "tiny.h"

#define MIB (UINT64_C(1) << 20)

static uint64_t part_of(const struct forecast_parts *parts, enum memory_part part,
                        const char *device)
{
    for (uint32_t i = 0; i < parts->count; i++)
        if (parts->items[i].part == part && strcmp(parts->items[i].device, device) == 0)
            return parts->items[i].bytes;
    return 0;
}

/* ---------------------------------------------------------------- the formula */

static void test_caches_of_known_models(void **state)
{
    (void)state;
    /* Llama 3.1 8B, 8192 tokens, F16: 1 GiB. */
    struct forecast_shape shape = {
        .layers = 32, .heads_kv = 8, .key_length = 128, .value_length = 128};
    assert_int_equal(forecast_cache_bytes(&shape, 8192, 1, 512, GGML_TYPE_F16, GGML_TYPE_F16, true),
                     1024 * MIB);
    /* In Q8_0 34 bytes stand for 32 numbers, in Q4_0 18. */
    assert_int_equal(
        forecast_cache_bytes(&shape, 8192, 1, 512, GGML_TYPE_Q8_0, GGML_TYPE_Q8_0, true),
        1024 * MIB / 64 * 34);
    assert_int_equal(
        forecast_cache_bytes(&shape, 8192, 1, 512, GGML_TYPE_Q4_0, GGML_TYPE_Q4_0, true),
        1024 * MIB / 64 * 18);
    /* K and V may differ, in type and in length; slots have cells of their own; cells come in steps of 256. */
    shape =
        (struct forecast_shape){.layers = 2, .heads_kv = 4, .key_length = 192, .value_length = 128};
    assert_int_equal(forecast_cache_bytes(&shape, 1000, 3, 512, GGML_TYPE_F32, GGML_TYPE_F16, true),
                     2 * 3 * 1024 * (4 * 192 * 4 + 4 * 128 * 2));
}

static void test_a_sliding_window_keeps_less(void **state)
{
    (void)state;
    /* Gemma 3 1B: 26 layers, one in six sees everything, the others 512 tokens and a batch. */
    const struct forecast_shape shape = {.layers = 26,
                                         .heads_kv = 1,
                                         .key_length = 256,
                                         .value_length = 256,
                                         .window = 512,
                                         .window_every = 6};
    const uint64_t row = 2 * 256 * 2;
    assert_int_equal(forecast_cache_bytes(&shape, 8192, 1, 512, GGML_TYPE_F16, GGML_TYPE_F16, true),
                     row * 26 * 8192);
    assert_int_equal(
        forecast_cache_bytes(&shape, 8192, 1, 512, GGML_TYPE_F16, GGML_TYPE_F16, false),
        row * (4 * 8192 + 22 * 1024));
    assert_int_equal(forecast_cache_bytes(&shape, 512, 1, 512, GGML_TYPE_F16, GGML_TYPE_F16, false),
                     row * 26 * 512);
}

static void test_the_formula_equals_the_dry_run(void **state)
{
    struct tiny *tiny = *state;
    struct gguf_context *gguf =
        gguf_init_from_file(tiny->chat, (struct gguf_init_params){.no_alloc = true});
    struct forecast_shape shape;
    assert_non_null(gguf);
    assert_true(forecast_shape_read(gguf, &shape));
    gguf_free(gguf);
    struct measure measure;
    measure_open(&measure);
    for (uint32_t slots = 1; slots <= 64; slots *= 4) {
        struct msg_load load = tiny_load(tiny, ROLE_CHAT);
        struct arena arena;
        struct msg_forecast told;
        struct err err;
        load.slots = slots;
        load.context_length = 512;
        arena_init(&arena, 1 << 20);
        tiny_ok(forecast_file(&tiny->backend, &measure, &load, &arena, &told, &err), &err);
        uint64_t cache = 0;
        for (uint32_t i = 0; i < told.count; i++)
            if (told.parts[i].part == PART_CACHE)
                cache += told.parts[i].bytes;
        uint64_t formula =
            forecast_cache_bytes(&shape, 512, slots, 512, GGML_TYPE_F16, GGML_TYPE_F16, true);
        /* libllama says it in hundredths of a MiB */
        assert_true(cache + MIB / 100 >= formula && cache <= formula + MIB / 100);
        arena_free(&arena);
    }
    measure_close(&measure);
}

/* ---------------------------------------------------------------- the log */

static void test_the_log_of_a_dry_run(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "load_tensors: layer   0 assigned to device CPU, is_swa = 0\n",
        "load_tensors: layer   1 assigned to device CUDA0, is_swa = 0\n",
        "create_tensor: loading tensor token_embd.weight\n",
        "create_tensor: loading tensor token_embd.weight\n",
        "create_tensor: loading tensor token_embd.weight.more\n",
        "llama_context:        CPU  output buffer size =     0.50 MiB\n",
        "llama_kv_cache: layer   0: dev = CPU\n",
        "llama_kv_cache: layer   1: dev = CUDA0\n",
        "llama_kv_cache:        CPU KV buffer size =     0.00 MiB\n",
        "llama_kv_cache: size =   64.00 MiB (  4096 cells,   2 layers,  2/2 seqs), K (f16): …\n",
        "llama_kv_cache: layer   2: dev = CUDA0\n",
        "llama_kv_cache: size =    8.00 MiB (  1024 cells,   1 layers,  2/2 seqs), K (f16): …\n",
        "llama_memory_recurrent: size =    1.50 MiB (     1 cells,  24 layers,  1 seqs), R: …\n",
        "sched_reserve:      CUDA0 compute buffer size =    30.50 MiB\n",
        "sched_reserve:  CUDA_Host compute buffer size =     4.00 MiB\n",
        "something else entirely\n",
        "",
    };
    struct forecast_log log;
    assert_true(forecast_log_init(&log, NULL));
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        forecast_log_line(&log, lines[i]);
    assert_true(log.has_compute && log.has_cache);
    assert_int_equal(log.embeddings, 2);
    assert_string_equal(log.layer_device[0], "CPU");
    assert_string_equal(log.layer_device[1], "CUDA0");
    assert_int_equal(part_of(&log.parts, PART_CACHE, "CPU"), 32 * MIB + 3 * MIB / 2);
    assert_int_equal(part_of(&log.parts, PART_CACHE, "CUDA0"), 40 * MIB);
    assert_int_equal(part_of(&log.parts, PART_COMPUTE, "CUDA0"), 61 * MIB / 2);
    assert_int_equal(part_of(&log.parts, PART_COMPUTE, "CPU"), 9 * MIB / 2);
    forecast_log_free(&log);
}

static void test_more_parts_than_there_is_room_for(void **state)
{
    (void)state;
    struct forecast_parts parts = {0};
    uint64_t sum = 0;
    for (int i = 0; i < 2 * MSG_PARTS_MAX; i++) {
        char device[FORECAST_DEVICE];
        snprintf(device, sizeof(device), "GPU%d", i);
        forecast_add(&parts, PART_COMPUTE, device, 3);
    }
    assert_int_equal(parts.count, MSG_PARTS_MAX);
    for (uint32_t i = 0; i < parts.count; i++)
        sum += parts.items[i].bytes;
    assert_int_equal(sum, 2 * MSG_PARTS_MAX * 3); /* none is lost */
}

/* ---------------------------------------------------------------- weights */

static void test_weights_stay_mapped_or_are_copied(void **state)
{
    struct tiny *tiny = *state;
    struct forecast_log log;
    struct forecast_parts parts = {0};
    struct err err;
    assert_true(forecast_log_init(&log, NULL));
    tiny_ok(forecast_weights(tiny->chat, &log, false, 512, &parts, &err), &err);
    /* F32 is never copied on the CPU: all of the file's tensors stay in it. */
    assert_int_equal(part_of(&parts, PART_REPACKED, "CPU"), 0);
    uint64_t mapped = part_of(&parts, PART_WEIGHTS, "CPU");
    assert_true(mapped > 256 * 1024 && mapped % 4096 == 0);

    /* With a layer on a device, its tensors go there. */
    struct forecast_parts split = {0};
    snprintf(log.layer_device[1], FORECAST_DEVICE, "GPU0");
    tiny_ok(forecast_weights(tiny->chat, &log, true, 512, &split, &err), &err);
    uint64_t moved = part_of(&split, PART_REPACKED, "GPU0");
    assert_true(moved > 0 && moved < mapped);
    forecast_log_free(&log);
    assert_false(forecast_weights("/nowhere.gguf", &log, false, 512, &parts, &err));
    assert_int_equal(err.code, ERR_MODEL_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_caches_of_known_models),
        cmocka_unit_test(test_a_sliding_window_keeps_less),
        cmocka_unit_test(test_the_formula_equals_the_dry_run),
        cmocka_unit_test(test_the_log_of_a_dry_run),
        cmocka_unit_test(test_more_parts_than_there_is_room_for),
        cmocka_unit_test(test_weights_stay_mapped_or_are_copied),
    };
    return cmocka_run_group_tests(tests, tiny_setup, tiny_teardown);
}
