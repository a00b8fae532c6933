#include "orchestrator/pull_part.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/json.h"

enum {
    LOCK_STEP_MS = 100,
    NOTE_MAX = 16 * 1024,
    READ_BYTES = 1 << 20,
};

/* ---------------------------------------------------------------- digest */

static bool digest_begin(struct evp_md_ctx_st **ret, struct err *err)
{
    EVP_MD_CTX *digest = *ret ? *ret : EVP_MD_CTX_new();
    if (!digest || EVP_DigestInit_ex(digest, EVP_sha256(), NULL) != 1) {
        if (!*ret)
            EVP_MD_CTX_free(digest);
        return err_no_memory(err);
    }
    *ret = digest;
    return true;
}

static void digest_end(struct evp_md_ctx_st *digest, char out[PULL_SHA256_HEX])
{
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    EVP_DigestFinal_ex(digest, bytes, &length);
    for (unsigned i = 0; i < length && 2 * i + 2 < PULL_SHA256_HEX; i++)
        snprintf(out + 2 * (size_t)i, 3, "%02x", bytes[i]);
}

static bool check_wait(const struct wait *wait, struct err *err)
{
    if (cancel_is_set(wait->cancel))
        return cancel_error(err);
    return !deadline_passed(wait->until) ||
           err_set(err, ERR_TIMEOUT,
                   "the download did not end in time; run the same command again to go on with it");
}

/* Reads a descriptor to its end into the digest. */
static bool digest_read(int fd, const char *path, struct evp_md_ctx_st *digest, uint64_t total,
                        const struct wait *wait, const struct pull_watch *watch, uint64_t *ret,
                        struct err *err)
{
    char *buffer = malloc(READ_BYTES);
    if (!buffer)
        return err_no_memory(err);
    uint64_t done = 0;
    bool ok = true;
    ssize_t got;
    while ((ok = check_wait(wait, err)) &&
           (got = pread(fd, buffer, READ_BYTES, (off_t)done)) != 0) {
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            ok = err_set_errno(err, ERR_IO, errno, "cannot read \"%s\"", path);
            break;
        }
        EVP_DigestUpdate(digest, buffer, (size_t)got);
        done += (uint64_t)got;
        watch->show(watch->user, "check", done, total);
    }
    free(buffer);
    if (ok)
        *ret = done;
    return ok;
}

bool pull_digest_file(const char *path, const struct wait *wait, const struct pull_watch *watch,
                      char out[PULL_SHA256_HEX], struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set_errno(err, ERR_IO, errno, "cannot read \"%s\"", path);
    struct stat status;
    uint64_t total = fstat(fd, &status) == 0 ? (uint64_t)status.st_size : 0;
    struct evp_md_ctx_st *digest = NULL;
    uint64_t done;
    bool ok =
        digest_begin(&digest, err) && digest_read(fd, path, digest, total, wait, watch, &done, err);
    if (ok)
        digest_end(digest, out);
    EVP_MD_CTX_free(digest);
    close(fd);
    return ok;
}

/* ---------------------------------------------------------------- the note */

/* What an earlier try has noted; empty when there is nothing that makes sense. `url` is the caller's to free. */
static void read_note(const char *path, struct pull_identity *ret, char **ret_url)
{
    char *text;
    size_t length;
    yyjson_doc *doc;
    *ret = (struct pull_identity){0};
    *ret_url = NULL;
    if (!fs_read(path, NOTE_MAX, &text, &length, NULL))
        return;
    if (json_parse(text, length, path, &doc, NULL)) {
        yyjson_val *root = yyjson_doc_get_root(doc);
        const char *url = yyjson_get_str(yyjson_obj_get(root, "url"));
        const char *sha256 = yyjson_get_str(yyjson_obj_get(root, "sha256"));
        const char *etag = yyjson_get_str(yyjson_obj_get(root, "etag"));
        snprintf(ret->sha256, sizeof(ret->sha256), "%s", sha256 ? sha256 : "");
        snprintf(ret->etag, sizeof(ret->etag), "%s", etag ? etag : "");
        ret->bytes = yyjson_get_uint(yyjson_obj_get(root, "bytes"));
        *ret_url = url ? strdup(url) : NULL;
        yyjson_doc_free(doc);
    }
    free(text);
}

