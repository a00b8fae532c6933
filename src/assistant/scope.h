/* scope.h - the stores that one search looks into: their names resolved, their indexes held.
 *
 * Owner:   what scope_open() acquired is given back by scope_close(); arrays live in the request's arena.
 * Threads: one. Fails: ERR_NOT_FOUND naming the store, and what loading an index can fail with.
 */
#ifndef JARVIS_ASSISTANT_SCOPE_H
#define JARVIS_ASSISTANT_SCOPE_H

#include "assistant/internal.h"

struct scope {
    struct collection *collections;
    struct index **indexes;
    size_t count;
};

/* `embedder` NULL: words alone. */
bool scope_open(struct runtime *runtime, struct request *request,
                const struct search_request *search, const struct embedder_key *embedder,
                struct scope *ret, struct err *err);
void scope_close(struct scope *scope);

/* What the vectors of this model's passages are kept under. */
struct embedder_key scope_embedder(const struct lease *lease);

#endif
