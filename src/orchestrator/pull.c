/* pull.c - one pull, from what a user wrote to files that are whole.
 *
 *   look      the source becomes a plan: which files, where from, how large, with which SHA-256 (pull_plan.c)
 *   check     there must be room on the disk for all that is missing, before the first byte is fetched
 *   download  file by file into NAME.part (pull_part.c), from where an earlier try ended; a connection that breaks, or a
 *             hub that is busy, is tried again with growing, jittered pauses as long as bytes keep coming
 *   finish    the digest is compared, the file made durable and renamed
 *
 * A file that is there already with the right checksum is not fetched. Bytes that turn out damaged are thrown away; when
 * they were partly an earlier try's the file is fetched once more from its beginning, since it may have been that part
 * that was damaged.
 */
#include "orchestrator/pull.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "orchestrator/pull_http.h"
#include "orchestrator/pull_part.h"
#include "orchestrator/pull_plan.h"
#include "orchestrator/pull_room.h"
#include "orchestrator/pull_source.h"

enum {
    TRIES_MAX = 5, /* that bring no byte, in a row */
    RETRY_MS = 1000,
    RETRY_DOUBLINGS = 5,
    SHOW_EVERY_MS = 50,
    COPY_BYTES = 1 << 20,
    MAGIC_BYTES = 4,
};

struct pull {
    const struct pull_options *options;
    const struct pull_request *request;
    const struct wait *wait;
    struct arena *arena;
    struct pull_http *http;
    struct pull_plan plan;
    uint64_t total;   /* bytes of all files; 0: not known */
    uint64_t before;  /* bytes of the files that are done */
    uint64_t fetched; /* bytes, by this pull */
    bool verified;
    const char *phase; /* shown last */
    deadline show_again;

    /* of the file that is being fetched */
    struct pull_item *item;
    char *path;
    struct pull_part part;
    bool present; /* it was there already */
    unsigned char magic[MAGIC_BYTES];
};

/* ---------------------------------------------------------------- progress */

static void show(struct pull *pull, const char *phase, uint64_t done, bool at_once)
{
    bool same = pull->phase && strcmp(pull->phase, phase) == 0;
    if (!pull->request->progress || (same && !at_once && !deadline_passed(pull->show_again)))
        return;
    pull->phase = phase;
    pull->show_again = deadline_in_ms(SHOW_EVERY_MS);
    const char *slash = pull->item ? strrchr(pull->item->to, '/') : NULL;
    const struct pull_progress progress = {
        .phase = phase,
        .file = slash ? slash + 1 : "",
        .done = pull->before + done,
        .total = pull->total,
    };
    pull->request->progress(pull->request->user, &progress);
}

static void on_watch(void *user, const char *phase, uint64_t done, uint64_t total)
{
    (void)total;
    show(user, phase, done, false);
}

/* ---------------------------------------------------------------- bytes that come */

/* GGUF files and whisper's begin with these; a page of HTML does not, however large it says it is. */
static bool check_magic(const struct pull *pull, struct err *err)
{
    if (memcmp(pull->magic, "GGUF", MAGIC_BYTES) == 0 ||
        memcmp(pull->magic, "lmgg", MAGIC_BYTES) == 0)
        return true;
    return err_set(err, ERR_MODEL_INVALID, "\"%s\" is not a model: it is no GGUF file",
                   pull->item->from);
}

static bool take_bytes(struct pull *pull, const void *bytes, size_t length, struct err *err)
{
    uint64_t have = pull->part.have;
    for (size_t i = 0; have + i < MAGIC_BYTES && i < length; i++)
        pull->magic[have + i] = ((const unsigned char *)bytes)[i];
    if (have < MAGIC_BYTES && have + length >= MAGIC_BYTES && !check_magic(pull, err))
        return false;
    uint64_t most = pull->part.identity.bytes;
    if (most > 0 && have + length > most)
        return err_set(err, ERR_PROTOCOL, "\"%s\" is longer than was said", pull->item->from);
    if (!pull_check_size(pull->options, pull->before + have + length, err) ||
        !pull_part_append(&pull->part, bytes, length, err))
        return false;
    pull->fetched += length;
    show(pull, "download", pull->part.have, false);
    return true;
}

static bool on_bytes(void *user, const void *bytes, size_t length, struct err *err)
{
    struct pull *pull = user;
    return pull->present || take_bytes(pull, bytes, length, err);
}

