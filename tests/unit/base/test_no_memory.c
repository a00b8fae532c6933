/* Every function of base that allocates, with each of its allocations failing once: it says so, leaks nothing (the
 * leak check of make asan) and leaves what it was given as it was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/map.h"
#include "base/str.h"
#include "base/thread.h"
#include "base/vec.h"
#include "helper/failing.h"
#include "helper/testing.h"

enum { MANY = 200 };

static bool build_string(void *user, struct err *err)
{
    (void)user;
    struct str str;
    str_init(&str, 100000);
    for (int i = 0; i < MANY; i++) {
        str_printf(&str, "%d ", i);
        str_json(&str, "\"\n\xff", 3);
    }
    bool ok = str_check(&str, "the string", err);
    assert_true(ok || str.failed);
    char *taken = str_take(&str);
    assert_true(!ok || taken);
    free(taken);
    str_free(&str);
    return ok;
}

static bool copy_strings(void *user, struct err *err)
{
    (void)user;
    char *copy = NULL;
    if (!str_copy("text", &copy, err)) {
        assert_null(copy);
        return false;
    }
    char *formatted = str_format(100, "%s-%d", copy, 5);
    free(copy);
    if (!formatted)
        return err_no_memory(err);
    assert_string_equal(formatted, "text-5");
    free(formatted);
    return true;
}

static bool fill_arena(void *user, struct err *err)
{
    (void)user;
    struct arena arena;
    arena_init(&arena, 1 << 20);
    bool ok = true;
    for (int i = 0; i < MANY && ok; i++)
        ok = arena_copy(&arena, "a word") && arena_array(&arena, 100, 8) &&
             arena_printf(&arena, "%d", i);
    assert_int_equal(ok, arena_ok(&arena));
    arena_free(&arena);
    return ok || err_no_memory(err);
}

static bool grow_array(void *user, struct err *err)
{
    (void)user;
    int *items = NULL;
    size_t capacity = 0;
    int count = 0;
    bool ok = true;
    while (count < MANY && ok) {
        ok = vec_reserve(&items, &capacity, (size_t)count + 1, sizeof(*items), MANY, err);
        if (ok) {
            items[count] = count;
            count++;
        }
    }
    for (int i = 0; i < count; i++)
        assert_int_equal(items[i], i);
    free(items);
    return ok;
}

static bool fill_map(void *user, struct err *err)
{
    (void)user;
    struct map map;
    map_init(&map, 1000);
    uint64_t count = 0;
    bool ok = true;
    while (count < MANY && ok) {
        char key[16];
        int length = snprintf(key, sizeof(key), "%d", (int)count);
        ok = map_put(&map, key, (size_t)length, count, err);
        count += ok;
    }
    /* A failed put changes nothing: all that went in before is still there. */
    assert_int_equal(map.count, count);
    for (uint64_t i = 0; i < count; i++) {
        char key[16];
        uint64_t value = UINT64_MAX;
        int length = snprintf(key, sizeof(key), "%d", (int)i);
        assert_true(map_get(&map, key, (size_t)length, &value));
        assert_int_equal(value, i);
    }
    map_free(&map);
    return ok;
}

static bool write_json(void *user, struct err *err)
{
    (void)user;
    static const char text[] = "{\"a\": [1, 2, {\"b\": \"c\"}]}";
    yyjson_doc *doc = NULL;
    if (!json_parse(text, sizeof(text) - 1, "the body", &doc, err))
        return false;
    yyjson_mut_doc *copy = yyjson_doc_mut_copy(doc, NULL);
    assert_non_null(copy);
    struct str out;
    str_init(&out, 1000);
    bool ok = json_write(copy, false, &out, err);
    str_free(&out);
    yyjson_mut_doc_free(copy);
    yyjson_doc_free(doc);
    return ok;
}

/* What the functions on files are tried with. */
struct files {
    char *directory;
    char *path;
};

static bool read_file(void *user, struct err *err)
{
    const struct files *files = user;
    char *bytes = NULL;
    size_t length = 0;
    if (!fs_read(files->path, 100000, &bytes, &length, err)) {
        assert_null(bytes);
        return false;
    }
    assert_string_equal(bytes, "old");
    free(bytes);
    return true;
}

static bool join_path(void *user, struct err *err)
{
    const struct files *files = user;
    char *path = fs_join(files->directory, "name");
    free(path);
    return path || err_no_memory(err);
}

static bool make_directories(void *user, struct err *err)
{
    const struct files *files = user;
    char path[4096];
    snprintf(path, sizeof(path), "%s/x/y/z", files->directory);
    return fs_make_dirs(path, err);
}

static bool find_paths(void *user, struct err *err)
{
    const struct files *files = user;
    assert_int_equal(setenv("JARVIS_HOME", files->directory, 1), 0);
    struct fs_paths paths = {0};
    bool ok = fs_paths_find(&paths, err);
    assert_true(ok || !paths.config); /* untouched */
    fs_paths_free(&paths);
    return ok;
}

/* Whatever fails, a reader sees the old or the new content. */
static bool write_file(void *user, struct err *err)
{
    const struct files *files = user;
    bool ok = fs_write_atomic(files->path, "new", 3, 0600, err);
    FILE *file = fopen(files->path, "re");
    char text[16] = "";
    assert_non_null(file);
    assert_non_null(fgets(text, sizeof(text), file));
    fclose(file);
    assert_true(strcmp(text, "new") == 0 || (!ok && strcmp(text, "old") == 0));
    return ok;
}

static void test_memory(void **state)
{
    (void)state;
    assert_true(failing_each(build_string, NULL) > 3);
    assert_int_equal(failing_each(copy_strings, NULL), 2);
    assert_true(failing_each(fill_arena, NULL) > 3);
    assert_true(failing_each(grow_array, NULL) > 3);
    assert_true(failing_each(fill_map, NULL) > MANY);
    assert_true(failing_each(write_json, NULL) >= 1);
}

static void test_files(void **state)
{
    (void)state;
    struct files files = {.directory = testing_directory()};
    files.path = testing_file(files.directory, "a", "old", 3);
    assert_true(failing_each(read_file, &files) >= 1);
    assert_int_equal(failing_each(join_path, &files), 1);
    assert_int_equal(failing_each(make_directories, &files), 1);
    assert_true(failing_each(find_paths, &files) > 10);
    assert_true(failing_each(write_file, &files) >= 1);
    free(files.path);
    testing_remove(files.directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
