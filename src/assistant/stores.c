#include "assistant/stores.h"

#include <string.h>

#include "assistant/document.h"
#include "assistant/scope.h"

enum { DOCUMENTS_MAX = 100000 };

/* ---------------------------------------------------------------- stores */

static bool fill_store(struct runtime *runtime, const struct collection *collection,
                       struct store_info *ret, struct err *err)
{
    struct collection_counts counts;
    if (!store_collection_counts(runtime->store, collection->id, NULL, &counts, err))
        return false;
    *ret = (struct store_info){
        .id = collection->id,
        .name = collection->name,
        .metadata = collection->metadata,
        .created_at = collection->created_at,
        .bytes = counts.bytes,
        .documents = counts.documents,
        .passages = counts.passages,
    };
    return true;
}

bool stores_create(struct runtime *runtime, struct request *request, const char *name,
                   const char *metadata, struct store_info *ret, struct err *err)
{
    struct collection collection;
    return store_collection_create(runtime->store, name, metadata, request->arena, &collection,
                                   err) &&
           fill_store(runtime, &collection, ret, err);
}

bool stores_get(struct runtime *runtime, struct request *request, const char *id_or_name,
                struct store_info *ret, struct err *err)
{
    struct collection collection;
    return store_collection_find(runtime->store, id_or_name, request->arena, &collection, err) &&
           fill_store(runtime, &collection, ret, err);
}

bool stores_update(struct runtime *runtime, struct request *request, const char *id,
                   const char *name, const char *metadata, struct store_info *ret, struct err *err)
{
    struct collection collection;
    return store_collection_update(runtime->store, id, name, metadata, request->arena, &collection,
                                   err) &&
           fill_store(runtime, &collection, ret, err);
}

bool stores_list(struct runtime *runtime, struct request *request, struct store_info **ret,
                 size_t *ret_count, struct err *err)
{
    struct collection *collections;
    size_t count;
    if (!store_collection_list(runtime->store, request->arena, &collections, &count, err))
        return false;
    struct store_info *rows = arena_array(request->arena, count, sizeof(*rows));
    if (!rows)
        return err_no_memory(err);
    for (size_t i = 0; i < count; i++)
        if (!fill_store(runtime, &collections[i], &rows[i], err))
            return false;
    *ret = rows;
    *ret_count = count;
    return true;
}

bool stores_delete(struct runtime *runtime, struct request *request, const char *id,
                   struct err *err)
{
    struct collection collection;
    if (!store_collection_find(runtime->store, id, request->arena, &collection, err))
        return false;
    if (strcmp(collection.name, STORE_DEFAULT) == 0)
        return err_set(err, ERR_CONFLICT,
                       "the store \"%s\" cannot be deleted, everything falls back on it; delete "
                       "its documents instead",
                       STORE_DEFAULT);
    if (!gate_enter(&runtime->gate, collection.id, request, err))
        return false;
    bool ok = store_collection_delete(runtime->store, collection.id, err);
    if (ok)
        index_set_drop(runtime->indexes, collection.id);
    gate_leave(&runtime->gate, collection.id);
    return ok;
}

/* ---------------------------------------------------------------- uploaded files */

static struct file_info file_row(const struct stored_file *file)
{
    return (struct file_info){
        .id = file->id,
        .name = file->name,
        .purpose = file->purpose,
        .created_at = file->created_at,
        .bytes = file->bytes,
    };
}

bool files_create(struct runtime *runtime, struct request *request, const char *name,
                  const char *purpose, const void *bytes, size_t length, struct file_info *ret,
                  struct err *err)
{
    struct stored_file file;
    if (!store_file_create(runtime->store, name, purpose, bytes, length, request->arena, &file,
                           err))
        return false;
    *ret = file_row(&file);
    return true;
}

bool files_get(struct runtime *runtime, struct request *request, const char *id,
               struct file_info *ret, struct err *err)
{
    struct stored_file file;
    if (!store_file_find(runtime->store, id, request->arena, &file, err))
        return false;
    *ret = file_row(&file);
    return true;
}

bool files_content(struct runtime *runtime, struct request *request, const char *id,
                   const void **ret_bytes, size_t *ret_length, struct err *err)
{
    return store_file_content(runtime->store, id, request->arena, ret_bytes, ret_length, err);
}

bool files_list(struct runtime *runtime, struct request *request, struct file_info **ret,
                size_t *ret_count, struct err *err)
{
    struct stored_file *files;
    size_t count;
    if (!store_file_list(runtime->store, request->arena, &files, &count, err))
        return false;
    struct file_info *rows = arena_array(request->arena, count, sizeof(*rows));
    if (!rows)
        return err_no_memory(err);
    for (size_t i = 0; i < count; i++)
        rows[i] = file_row(&files[i]);
    *ret = rows;
    *ret_count = count;
    return true;
}

