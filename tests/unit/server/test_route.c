#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "server/guard.h"
#include "server/page.h"
#include "server/route.h"

/* ---------------------------------------------------------------- routes */

static bool one(struct http_request *request, struct err *err)
{
    (void)request;
    (void)err;
    return true;
}

static const struct route table[] = {
    {"GET", "/things", one, 0},
    {"POST", "/things", one, 0},
    {"GET", "/things/{id}", one, 0},
    {"DELETE", "/things/{id}", one, 0},
    {"GET", "/things/{id}/parts/{part}", one, 0},
    {"POST", "/names/{name*}/weigh", one, 0},
    {"GET", "/names/{name*}", one, 0},
};

enum { ROWS = sizeof(table) / sizeof(*table) };

static void test_route_matches(void **state)
{
    (void)state;
    static const struct {
        const char *method;
        const char *path;
        int row; /* -1: none; -2: other methods only */
        const char *first;
        const char *second;
    } cases[] = {
        {"GET", "/things", 0, NULL, NULL},
        {"HEAD", "/things", 0, NULL, NULL},
        {"POST", "/things", 1, NULL, NULL},
        {"PUT", "/things", -2, NULL, NULL},
        {"get", "/things", -2, NULL, NULL},
        {"GET", "/things/", -1, NULL, NULL},
        {"GET", "/thing", -1, NULL, NULL},
        {"GET", "/thingsx", -1, NULL, NULL},
        {"GET", "", -1, NULL, NULL},
        {"GET", "/things/a b%", 2, "a b%", NULL},
        {"HEAD", "/things/x", 2, "x", NULL},
        {"DELETE", "/things/x", 3, "x", NULL},
        {"POST", "/things/x", -2, NULL, NULL},
        {"GET", "/things/x/parts/y", 4, "x", "y"},
        {"GET", "/things//parts/y", -1, NULL, NULL},
        {"GET", "/things/x/parts/", -1, NULL, NULL},
        {"GET", "/things/x/parts/y/z", -1, NULL, NULL},
        {"GET", "/names/org/model", 6, "org/model", NULL},
        {"POST", "/names/org/model/weigh", 5, "org/model", NULL},
        {"POST", "/names/weigh/weigh", 5, "weigh", NULL},
        {"POST", "/names/weigh", -2, NULL, NULL},
        {"POST", "/names//weigh", -2, NULL, NULL},
        {"GET", "/names/", -1, NULL, NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct arena arena;
        struct route_match match = {0};
        struct err err;
        arena_init(&arena, 4096);
        bool found = route_find(table, ROWS, cases[i].method, cases[i].path, &arena, &match, &err);
        assert_int_equal(found, cases[i].row >= 0);
        if (found) {
            assert_ptr_equal(match.route, &table[cases[i].row]);
            if (cases[i].first)
                assert_string_equal(match.params[0], cases[i].first);
            if (cases[i].second)
                assert_string_equal(match.params[1], cases[i].second);
        } else {
            assert_int_equal(err.code, cases[i].row == -2 ? ERR_METHOD : ERR_NOT_FOUND);
            assert_non_null(strstr(err_message(&err, LANG_EN), cases[i].path));
        }
        arena_free(&arena);
    }
}

static void test_route_allow(void **state)
{
    (void)state;
    struct arena arena;
    struct route_match match = {0};
    struct err err;
    arena_init(&arena, 4096);
    assert_false(route_find(table, ROWS, "PUT", "/things", &arena, &match, &err));
    assert_string_equal(match.allow, "GET, HEAD, POST");
    assert_false(route_find(table, ROWS, "PATCH", "/things/1", &arena, &match, &err));
    assert_string_equal(match.allow, "GET, HEAD, DELETE");
    arena_free(&arena);
}

/* ---------------------------------------------------------------- guard */

static void test_guard_host(void **state)
{
    (void)state;
    static const struct {
        const char *host;
        bool allowed;
    } cases[] = {
        {NULL, true},
        {"localhost", true},
        {"LocalHost:8317", true},
        {"127.0.0.1", true},
        {"127.0.0.1:80", true},
        {"127.9.9.9:80", true},
        {"[::1]", true},
        {"[::1]:8317", true},
        {"192.168.1.5:8317", true}, /* where it listens */
        {"192.168.1.6", false},
        {"", false},
        {":80", false},
        {"evil.example", false},
        {"localhost.evil.example", false},
        {"127.0.0.1.evil.example", false},
        {"localhost:80x", false},
        {"localhost@evil.example", false},
        {"[::1", false},
        {"[::1]x", false},
        {"::1", false},
        {"2130706433", false},
        {"0x7f.1", false},
    };
    struct guard guard = {0};
    guard_set_host(&guard, "192.168.1.5");
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct err err;
        err_clear(&err);
        assert_int_equal(guard_check_host(&guard, cases[i].host, &err), cases[i].allowed);
        assert_int_equal(err.code, cases[i].allowed ? ERR_NONE : ERR_FORBIDDEN);
    }
    guard_set_host(&guard, "0.0.0.0");
    assert_true(guard_check_host(&guard, "my.server.example", NULL));
}

