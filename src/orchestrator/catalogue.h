/* catalogue.h - a short list of good models, and which of them suit this machine.
 *
 * Purpose: whoever has no model yet need not know their names. All have licences that permit any use (Apache 2.0, MIT),
 *   come from repositories of their makers or of people who convert for many, and are pulled as any other (pull.h).
 * Owner:   the list is constant. Threads: any. Fails: ERR_NOT_FOUND with what there is.
 */
#ifndef JARVIS_ORCHESTRATOR_CATALOGUE_H
#define JARVIS_ORCHESTRATOR_CATALOGUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/lang.h"
#include "ipc/protocol.h"

struct catalogue_entry {
    enum model_role role;
    const char *name;
    const char *source;  /* for pull_run() */
    const char *licence; /* SPDX */
    uint32_t mib;        /* to download, and about what its weights take */
    uint32_t active_mib; /* of them read for each token: less than all for a mixture of experts */
    uint32_t quality;    /* among those of its role: larger is better */
    bool multilingual;   /* false: English */
    const char *query_prefix; /* that its makers want before a question; "" */
    const char *passage_prefix;
    const char *note; /* one line for people; N_ */
};

/* What is known of the machine. */
struct catalogue_machine {
    uint64_t memory_bytes; /* that models may take, on the CPU's side */
    uint64_t gpu_bytes;    /* of the largest GPU; 0: there is none */
    uint32_t cores;
};

/* The entry at a position, from 0; NULL past the end. */
const struct catalogue_entry *catalogue_at(size_t index);

/* Whether a model of the list can be used on this machine: it fits beside the others, and writes as fast as people read. */
bool catalogue_suits(const struct catalogue_entry *entry, const struct catalogue_machine *machine);

/* The best of a role that suits; for a reader of Spanish one that knows more than English. The smallest of the role when
 * none suits; NULL when the list has none. */
const struct catalogue_entry *catalogue_recommend(enum model_role role,
                                                  const struct catalogue_machine *machine,
                                                  enum lang lang);

/* "3" (a position, counted from 1), "recommended:ROLE" or "recommended" (chat). NULL in *ret: `text` is something else,
 * a source. */
bool catalogue_find(const char *text, const struct catalogue_machine *machine, enum lang lang,
                    const struct catalogue_entry **ret, struct err *err);

/* The entry that a source is pulled by; NULL. */
const struct catalogue_entry *catalogue_by_source(const char *source);

#endif
