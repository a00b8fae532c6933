/* How it works: a stack of directories on the heap, not recursion, so that deep trees cannot exhaust the thread's
 * stack; each directory is read whole and sorted, so that two runs see the same order. */
#include "assistant/walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "assistant/ingest.h"
#include "base/fs.h"
#include "base/str.h"
#include "base/vec.h"

enum { UNREADABLE_MAX = 100 };

bool walk_is_binary_name(const char *name)
{
    static const char *const endings[] = {
        "7z",   "a",   "aac",  "avi",  "bin",  "bmp",   "bz2",    "class", "db",  "deb",  "dll",
        "doc",  "exe", "flac", "gguf", "gif",  "gz",    "ico",    "iso",   "jar", "jpeg", "jpg",
        "lz4",  "mkv", "mov",  "mp3",  "mp4",  "o",     "odp",    "ods",   "ogg", "opus", "otf",
        "png",  "ppt", "pptx", "pyc",  "rar",  "so",    "sqlite", "tar",   "tif", "tiff", "ttf",
        "wasm", "wav", "webm", "webp", "woff", "woff2", "xls",    "xlsx",  "xz",  "zip",  "zst",
    };
    const char *dot = strrchr(name, '.');
    if (!dot)
        return false;
    for (size_t i = 0; i < sizeof(endings) / sizeof(*endings); i++)
        if (strcasecmp(dot + 1, endings[i]) == 0)
            return true;
    return false;
}

static bool add_file(struct walk_list *list, const char *path, const struct stat *status,
                     struct err *err)
{
    if (!vec_reserve(&list->files, &list->capacity, list->count + 1, sizeof(*list->files),
                     INGEST_FILES_MAX, err))
        return false;
    struct walk_file file = {
        .size = (uint64_t)status->st_size,
        .mtime_ns = (int64_t)status->st_mtim.tv_sec * 1000000000 + status->st_mtim.tv_nsec,
    };
    if (!str_copy(path, &file.path, err))
        return false;
    list->files[list->count++] = file;
    return true;
}

static bool note_unreadable(struct walk_list *list, const char *path, struct err *err)
{
    if (list->unreadable_count >= UNREADABLE_MAX)
        return true;
    if (!vec_reserve(&list->unreadable, &list->unreadable_capacity, list->unreadable_count + 1,
                     sizeof(*list->unreadable), UNREADABLE_MAX, err) ||
        !str_copy(path, &list->unreadable[list->unreadable_count], err))
        return false;
    list->unreadable_count++;
    return true;
}

/* Directories still to be read. */
struct pending {
    char **paths;
    int *depths;
    size_t count;
    size_t path_capacity;
    size_t depth_capacity;
};

static void pending_free(struct pending *pending)
{
    for (size_t i = 0; i < pending->count; i++)
        free(pending->paths[i]);
    free(pending->paths);
    free(pending->depths);
}

/* Takes `path` over when it succeeds. */
static bool push(struct pending *pending, char *path, int depth, struct err *err)
{
    size_t need = pending->count + 1;
    if (!vec_reserve(&pending->paths, &pending->path_capacity, need, sizeof(char *),
                     INGEST_FILES_MAX, err) ||
        !vec_reserve(&pending->depths, &pending->depth_capacity, need, sizeof(int),
                     INGEST_FILES_MAX, err))
        return false;
    pending->paths[pending->count] = path;
    pending->depths[pending->count++] = depth;
    return true;
}

enum kind { KIND_FILE, KIND_DIRECTORY, KIND_OTHER };

/* What a name of a directory is to us; a file that has gone since the directory was read is KIND_OTHER. */
static enum kind kind_of(const char *path, const char *name, int depth, struct stat *status)
{
    if (lstat(path, status) < 0)
        return KIND_OTHER;
    if (S_ISDIR(status->st_mode))
        return depth < INGEST_DEPTH_MAX ? KIND_DIRECTORY : KIND_OTHER;
    return S_ISREG(status->st_mode) && !walk_is_binary_name(name) ? KIND_FILE : KIND_OTHER;
}

/* One name of a directory: a file is listed, a directory is remembered, the rest is counted. */
static bool visit(struct walk_list *list, struct pending *pending, const char *directory, int depth,
                  const struct dirent *entry, struct err *err)
{
    if (entry->d_name[0] == '.') {
        list->skipped += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
        return true;
    }
    char *path = fs_join(directory, entry->d_name);
    if (!path)
        return err_no_memory(err);
    struct stat status;
    enum kind kind = kind_of(path, entry->d_name, depth, &status);
    if (kind == KIND_DIRECTORY && push(pending, path, depth + 1, err))
        return true;
    bool ok = kind != KIND_DIRECTORY;
    if (kind == KIND_FILE)
        ok = add_file(list, path, &status, err);
    list->skipped += kind == KIND_OTHER;
    free(path);
    return ok;
}

static bool read_directory(struct walk_list *list, struct pending *pending, const char *path,
                           int depth, struct err *err)
{
    struct dirent **entries;
    int count = scandir(path, &entries, NULL, alphasort);
    if (count < 0)
        return errno == ENOMEM ? err_no_memory(err) : note_unreadable(list, path, err);
    bool ok = true;
    /* Backwards, because the stack of directories turns the order round again. */
    size_t first = list->count;
    for (int i = count - 1; i >= 0; i--) {
        ok = ok && visit(list, pending, path, depth, entries[i], err);
        free(entries[i]);
    }
    free(entries);
    for (size_t a = first, b = list->count; a + 1 < b; a++, b--) {
        struct walk_file swap = list->files[a];
        list->files[a] = list->files[b - 1];
        list->files[b - 1] = swap;
    }
    return ok;
}

bool walk_add(struct walk_list *list, const char *root, struct cancel *cancel, struct err *err)
{
    struct stat status;
    if (stat(root, &status) < 0)
        return err_set_errno(err, errno == ENOENT || errno == ENOTDIR ? ERR_NOT_FOUND : ERR_IO,
                             errno, "cannot read \"%s\"", root);
    if (S_ISREG(status.st_mode))
        return add_file(list, root, &status, err);
    if (!S_ISDIR(status.st_mode))
        return err_set(err, ERR_INVALID_REQUEST, "\"%s\" is neither a file nor a directory", root);
    struct pending pending = {0};
    char *copy;
    if (!str_copy(root, &copy, err))
        return false;
    bool ok = push(&pending, copy, 0, err);
    if (!ok)
        free(copy);
    while (ok && pending.count > 0) {
        if (cancel_is_set(cancel)) {
            ok = cancel_error(err);
            break;
        }
        char *path = pending.paths[--pending.count];
        ok = read_directory(list, &pending, path, pending.depths[pending.count], err);
        free(path);
    }
    pending_free(&pending);
    return ok;
}

void walk_list_free(struct walk_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->files[i].path);
    for (size_t i = 0; i < list->unreadable_count; i++)
        free(list->unreadable[i]);
    free(list->files);
    free(list->unreadable);
    *list = (struct walk_list){0};
}
