/* Walking real directories: order, what is passed over, links, deep trees. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "assistant/ingest.h"
#include "assistant/walk.h"
#include "helper/testing.h"

static void make(const char *directory, const char *name)
{
    free(testing_file(directory, name, "text", 4));
}

static void test_lists_files_in_order(void **state)
{
    (void)state;
    char *directory = testing_directory();
    char *below = testing_path(directory, "m");
    mkdir(below, 0700);
    make(directory, "b.txt");
    make(directory, "a.md");
    make(directory, ".hidden");
    make(directory, "photo.JPG");
    make(directory, "m/inside.c");
    char *link = testing_path(directory, "link.txt");
    assert_int_equal(symlink("a.md", link), 0);
    struct walk_list list = {0};
    struct err err;
    assert_true(walk_add(&list, directory, NULL, &err));
    assert_int_equal(list.count, 3);
    assert_string_equal(list.files[0].path + strlen(directory), "/a.md");
    assert_string_equal(list.files[1].path + strlen(directory), "/b.txt");
    assert_string_equal(list.files[2].path + strlen(directory), "/m/inside.c");
    assert_int_equal(list.files[0].size, 4);
    assert_int_equal(list.skipped, 3);
    walk_list_free(&list);
    free(link);
    free(below);
    testing_remove(directory);
}

static void test_missing_root(void **state)
{
    (void)state;
    struct walk_list list = {0};
    struct err err;
    assert_false(walk_add(&list, "/nonexistent/path", NULL, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    walk_list_free(&list);
}

static void test_cancel(void **state)
{
    (void)state;
    struct cancel cancel;
    cancel_init(&cancel);
    cancel_fire(&cancel);
    struct walk_list list = {0};
    struct err err;
    assert_false(walk_add(&list, "/usr/share", &cancel, &err));
    assert_int_equal(err.code, ERR_CANCELLED);
    walk_list_free(&list);
    cancel_destroy(&cancel);
}

static void test_depth_is_bounded(void **state)
{
    (void)state;
    char *directory = testing_directory();
    char *deep = strdup(directory);
    for (int i = 0; i < INGEST_DEPTH_MAX + 3; i++) {
        char *next = testing_path(deep, "d");
        assert_int_equal(mkdir(next, 0700), 0);
        free(deep);
        deep = next;
    }
    make(deep, "too-deep.txt");
    struct walk_list list = {0};
    struct err err;
    assert_true(walk_add(&list, directory, NULL, &err));
    assert_int_equal(list.count, 0);
    assert_int_equal(list.skipped, 1);
    walk_list_free(&list);
    free(deep);
    testing_remove(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lists_files_in_order),
        cmocka_unit_test(test_missing_root),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_depth_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
