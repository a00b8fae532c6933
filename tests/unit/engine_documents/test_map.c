#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/parse_map.h"
#include "helper/testing.h"

static void expect_run(const struct text_map *map, size_t i, size_t text, size_t file,
                       bool identical)
{
    assert_true(i < map->count);
    assert_int_equal(map->runs[i].text_offset, text);
    assert_int_equal(map->runs[i].file_offset, file);
    assert_int_equal(map->runs[i].identical, identical);
}

static void test_what_goes_on_makes_no_run(void **state)
{
    (void)state;
    struct text_map map;
    text_map_init(&map, 100);
    text_map_add(&map, 0, 3, true);
    text_map_add(&map, 5, 8, true);  /* goes on */
    text_map_add(&map, 7, 12, true); /* two bytes of the file left out */
    text_map_add(&map, 9, 20, false);
    text_map_add(&map, 12, 20, false); /* the same place */
    text_map_add(&map, 13, 21, false);
    assert_int_equal(map.count, 4);
    expect_run(&map, 0, 0, 3, true);
    expect_run(&map, 1, 7, 12, true);
    expect_run(&map, 2, 9, 20, false);
    expect_run(&map, 3, 13, 21, false);
    text_map_free(&map);
}

static void test_an_empty_run_gives_way(void **state)
{
    (void)state;
    struct text_map map;
    text_map_init(&map, 100);
    text_map_add(&map, 0, 0, true);
    text_map_add(&map, 4, 9, false);
    text_map_add(&map, 4, 4, true); /* what came from 9 was nothing: the first run goes on */
    assert_int_equal(map.count, 1);
    expect_run(&map, 0, 0, 0, true);
    text_map_free(&map);
}

static void test_two_maps_join(void **state)
{
    (void)state;
    struct text_map outer;
    struct text_map inner;
    struct text_map joined;
    text_map_init(&outer, 100);
    text_map_init(&inner, 100);
    text_map_init(&joined, 100);
    /* middle: 0..10 from file 3.. as it is, 10..12 one converted character at 13, 12.. as it is from 14 */
    text_map_add(&inner, 0, 3, true);
    text_map_add(&inner, 10, 13, false);
    text_map_add(&inner, 12, 14, true);
    /* text: 0..2 put in at middle 1; 2..12 is middle 5..15 */
    text_map_add(&outer, 0, 1, false);
    text_map_add(&outer, 2, 5, true);
    text_map_join(&outer, 12, &inner, &joined);
    assert_int_equal(joined.count, 4);
    expect_run(&joined, 0, 0, 4, false);
    expect_run(&joined, 1, 2, 8, true);
    expect_run(&joined, 2, 7, 13, false);
    expect_run(&joined, 3, 9, 14, true);
    text_map_free(&outer);
    text_map_free(&inner);
    text_map_free(&joined);
}

/* A random text of `length` pieces with its true places; the map must agree, however few runs it may have. */
static void check_bounded(struct testing_random *random, size_t pieces, size_t max)
{
    struct text_map map;
    text_map_init(&map, max);
    size_t *places = calloc(pieces * 8, sizeof(*places));
    bool *same = calloc(pieces * 8, sizeof(*same));
    assert_non_null(places);
    assert_non_null(same);
    size_t text = 0;
    size_t file = 0;
    for (size_t i = 0; i < pieces; i++) {
        bool identical = testing_below(random, 2) == 0;
        size_t length = 1 + testing_below(random, 8);
        text_map_add(&map, text, file, identical);
        for (size_t k = 0; k < length; k++) {
            places[text + k] = identical ? file + k : file;
            same[text + k] = identical;
        }
        text += length;
        file += length + testing_below(random, 3);
    }
    assert_false(map.failed);
    assert_true(map.count <= max);
    size_t run = 0;
    for (size_t at = 0; at < text; at++) {
        while (run + 1 < map.count && map.runs[run + 1].text_offset <= at)
            run++;
        const struct text_run *found = &map.runs[run];
        if (found->identical) {
            assert_true(same[at]);
            assert_int_equal(found->file_offset + (at - found->text_offset), places[at]);
        } else {
            size_t next = run + 1 < map.count ? map.runs[run + 1].file_offset : file;
            assert_true(places[at] >= found->file_offset && places[at] <= next);
        }
    }
    free(places);
    free(same);
    text_map_free(&map);
}

static void test_few_runs_stay_true(void **state)
{
    (void)state;
    struct testing_random random;
    testing_seed(&random);
    for (int round = 0; round < 50; round++) {
        check_bounded(&random, 1 + testing_below(&random, 2000), 16 + testing_below(&random, 64));
        check_bounded(&random, 1 + testing_below(&random, 2000), 4000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_goes_on_makes_no_run),
        cmocka_unit_test(test_an_empty_run_gives_way),
        cmocka_unit_test(test_two_maps_join),
        cmocka_unit_test(test_few_runs_stay_true),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
