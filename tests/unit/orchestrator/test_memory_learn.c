/* Forecasts: the rule, what samples teach, and the file that they are kept in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/fs.h"
#include "helper/testing.h"
#include "orchestrator/memory_learn.h"
#include "orchestrator/memory_predict.h"

#define MIB (UINT64_C(1) << 20)

/* A forecast of a worker: 400 MiB of weights, 100 of cache, 20 of buffers. */
static struct memory_forecast analysed(void)
{
    static const struct msg_part parts[] = {
        {.part = PART_WEIGHTS, .device = "CPU", .bytes = 400 * MIB},
        {.part = PART_CACHE, .device = "CPU", .bytes = 100 * MIB},
        {.part = PART_COMPUTE, .device = "CPU", .bytes = 20 * MIB},
        {.part = PART_REPACKED, .device = "CUDA0", .bytes = 900 * MIB},
    };
    const struct msg_forecast message = {.parts = parts, .count = 4, .context_length = 4096};
    struct memory_forecast forecast;
    memory_from_message(&message, &forecast);
    return forecast;
}

static uint64_t sum_on_host(const struct memory_forecast *forecast)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < forecast->part_count; i++)
        if (strcmp(forecast->parts[i].device, "CPU") == 0)
            sum += forecast->parts[i].bytes;
    return sum;
}

static void test_only_the_hosts_parts_are_its_memory(void **state)
{
    (void)state;
    struct memory_forecast forecast = analysed();
    assert_int_equal(forecast.bytes, 520 * MIB);
    assert_int_equal(forecast.part_count, 4);
    memory_learn_apply(&forecast, NULL, 0);
    assert_int_equal(forecast.bytes, 520 * MIB);
    assert_true(forecast.bound > 520 * MIB && forecast.bound < 560 * MIB);
}

static void test_the_rule_for_what_cannot_be_looked_into(void **state)
{
    (void)state;
    struct memory_forecast forecast;
    memory_rule(1000000000, ROLE_CHAT, 4000, 2, &forecast);
    assert_int_equal(forecast.bytes, 1890000000); /* (1 GB + 2 x 4 x 100 MB) and 5% */
    assert_false(forecast.analysed);
    memory_learn_apply(&forecast, NULL, 0);
    assert_int_equal(forecast.bound, UINT64_C(1890000000) / 100 * 115);
    memory_rule(UINT64_MAX, ROLE_RERANK, UINT32_MAX, 4, &forecast);
    assert_true(forecast.bytes == UINT64_MAX);
}

static void test_the_context_that_fits(void **state)
{
    (void)state;
    struct memory_forecast forecast = analysed();
    forecast.bound = forecast.bytes;
    assert_int_equal(memory_context_that_fits(&forecast, 520 * MIB), 4096);
    assert_int_equal(memory_context_that_fits(&forecast, 470 * MIB), 2048);
    assert_int_equal(memory_context_that_fits(&forecast, 420 * MIB), 0);
    assert_int_equal(memory_context_that_fits(&forecast, 620 * MIB), 8192);
    assert_int_equal(memory_context_that_fits(&forecast, 469 * MIB) % 256, 0);
}

static void test_samples_correct_a_forecast(void **state)
{
    (void)state;
    uint64_t samples[MEMORY_SAMPLES_MAX];
    uint64_t bound = UINT64_MAX;
    for (uint32_t count = 0; count <= MEMORY_SAMPLES_MAX; count++) {
        struct memory_forecast forecast = analysed();
        memory_learn_apply(&forecast, samples, count);
        assert_int_equal(forecast.samples, count);
        assert_int_equal(forecast.bytes, count ? 530 * MIB : 520 * MIB);
        assert_int_equal(sum_on_host(&forecast), forecast.bytes);
        assert_true(forecast.bound > forecast.bytes);
        if (count >= 1) { /* the same again and again: less and less margin */
            assert_true(forecast.bound < bound);
            bound = forecast.bound;
        }
        if (count < MEMORY_SAMPLES_MAX)
            samples[count] = 530 * MIB;
    }
    assert_true(bound - 530 * MIB < 2 * MIB);
}

static void test_less_than_told_keeps_the_bound(void **state)
{
    (void)state;
    const uint64_t samples[] = {500 * MIB, 501 * MIB, 502 * MIB};
    struct memory_forecast forecast = analysed();
    memory_learn_apply(&forecast, samples, 3);
    assert_int_equal(forecast.bytes, 501 * MIB);
    assert_int_equal(sum_on_host(&forecast), 501 * MIB);
    assert_true(forecast.bound >= 520 * MIB); /* its buffers may yet be filled */
}

