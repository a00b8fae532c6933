/* What `jarvis bench memory` computes from its rows, and the models that it makes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/fs.h"
#include "cli/bench_memory.h"
#include "cli/bench_model.h"
#include "helper/testing.h"

static void test_errors_and_medians(void **state)
{
    (void)state;
    assert_float_equal(bench_abs_error(110, 100), 0.1, 1e-9);
    assert_float_equal(bench_abs_error(90, 100), 0.1, 1e-9);
    assert_float_equal(bench_abs_error(90, 0), 0, 1e-9);
    struct bench_memory bench = {.row_count = 3};
    for (uint32_t i = 0; i < bench.row_count; i++) {
        struct bench_row *row = &bench.rows[i];
        row->cold = 100 + 10 * i; /* errors 0, 0.1 and 0.2 */
        row->cold_bound = 130;
        row->learned = 101;
        row->learned_bound = 102;
        for (int load = 0; load < BENCH_LOADS; load++)
            row->measured[load] = 100;
    }
    bench_memory_sum_up(&bench);
    assert_float_equal(bench.median_abs_error_cold, 0.1, 1e-9);
    assert_float_equal(bench.median_abs_error_learned, 0.01, 1e-9);
    assert_float_equal(bench.worst_over_bound, 0, 1e-9);

    bench.rows[1].measured[1] = 143; /* a load in the middle is over the cold bound */
    bench_memory_sum_up(&bench);
    assert_float_equal(bench.worst_over_bound, 0.1, 1e-9);
    bench.rows[1].measured[1] = 100;
    bench.rows[0].measured[BENCH_LOADS - 1] = 128; /* the last one over the learned bound */
    bench_memory_sum_up(&bench);
    assert_true(bench.worst_over_bound > 0.2);

    struct bench_memory none = {0};
    bench_memory_sum_up(&none);
    assert_float_equal(none.median_abs_error_cold, 0, 1e-9);
}

static const struct bench_shape shape = {.name = "t",
                                         .architecture = "llama",
                                         .role = ROLE_CHAT,
                                         .type = BENCH_Q8_0,
                                         .width = 64,
                                         .layers = 2,
                                         .heads = 2,
                                         .heads_kv = 1,
                                         .key_length = 32,
                                         .feed_forward = 128,
                                         .vocabulary = 512,
                                         .trained = 256};

static void test_models_are_as_large_as_told(void **state)
{
    (void)state;
    char *folder = testing_directory();
    char *one = testing_path(folder, "one.gguf"), *two = testing_path(folder, "two.gguf");
    char *bytes, *again;
    size_t length, length_again;
    struct err err;
    assert_true(bench_model_write(&shape, 7, one, &err));
    assert_true(bench_model_write(&shape, 7, two, &err));
    assert_true(fs_read(one, 1 << 24, &bytes, &length, NULL));
    assert_true(fs_read(two, 1 << 24, &again, &length_again, NULL));
    assert_int_equal(length, length_again);
    assert_memory_equal(bytes, again, length);
    assert_memory_equal(bytes, "GGUF", 4);
    uint64_t tensors = bench_model_bytes(&shape);
    assert_true(length > tensors && length < tensors + 64 * 1024);
    /* 512 x 64 embeddings twice, and 2 layers of 64x64 twice, 64x32 twice, 64x128 three times: 34 bytes for 32 numbers */
    uint64_t numbers = 2 * 512 * 64 + 2 * (2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 128);
    assert_int_equal(tensors, numbers / 32 * 34 + 5 * 64 * 4);
    assert_false(bench_model_write(&shape, 7, one, &err)); /* it is there already */
    assert_int_equal(err.code, ERR_IO);
    free(bytes);
    free(again);
    free(one);
    free(two);
    testing_remove(folder);
}

static void test_a_row_of_a_type(void **state)
{
    (void)state;
    struct bench_shape other = shape;
    uint64_t q8 = bench_model_bytes(&shape);
    other.type = BENCH_F16;
    uint64_t f16 = bench_model_bytes(&other);
    other.type = BENCH_Q4_0;
    uint64_t q4 = bench_model_bytes(&other);
    assert_true(q4 < q8 && q8 < f16);
    assert_string_equal(bench_type_name(BENCH_Q4_0), "Q4_0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_errors_and_medians),
        cmocka_unit_test(test_models_are_as_large_as_told),
        cmocka_unit_test(test_a_row_of_a_type),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
