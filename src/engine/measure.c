#include "engine/measure.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { TEXT_BYTES = 32 * 1024, LINE_BYTES = MEASURE_PATH_MAX + 256 };

void measure_open(struct measure *measure)
{
    measure->statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    measure->maps = open("/proc/self/smaps", O_RDONLY | O_CLOEXEC);
    measure->file[0] = '\0';
}

void measure_close(struct measure *measure)
{
    if (measure->statm >= 0)
        close(measure->statm);
    if (measure->maps >= 0)
        close(measure->maps);
    measure->statm = measure->maps = -1;
}

void measure_begin(struct measure *measure, const char *path)
{
    char *real = realpath(path, NULL);
    snprintf(measure->file, sizeof(measure->file), "%s", real ? real : "");
    free(real);
}

/* ---------------------------------------------------------------- smaps */

/* A walk over /proc/self/smaps: each mapping has a line that ends with its file, then lines "Key:   123 kB". */
struct walk {
    const char *file;
    bool in_file; /* the mapping is of the model's file */
    uint64_t anonymous;
    uint64_t of_file;
};

static uint64_t kib_after(const char *line, const char *key)
{
    size_t length = strlen(key);
    return strncmp(line, key, length) == 0 ? strtoull(line + length, NULL, 10) * 1024 : 0;
}

static void take_line(struct walk *walk, const char *line)
{
    bool begins_mapping = (*line >= '0' && *line <= '9') || (*line >= 'a' && *line <= 'f');
    if (begins_mapping) {
        const char *path = strchr(line, '/');
        walk->in_file = walk->file[0] && path && strcmp(path, walk->file) == 0;
        return;
    }
    walk->anonymous += kib_after(line, "Anonymous:");
    if (walk->in_file)
        walk->of_file += kib_after(line, "Rss:");
}

/* Reads the file to its end; lines that are too long are cut. */
static bool walk_maps(int fd, struct walk *walk)
{
    char *text = malloc(TEXT_BYTES);
    char line[LINE_BYTES];
    size_t used = 0;
    off_t at = 0;
    ssize_t length = -1;
    while (text && (length = pread(fd, text, TEXT_BYTES, at)) > 0) {
        at += length;
        for (ssize_t i = 0; i < length; i++) {
            if (text[i] != '\n' && used + 1 < sizeof(line)) {
                line[used++] = text[i];
            } else if (text[i] == '\n') {
                line[used] = '\0';
                take_line(walk, line);
                used = 0;
            }
        }
    }
    free(text);
    return length == 0 && at > 0;
}

/* Since Linux 6.2 the kernel adds these up per core, now and then: they may be some pages a core behind. */
static bool read_statm(const struct measure *measure, uint64_t *ret_resident, uint64_t *ret_shared)
{
    char text[128];
    ssize_t length = measure->statm < 0 ? -1 : pread(measure->statm, text, sizeof(text) - 1, 0);
    if (length <= 0)
        return false;
    text[length] = '\0';
    uint64_t total, resident, shared; /* pages */
    if (sscanf(text, "%" SCNu64 " %" SCNu64 " %" SCNu64, &total, &resident, &shared) != 3)
        return false;
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    *ret_resident = resident * page;
    *ret_shared = shared * page;
    return true;
}

/* Where smaps cannot be read, file pages are not told apart: then they are left out. */
static struct walk measure_walk(const struct measure *measure)
{
    struct walk walk = {.file = measure->file};
    if (measure->maps >= 0 && walk_maps(measure->maps, &walk))
        return walk;
    uint64_t resident, shared;
    walk = (struct walk){.file = measure->file};
    if (read_statm(measure, &resident, &shared))
        walk.anonymous = resident > shared ? resident - shared : 0;
    return walk;
}

uint64_t measure_held(const struct measure *measure)
{
    struct walk walk = measure_walk(measure);
    return walk.anonymous + walk.of_file;
}

uint64_t measure_anonymous(const struct measure *measure)
{
    return measure_walk(measure).anonymous;
}

uint64_t measure_resident(const struct measure *measure)
{
    uint64_t resident, shared;
    return read_statm(measure, &resident, &shared) ? resident : 0;
}

uint64_t measure_peak(void)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) != 0)
        return 0;
    return (uint64_t)usage.ru_maxrss * 1024;
}