static void test_absurd_samples_change_nothing(void **state)
{
    (void)state;
    struct testing_random random;
    testing_seed(&random);
    for (int round = 0; round < 200; round++) {
        uint64_t samples[MEMORY_SAMPLES_MAX];
        for (uint32_t i = 0; i < MEMORY_SAMPLES_MAX; i++)
            samples[i] = 530 * MIB + testing_next(&random) % MIB;
        for (uint32_t i = 0; i < 3; i++) /* a leak, a measurement that failed */
            samples[testing_next(&random) % MEMORY_SAMPLES_MAX] =
                testing_next(&random) % (4096 * MIB);
        struct memory_forecast forecast = analysed();
        memory_learn_apply(&forecast, samples, MEMORY_SAMPLES_MAX);
        assert_true(forecast.bytes >= 529 * MIB && forecast.bytes <= 532 * MIB);
        assert_true(forecast.bound >= 530 * MIB && forecast.bound <= 560 * MIB);
    }
}

/* ---------------------------------------------------------------- the file */

struct fixture {
    char *folder;
    char *path;
    struct memory_learn *learn;
};

static void open_learn(struct fixture *fixture)
{
    assert_true(memory_learn_open(fixture->path, NULL, &fixture->learn, NULL));
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    if (!fixture)
        return -1;
    fixture->folder = testing_directory();
    fixture->path = testing_path(fixture->folder, "memory.db");
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    memory_learn_close(fixture->learn);
    testing_remove(fixture->folder);
    free(fixture->path);
    free(fixture);
    return 0;
}

static struct memory_way way_of(const char *path, const char *content)
{
    return (struct memory_way){.path = path,
                               .hash = hash_bytes(content, strlen(content)),
                               .role = ROLE_CHAT,
                               .context = 4096,
                               .slots = 2};
}

static void note(struct fixture *fixture, const struct memory_way *way, uint64_t held)
{
    int64_t sample = 0;
    memory_learn_note(fixture->learn, way, held, &sample);
    assert_true(sample > 0);
}

static uint32_t count_of(struct fixture *fixture, const struct memory_way *way)
{
    uint64_t samples[MEMORY_SAMPLES_MAX];
    return memory_learn_samples(fixture->learn, way, samples);
}

static void test_samples_survive_a_restart(void **state)
{
    struct fixture *fixture = *state;
    const struct memory_way way = way_of("/m/a.gguf", "one");
    open_learn(fixture);
    note(fixture, &way, 1000);
    note(fixture, &way, 2000);
    memory_learn_close(fixture->learn);
    open_learn(fixture);
    uint64_t samples[MEMORY_SAMPLES_MAX];
    assert_int_equal(memory_learn_samples(fixture->learn, &way, samples), 2);
    assert_int_equal(samples[0], 2000); /* the newest first */
    assert_int_equal(samples[1], 1000);
}

static void test_ways_are_kept_apart(void **state)
{
    struct fixture *fixture = *state;
    const struct memory_way way = way_of("/m/a.gguf", "one");
    struct memory_way other = way;
    open_learn(fixture);
    note(fixture, &way, 1000);
    other.context = 8192;
    assert_int_equal(count_of(fixture, &other), 0);
    other = way;
    other.kv_type = KV_Q8_0;
    assert_int_equal(count_of(fixture, &other), 0);
    other = way;
    other.slots = 3;
    assert_int_equal(count_of(fixture, &other), 0);
    other = way;
    other.gpu_layers = -1;
    assert_int_equal(count_of(fixture, &other), 0);
    other = way;
    other.path = "/elsewhere/the-same.gguf"; /* the same content */
    assert_int_equal(count_of(fixture, &other), 1);
}

static void test_a_load_is_one_sample(void **state)
{
    struct fixture *fixture = *state;
    const struct memory_way way = way_of("/m/a.gguf", "one");
    open_learn(fixture);
    int64_t sample = 0;
    uint64_t samples[MEMORY_SAMPLES_MAX];
    memory_learn_note(fixture->learn, &way, 1000, &sample);
    memory_learn_note(fixture->learn, &way, 3000, &sample);
    memory_learn_note(fixture->learn, &way, 2000, &sample);
    assert_int_equal(memory_learn_samples(fixture->learn, &way, samples), 1);
    assert_int_equal(samples[0], 3000);
}

