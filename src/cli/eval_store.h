/* eval_store.h - the store that `jarvis eval` measures in; private to eval*.c.
 *
 * Purpose: writes each document of the corpus to a file of its own below the cache, because files are what `ingest`
 *   takes, and has the service read them into a new store.
 * Owner:   eval_store_remove() ends what eval_store_make() began, also when that failed half way: files and store.
 * Threads: one. Fails: ERR_IO, and as client.h.
 */
#ifndef JARVIS_CLI_EVAL_STORE_H
#define JARVIS_CLI_EVAL_STORE_H

#include "base/hash.h"
#include "cli/client.h"
#include "cli/eval.h"
#include "cli/progress.h"

struct eval_store {
    struct cli *cli;
    struct client *client;
    const char *cache; /* directory to write below */
    struct progress *progress;
    struct eval_result *result; /* has the corpus; gets passages, unread and notice */
    char *folder;               /* where the documents lie as files; NULL: not yet */
    char id[ID_MAX];            /* "": not yet */
};

bool eval_store_make(struct eval_store *store, struct err *err);
void eval_store_remove(struct eval_store *store);

/* How far a phase is, unless --json was given. */
void eval_show(const struct eval_store *store, const char *phase, uint64_t done, uint64_t total);

#endif
