#include "base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/str.h"

static enum err_code code_of(int errnum)
{
    return errnum == ENOENT || errnum == ENOTDIR ? ERR_NOT_FOUND : ERR_IO;
}

/* Reads from an open file until its end; at most max bytes. */
static bool read_to_end(int fd, const char *path, size_t max, struct str *out, struct err *err)
{
    for (;;) {
        size_t room = max - out->length < 65536 ? max - out->length + 1 : 65536;
        char *to = str_reserve(out, room);
        if (!to)
            return str_check(out, path, err);
        ssize_t got = read(fd, to, room);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_set_errno(err, ERR_IO, errno, "cannot read \"%s\"", path);
        if (got == 0)
            break;
        str_commit(out, (size_t)got);
        if (out->length > max)
            return err_set(err, ERR_TOO_LARGE, "\"%s\" is larger than the limit of %zu bytes", path,
                           max);
    }
    return true;
}

bool fs_read(const char *path, size_t max, char **ret_bytes, size_t *ret_length, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return err_set_errno(err, code_of(errno), errno, "cannot open \"%s\"", path);
    struct stat status;
    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)) {
        close(fd);
        return err_set(err, ERR_INVALID_REQUEST, "\"%s\" is not a regular file", path);
    }
    struct str out;
    str_init(&out, max + 1);
    bool ok = read_to_end(fd, path, max, &out, err);
    close(fd);
    size_t length = out.length;
    char *bytes = ok ? str_take(&out) : NULL;
    if (ok && !bytes)
        ok = err_no_memory(err);
    if (!ok) {
        str_free(&out);
        return false;
    }
    *ret_bytes = bytes;
    *ret_length = length;
    return true;
}

bool fs_write_all(int fd, const void *bytes, size_t length, struct err *err)
{
    const char *from = bytes;
    while (length > 0) {
        ssize_t put = write(fd, from, length);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return err_set_errno(err, ERR_IO, errno, "cannot write");
        from += put;
        length -= (size_t)put;
    }
    return true;
}