bool files_delete(struct runtime *runtime, struct request *request, const char *id, struct err *err)
{
    (void)request;
    return store_file_delete(runtime->store, id, err);
}

/* ---------------------------------------------------------------- documents of a store */

static struct document_info document_row(const struct document *document)
{
    return (struct document_info){
        .id = document->id,
        .path = document->path,
        .created_at = document->created_at,
        .bytes = document->bytes,
        .passages = document->passages,
    };
}

/* Brings the file in, with the store's turn taken. */
static bool attach(struct runtime *runtime, struct request *request,
                   const struct document_source *source, struct err *err)
{
    struct document_embedder embedder;
    if (!document_embedder_open(runtime, request, &embedder, err))
        return false;
    struct document_written written;
    size_t passages;
    size_t embedded;
    bool ok = document_put(runtime, request, &embedder, source, &written, &passages, err) &&
              document_embed_pending(runtime, request, &embedder, source->collection, NULL, NULL,
                                     &embedded, err);
    document_embedder_close(&embedder);
    return ok;
}

bool stores_attach(struct runtime *runtime, struct request *request, const char *store_id,
                   const char *file_id, struct document_info *ret, struct err *err)
{
    struct collection collection;
    struct stored_file file;
    const void *bytes;
    size_t length;
    if (!store_collection_find(runtime->store, store_id, request->arena, &collection, err) ||
        !store_file_find(runtime->store, file_id, request->arena, &file, err) ||
        !store_file_content(runtime->store, file_id, request->arena, &bytes, &length, err) ||
        !gate_enter(&runtime->gate, collection.id, request, err))
        return false;
    struct document_source source = {
        .collection = collection.id,
        .path = file.name,
        .file_id = file.id,
        .bytes = bytes,
        .length = length,
        .content = hash_bytes(bytes, length),
    };
    bool ok = attach(runtime, request, &source, err);
    gate_leave(&runtime->gate, collection.id);
    return ok && stores_document(runtime, request, collection.id, file.id, ret, err);
}

/* A store by name or id, and a document in it. */
static bool find_document(struct runtime *runtime, struct request *request, const char *store_id,
                          const char *document_id, struct collection *collection,
                          struct document *ret, struct err *err)
{
    return store_collection_find(runtime->store, store_id, request->arena, collection, err) &&
           store_document_by_id(runtime->store, collection->id, document_id, request->arena, ret,
                                err);
}

bool stores_document(struct runtime *runtime, struct request *request, const char *store_id,
                     const char *document_id, struct document_info *ret, struct err *err)
{
    struct collection collection;
    struct document document;
    if (!find_document(runtime, request, store_id, document_id, &collection, &document, err))
        return false;
    *ret = document_row(&document);
    return true;
}

bool stores_documents(struct runtime *runtime, struct request *request, const char *store_id,
                      struct document_info **ret, size_t *ret_count, struct err *err)
{
    struct collection collection;
    struct collection_counts counts;
    if (!store_collection_find(runtime->store, store_id, request->arena, &collection, err) ||
        !store_collection_counts(runtime->store, collection.id, NULL, &counts, err))
        return false;
    size_t max = counts.documents < DOCUMENTS_MAX ? counts.documents : DOCUMENTS_MAX;
    struct document_info *rows = arena_array(request->arena, max, sizeof(*rows));
    if (!rows)
        return err_no_memory(err);
    size_t used = 0;
    const char *after = "";
    while (used < max) {
        struct document *documents;
        size_t count;
        size_t want = max - used < STORE_PAGE_MAX ? max - used : STORE_PAGE_MAX;
        if (!store_document_list(runtime->store, collection.id, "", after, want, request->arena,
                                 &documents, &count, err))
            return false;
        for (size_t i = 0; i < count; i++)
            rows[used++] = document_row(&documents[i]);
        if (count < want)
            break;
        after = documents[count - 1].path;
    }
    *ret = rows;
    *ret_count = used;
    return true;
}

bool stores_document_text(struct runtime *runtime, struct request *request, const char *store_id,
                          const char *document_id, const char **ret_text, size_t *ret_length,
                          struct err *err)
{
    struct collection collection;
    struct document document;
    return find_document(runtime, request, store_id, document_id, &collection, &document, err) &&
           store_document_text(runtime->store, document.number, request->arena, ret_text,
                               ret_length, NULL, err);
}

bool stores_detach(struct runtime *runtime, struct request *request, const char *store_id,
                   const char *document_id, struct err *err)
{
    struct collection collection;
    if (!store_collection_find(runtime->store, store_id, request->arena, &collection, err) ||
        !gate_enter(&runtime->gate, collection.id, request, err))
        return false;
    int64_t number;
    bool ok = store_document_delete(runtime->store, collection.id, document_id, &number, err);
    if (ok)
        index_set_forget(runtime->indexes, collection.id, number);
    gate_leave(&runtime->gate, collection.id);
    return ok;
}
