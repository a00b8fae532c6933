/* Files: bounded reads, writes that are whole or not at all, paths from the environment. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fs.h"
#include "base/hash.h"
#include "helper/testing.h"

static void test_read(void **state)
{
    (void)state;
    char *directory = testing_directory();
    char *path = testing_file(directory, "a", "12345", 5);
    char *bytes;
    size_t length;
    struct err err;
    assert_true(fs_read(path, 5, &bytes, &length, &err));
    assert_int_equal(length, 5);
    assert_string_equal(bytes, "12345");
    free(bytes);
    assert_false(fs_read(path, 4, &bytes, &length, &err));
    assert_int_equal(err.code, ERR_TOO_LARGE);
    assert_false(fs_read(directory, 100, &bytes, &length, &err));
    assert_int_equal(err.code, ERR_INVALID_REQUEST);
    char *pipe = testing_path(directory, "fifo");
    assert_int_equal(mkfifo(pipe, 0600), 0);
    assert_false(fs_read(pipe, 100, &bytes, &length, &err));
    assert_int_equal(err.code, ERR_INVALID_REQUEST);
    free(pipe);
    pipe = testing_path(directory, "none");
    assert_false(fs_read(pipe, 100, &bytes, &length, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    free(pipe);
    free(path);
    testing_remove(directory);
}

static void test_write_is_atomic(void **state)
{
    (void)state;
    char *directory = testing_directory();
    char *path = testing_file(directory, "a", "old", 3);
    struct err err;
    assert_true(fs_write_atomic(path, "new text", 8, 0640, &err));
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0640);

    /* No room for the new content: the old stays and nothing is left behind. */
    sigaction(SIGXFSZ, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
    struct rlimit limit = {.rlim_cur = 4, .rlim_max = RLIM_INFINITY};
    struct rlimit before;
    getrlimit(RLIMIT_FSIZE, &before);
    setrlimit(RLIMIT_FSIZE, &limit);
    bool written = fs_write_atomic(path, "far too long", 12, 0600, &err);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_false(written);
    char *bytes;
    size_t length;
    assert_true(fs_read(path, 100, &bytes, &length, &err));
    assert_string_equal(bytes, "new text");
    free(bytes);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(directory), 0);
    free(path);
    free(directory);
}

static void test_a_full_disk_is_told(void **state)
{
    (void)state;
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    if (full < 0)
        skip();
    struct err err;
    assert_false(fs_write_all(full, "x", 1, &err));
    assert_int_equal(err.code, ERR_DISK_FULL);
    assert_int_equal(err.category, ERR_CRITICAL);
    close(full);
}

static void test_paths(void **state)
{
    (void)state;
    char *directory = testing_directory();
    setenv("JARVIS_HOME", directory, 1);
    struct fs_paths paths;
    struct err err;
    assert_true(fs_paths_find(&paths, &err));
    assert_true(strncmp(paths.database, directory, strlen(directory)) == 0);
    assert_true(fs_exists(paths.run));
    struct stat status;
    assert_int_equal(stat(paths.run, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0700);
    fs_paths_free(&paths);

    char deep[200];
    memset(deep, 'd', sizeof(deep) - 1);
    deep[sizeof(deep) - 1] = '\0';
    char *too_long = testing_path(directory, deep);
    setenv("JARVIS_HOME", too_long, 1);
    assert_false(fs_paths_find(&paths, &err));
    assert_int_equal(err.code, ERR_CONFIG);
    free(too_long);

    unsetenv("JARVIS_HOME");
    char *home = testing_path(directory, "home");
    setenv("HOME", home, 1);
    unsetenv("XDG_RUNTIME_DIR");
    unsetenv("XDG_CONFIG_HOME");
    assert_true(fs_paths_find(&paths, &err));
    char *expected = testing_path(home, ".config/jarvis/jarvis.json");
    assert_string_equal(paths.config_file, expected);
    free(expected);
    fs_paths_free(&paths);
    free(home);
    testing_remove(directory);
}

static void test_hash(void **state)
{
    (void)state;
    /* The first bytes of BLAKE3 of nothing, from its specification. */
    struct hash hash = hash_bytes("", 0);
    char hex[HASH_HEX];
    hash_hex(&hash, hex);
    assert_true(strncmp(hex, "af1349b9f5f9a1a6a0404dea36dcc949", 32) == 0);
    char *directory = testing_directory();
    char *path = testing_file(directory, "a", "hello", 5);
    struct hash of_file;
    struct err err;
    assert_true(hash_file(path, &of_file, &err));
    hash = hash_bytes("hello", 5);
    assert_true(hash_equal(&hash, &of_file));
    assert_true(hash_secret_equal("abc", "abc", 3));
    assert_false(hash_secret_equal("abc", "abd", 3));
    char a[ID_MAX];
    char b[ID_MAX];
    hash_random_id("file-", a);
    hash_random_id("file-", b);
    assert_int_equal(strlen(a), 29);
    assert_string_not_equal(a, b);
    free(path);
    testing_remove(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_write_is_atomic),
        cmocka_unit_test(test_a_full_disk_is_told),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_hash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
