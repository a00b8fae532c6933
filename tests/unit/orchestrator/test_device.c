/* Mock devices as they are written, and where a model goes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "helper/testing.h"
#include "orchestrator/device.h"

#define MIB (UINT64_C(1) << 20)

static struct device_list parse(const char *text)
{
    struct device_list list;
    struct err err;
    if (!device_list_parse(text, &list, &err))
        fail_msg("\"%s\": %s", text, err.message[LANG_EN]);
    return list;
}

static void mocks_are_read_as_they_are_written(void **state)
{
    (void)state;
    struct device_list list = parse("gpu0:16384MiB,gpu1:8GiB, cpu:2gib");
    assert_int_equal(list.count, 3);
    assert_true(list.mocked);
    assert_string_equal(list.devices[0].name, "gpu0");
    assert_int_equal(list.devices[0].kind, DEVICE_GPU);
    assert_int_equal(list.devices[0].free_bytes, 16384 * MIB);
    assert_int_equal(list.devices[1].total_bytes, 8192 * MIB);
    assert_int_equal(list.devices[2].kind, DEVICE_CPU);
    assert_ptr_equal(device_list_gpu(&list), &list.devices[0]);
    list = parse("");
    assert_int_equal(list.count, 0);
    assert_false(list.mocked);
    assert_null(device_list_gpu(&list));
}

static void what_is_no_list_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "gpu0",
        "gpu0:",
        ":5MiB",
        "gpu0:5",
        "gpu0:5MB",
        "gpu0:-5MiB",
        "gpu0:0MiB",
        "gpu0:99999999999999999999MiB",
        "gpu0:5 MiB",
        "a:1MiB,a:1MiB",
        "gpu0:1MiB;x:1MiB",
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        struct device_list list = {.count = 7};
        struct err err;
        assert_false(device_list_parse(wrong[i], &list, &err));
        assert_int_equal(err.code, ERR_CONFIG);
        assert_int_equal(list.count, 7);
    }
    struct str many;
    str_init(&many, 4096);
    for (int i = 0; i <= DEVICES_MAX; i++)
        str_printf(&many, "g%d:1MiB,", i);
    struct device_list list;
    assert_false(device_list_parse(str_text(&many), &list, NULL));
    str_free(&many);
}

static struct device_placement place(const char *devices, uint64_t mib, uint32_t layers, char *text,
                                     size_t size)
{
    struct device_list list = parse(devices);
    struct device_placement placement;
    struct str out;
    device_place(&list, mib * MIB, layers, &placement);
    str_init(&out, 1024);
    assert_true(device_placement_put(&list, &placement, &out, NULL));
    snprintf(text, size, "%s", str_text(&out));
    str_free(&out);
    return placement;
}

static void a_model_goes_where_it_fits(void **state)
{
    (void)state;
    char text[256];
    struct device_placement placement;
    placement = place("gpu0:16384MiB,gpu1:8192MiB", 4000, 32, text, sizeof(text));
    assert_string_equal(text, "gpu1:4001"); /* the smaller one: a larger model may want the other */
    assert_int_equal(placement.gpu_layers, 33);
    placement = place("gpu0:16384MiB,gpu1:8192MiB", 12000, 32, text, sizeof(text));
    assert_int_equal(placement.gpu_layers, 33);
    assert_string_equal(text, "gpu0:12001");
    placement = place("gpu1:8192MiB,gpu0:16384MiB", 20000, 32, text, sizeof(text));
    assert_string_equal(text, "gpu0:16385,gpu1:3617");
    assert_int_equal(placement.cpu_bytes, 0);
    assert_int_equal(placement.gpu_layers, 33);
    placement = place("gpu0:1024MiB,gpu1:1024MiB", 4096, 31, text, sizeof(text));
    assert_int_equal(placement.count, 2);
    assert_int_equal(placement.cpu_bytes, 2048 * MIB);
    assert_int_equal(placement.gpu_layers, 16);
    placement = place("cpu:9GiB", 100, 8, text, sizeof(text));
    assert_string_equal(text, "");
    assert_int_equal(placement.gpu_layers, 0);
    assert_int_equal(placement.cpu_bytes, 100 * MIB);
}

/* However many devices there are: nothing is lost, and none holds more than it has. */
static void random_placements_add_up(void **state)
{
    (void)state;
    struct testing_random random;
    testing_seed(&random);
    for (int round = 0; round < 20000; round++) {
        struct device_list list = {.count = 1 + testing_below(&random, DEVICES_MAX)};
        for (size_t i = 0; i < list.count; i++) {
            list.devices[i].kind = testing_below(&random, 4) ? DEVICE_GPU : DEVICE_CPU;
            list.devices[i].free_bytes = testing_below(&random, 1000);
        }
        uint64_t bytes = 1 + testing_below(&random, 5000);
        uint32_t layers = 1 + (uint32_t)testing_below(&random, 80);
        struct device_placement placement;
        device_place(&list, bytes, layers, &placement);
        uint64_t sum = placement.cpu_bytes;
        for (size_t i = 0; i < placement.count; i++) {
            const struct device *device = &list.devices[placement.at[i]];
            assert_int_equal(device->kind, DEVICE_GPU);
            assert_true(placement.bytes[i] > 0 && placement.bytes[i] <= device->free_bytes);
            sum += placement.bytes[i];
        }
        assert_int_equal(sum, bytes);
        assert_true(placement.gpu_layers >= 0 && placement.gpu_layers <= (int32_t)layers + 1);
        assert_int_equal(placement.cpu_bytes == 0, placement.gpu_layers == (int32_t)layers + 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mocks_are_read_as_they_are_written),
        cmocka_unit_test(what_is_no_list_is_refused),
        cmocka_unit_test(a_model_goes_where_it_fits),
        cmocka_unit_test(random_placements_add_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
