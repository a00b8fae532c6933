/* The cache of pair scores: finds what was put, keeps pairs apart, is bounded, keeps what is used. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "assistant/pair_cache.h"

static int setup(void **state)
{
    struct pair_cache *cache = NULL;
    struct err err;
    assert_true(pair_cache_new(&cache, &err));
    *state = cache;
    return 0;
}

static int teardown(void **state)
{
    pair_cache_free(*state);
    return 0;
}

static struct hash key_of(const char *model, const char *question, const char *passage)
{
    struct hash hash = hash_bytes(model, strlen(model)), key;
    assert_true(pair_cache_key(&hash, question, passage, &key));
    return key;
}

/* A key of the set that `number` says: the cache chooses by the first bytes. */
static struct hash key_in_set(uint32_t number, uint8_t which)
{
    struct hash key = {{0}};
    memcpy(key.bytes, &number, sizeof(number));
    key.bytes[HASH_BYTES - 1] = which;
    return key;
}

static void what_was_put_is_found(void **state)
{
    struct hash key = key_of("model", "who?", "the dog");
    float score = -1;
    assert_false(pair_cache_get(*state, &key, &score));
    assert_true(score == -1);
    pair_cache_put(*state, &key, 0.25F);
    assert_true(pair_cache_get(*state, &key, &score));
    assert_true(score == 0.25F);
    pair_cache_put(*state, &key, 0.5F);
    assert_true(pair_cache_get(*state, &key, &score));
    assert_true(score == 0.5F);
}

static void model_question_and_passage_make_the_key(void **state)
{
    (void)state;
    struct hash keys[] = {key_of("a", "b", "c"),  key_of("b", "b", "c"),  key_of("a", "bc", ""),
                          key_of("a", "", "bc"),  key_of("a", "b", ""),   key_of("a", "c", "b"),
                          key_of("a", "b", "cc"), key_of("a", "b ", "c"), key_of("a", "bb", "c")};
    enum { COUNT = sizeof(keys) / sizeof(keys[0]) };
    for (int i = 0; i < COUNT; i++)
        for (int k = 0; k < i; k++)
            assert_false(hash_equal(&keys[i], &keys[k]));
}

static void the_least_recently_used_of_a_set_makes_room(void **state)
{
    float score;
    for (int i = 0; i < PAIR_CACHE_WAYS; i++) {
        struct hash key = key_in_set(7, (uint8_t)i);
        pair_cache_put(*state, &key, (float)i);
    }
    struct hash first = key_in_set(7, 0), second = key_in_set(7, 1), other = key_in_set(8, 0);
    assert_true(pair_cache_get(*state, &first, &score)); /* used: the second is the oldest now */
    pair_cache_put(*state, &other, 1);                   /* another set: nobody has to go */
    struct hash fresh = key_in_set(7, PAIR_CACHE_WAYS);
    pair_cache_put(*state, &fresh, 9);
    assert_true(pair_cache_get(*state, &first, &score) && score == 0);
    assert_true(pair_cache_get(*state, &fresh, &score) && score == 9);
    assert_true(pair_cache_get(*state, &other, &score) && score == 1);
    assert_false(pair_cache_get(*state, &second, &score));
}

static void it_holds_no_more_than_its_slots(void **state)
{
    enum { PAIRS = 3 * PAIR_CACHE_SLOTS };
    for (int i = 0; i < PAIRS; i++) {
        char passage[16];
        snprintf(passage, sizeof(passage), "%d", i);
        struct hash key = key_of("m", "q", passage);
        pair_cache_put(*state, &key, (float)i);
    }
    int held = 0;
    for (int i = 0; i < PAIRS; i++) {
        char passage[16];
        float score;
        snprintf(passage, sizeof(passage), "%d", i);
        struct hash key = key_of("m", "q", passage);
        if (pair_cache_get(*state, &key, &score)) {
            assert_true(score == (float)i);
            held++;
        }
    }
    assert_true(held > PAIR_CACHE_SLOTS / 2 && held <= PAIR_CACHE_SLOTS);
}

static void without_a_cache_nothing_is_held(void **state)
{
    (void)state;
    struct hash key = key_of("m", "q", "p");
    float score;
    pair_cache_put(NULL, &key, 1);
    assert_false(pair_cache_get(NULL, &key, &score));
    pair_cache_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_put_is_found, setup, teardown),
        cmocka_unit_test(model_question_and_passage_make_the_key),
        cmocka_unit_test_setup_teardown(the_least_recently_used_of_a_set_makes_room, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(it_holds_no_more_than_its_slots, setup, teardown),
        cmocka_unit_test(without_a_cache_nothing_is_held),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
