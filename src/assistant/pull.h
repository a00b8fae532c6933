/* pull.h - a model from its source to its use: fetched, looked into, named, configured.
 *
 * Purpose: what `jarvis pull` and POST /v1/models/pull do. The fetching itself is the orchestrator's (pull.h there);
 *   here come the settings, the catalogue's names, and the entry in the configuration.
 * Owner:   results live in the request's arena. Threads: any; see orchestrator/pull.h for two at once.
 * Fails:   as pull_run() and models_add(). A model that was fetched but cannot be added stays where it is; the message
 *   says so.
 */
#ifndef JARVIS_ASSISTANT_PULL_H
#define JARVIS_ASSISTANT_PULL_H

#include "assistant/runtime.h"
#include "orchestrator/catalogue.h"
#include "orchestrator/pull.h"

struct models_pull {
    const char
        *source; /* as pull_run() takes it; or "recommended:ROLE", or a number of the catalogue */
    const char *name;   /* in the configuration; "": choose */
    const char *sha256; /* "": what the hub says */
    int role;           /* -1: by the file */
    void (*progress)(void *user, const struct pull_progress *progress); /* may be NULL */
    void *user;
};

struct models_pulled {
    const char *name; /* in the configuration */
    enum model_role role;
    const char *source; /* that was pulled, when it was chosen from the catalogue too */
    bool added;         /* false: the configuration had it already */
    struct pull_result file;
};

bool models_pull(struct runtime *runtime, struct request *request, const struct models_pull *pull,
                 struct models_pulled *ret, struct err *err);

/* This machine, as the catalogue judges it; what cannot be found out is 0. */
void models_machine(struct runtime *runtime, struct request *request,
                    struct catalogue_machine *ret);

#endif
