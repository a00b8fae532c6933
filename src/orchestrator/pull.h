/* pull.h - fetching models: from a hub (hf:OWNER/REPO[:QUANT]), an address (https://…) or another folder (file:…).
 *
 * Purpose: whatever happens on the way (the connection is cut, the hub is busy, the power fails, two people pull the
 *   same model), what appears under the models directory is a whole file whose SHA-256 is what the hub says, or
 *   nothing. How: pull.c.
 * Owner:   results live in the caller's arena; files belong to whoever reads the directory.
 * Threads: any number of pulls at once, in one process or several: those of the same file take turns, and whoever
 *   comes second finds the file there.
 * Fails:   ERR_INVALID_REQUEST (not a source, more than one choice), ERR_NOT_FOUND, ERR_UNAUTHORIZED and ERR_FORBIDDEN
 *   (the hub wants a token, or a licence accepted), ERR_DISK_FULL (before anything is fetched), ERR_TOO_LARGE,
 *   ERR_MODEL_TOO_LARGE (no quantisation fits the memory), ERR_MODEL_INVALID (not a model file), ERR_UNAVAILABLE and
 *   ERR_PROTOCOL (tried again some times before), ERR_CANCELLED, ERR_TIMEOUT. What was fetched is kept for the next try.
 */
#ifndef JARVIS_ORCHESTRATOR_PULL_H
#define JARVIS_ORCHESTRATOR_PULL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "orchestrator/registry.h"

enum { PULL_SHA256_HEX = 65 }; /* 64 digits and the NUL */

struct pull_options {
    const char *models_dir;
    const char *hub_url; /* "https://huggingface.co": without a slash at the end */
    const char *token;   /* for the hub; NULL or "": none */
    uint64_t max_bytes;  /* largest model */
    /* What a model may take when it is loaded; chooses among quantisations. 0: not known, any will do. */
    uint64_t memory_bytes;
    /* For tests; 0 gives the usual: */
    int64_t retry_ms;     /* first pause before a retry: 1000, doubled each time */
    uint32_t silence_s;   /* a connection that says nothing for so long is given up: 60 */
    uint64_t spare_bytes; /* of the disk, left free: 512 MiB */
    uint64_t disk_bytes;  /* free on the disk: asked of the file system */
};

/* How far a pull is. Texts are valid during the call. */
struct pull_progress {
    const char *phase; /* "look" "wait" (another pull has the file) "check" "download" */
    const char *file;  /* name without folders; "" in "look" */
    uint64_t done;     /* bytes of all files */
    uint64_t total;    /* 0: not known */
};

struct pull_request {
    const char *source;
    const char *
        sha256; /* that a single file must have, 64 hexadecimal digits; "" or NULL: what the hub says, if any */
    /* Called from the caller's thread, at most some ten times a second; may be NULL. */
    void (*progress)(void *user, const struct pull_progress *progress);
    void *user;
};

struct pull_result {
    const char *path; /* of the file to load: of a split model the first */
    size_t files;
    uint64_t bytes;    /* of all files */
    uint64_t fetched;  /* of them, by this call: the rest was there */
    const char *quant; /* "Q4_K_M", or "" when the name does not tell */
    bool verified;     /* against a checksum that came from elsewhere than the bytes */
};

bool pull_run(const struct pull_options *options, const struct pull_request *request,
              const struct wait *wait, struct arena *arena, struct pull_result *ret,
              struct err *err);

#endif
