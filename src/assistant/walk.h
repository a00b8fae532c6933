/* walk.h - the files below a path that may be documents.
 *
 * Purpose: lists regular files in a stable order (by name). Hidden names (leading dot), symbolic links, other file
 *   systems' devices, pipes and sockets, and endings that are never text (.png, .zip…) are passed over and counted.
 *   Links are not followed: what they point to is either below the same directory or was not asked for.
 * Owner:   the list is the caller's: walk_list_free(). Threads: one. Fails: ERR_NOT_FOUND for a root that is not
 *   there, ERR_TOO_LARGE past the limits of ingest.h, ERR_CANCELLED; a directory that cannot be read is noted.
 */
#ifndef JARVIS_ASSISTANT_WALK_H
#define JARVIS_ASSISTANT_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/thread.h"

struct walk_file {
    char *path; /* absolute */
    uint64_t size;
    int64_t mtime_ns;
};

struct walk_list {
    struct walk_file *files;
    size_t count;
    size_t capacity;
    size_t skipped;
    char **unreadable; /* directories that could not be opened, with no more than 100 kept */
    size_t unreadable_count;
    size_t unreadable_capacity;
};

/* Appends to *list; `root` is a file or a directory. */
bool walk_add(struct walk_list *list, const char *root, struct cancel *cancel, struct err *err);
void walk_list_free(struct walk_list *list);

/* Whether a name's ending says that it cannot hold text for us (images, archives, programs…). */
bool walk_is_binary_name(const char *name);

#endif