/* A file without a checksum that is there with the size that the server tells is taken for the same. */
static bool is_present(const struct pull *pull, uint64_t bytes)
{
    struct stat status;
    return !*pull->item->sha256 && bytes > 0 && stat(pull->path, &status) == 0 &&
           (uint64_t)status.st_size == bytes;
}

/* The server has told what is coming. */
static bool begin_bytes(struct pull *pull, uint64_t offset, uint64_t total, const char *etag,
                        const char *sha256, struct err *err)
{
    struct pull_item *item = pull->item;
    if (item->bytes > 0 && total > 0 && total != item->bytes)
        return err_set(err, ERR_PROTOCOL, "\"%s\" has %llu bytes and should have %llu; try again",
                       item->from, (unsigned long long)total, (unsigned long long)item->bytes);
    if (is_present(pull, total)) {
        pull->present = true;
        return true;
    }
    if (*sha256 && !*item->sha256)
        memcpy(item->sha256, sha256, PULL_SHA256_HEX);
    if (offset != pull->part.have && !pull_part_empty(&pull->part, err))
        return false;
    if (offset != pull->part.have)
        return err_set(err, ERR_PROTOCOL, "\"%s\" comes from the wrong place on; try again",
                       item->from);
    if (pull->plan.count == 1 && total > 0)
        pull->total = total;
    struct pull_identity identity = {.url = item->from, .bytes = total ? total : item->bytes};
    memcpy(identity.sha256, item->sha256, PULL_SHA256_HEX);
    snprintf(identity.etag, sizeof(identity.etag), "%s", etag);
    uint64_t missing = identity.bytes > offset ? identity.bytes - offset : 0;
    bool known = item->bytes > 0; /* then its room has been asked for */
    return pull_check_size(pull->options, pull->before + identity.bytes, err) &&
           (known || pull_check_room(pull->options, missing, err)) &&
           pull_part_note(&pull->part, &identity, err);
}

static bool on_begin(void *user, const struct pull_reply *reply, struct err *err)
{
    return begin_bytes(user, reply->offset, reply->total, reply->etag, reply->sha256, err);
}

/* ---------------------------------------------------------------- one file */

/* All that the server has is there, or nothing that can be gone on with. */
static bool past_the_end(struct pull *pull, struct err *err)
{
    uint64_t bytes = pull->part.identity.bytes;
    if (bytes > 0 && pull->part.have == bytes)
        return true;
    if (!pull_part_empty(&pull->part, err))
        return false;
    return err_set(err, ERR_UNAVAILABLE, "\"%s\" has changed; it is fetched anew",
                   pull->item->from);
}

static bool is_whole(const struct pull *pull, struct err *err)
{
    uint64_t bytes = pull->part.identity.bytes;
    if (pull->present || bytes == 0 || pull->part.have == bytes)
        return true;
    return err_set(err, ERR_UNAVAILABLE, "\"%s\" ended after %llu of %llu bytes; try again",
                   pull->item->from, (unsigned long long)pull->part.have,
                   (unsigned long long)bytes);
}

static bool get_once(struct pull *pull, struct err *err)
{
    const struct pull_part *part = &pull->part;
    if (part->identity.bytes > 0 && part->have == part->identity.bytes)
        return true; /* an earlier try ended just before its end */
    const struct pull_get get = {
        .url = pull->item->from,
        .token = pull->plan.kind == PULL_HUB ? pull->options->token : NULL,
        .offset = part->have,
        /* With a checksum the bytes are known to be the same whatever the tag of the day. */
        .if_range = *pull->item->sha256 ? "" : part->identity.etag,
        .begin = on_begin,
        .bytes = on_bytes,
        .user = pull,
    };
    struct pull_reply reply;
    if (!pull_http_get(pull->http, &get, pull->wait, &reply, err))
        return false;
    if (reply.status == 416)
        return past_the_end(pull, err);
    return is_whole(pull, err);
}

struct nap {
    struct mutex lock;
    struct cond woken;
};

static void end_nap(void *argument)
{
    struct nap *nap = argument;
    mutex_lock(&nap->lock);
    cond_broadcast(&nap->woken);
    mutex_unlock(&nap->lock);
}

/* Sleeps until then, or until the pull is cancelled. */
static void sleep_until(struct cancel *cancel, deadline until)
{
    struct nap nap;
    struct cancel_hook hook = {.fire = end_nap, .argument = &nap};
    mutex_init(&nap.lock);
    cond_init(&nap.woken);
    cancel_watch(cancel, &hook);
    mutex_lock(&nap.lock);
    while (!cancel_is_set(cancel) && cond_wait(&nap.woken, &nap.lock, until))
        continue;
    mutex_unlock(&nap.lock);
    cancel_unwatch(cancel, &hook);
    cond_destroy(&nap.woken);
    mutex_destroy(&nap.lock);
}

