/* fs.h - files, directories and the places where Jarvis keeps its things.
 *
 * Owner:   what a function allocates is the caller's (free()). Threads: safe from any.
 * Fails:   false with err naming the path; ERR_NOT_FOUND when it does not exist, ERR_DISK_FULL when space ends.
 *   All descriptors are close-on-exec.
 */
#ifndef JARVIS_BASE_FS_H
#define JARVIS_BASE_FS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Reads a regular file of at most `max` bytes; the result is NUL-terminated. ERR_TOO_LARGE past max. */
bool fs_read(const char *path, size_t max, char **ret_bytes, size_t *ret_length, struct err *err);

/* Writes the whole file so that a reader sees the old or the new, never a part: temporary file, fsync, rename,
 * fsync of the directory. `mode` as in open(2). */
bool fs_write_atomic(const char *path, const void *bytes, size_t length, unsigned mode,
                     struct err *err);

/* write(2) until done. */
bool fs_write_all(int fd, const void *bytes, size_t length, struct err *err);

/* mkdir -p with mode 0700 for what is missing. */
bool fs_make_dirs(const char *path, struct err *err);

/* "dir/name", allocated; NULL on no memory. */
char *fs_join(const char *dir, const char *name);

bool fs_exists(const char *path);

/* Absolute path without links and dots; the file must exist. */
bool fs_real_path(const char *path, char **ret, struct err *err);

/* Where things are: JARVIS_HOME=DIR puts everything under DIR (config/, data/, cache/, state/, models/, run/);
 * otherwise the XDG base directories, each with "/jarvis". */
struct fs_paths {
    char *config;      /* directory of jarvis.json */
    char *config_file; /* jarvis.json */
    char *data;        /* the store */
    char *database;    /* data/jarvis.db */
    char *cache;
    char *state;    /* log, histories */
    char *log_file; /* state/jarvis.log */
    char *models;   /* GGUF files */
    char *run;      /* 0700, socket and lock */
    char *socket;   /* run/jarvis.sock */
};

/* Finds the paths and creates the directories. ERR_CONFIG when HOME is needed and absent, or the socket's path
 * is longer than a Unix socket allows (107 bytes). */
bool fs_paths_find(struct fs_paths *ret, struct err *err);
void fs_paths_free(struct fs_paths *paths);

#endif