static void test_a_changed_file_is_forgotten(void **state)
{
    struct fixture *fixture = *state;
    const struct memory_way before = way_of("/m/a.gguf", "one");
    const struct memory_way after = way_of("/m/a.gguf", "two");
    const struct memory_way other = way_of("/m/b.gguf", "three");
    open_learn(fixture);
    note(fixture, &before, 1000);
    note(fixture, &other, 1000);
    assert_int_equal(count_of(fixture, &after), 0);
    note(fixture, &after, 2000);
    assert_int_equal(count_of(fixture, &before), 0);
    assert_int_equal(count_of(fixture, &after), 1);
    assert_int_equal(count_of(fixture, &other), 1);
}

static void test_no_more_samples_than_are_looked_at(void **state)
{
    struct fixture *fixture = *state;
    const struct memory_way way = way_of("/m/a.gguf", "one");
    open_learn(fixture);
    for (uint64_t i = 1; i <= 100; i++)
        note(fixture, &way, i);
    uint64_t samples[MEMORY_SAMPLES_MAX];
    assert_int_equal(memory_learn_samples(fixture->learn, &way, samples), MEMORY_SAMPLES_MAX);
    for (uint64_t i = 0; i < MEMORY_SAMPLES_MAX; i++)
        assert_int_equal(samples[i], 100 - i);
}

static void damage(struct fixture *fixture, size_t from)
{
    char *bytes;
    size_t length;
    assert_true(fs_read(fixture->path, 1 << 20, &bytes, &length, NULL));
    assert_true(from < length);
    memset(bytes + from, 0xa5, length - from);
    assert_true(fs_write_atomic(fixture->path, bytes, length, 0600, NULL));
    free(bytes);
}

static void test_a_damaged_file_is_set_aside(void **state)
{
    struct fixture *fixture = *state;
    const struct memory_way way = way_of("/m/a.gguf", "one");
    char *aside = testing_path(fixture->folder, "memory.db.damaged");
    const size_t froms[] = {0, 100, 4096};
    for (size_t i = 0; i < sizeof(froms) / sizeof(froms[0]); i++) {
        open_learn(fixture);
        note(fixture, &way, 1000);
        memory_learn_close(fixture->learn);
        damage(fixture, froms[i]);
        open_learn(fixture);
        assert_true(fs_exists(aside));
        assert_int_equal(count_of(fixture, &way), 0);
        note(fixture, &way, 2000);
        assert_int_equal(count_of(fixture, &way), 1);
        memory_learn_close(fixture->learn);
        assert_int_equal(remove(aside), 0);
        assert_int_equal(remove(fixture->path), 0);
    }
    fixture->learn = NULL;
    free(aside);
}

static void test_without_a_file_it_learns_until_the_end(void **state)
{
    struct fixture *fixture = *state;
    const struct memory_way way = way_of("/m/a.gguf", "one");
    const char *const paths[] = {NULL, "/nowhere/at/all/memory.db"};
    for (int i = 0; i < 2; i++) {
        assert_true(memory_learn_open(paths[i], NULL, &fixture->learn, NULL));
        note(fixture, &way, 1000);
        assert_int_equal(count_of(fixture, &way), 1);
        memory_learn_close(fixture->learn);
    }
    fixture->learn = NULL;
}

static void test_identity_of_a_file(void **state)
{
    struct fixture *fixture = *state;
    struct hash one, two;
    char *a = testing_file(fixture->folder, "a", "GGUF one", 8);
    char *b = testing_file(fixture->folder, "b", "GGUF one", 8);
    char *c = testing_file(fixture->folder, "c", "GGUF two", 8);
    assert_true(memory_file_hash(a, &one, NULL) && memory_file_hash(b, &two, NULL));
    assert_true(hash_equal(&one, &two));
    assert_true(memory_file_hash(c, &two, NULL));
    assert_false(hash_equal(&one, &two));
    assert_false(memory_file_hash("/nowhere", &two, NULL));
    free(a);
    free(b);
    free(c);
}

int main(void)
{
#define STORED(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_the_hosts_parts_are_its_memory),
        cmocka_unit_test(test_the_rule_for_what_cannot_be_looked_into),
        cmocka_unit_test(test_the_context_that_fits),
        cmocka_unit_test(test_samples_correct_a_forecast),
        cmocka_unit_test(test_less_than_told_keeps_the_bound),
        cmocka_unit_test(test_absurd_samples_change_nothing),
        STORED(test_samples_survive_a_restart),
        STORED(test_ways_are_kept_apart),
        STORED(test_a_load_is_one_sample),
        STORED(test_a_changed_file_is_forgotten),
        STORED(test_no_more_samples_than_are_looked_at),
        STORED(test_a_damaged_file_is_set_aside),
        STORED(test_without_a_file_it_learns_until_the_end),
        STORED(test_identity_of_a_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
