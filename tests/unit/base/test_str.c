/* Bounded strings: limits stick, JSON escapes, ownership moves; and arenas and arrays beside them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/str.h"
#include "base/vec.h"
#include "helper/testing.h"

static void test_appends(void **state)
{
    (void)state;
    struct str str;
    str_init(&str, 100);
    assert_string_equal(str_text(&str), "");
    str_puts(&str, "one ");
    str_printf(&str, "%d %s", 2, "three");
    str_putc(&str, '!');
    str_append(&str, "\0x", 2);
    assert_true(str_ok(&str));
    assert_int_equal(str.length, 14);
    assert_memory_equal(str.data, "one 2 three!\0x", 15);
    str_truncate(&str, 3);
    assert_string_equal(str_text(&str), "one");
    str_free(&str);
}

static void test_limit_is_exact_and_sticks(void **state)
{
    (void)state;
    struct str str;
    str_init(&str, 5);
    str_puts(&str, "12345");
    assert_true(str_ok(&str));
    str_putc(&str, '6');
    assert_false(str_ok(&str));
    str_truncate(&str, 0);
    str_puts(&str, "a");
    assert_int_equal(str.length, 0);
    struct err err;
    assert_false(str_check(&str, "the thing", &err));
    assert_int_equal(err.code, ERR_TOO_LARGE);
    assert_non_null(strstr(err.message[LANG_EN], "the thing"));
    assert_null(str_take(&str));
    str_free(&str);
}

static void test_take(void **state)
{
    (void)state;
    struct str str;
    str_init(&str, 10);
    char *empty = str_take(&str);
    assert_string_equal(empty, "");
    free(empty);
    str_puts(&str, "mine");
    char *taken = str_take(&str);
    assert_string_equal(taken, "mine");
    assert_int_equal(str.length, 0);
    free(taken);
}

/* Property: whatever bytes go in, what comes out is a JSON string; valid text comes back as it was. */
static void test_json_escape_round_trip(void **state)
{
    (void)state;
    struct testing_random random;
    testing_seed(&random);
    for (int round = 0; round < 2000; round++) {
        char bytes[40];
        size_t length = (size_t)testing_below(&random, sizeof(bytes));
        bool ascii = testing_below(&random, 2) == 0;
        for (size_t i = 0; i < length; i++)
            bytes[i] = (char)testing_below(&random, ascii ? 128 : 256);
        struct str str;
        str_init(&str, 1000);
        str_putc(&str, '"');
        str_json(&str, bytes, length);
        str_putc(&str, '"');
        yyjson_doc *doc = yyjson_read(str.data, str.length, 0);
        assert_non_null(doc);
        if (ascii) {
            assert_int_equal(yyjson_get_len(yyjson_doc_get_root(doc)), length);
            assert_memory_equal(yyjson_get_str(yyjson_doc_get_root(doc)), bytes, length);
        }
        yyjson_doc_free(doc);
        str_free(&str);
    }
}

static void test_arena(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 200000);
    char *text = arena_copy(&arena, "kept");
    uint64_t *numbers = arena_array(&arena, 10000, sizeof(uint64_t));
    assert_non_null(numbers);
    assert_int_equal((uintptr_t)numbers % _Alignof(max_align_t), 0);
    for (size_t i = 0; i < 10000; i++)
        assert_int_equal(numbers[i], 0);
    assert_string_equal(arena_printf(&arena, "%s-%d", text, 7), "kept-7");
    assert_string_equal(text, "kept");
    assert_null(arena_alloc(&arena, 200000));
    assert_false(arena_ok(&arena));
    assert_null(arena_alloc(&arena, 1));
    arena_free(&arena);
}

static void test_arena_overflow(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, SIZE_MAX);
    assert_null(arena_array(&arena, SIZE_MAX / 2, 4));
    assert_false(arena_ok(&arena));
    arena_free(&arena);
    arena_init(&arena, SIZE_MAX);
    assert_null(arena_alloc(&arena, SIZE_MAX - 1));
    arena_free(&arena);
}

static void test_vec(void **state)
{
    (void)state;
    int *items = NULL;
    size_t capacity = 0;
    struct err err;
    for (int i = 0; i < 1000; i++) {
        assert_true(vec_reserve(&items, &capacity, (size_t)i + 1, sizeof(*items), 1000, &err));
        items[i] = i;
    }
    for (int i = 0; i < 1000; i++)
        assert_int_equal(items[i], i);
    assert_false(vec_reserve(&items, &capacity, 1001, sizeof(*items), 1000, &err));
    assert_int_equal(err.code, ERR_TOO_LARGE);
    assert_int_equal(items[999], 999);
    free(items);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_appends), cmocka_unit_test(test_limit_is_exact_and_sticks),
        cmocka_unit_test(test_take),    cmocka_unit_test(test_json_escape_round_trip),
        cmocka_unit_test(test_arena),   cmocka_unit_test(test_arena_overflow),
        cmocka_unit_test(test_vec),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
