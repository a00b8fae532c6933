/* ingest.h - bringing documents in: WALK, READ, PARSE (sandboxed worker), CHUNK, STORE (one transaction a
 * document), then EMBED.
 *
 * Idempotent by content hash: unchanged files cost one stat and, when that differs, one hash; changed files
 * replace their passages; files that vanished below an ingested directory are removed. A file that cannot be read
 * is reported and skipped, never fatal; what was stored before a failure stays.
 * Owner:   results live in the request's arena. Threads: any; two ingests of one store take turns.
 * Fails:   ERR_DISK_FULL, ERR_STORE, ERR_CANCELLED, ERR_TIMEOUT.
 */
#ifndef JARVIS_ASSISTANT_INGEST_H
#define JARVIS_ASSISTANT_INGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "assistant/runtime.h"

struct ingest_progress {
    const char *phase; /* "scan" "read" "embed" */
    size_t done;       /* files, or passages while embedding */
    size_t total;      /* 0: not known yet */
    uint64_t bytes_done;
    const char *path; /* that is being worked at; "" */
};

struct ingest_failure {
    const char *path;
    const char *reason; /* in the request's language */
    const char *code;   /* stable name of the error */
};

struct ingest_summary {
    size_t added;
    size_t changed;
    size_t unchanged;
    size_t removed;
    size_t skipped; /* not documents: binary files by ending, hidden files */
    size_t failed;
    size_t passages;                 /* written */
    size_t embedded;                 /* passages that got a new vector */
    struct ingest_failure *failures; /* the first INGEST_FAILURES_MAX */
    size_t failure_count;
    const char *notice; /* "" or e.g. that there is no embedder */
};

enum { INGEST_FAILURES_MAX = 100, INGEST_FILES_MAX = 1000000, INGEST_DEPTH_MAX = 64 };

struct ingest_request {
    const char *const *paths; /* files and directories, absolute */
    size_t path_count;
    const char *store; /* name or id; created when absent; NULL: default */
    void (*progress)(
        void *user,
        const struct ingest_progress *progress); /* may be NULL; on the calling thread */
    void *user;
};

bool ingest_run(struct runtime *runtime, struct request *request,
                const struct ingest_request *ingest, struct ingest_summary *ret, struct err *err);

#endif