static void sync_directory_of(const char *path)
{
    char *copy = strdup(path);
    if (!copy)
        return;
    char *slash = strrchr(copy, '/');
    if (slash)
        *(slash == copy ? slash + 1 : slash) = '\0';
    int fd = open(slash ? copy : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    free(copy);
}

/* Fills a temporary file beside `path`; its name replaces the X of `temporary`. */
static bool write_temporary(char *temporary, const void *bytes, size_t length, unsigned mode,
                            struct err *err)
{
    int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        return err_set_errno(err, code_of(errno), errno, "cannot create \"%s\"", temporary);
    bool ok = fs_write_all(fd, bytes, length, err);
    if (ok && (fchmod(fd, mode) < 0 || fsync(fd) < 0))
        ok = err_set_errno(err, ERR_IO, errno, "cannot write \"%s\"", temporary);
    if (close(fd) < 0 && ok)
        ok = err_set_errno(err, ERR_IO, errno, "cannot write \"%s\"", temporary);
    if (!ok)
        unlink(temporary);
    return ok;
}

bool fs_write_atomic(const char *path, const void *bytes, size_t length, unsigned mode,
                     struct err *err)
{
    char *temporary = str_format(PATH_MAX, "%s.XXXXXX", path);
    if (!temporary)
        return err_no_memory(err);
    bool ok = write_temporary(temporary, bytes, length, mode, err);
    if (ok && rename(temporary, path) < 0) {
        ok = err_set_errno(err, ERR_IO, errno, "cannot replace \"%s\"", path);
        unlink(temporary);
    }
    free(temporary);
    if (ok)
        sync_directory_of(path);
    return ok;
}

bool fs_make_dirs(const char *path, struct err *err)
{
    char *copy;
    if (!str_copy(path, &copy, err))
        return false;
    bool ok = true;
    for (char *at = copy + 1; ok; at++) {
        if (*at != '/' && *at != '\0')
            continue;
        char end = *at;
        *at = '\0';
        if (mkdir(copy, 0700) < 0 && errno != EEXIST)
            ok = err_set_errno(err, ERR_IO, errno, "cannot create the directory \"%s\"", copy);
        *at = end;
        if (end == '\0')
            break;
    }
    free(copy);
    return ok;
}

char *fs_join(const char *dir, const char *name)
{
    size_t length = strlen(dir);
    return str_format(PATH_MAX, length > 0 && dir[length - 1] == '/' ? "%s%s" : "%s/%s", dir, name);
}

bool fs_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

bool fs_real_path(const char *path, char **ret, struct err *err)
{
    char *real = realpath(path, NULL);
    if (!real)
        return err_set_errno(err, code_of(errno), errno, "cannot find \"%s\"", path);
    *ret = real;
    return true;
}

/* One XDG directory: $variable/jarvis, or ~/fallback/jarvis. */
static char *xdg(const char *variable, const char *fallback)
{
    const char *base = getenv(variable);
    if (base && *base == '/')
        return fs_join(base, "jarvis");
    const char *home = getenv("HOME");
    return home && *home ? str_format(PATH_MAX, "%s/%s/jarvis", home, fallback) : NULL;
}

static void find_roots(struct fs_paths *paths)
{
    const char *home = getenv("JARVIS_HOME");
    if (home && *home) {
        char *root = realpath(home, NULL);
        const char *base = root ? root : home;
        paths->config = fs_join(base, "config");
        paths->data = fs_join(base, "data");
        paths->cache = fs_join(base, "cache");
        paths->state = fs_join(base, "state");
        paths->models = fs_join(base, "models");
        paths->run = fs_join(base, "run");
        free(root);
        return;
    }
    paths->config = xdg("XDG_CONFIG_HOME", ".config");
    paths->data = xdg("XDG_DATA_HOME", ".local/share");
    paths->cache = xdg("XDG_CACHE_HOME", ".cache");
    paths->state = xdg("XDG_STATE_HOME", ".local/state");
    paths->models = paths->data ? fs_join(paths->data, "models") : NULL;
    const char *run = getenv("XDG_RUNTIME_DIR");
    paths->run = run && *run == '/' ? fs_join(run, "jarvis")
                 : paths->state     ? fs_join(paths->state, "run")
                                    : NULL;
}

static bool is_set(const char *variable)
{
    const char *value = getenv(variable);
    return value && *value;
}

static bool make_roots(const struct fs_paths *paths, struct err *err)
{
    const char *const roots[] = {paths->config, paths->data,   paths->cache,
                                 paths->state,  paths->models, paths->run};
    for (size_t i = 0; i < sizeof(roots) / sizeof(*roots); i++) {
        if (!roots[i] && (is_set("JARVIS_HOME") || is_set("HOME")))
            return err_no_memory(err);
        if (!roots[i])
            return err_set(err, ERR_CONFIG,
                           "neither JARVIS_HOME nor HOME is set; set JARVIS_HOME to a directory");
        if (!fs_make_dirs(roots[i], err))
            return false;
    }
    return true;
}

bool fs_paths_find(struct fs_paths *ret, struct err *err)
{
    const char *home = getenv("JARVIS_HOME");
    if (home && *home && !fs_make_dirs(home, err))
        return false;
    struct fs_paths paths = {0};
    find_roots(&paths);
    if (!make_roots(&paths, err)) {
        fs_paths_free(&paths);
        return false;
    }
    paths.config_file = fs_join(paths.config, "jarvis.json");
    paths.database = fs_join(paths.data, "jarvis.db");
    paths.log_file = fs_join(paths.state, "jarvis.log");
    paths.socket = fs_join(paths.run, "jarvis.sock");
    bool ok = true;
    if (!paths.config_file || !paths.database || !paths.log_file || !paths.socket)
        ok = err_no_memory(err);
    else if (strlen(paths.socket) >= sizeof(((struct sockaddr_un *)0)->sun_path))
        ok = err_set(
            err, ERR_CONFIG,
            "the path of the socket \"%s\" is too long; set JARVIS_HOME to a shorter directory",
            paths.socket);
    if (!ok) {
        fs_paths_free(&paths);
        return false;
    }
    *ret = paths;
    return true;
}

void fs_paths_free(struct fs_paths *paths)
{
    char **const all[] = {&paths->config, &paths->config_file, &paths->data,     &paths->database,
                          &paths->cache,  &paths->state,       &paths->log_file, &paths->models,
                          &paths->run,    &paths->socket};
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
        free(*all[i]);
        *all[i] = NULL;
    }
}
