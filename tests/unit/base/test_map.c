/* The hash map against a plain array of pairs: the same answers after any sequence of changes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/map.h"
#include "helper/testing.h"

enum { KEYS = 300 };

static void test_against_a_model(void **state)
{
    (void)state;
    struct testing_random random;
    testing_seed(&random);
    struct map map;
    map_init(&map, KEYS);
    bool present[KEYS] = {false};
    uint64_t values[KEYS] = {0};
    size_t count = 0;
    struct err err;
    for (int step = 0; step < 50000; step++) {
        uint64_t key = testing_below(&random, KEYS);
        uint64_t action = testing_below(&random, 3);
        if (action == 0) {
            uint64_t value = testing_next(&random);
            assert_true(map_put(&map, &key, sizeof(key), value, &err));
            count += !present[key];
            present[key] = true;
            values[key] = value;
        } else if (action == 1) {
            assert_int_equal(map_remove(&map, &key, sizeof(key)), present[key]);
            count -= present[key];
            present[key] = false;
        }
        uint64_t found = 0;
        assert_int_equal(map_get(&map, &key, sizeof(key), &found), present[key]);
        if (present[key])
            assert_true(found == values[key]);
        assert_int_equal(map.count, count);
    }
    size_t walked = 0;
    size_t cursor = 0;
    const char *key;
    size_t length;
    uint64_t value;
    while (map_next(&map, &cursor, &key, &length, &value)) {
        uint64_t number;
        assert_int_equal(length, sizeof(number));
        memcpy(&number, key, sizeof(number));
        assert_true(present[number]);
        assert_true(value == values[number]);
        walked++;
    }
    assert_int_equal(walked, count);
    map_free(&map);
}

static void test_limit_and_odd_keys(void **state)
{
    (void)state;
    struct map map;
    map_init(&map, 2);
    struct err err;
    assert_true(map_put(&map, "", 0, 1, &err));
    assert_true(map_put(&map, "a\0b", 3, 2, &err));
    assert_false(map_put(&map, "c", 1, 3, &err));
    assert_int_equal(err.code, ERR_TOO_LARGE);
    assert_true(map_put(&map, "", 0, 9, &err));
    uint64_t value;
    assert_true(map_get(&map, "", 0, &value));
    assert_int_equal(value, 9);
    assert_false(map_get(&map, "a", 1, &value));
    assert_true(map_get(&map, "a\0b", 3, &value));
    map_free(&map);
    assert_false(map_get(&map, "", 0, &value));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_a_model),
        cmocka_unit_test(test_limit_and_odd_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
