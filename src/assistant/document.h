/* document.h - one document on its way in: PARSE, CHUNK, STORE; and the vectors of its passages: EMBED.
 *
 * Purpose: the steps that ingest.c does for each file of a directory and stores.c for an uploaded file.
 * Owner:   nothing is kept; memory of a document lives in an arena that document_put() frees.
 * Threads: one writer a collection (gate_enter()). Fails: as in ingest.h.
 */
#ifndef JARVIS_ASSISTANT_DOCUMENT_H
#define JARVIS_ASSISTANT_DOCUMENT_H

#include "assistant/internal.h"

/* The embedding model that measures passages and makes their vectors; without one (lease NULL) the tokens are
 * estimated and there are no vectors. */
struct document_embedder {
    struct lease *lease;
    const char *notice; /* why there is none, in the request's language; "" when there is one */
};

bool document_embedder_open(struct runtime *runtime, struct request *request,
                            struct document_embedder *ret, struct err *err);
void document_embedder_close(struct document_embedder *embedder);

struct document_source {
    const char *collection; /* id */
    const char *path;
    const char *file_id; /* of an uploaded file; NULL */
    const void *bytes;
    size_t length;
    struct hash content;
    int64_t mtime_ns;
};

/* Parses, chunks and stores, and tells the search index: afterwards it can be found by its words. ret_passages: how
 * many were written. ERR_DOCUMENT for bytes that hold no text. */
bool document_put(struct runtime *runtime, struct request *request,
                  const struct document_embedder *embedder, const struct document_source *source,
                  struct document_written *ret, size_t *ret_passages, struct err *err);

/* Gives a vector to every passage of the collection that lacks one; `progress` (may be NULL) hears of each batch.
 * ret_embedded: how many got one. What was done before a failure stays. */
bool document_embed_pending(struct runtime *runtime, struct request *request,
                            const struct document_embedder *embedder, const char *collection,
                            void (*progress)(void *user, size_t done, size_t total), void *user,
                            size_t *ret_embedded, struct err *err);

#endif
