/* model_view.h - what the service's JSON says about one model, for the tables of `models`, `ps` and
 * `doctor`.
 *
 * Owner: texts point into the JSON document. Threads: one. Fails: never; what is missing is "" or
 *   0.
 */
#ifndef JARVIS_CLI_MODEL_VIEW_H
#define JARVIS_CLI_MODEL_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/json.h"
#include "base/lang.h"

struct model_view {
    const char *name;
    const char *role;  /* "chat" "embedding" "rerank" "speech" */
    const char *state; /* "cold" "loading" "ready" "failed" */
    const char *path;  /* "" for "jarvis", which is no file */
    const char *why;
    uint64_t file_bytes; /* 0: the file is missing */
    uint64_t resident_bytes;
    uint64_t predicted_bytes;
    uint64_t uses;
    uint64_t in_flight;
    uint64_t queue;          /* requests that wait for it */
    uint64_t reserved_bytes; /* that count against the budget now */
    bool pinned;
    const char *stage;  /* "queued" "claiming" "unloading" …: the state in detail */
    const char *device; /* "" when nothing of it is loaded */
    double progress;    /* 0..1, while loading */
    int64_t last_use;   /* seconds since 1970; 0: never */
    uint64_t pid;
};

/* From a model object of /v1/models or /v1/jarvis/status. */
struct model_view model_view_of(yyjson_val *model);

/* For people. */
const char *model_view_role(enum lang lang, const char *role);
const char *model_view_state(enum lang lang, const char *state);

#endif