static void put_member(struct str *out, const char *key, const char *value)
{
    str_printf(out, "\"%s\": \"", key);
    str_json(out, value, strlen(value));
    str_puts(out, "\", ");
}

static bool write_note(const struct pull_part *part, const struct pull_identity *identity,
                       struct err *err)
{
    struct str text;
    str_init(&text, NOTE_MAX);
    str_puts(&text, "{");
    put_member(&text, "url", identity->url);
    put_member(&text, "sha256", identity->sha256);
    put_member(&text, "etag", identity->etag);
    str_printf(&text, "\"bytes\": %llu}\n", (unsigned long long)identity->bytes);
    bool ok = str_check(&text, part->note, err) &&
              fs_write_atomic(part->note, str_text(&text), text.length, 0600, err);
    str_free(&text);
    return ok;
}

/* Whether what is there can be the beginning of what is wanted: the same checksum says so wherever the bytes came
 * from; without one it must be the same address, and the server is asked to compare the tag. */
static bool belongs(const struct pull_identity *noted, const char *url,
                    const struct pull_identity *wanted)
{
    if (*wanted->sha256)
        return strcasecmp(noted->sha256, wanted->sha256) == 0;
    return url && strcmp(url, wanted->url) == 0 && *noted->etag;
}

/* ---------------------------------------------------------------- opening */

/* Whether the path still names the file that is open: the pull that had the lock may have finished, which gives the
 * file another name. */
static bool is_still(int fd, const char *path)
{
    struct stat opened, named;
    return fstat(fd, &opened) == 0 && stat(path, &named) == 0 && opened.st_ino == named.st_ino &&
           opened.st_dev == named.st_dev;
}

static bool pause_for_lock(int fd, const struct pull_identity *wanted, const struct wait *wait,
                           const struct pull_watch *watch, struct err *err)
{
    struct stat status;
    uint64_t done = fstat(fd, &status) == 0 ? (uint64_t)status.st_size : 0;
    watch->show(watch->user, "wait", done, wanted->bytes);
    const struct timespec step = {.tv_nsec = LOCK_STEP_MS * 1000000L};
    nanosleep(&step, NULL);
    return check_wait(wait, err);
}

