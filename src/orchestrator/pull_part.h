/* pull_part.h - a file that is being fetched: NAME.part beside where it will be, and NAME.part.json, which says of what
 * it is a part.
 *
 * Purpose: what is fetched survives interruptions and is only ever continued with bytes of the same file; the whole is
 *   checked, made durable and given its name in one step.
 * Owner:   pull_part_open() gives the struct its content, pull_part_close() ends it; the files stay for the next try
 *   until pull_part_finish().
 * Threads: one a struct. Two that open the same path, also in two processes, take turns by a lock on NAME.part, which
 *   the kernel drops with its holder.
 * Fails:   ERR_IO, ERR_DISK_FULL, ERR_CANCELLED, ERR_TIMEOUT; ERR_PROTOCOL when the checksum is wrong.
 */
#ifndef JARVIS_ORCHESTRATOR_PULL_PART_H
#define JARVIS_ORCHESTRATOR_PULL_PART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "orchestrator/pull.h"
#include "orchestrator/pull_http.h"

struct evp_md_ctx_st; /* OpenSSL's EVP_MD_CTX */

/* What tells one content of an address from another. */
struct pull_identity {
    const char *url;              /* the address, or the path, that was asked for */
    char sha256[PULL_SHA256_HEX]; /* "" when it is not known */
    char etag[PULL_ETAG_MAX];     /* "" when there is none */
    uint64_t bytes;               /* of the whole file; 0: not known */
};

struct pull_part {
    int fd;
    char *path;                    /* the file when it is whole */
    char *part;                    /* path.part */
    char *note;                    /* path.part.json */
    struct pull_identity identity; /* of what is in `part`; url is not kept */
    uint64_t have;                 /* bytes that are there and in the digest */
    struct evp_md_ctx_st *digest;
};

/* Called now and then during what may take long; `done` of `total` bytes, 0 when that is not known. */
struct pull_watch {
    void (*show)(void *user, const char *phase, uint64_t done, uint64_t total);
    void *user;
};

/* Opens (or makes) the part of `path`, waiting while another pull has it, and reads what is there. A part of something
 * else than `wanted` is emptied. */
bool pull_part_open(const char *path, const struct pull_identity *wanted, const struct wait *wait,
                    const struct pull_watch *watch, struct pull_part *ret, struct err *err);

/* Forgets what is there. */
bool pull_part_empty(struct pull_part *part, struct err *err);

/* Notes of what the bytes that follow are a part, and makes room for them on the disk. */
bool pull_part_note(struct pull_part *part, const struct pull_identity *identity, struct err *err);

bool pull_part_append(struct pull_part *part, const void *bytes, size_t length, struct err *err);

/* Checks the digest against `sha256` (unless that is ""), writes all to the disk, gives the file its name. When the
 * digest is wrong the part is emptied. */
bool pull_part_finish(struct pull_part *part, const char *sha256, struct err *err);

void pull_part_close(struct pull_part *part);

/* SHA-256 of a file in hexadecimal digits. */
bool pull_digest_file(const char *path, const struct wait *wait, const struct pull_watch *watch,
                      char out[PULL_SHA256_HEX], struct err *err);

#endif
