/* UTF-8: every code point there and back, every kind of invalid byte refused, cuts never inside a character. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/utf8.h"
#include "helper/testing.h"

static void test_every_code_point(void **state)
{
    (void)state;
    for (uint32_t point = 0; point <= 0x10ffff; point++) {
        if (point >= 0xd800 && point <= 0xdfff)
            continue;
        char bytes[4];
        size_t size = utf8_encode(point, bytes);
        uint32_t back = UINT32_MAX;
        if (utf8_decode(bytes, size, &back) != (int)size || back != point)
            fail_msg("U+%04X does not come back", point);
        for (size_t cut = 1; cut < size; cut++)
            if (utf8_decode(bytes, cut, &back) != -1)
                fail_msg("U+%04X cut at %zu is not seen as cut", point, cut);
    }
}

static void test_invalid(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "\x80",         "\xc0\xaf",     "\xc1\xbf",         "\xe0\x9f\xbf",
        "\xed\xa0\x80", "\xed\xbf\xbf", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80",
        "\xf5\x80",     "\xff",         "\xc3\x28",         "\xe2\x28\xa1",
        "\xe2\x82\x28", "\xf0\x28\x8c", "\xf0\x9f\x28",     "\xf0\x9f\x98\x28",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        uint32_t point;
        assert_int_equal(utf8_decode(bad[i], strlen(bad[i]), &point), 0);
        assert_false(utf8_valid(bad[i], strlen(bad[i])));
    }
    assert_int_equal(utf8_valid_prefix("ab\xff", 3), 2);
    char bytes[4];
    assert_int_equal(utf8_encode(0xd800, bytes), 3);
    assert_memory_equal(bytes, "\xef\xbf\xbd", 3);
}

/* What utf8_decode() should say of every sequence of up to three bytes, worked out the other way round: each code
 * point is encoded by its definition (RFC 3629, section 3), and every proper beginning of it is marked as cut off. */
struct sequences {
    signed char one[1 << 8];
    signed char two[1 << 16];
    signed char three[1 << 24];
};

static void mark(struct sequences *known, uint32_t point)
{
    uint32_t last = 0x80 | (point & 63);
    uint32_t middle = 0x80 | (point >> 6 & 63);
    if (point < 0x80) {
        known->one[point] = 1;
    } else if (point < 0x800) {
        uint32_t first = 0xc0 | point >> 6;
        known->one[first] = -1;
        known->two[first << 8 | last] = 2;
    } else if (point < 0x10000) {
        uint32_t first = 0xe0 | point >> 12;
        known->one[first] = known->two[first << 8 | middle] = -1;
        known->three[first << 16 | middle << 8 | last] = 3;
    } else {
        uint32_t first = 0xf0 | point >> 18;
        uint32_t second = 0x80 | (point >> 12 & 63);
        known->one[first] = known->two[first << 8 | second] = -1;
        known->three[first << 16 | second << 8 | middle] = -1;
    }
}

static int expected(const struct sequences *known, uint32_t bytes)
{
    if (known->one[bytes >> 16] != -1)
        return known->one[bytes >> 16];
    if (known->two[bytes >> 8] != -1)
        return known->two[bytes >> 8];
    return known->three[bytes];
}

static void test_every_three_bytes(void **state)
{
    (void)state;
    struct sequences *known = calloc(1, sizeof(*known));
    assert_non_null(known);
    for (uint32_t point = 0; point <= 0x10ffff; point++)
        if (point < 0xd800 || point > 0xdfff)
            mark(known, point);
    for (uint32_t bytes = 0; bytes < 1 << 24; bytes++) {
        char text[3] = {(char)(bytes >> 16), (char)(bytes >> 8), (char)bytes};
        uint32_t point;
        if (utf8_decode(text, 3, &point) != expected(known, bytes))
            fail_msg("%06x: %d instead of %d", bytes, utf8_decode(text, 3, &point),
                     expected(known, bytes));
    }
    free(known);
}

static void test_cuts(void **state)
{
    (void)state;
    const char *text = "añ€😀z";
    size_t length = strlen(text);
    for (size_t at = 0; at <= length + 2; at++) {
        size_t cut = utf8_floor(text, length, at);
        assert_true(cut <= at && cut <= length);
        assert_true(utf8_valid(text, cut));
        assert_true(at >= length || at - cut < 4);
        char copy[16];
        size_t kept = at < length ? at : length;
        memcpy(copy, text, kept);
        copy[kept] = '\0';
        utf8_trim_partial(copy);
        assert_int_equal(strlen(copy), cut);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_code_point),
        cmocka_unit_test(test_invalid),
        cmocka_unit_test(test_every_three_bytes),
        cmocka_unit_test(test_cuts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