/* Opens the part and locks it. */
static bool open_locked(struct pull_part *part, const struct pull_identity *wanted,
                        const struct wait *wait, const struct pull_watch *watch, struct err *err)
{
    for (;;) {
        int fd = open(part->part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
            return err_set_errno(err, ERR_IO, errno, "cannot create \"%s\"", part->part);
        bool ok = true;
        while (ok && flock(fd, LOCK_EX | LOCK_NB) != 0) {
            if (errno == EWOULDBLOCK)
                ok = pause_for_lock(fd, wanted, wait, watch, err);
            else if (errno != EINTR)
                ok = err_set_errno(err, ERR_IO, errno, "cannot lock \"%s\"", part->part);
        }
        if (ok && is_still(fd, part->part)) {
            part->fd = fd;
            return true;
        }
        close(fd);
        if (!ok)
            return false;
    }
}

/* Reads what an earlier try has left, or empties it. */
static bool take_over(struct pull_part *part, const struct pull_identity *wanted,
                      const struct wait *wait, const struct pull_watch *watch, struct err *err)
{
    char *url;
    struct stat status;
    struct pull_identity noted;
    read_note(part->note, &noted, &url);
    bool mine = belongs(&noted, url, wanted);
    free(url);
    uint64_t size = fstat(part->fd, &status) == 0 ? (uint64_t)status.st_size : 0;
    if (size == 0 || !mine || (noted.bytes > 0 && size > noted.bytes))
        return pull_part_empty(part, err);
    part->identity = noted;
    return digest_read(part->fd, part->part, part->digest, noted.bytes, wait, watch, &part->have,
                       err);
}

bool pull_part_open(const char *path, const struct pull_identity *wanted, const struct wait *wait,
                    const struct pull_watch *watch, struct pull_part *ret, struct err *err)
{
    struct pull_part part = {.fd = -1};
    part.path = str_format(PATH_MAX, "%s", path);
    part.part = str_format(PATH_MAX, "%s.part", path);
    part.note = str_format(PATH_MAX, "%s.part.json", path);
    bool ok = part.path && part.part && part.note;
    if (!ok)
        err_no_memory(err);
    ok = ok && digest_begin(&part.digest, err) && open_locked(&part, wanted, wait, watch, err) &&
         take_over(&part, wanted, wait, watch, err);
    if (ok)
        *ret = part;
    else
        pull_part_close(&part);
    return ok;
}

void pull_part_close(struct pull_part *part)
{
    struct stat status;
    if (part->fd >= 0 && part->have == 0 && fstat(part->fd, &status) == 0 && status.st_size == 0 &&
        is_still(part->fd, part->part)) { /* nothing to go on with: leave nothing */
        unlink(part->note);
        unlink(part->part);
    }
    if (part->fd >= 0)
        close(part->fd);
    EVP_MD_CTX_free(part->digest);
    free(part->path);
    free(part->part);
    free(part->note);
    *part = (struct pull_part){.fd = -1};
}

/* ---------------------------------------------------------------- filling and finishing */

bool pull_part_empty(struct pull_part *part, struct err *err)
{
    part->have = 0;
    part->identity = (struct pull_identity){0};
    if (ftruncate(part->fd, 0) != 0)
        return err_set_errno(err, ERR_IO, errno, "cannot write \"%s\"", part->part);
    return digest_begin(&part->digest, err);
}

bool pull_part_note(struct pull_part *part, const struct pull_identity *identity, struct err *err)
{
    if (!write_note(part, identity, err))
        return false;
    part->identity = *identity;
    part->identity.url = NULL;
    /* The space is taken now, and not missed at the end. A file system that cannot do that is written to all the
     * same. */
    if (identity->bytes > part->have &&
        fallocate(part->fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)identity->bytes) != 0 && errno == ENOSPC)
        return err_set_errno(err, ERR_DISK_FULL, ENOSPC, "there is no room for \"%s\"", part->path);
    return true;
}

bool pull_part_append(struct pull_part *part, const void *bytes, size_t length, struct err *err)
{
    const char *from = bytes;
    size_t left = length;
    while (left > 0) {
        ssize_t put = pwrite(part->fd, from, left, (off_t)(part->have + (length - left)));
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return err_set_errno(err, ERR_IO, errno, "cannot write \"%s\"", part->part);
        from += put;
        left -= (size_t)put;
    }
    EVP_DigestUpdate(part->digest, bytes, length);
    part->have += length;
    return true;
}

static void sync_folder(const char *path)
{
    char *folder = strdup(path);
    char *slash = folder ? strrchr(folder, '/') : NULL;
    if (slash)
        *slash = '\0';
    int fd = slash ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    free(folder);
}

bool pull_part_finish(struct pull_part *part, const char *sha256, struct err *err)
{
    char digest[PULL_SHA256_HEX] = "";
    digest_end(part->digest, digest);
    if (*sha256 && strcasecmp(digest, sha256) != 0) {
        if (!pull_part_empty(part, err))
            return false;
        return err_set(err, ERR_PROTOCOL,
                       "what came for \"%s\" is damaged: its SHA-256 is %.12s… and should be "
                       "%.12s…; it was thrown away, try again",
                       part->path, digest, sha256);
    }
    if (ftruncate(part->fd, (off_t)part->have) != 0 || fsync(part->fd) != 0)
        return err_set_errno(err, ERR_IO, errno, "cannot write \"%s\"", part->part);
    if (rename(part->part, part->path) != 0)
        return err_set_errno(err, ERR_IO, errno, "cannot replace \"%s\"", part->path);
    unlink(part->note);
    sync_folder(part->path);
    return true;
}
