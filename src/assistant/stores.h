/* stores.h - stores of documents and uploaded files, as the API's /v1/vector_stores and /v1/files show them.
 *
 * Owner: results live in the request's arena. Threads: any. Fails: ERR_NOT_FOUND, ERR_CONFLICT, ERR_TOO_LARGE,
 * ERR_DOCUMENT for a file that has no text.
 */
#ifndef JARVIS_ASSISTANT_STORES_H
#define JARVIS_ASSISTANT_STORES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "assistant/runtime.h"

struct store_info {
    const char *id; /* "vs_…" */
    const char *name;
    const char *metadata; /* JSON object text, "{}" */
    int64_t created_at;   /* seconds since 1970 */
    uint64_t bytes;       /* of its documents */
    size_t documents;
    size_t passages;
};

struct file_info {
    const char *id; /* "file-…" */
    const char *name;
    const char *purpose;
    int64_t created_at;
    uint64_t bytes;
};

/* A document in a store: an uploaded file, or one ingested from a path. */
struct document_info {
    const char *id; /* "file-…": of the uploaded file, or the document's own */
    const char *path;
    int64_t created_at;
    uint64_t bytes;
    size_t passages;
};

bool stores_create(struct runtime *runtime, struct request *request, const char *name,
                   const char *metadata, struct store_info *ret, struct err *err);
bool stores_get(struct runtime *runtime, struct request *request, const char *id_or_name,
                struct store_info *ret, struct err *err);
bool stores_update(struct runtime *runtime, struct request *request, const char *id,
                   const char *name, const char *metadata, struct store_info *ret,
                   struct err *err); /* NULL: unchanged */
bool stores_list(struct runtime *runtime, struct request *request, struct store_info **ret,
                 size_t *ret_count, struct err *err); /* oldest first */
bool stores_delete(struct runtime *runtime, struct request *request, const char *id,
                   struct err *err);

bool files_create(struct runtime *runtime, struct request *request, const char *name,
                  const char *purpose, const void *bytes, size_t length, struct file_info *ret,
                  struct err *err);
bool files_get(struct runtime *runtime, struct request *request, const char *id,
               struct file_info *ret, struct err *err);
bool files_content(struct runtime *runtime, struct request *request, const char *id,
                   const void **ret_bytes, size_t *ret_length, struct err *err);
bool files_list(struct runtime *runtime, struct request *request, struct file_info **ret,
                size_t *ret_count, struct err *err);
bool files_delete(struct runtime *runtime, struct request *request, const char *id,
                  struct err *err);

/* Parses, chunks, stores and embeds an uploaded file in a store; at once: when it returns, it can be found. */
bool stores_attach(struct runtime *runtime, struct request *request, const char *store_id,
                   const char *file_id, struct document_info *ret, struct err *err);
bool stores_document(struct runtime *runtime, struct request *request, const char *store_id,
                     const char *document_id, struct document_info *ret, struct err *err);
bool stores_documents(struct runtime *runtime, struct request *request, const char *store_id,
                      struct document_info **ret, size_t *ret_count, struct err *err);
/* The extracted text of a document. */
bool stores_document_text(struct runtime *runtime, struct request *request, const char *store_id,
                          const char *document_id, const char **ret_text, size_t *ret_length,
                          struct err *err);
bool stores_detach(struct runtime *runtime, struct request *request, const char *store_id,
                   const char *document_id, struct err *err);

#endif
