/* tuning.h - how a store wants to be searched, and what is needed to find that out.
 *
 * Purpose: `jarvis tune` chooses a weight of meaning and a rerank depth per store. The choice is kept in the store;
 *   search.h uses it where one store is searched and the client asks for nothing else.
 * Owner:   results live in the request's arena. Threads: any. Fails: ERR_NOT_FOUND for an unknown store, as store.h.
 */
#ifndef JARVIS_ASSISTANT_TUNING_H
#define JARVIS_ASSISTANT_TUNING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "assistant/runtime.h"

struct tuning {
    double alpha;        /* 0..1 */
    size_t rerank_depth; /* 0: no reranking */
    bool chosen;         /* by tune; else these are the settings' values */
};

bool tuning_get(struct runtime *runtime, struct request *request, const char *store,
                struct tuning *ret, struct err *err);
bool tuning_set(struct runtime *runtime, struct request *request, const char *store,
                const struct tuning *tuning, struct err *err);
bool tuning_clear(struct runtime *runtime, struct request *request, const char *store,
                  struct err *err);

struct tuning_passage {
    const char *document_id;
    const char *path;
    const char *text;
    size_t offset; /* in its file; with the document it names the passage among search's hits */
    size_t length;
    size_t siblings; /* passages that its document has, itself included */
};

/* Passages drawn by chance, at most one a document; the same seed draws the same ones. */
bool tuning_sample(struct runtime *runtime, struct request *request, const char *store,
                   uint64_t seed, size_t want, struct tuning_passage **ret, size_t *ret_count,
                   struct err *err);

#endif