/* Waits before another try: as long as the server has said, else longer each time, never the same for two clients. */
static void pause_to_retry(const struct pull *pull, int tries, const struct err *why)
{
    int64_t first = pull->options->retry_ms ? pull->options->retry_ms : RETRY_MS;
    int64_t pause = first << (tries < RETRY_DOUBLINGS ? tries : RETRY_DOUBLINGS);
    uint32_t random;
    hash_random(&random, sizeof(random));
    pause = pause / 2 + (int64_t)(random % (uint64_t)(pause + 1));
    if (pause < why->retry_after_ms)
        pause = why->retry_after_ms;
    sleep_until(pull->wait->cancel, deadline_earlier(deadline_in_ms(pause), pull->wait->until));
}

static bool is_worth_a_retry(const struct err *err)
{
    return err->code == ERR_UNAVAILABLE || err->code == ERR_BUSY || err->code == ERR_PROTOCOL;
}

/* Until all bytes are there, or TRIES_MAX tries in a row have brought none. */
static bool get_all(struct pull *pull, struct err *err)
{
    struct err why;
    uint64_t before = pull->part.have;
    for (int tries = 0; !get_once(pull, &why);) {
        tries = pull->part.have > before ? 1 : tries + 1;
        before = pull->part.have;
        if (!is_worth_a_retry(&why) || tries >= TRIES_MAX || deadline_passed(pull->wait->until)) {
            *err = why;
            return false;
        }
        pause_to_retry(pull, tries - 1, &why);
    }
    return true;
}

/* The bytes of another folder are copied by hand: nothing can break on the way but the disk. */
static bool copy_all(struct pull *pull, struct err *err)
{
    int fd = open(pull->item->from, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat status;
    if (fd < 0)
        return err_set_errno(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno,
                             "cannot open \"%s\"", pull->item->from);
    char *buffer = malloc(COPY_BYTES);
    bool ok = buffer ? true : err_no_memory(err);
    if (ok && (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)))
        ok = err_set(err, ERR_INVALID_REQUEST, "\"%s\" is not a regular file", pull->item->from);
    ok = ok && begin_bytes(pull, 0, (uint64_t)status.st_size, "", "", err);
    ssize_t got = 1;
    while (ok && !pull->present && got != 0) {
        got = read(fd, buffer, COPY_BYTES);
        if (got < 0 && errno != EINTR)
            ok = err_set_errno(err, ERR_IO, errno, "cannot read \"%s\"", pull->item->from);
        else if (cancel_is_set(pull->wait->cancel))
            ok = cancel_error(err);
        else if (got > 0)
            ok = take_bytes(pull, buffer, (size_t)got, err);
    }
    free(buffer);
    close(fd);
    return ok && is_whole(pull, err);
}

static bool finish(struct pull *pull, struct err *err)
{
    if (pull->present)
        return true;
    if (pull->part.have < MAGIC_BYTES && !pull_part_empty(&pull->part, err))
        return false;
    if (pull->part.have < MAGIC_BYTES)
        return err_set(err, ERR_MODEL_INVALID, "\"%s\" is not a model: it is no GGUF file",
                       pull->item->from);
    return pull_part_finish(&pull->part, pull->item->sha256, err);
}

/* Fetches into the open part; see the top of this file for the second round. */
static bool fill(struct pull *pull, struct err *err)
{
    for (;;) {
        uint64_t old = pull->part.have;
        bool ok = pull->plan.kind == PULL_FILE ? copy_all(pull, err) : get_all(pull, err);
        if (!ok)
            return false;
        if (finish(pull, err))
            return true;
        if (err->code != ERR_PROTOCOL || old == 0)
            return false;
    }
}

/* Whether the file is there with the right checksum. */
static bool is_there(struct pull *pull, bool *ret, struct err *err)
{
    const struct pull_watch watch = {.show = on_watch, .user = pull};
    char digest[PULL_SHA256_HEX];
    struct stat status;
    *ret = false;
    if (!*pull->item->sha256 || stat(pull->path, &status) != 0 ||
        (pull->item->bytes > 0 && (uint64_t)status.st_size != pull->item->bytes))
        return true;
    if (!pull_digest_file(pull->path, pull->wait, &watch, digest, err))
        return false;
    *ret = strcasecmp(digest, pull->item->sha256) == 0;
    return true;
}