static void test_guard_origin(void **state)
{
    (void)state;
    static const struct {
        const char *origin;
        bool allowed;
    } cases[] = {
        {NULL, true},
        {"http://localhost:3000", true},
        {"https://127.0.0.1", true},
        {"http://[::1]:8317", true},
        {"null", false},
        {"", false},
        {"http://", false},
        {"https://evil.example", false},
        {"http://localhost.evil.example", false},
        {"http://localhost/x", false},
        {"file://localhost", false},
        {"chrome-extension://localhost", false},
        {"http://evil.example://localhost", false},
    };
    struct guard guard = {0};
    guard_set_host(&guard, "127.0.0.1");
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        assert_int_equal(guard_check_origin(&guard, cases[i].origin, NULL), cases[i].allowed);
}

static void test_guard_key(void **state)
{
    (void)state;
    struct guard guard = {0};
    struct err err;
    assert_true(guard_check_key(&guard, NULL, &err)); /* none is configured */
    guard.has_key = true;
    guard.key = hash_bytes("sixteen letters!", 16);
    assert_true(guard_check_key(&guard, "Bearer sixteen letters!", &err));
    assert_true(guard_check_key(&guard, "BEARER  sixteen letters!", &err));
    static const char *const wrong[] = {NULL,
                                        "",
                                        "Bearer",
                                        "Bearer ",
                                        "Bearer sixteen letters",
                                        "Bearer sixteen letters! ",
                                        "Bearersixteen letters!",
                                        "Basic sixteen letters!",
                                        "sixteen letters!"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        assert_false(guard_check_key(&guard, wrong[i], &err));
        assert_int_equal(err.code, ERR_UNAUTHORIZED);
        assert_null(strstr(err_message(&err, LANG_EN), "sixteen"));
    }
}

static void test_loopback(void **state)
{
    (void)state;
    assert_true(guard_is_loopback("127.0.0.1"));
    assert_true(guard_is_loopback("::1"));
    assert_true(guard_is_loopback("localhost"));
    assert_false(guard_is_loopback("0.0.0.0"));
    assert_false(guard_is_loopback("::"));
    assert_false(guard_is_loopback("10.0.0.1"));
    assert_false(guard_is_loopback("example.org"));
}

/* ---------------------------------------------------------------- pages */

static const char *letter(const void *list, size_t index)
{
    return ((const char *const *)list)[index];
}

static void test_page(void **state)
{
    (void)state;
    static const char *const list[] = {"a", "b", "c", "d", "e"}; /* oldest first */
    static const struct {
        struct page_query query;
        const char *expected;
        bool has_more;
    } cases[] = {
        {{0}, "edc", true}, /* three by default */
        {{.order = "asc"}, "abc", true},
        {{.limit = "5"}, "edcba", false},
        {{.limit = "2", .order = "asc", .after = "b"}, "cd", true},
        {{.limit = "2", .order = "asc", .after = "c"}, "de", false},
        {{.after = "a"}, "", false},
        {{.after = "c"}, "ba", false},
        {{.order = "asc", .before = "c"}, "ab", false},
        {{.limit = "1", .order = "asc", .before = "c"}, "b", true},
        {{.order = "asc", .after = "a", .before = "d"}, "bc", false},
        {{.order = "asc", .after = "d", .before = "b"}, "", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct page page;
        struct err err;
        assert_true(page_cut(&cases[i].query, 3, 10, letter, list, 5, &page, &err));
        assert_int_equal(page.count, strlen(cases[i].expected));
        assert_int_equal(page.has_more, cases[i].has_more);
        for (size_t at = 0; at < page.count; at++) {
            size_t index = page.step > 0 ? page.first + at : page.first - at;
            assert_int_equal(list[index][0], cases[i].expected[at]);
        }
    }
    struct page page;
    assert_true(page_cut(&(struct page_query){0}, 3, 10, letter, list, 0, &page, NULL));
    assert_int_equal(page.count, 0);
}

static void test_page_refuses(void **state)
{
    (void)state;
    static const char *const list[] = {"a"};
    static const struct {
        struct page_query query;
        const char *param;
    } cases[] = {
        {{.limit = "0"}, "limit"},   {{.limit = "11"}, "limit"},
        {{.limit = "x"}, "limit"},   {{.limit = ""}, "limit"},
        {{.limit = "3x"}, "limit"},  {{.limit = "-1"}, "limit"},
        {{.order = "up"}, "order"},  {{.after = "z"}, "after"},
        {{.before = "z"}, "before"}, {{.limit = "99999999999999999999"}, "limit"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct page page;
        struct err err;
        assert_false(page_cut(&cases[i].query, 3, 10, letter, list, 1, &page, &err));
        assert_int_equal(err.code, ERR_INVALID_REQUEST);
        assert_string_equal(err.param, cases[i].param);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_route_matches), cmocka_unit_test(test_route_allow),
        cmocka_unit_test(test_guard_host),    cmocka_unit_test(test_guard_origin),
        cmocka_unit_test(test_guard_key),     cmocka_unit_test(test_loopback),
        cmocka_unit_test(test_page),          cmocka_unit_test(test_page_refuses),
    };
    return cmocka_run_group_tests_name("server_route", tests, NULL, NULL);
}
