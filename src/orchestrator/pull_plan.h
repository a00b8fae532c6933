/* pull_plan.h - which files a source means: their addresses, sizes and checksums, and where they will be.
 *
 * Purpose: for a repository the hub is asked for its list of files, one quantisation is chosen, and the parts of a
 *   split model are found; an address or a path is taken as it is, with the other parts when it names one of several.
 * Owner:   everything lives in the arena. Threads: any. Fails: as pull_http_get(); ERR_NOT_FOUND with what there is
 *   instead; ERR_MODEL_TOO_LARGE when not even the smallest quantisation fits the memory.
 */
#ifndef JARVIS_ORCHESTRATOR_PULL_PLAN_H
#define JARVIS_ORCHESTRATOR_PULL_PLAN_H

#include "orchestrator/pull.h"
#include "orchestrator/pull_http.h"
#include "orchestrator/pull_source.h"

enum { PULL_FILES_MAX = 20000, PULL_LIST_MAX = 32 * 1024 * 1024, PULL_PAGES_MAX = 40 };

struct pull_item {
    const char *from;             /* address; or path, when the source is a file */
    const char *to;               /* path below the models directory */
    char sha256[PULL_SHA256_HEX]; /* "" when it is not known yet */
    uint64_t bytes;               /* 0: not known yet */
};

struct pull_plan {
    enum pull_kind kind;
    struct pull_item *items; /* the parts of one model in order; at least one */
    size_t count;
    const char *quant; /* or "" */
};

bool pull_plan_make(const struct pull_options *options, const struct pull_source *source,
                    struct pull_http *http, const struct wait *wait, struct arena *arena,
                    struct pull_plan *ret, struct err *err);

/* --- for tests: the choice alone --- */

/* A file of a repository, as the hub lists it. */
struct pull_listed {
    const char *path;
    uint64_t bytes;
    char sha256[PULL_SHA256_HEX];
};

/* Chooses from a repository's files: `source` says which file or quantisation, or neither: Q4_K_M when it fits into
 * `memory_bytes` (0: anything does), else the best that does. The chosen file's index, of a split model that of its
 * first part. */
bool pull_choose(const struct pull_listed *files, size_t count, const struct pull_source *source,
                 uint64_t memory_bytes, size_t *ret, struct err *err);

#endif
