#include "helper/testing.h"

#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DIRECTORY_MARK "/jarvis-test-"

static void fail(const char *what, const char *on)
{
    fprintf(stderr, "testing: %s: %s\n", what, on);
    abort();
}

void testing_seed(struct testing_random *random)
{
    const char *given = getenv("JARVIS_TEST_SEED");
    random->state = given && *given ? strtoull(given, NULL, 0) : 20261122;
    fprintf(stderr, "seed %" PRIu64 " (set JARVIS_TEST_SEED to change it)\n", random->state);
}

uint64_t testing_next(struct testing_random *random)
{
    uint64_t z = random->state += 0x9e3779b97f4a7c15ULL;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
    return z ^ z >> 31;
}

uint64_t testing_below(struct testing_random *random, uint64_t limit)
{
    return testing_next(random) % limit;
}

char *testing_directory(void)
{
    const char *base = getenv("TMPDIR");
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s" DIRECTORY_MARK "XXXXXX", base && *base ? base : "/tmp");
    if (!mkdtemp(path))
        fail("mkdtemp", path);
    char *copy = strdup(path);
    if (!copy)
        fail("strdup", path);
    return copy;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *where)
{
    (void)status;
    (void)type;
    (void)where;
    return remove(path);
}

void testing_remove(char *directory)
{
    if (!strstr(directory, DIRECTORY_MARK))
        fail("not a test's directory", directory);
    nftw(directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(directory);
}

char *testing_path(const char *directory, const char *name)
{
    char *path = NULL;
    if (asprintf(&path, "%s/%s", directory, name) < 0)
        fail("asprintf", name);
    return path;
}

char *testing_file(const char *directory, const char *name, const void *bytes, size_t length)
{
    char *path = testing_path(directory, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        fail("open", path);
    const char *at = bytes;
    while (length > 0) {
        ssize_t put = write(fd, at, length);
        if (put < 0)
            fail("write", path);
        at += put;
        length -= (size_t)put;
    }
    close(fd);
    return path;
}

char *testing_data(const char *name)
{
    const char *base = getenv("JARVIS_TEST_DATA");
    char *path = testing_path(base && *base ? base : TESTING_DATA_DEFAULT, name);
    if (access(path, R_OK) == 0)
        return path;
    free(path);
    return NULL;
}
