/* Segments: what goes in comes out, in memory and through bytes; damaged bytes are refused. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "retrieval/segment.h"
#include "unit/retrieval/fixture.h"

enum { SLOTS = 5000, TERMS = 40, DAMAGES = 300 };

/* Whether a slot has a term, and how often: dense for the first terms, rare for the last. */
static uint32_t times(uint32_t term, uint32_t slot)
{
    uint64_t mixed =
        (slot + 1) * UINT64_C(0x9E3779B97F4A7C15) ^ term * UINT64_C(0xBF58476D1CE4E5B9);
    mixed ^= mixed >> 31;
    return mixed % (term * 3 + 1) == 0 ? 1 + (uint32_t)(mixed >> 40) % (term == 5 ? 90000 : 4) : 0;
}

static void name(uint32_t term, char key[8])
{
    snprintf(key, 8, "t%03u", term);
}

static struct segment *build(void)
{
    static uint8_t lengths[SLOTS];
    struct segment_builder *builder;
    struct segment *segment;
    struct err err;
    for (uint32_t slot = 0; slot < SLOTS; slot++)
        lengths[slot] = (uint8_t)(slot % 200);
    assert_ok(segment_builder_new(lengths, SLOTS, &builder, &err), &err);
    for (uint32_t term = 0; term < TERMS; term++) {
        char key[8];
        name(term, key);
        assert_ok(segment_builder_term(builder, "none", 4, &err), &err); /* is left out */
        assert_ok(segment_builder_term(builder, key, strlen(key), &err), &err);
        assert_int_equal(segment_builder_number(builder), UINT32_MAX);
        for (uint32_t slot = 0; slot < SLOTS; slot++)
            if (times(term, slot) > 0)
                assert_ok(segment_builder_posting(builder, slot, times(term, slot), &err), &err);
        assert_int_equal(segment_builder_number(builder), term);
    }
    for (uint32_t slot = 0; slot < SLOTS; slot++) {
        uint32_t terms[TERMS];
        size_t count = 0;
        for (uint32_t term = 0; term < TERMS; term++)
            if (times(term, slot) > 0)
                terms[count++] = term;
        assert_ok(segment_builder_terms_of(builder, terms, count, &err), &err);
    }
    assert_ok(segment_builder_finish(builder, &segment, &err), &err);
    return segment;
}

static void check_term(const struct segment *segment, uint32_t term)
{
    struct segment_list list;
    char key[8];
    name(term, key);
    assert_true(segment_find(segment, key, strlen(key), &list));
    assert_int_equal(list.term, term);
    uint32_t slot = 0;
    for (uint32_t b = 0; b < list.block_count; b++) {
        uint32_t slots[SEGMENT_BLOCK];
        uint32_t counts[SEGMENT_BLOCK];
        uint32_t count = segment_read_block(&list, b, slots, counts);
        for (uint32_t i = 0; i < count; i++, slot++) {
            while (times(term, slot) == 0)
                slot++;
            uint32_t expected = times(term, slot);
            assert_int_equal(slots[i], slot);
            assert_int_equal(counts[i],
                             expected < SEGMENT_COUNT_MAX ? expected : SEGMENT_COUNT_MAX);
            assert_true(counts[i] <= list.blocks[b].most);
            assert_true(segment_lengths(segment)[slot] >= list.blocks[b].shortest);
        }
        assert_int_equal(list.blocks[b].last, slots[count - 1]);
    }
    for (; slot < SLOTS; slot++)
        assert_int_equal(times(term, slot), 0);
}

static void check(const struct segment *segment)
{
    uint32_t *terms = NULL;
    size_t capacity = 0;
    struct segment_list list;
    struct err err;
    assert_int_equal(segment_slots(segment), SLOTS);
    assert_int_equal(segment_terms(segment), TERMS);
    for (uint32_t term = 0; term < TERMS; term++)
        check_term(segment, term);
    for (uint32_t slot = 0; slot < SLOTS; slot += 7) {
        size_t count;
        size_t at = 0;
        assert_ok(segment_terms_of(segment, slot, &terms, &capacity, &count, &err), &err);
        for (uint32_t term = 0; term < TERMS; term++)
            if (times(term, slot) > 0)
                assert_int_equal(terms[at++], term);
        assert_int_equal(at, count);
    }
    free(terms);
    assert_false(segment_find(segment, "none", 4, &list));
    assert_false(segment_find(segment, "zz", 2, &list));
    assert_int_equal(segment_lower_bound(segment, "t003a", 5), 4);
    assert_int_equal(segment_lower_bound(segment, "zz", 2), TERMS);
}

static void *copy(const struct segment *segment, size_t *ret_length)
{
    const void *bytes = segment_bytes(segment, ret_length);
    void *own = malloc(*ret_length);
    assert_non_null(own);
    return memcpy(own, bytes, *ret_length);
}

static void test_round_trip(void **state)
{
    (void)state;
    struct segment *built = build();
    struct segment *opened;
    struct err err;
    size_t length;
    check(built);
    void *bytes = copy(built, &length);
    assert_ok(segment_open(bytes, length, &opened, &err), &err);
    check(opened);
    segment_free(built);
    segment_free(opened);
}

static void test_damage_is_seen(void **state)
{
    (void)state;
    struct testing_random random;
    struct segment *built = build();
    testing_seed(&random);
    for (size_t i = 0; i < DAMAGES; i++) {
        size_t length;
        struct segment *opened;
        struct err err;
        uint8_t *bytes = copy(built, &length);
        if (i % 3 == 0)
            length = testing_below(&random, length);
        else
            bytes[testing_below(&random, i % 3 == 1 ? 100 : length)] ^=
                (uint8_t)(1 + testing_below(&random, 255));
        assert_false(segment_open(bytes, length, &opened, &err));
        assert_int_equal(err.code, ERR_STORE);
        free(bytes);
    }
    segment_free(built);
}

static void test_lengths(void **state)
{
    (void)state;
    uint32_t before = 0;
    for (int code = 0; code < SEGMENT_LENGTHS; code++) {
        uint32_t length = segment_length((uint8_t)code);
        assert_true(code == 0 || length > before);
        assert_int_equal(segment_length_code(length), code);
        before = length;
    }
    for (uint32_t words = 0; words < 40000; words += 1 + words / 50) {
        double off = (double)segment_length(segment_length_code(words)) - words;
        assert_true(words < 160 ? off == 0 : off * off <= 0.031 * 0.031 * words * words);
    }
    assert_int_equal(segment_length_code(UINT32_MAX), SEGMENT_LENGTHS - 1);
}

static void test_nothing(void **state)
{
    (void)state;
    struct segment_builder *builder;
    struct segment *segment;
    struct segment_list list;
    struct err err;
    assert_ok(segment_builder_new(NULL, 0, &builder, &err), &err);
    assert_ok(segment_builder_finish(builder, &segment, &err), &err);
    assert_int_equal(segment_slots(segment), 0);
    assert_false(segment_find(segment, "a", 1, &list));
    segment_free(segment);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_damage_is_seen),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