static bool fetch_locked(struct pull *pull, struct err *err)
{
    bool there;
    if (!is_there(pull, &there, err)) /* it may have come while another pull had the lock */
        return false;
    return there || fill(pull, err);
}

static bool make_folder(const char *path, struct err *err)
{
    char *folder;
    if (!str_copy_n(path, (size_t)(strrchr(path, '/') - path), &folder, err))
        return false;
    bool ok = fs_make_dirs(folder, err);
    free(folder);
    return ok;
}

static bool fetch_file(struct pull *pull, struct err *err)
{
    const struct pull_watch watch = {.show = on_watch, .user = pull};
    struct pull_identity wanted = {.url = pull->item->from, .bytes = pull->item->bytes};
    memcpy(wanted.sha256, pull->item->sha256, PULL_SHA256_HEX);
    pull->present = false;
    memset(pull->magic, 0, sizeof(pull->magic));
    if (!make_folder(pull->path, err) ||
        !pull_part_open(pull->path, &wanted, pull->wait, &watch, &pull->part, err))
        return false;
    bool ok = (pull->part.have >= MAGIC_BYTES || pull_part_empty(&pull->part, err)) &&
              fetch_locked(pull, err);
    pull_part_close(&pull->part);
    return ok;
}

/* ---------------------------------------------------------------- all of it */

static bool fetch_files(struct pull *pull, struct err *err)
{
    for (size_t i = 0; i < pull->plan.count; i++) {
        struct stat status;
        pull->item = &pull->plan.items[i];
        pull->path = fs_join(pull->options->models_dir, pull->item->to);
        if (!pull->path)
            return err_no_memory(err);
        bool ok = fetch_file(pull, err);
        uint64_t bytes = ok && stat(pull->path, &status) == 0 ? (uint64_t)status.st_size : 0;
        free(pull->path);
        if (!ok)
            return false;
        pull->verified = pull->verified && *pull->item->sha256;
        show(pull, "download", bytes, true);
        pull->before += bytes;
    }
    return true;
}

static bool is_sha256(const char *text)
{
    return strlen(text) == PULL_SHA256_HEX - 1 &&
           strspn(text, "0123456789abcdefABCDEF") == PULL_SHA256_HEX - 1;
}

/* The checksum that the user knows counts, whatever the hub says. */
static bool take_checksum(struct pull *pull, struct err *err)
{
    const char *sha256 = pull->request->sha256;
    if (!sha256 || !*sha256)
        return true;
    if (!is_sha256(sha256) || pull->plan.count != 1)
        return err_set_param(err, ERR_INVALID_REQUEST, "sha256",
                             "\"sha256\" must be 64 hexadecimal digits, for a model of one file");
    memcpy(pull->plan.items[0].sha256, sha256, PULL_SHA256_HEX);
    return true;
}

static bool run(struct pull *pull, struct err *err)
{
    struct pull_source source;
    show(pull, "look", 0, true);
    return pull_source_parse(pull->request->source, pull->arena, &source, err) &&
           fs_make_dirs(pull->options->models_dir, err) &&
           pull_http_open(pull->options->silence_s, &pull->http, err) &&
           pull_plan_make(pull->options, &source, pull->http, pull->wait, pull->arena, &pull->plan,
                          err) &&
           take_checksum(pull, err) &&
           pull_check_plan(pull->options, &pull->plan, &pull->total, err) && fetch_files(pull, err);
}

static bool make_result(const struct pull *pull, struct pull_result *ret, struct err *err)
{
    char *path = fs_join(pull->options->models_dir, pull->plan.items[0].to);
    struct pull_result result = {
        .path = path ? arena_copy(pull->arena, path) : NULL,
        .files = pull->plan.count,
        .bytes = pull->before,
        .fetched = pull->fetched,
        .quant = pull->plan.quant,
        .verified = pull->verified,
    };
    free(path);
    if (!result.path)
        return err_no_memory(err);
    *ret = result;
    return true;
}

bool pull_run(const struct pull_options *options, const struct pull_request *request,
              const struct wait *wait, struct arena *arena, struct pull_result *ret,
              struct err *err)
{
    struct err own = {0};
    struct pull pull = {.options = options,
                        .request = request,
                        .wait = wait,
                        .arena = arena,
                        .part = {.fd = -1},
                        .verified = true};
    struct err *told = err ? err : &own;
    bool ok = run(&pull, told) && make_result(&pull, ret, told);
    pull_http_close(pull.http);
    return ok;
}
