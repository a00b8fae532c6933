#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "assistant/search.h"
#include "assistant/tuning.h"
#include "helper/fake_internal.h"

struct fake_store *fake_find_store(struct runtime *runtime, const char *id_or_name)
{
    for (size_t i = 0; i < runtime->store_count; i++)
        if (strcmp(runtime->stores[i].id, id_or_name) == 0 ||
            strcmp(runtime->stores[i].name, id_or_name) == 0)
            return &runtime->stores[i];
    return NULL;
}

struct fake_file *fake_find_file(struct runtime *runtime, const char *id)
{
    for (size_t i = 0; i < runtime->file_count; i++)
        if (strcmp(runtime->files[i].id, id) == 0)
            return &runtime->files[i];
    return NULL;
}

static bool no_store(const char *id, struct err *err)
{
    return err_set(err, ERR_NOT_FOUND, "there is no store \"%s\"", id);
}

static bool no_file(const char *id, struct err *err)
{
    return err_set(err, ERR_NOT_FOUND, "there is no file \"%s\"", id);
}

/* ---------------------------------------------------------------- files */

static void file_to_info(const struct fake_file *file, struct arena *arena, struct file_info *ret)
{
    *ret = (struct file_info){.id = arena_copy(arena, file->id),
                              .name = arena_copy(arena, file->name),
                              .purpose = arena_copy(arena, file->purpose),
                              .created_at = 1700000000,
                              .bytes = file->length};
}

bool files_create(struct runtime *runtime, struct request *request, const char *name,
                  const char *purpose, const void *bytes, size_t length, struct file_info *ret,
                  struct err *err)
{
    mutex_lock(&runtime->lock);
    bool room = runtime->file_count < FAKE_ITEMS_MAX;
    if (room) {
        struct fake_file *file = &runtime->files[runtime->file_count++];
        hash_random_id("file-", file->id);
        snprintf(file->name, sizeof(file->name), "%s", name);
        snprintf(file->purpose, sizeof(file->purpose), "%s", purpose);
        file->bytes = malloc(length + 1);
        if (!file->bytes)
            abort();
        memcpy(file->bytes, bytes, length);
        file->bytes[length] = '\0';
        file->length = length;
        file_to_info(file, request->arena, ret);
    }
    mutex_unlock(&runtime->lock);
    return room || err_set(err, ERR_TOO_LARGE, "too many files");
}

bool files_get(struct runtime *runtime, struct request *request, const char *id,
               struct file_info *ret, struct err *err)
{
    mutex_lock(&runtime->lock);
    const struct fake_file *file = fake_find_file(runtime, id);
    if (file)
        file_to_info(file, request->arena, ret);
    mutex_unlock(&runtime->lock);
    return file || no_file(id, err);
}

bool files_content(struct runtime *runtime, struct request *request, const char *id,
                   const void **ret_bytes, size_t *ret_length, struct err *err)
{
    mutex_lock(&runtime->lock);
    const struct fake_file *file = fake_find_file(runtime, id);
    if (file) {
        *ret_bytes = arena_copy_n(request->arena, file->bytes, file->length);
        *ret_length = file->length;
    }
    mutex_unlock(&runtime->lock);
    return file || no_file(id, err);
}

bool files_list(struct runtime *runtime, struct request *request, struct file_info **ret,
                size_t *ret_count, struct err *err)
{
    (void)err;
    mutex_lock(&runtime->lock);
    *ret = arena_array(request->arena, FAKE_ITEMS_MAX, sizeof(**ret));
    *ret_count = runtime->file_count;
    for (size_t i = 0; i < runtime->file_count; i++)
        file_to_info(&runtime->files[i], request->arena, &(*ret)[i]);
    mutex_unlock(&runtime->lock);
    return true;
}

bool files_delete(struct runtime *runtime, struct request *request, const char *id, struct err *err)
{
    (void)request;
    mutex_lock(&runtime->lock);
    struct fake_file *file = fake_find_file(runtime, id);
    if (file) {
        free(file->bytes);
        size_t after = (size_t)(&runtime->files[runtime->file_count] - file) - 1;
        memmove(file, file + 1, after * sizeof(*file));
        runtime->file_count--;
    }
    mutex_unlock(&runtime->lock);
    return file || no_file(id, err);
}

/* ---------------------------------------------------------------- stores */

static void store_to_info(const struct fake_store *store, struct arena *arena,
                          struct store_info *ret)
{
    *ret = (struct store_info){.id = arena_copy(arena, store->id),
                               .name = arena_copy(arena, store->name),
                               .metadata = arena_copy(arena, store->metadata),
                               .created_at = 1700000000,
                               .documents = store->file_count};
}

bool stores_create(struct runtime *runtime, struct request *request, const char *name,
                   const char *metadata, struct store_info *ret, struct err *err)
{
    mutex_lock(&runtime->lock);
    bool fine = runtime->store_count < FAKE_ITEMS_MAX && !fake_find_store(runtime, name);
    if (fine) {
        struct fake_store *store = &runtime->stores[runtime->store_count++];
        hash_random_id("vs_", store->id);
        snprintf(store->name, sizeof(store->name), "%s", name);
        snprintf(store->metadata, sizeof(store->metadata), "%s", metadata);
        store_to_info(store, request->arena, ret);
    }
    mutex_unlock(&runtime->lock);
    return fine || err_set(err, ERR_CONFLICT, "there is a store \"%s\" already", name);
}

bool stores_get(struct runtime *runtime, struct request *request, const char *id_or_name,
                struct store_info *ret, struct err *err)
{
    mutex_lock(&runtime->lock);
    const struct fake_store *store = fake_find_store(runtime, id_or_name);
    if (store)
        store_to_info(store, request->arena, ret);
    mutex_unlock(&runtime->lock);
    return store || no_store(id_or_name, err);
}

bool stores_update(struct runtime *runtime, struct request *request, const char *id,
                   const char *name, const char *metadata, struct store_info *ret, struct err *err)
{
    mutex_lock(&runtime->lock);
    struct fake_store *store = fake_find_store(runtime, id);
    if (store && name)
        snprintf(store->name, sizeof(store->name), "%s", name);
    if (store && metadata)
        snprintf(store->metadata, sizeof(store->metadata), "%s", metadata);
    if (store)
        store_to_info(store, request->arena, ret);
    mutex_unlock(&runtime->lock);
    return store || no_store(id, err);
}

bool stores_list(struct runtime *runtime, struct request *request, struct store_info **ret,
                 size_t *ret_count, struct err *err)
{
    mutex_lock(&runtime->lock);
    bool broken = runtime->broken;
    *ret = arena_array(request->arena, FAKE_ITEMS_MAX, sizeof(**ret));
    *ret_count = runtime->store_count;
    for (size_t i = 0; i < runtime->store_count; i++)
        store_to_info(&runtime->stores[i], request->arena, &(*ret)[i]);
    mutex_unlock(&runtime->lock);
    return !broken || err_set(err, ERR_STORE, "the database is damaged");
}

bool stores_delete(struct runtime *runtime, struct request *request, const char *id,
                   struct err *err)
{
    (void)request;
    mutex_lock(&runtime->lock);
    struct fake_store *store = fake_find_store(runtime, id);
    if (store) {
        size_t after = (size_t)(&runtime->stores[runtime->store_count] - store) - 1;
        memmove(store, store + 1, after * sizeof(*store));
        runtime->store_count--;
    }
    mutex_unlock(&runtime->lock);
    return store || no_store(id, err);
}

/* ---------------------------------------------------------------- documents */

static void file_to_document(const struct fake_file *file, struct arena *arena,
                             struct document_info *ret)
{
    *ret = (struct document_info){.id = arena_copy(arena, file->id),
                                  .path = arena_copy(arena, file->name),
                                  .created_at = 1700000000,
                                  .bytes = file->length,
                                  .passages = 1};
}

static bool is_in(const struct fake_store *store, const char *file_id)
{
    for (size_t i = 0; store && i < store->file_count; i++)
        if (strcmp(store->files[i], file_id) == 0)
            return true;
    return false;
}

bool stores_attach(struct runtime *runtime, struct request *request, const char *store_id,
                   const char *file_id, struct document_info *ret, struct err *err)
{
    bool done = false;
    mutex_lock(&runtime->lock);
    struct fake_store *store = fake_find_store(runtime, store_id);
    const struct fake_file *file = fake_find_file(runtime, file_id);
    if (!store)
        no_store(store_id, err);
    else if (!file)
        no_file(file_id, err);
    else if (memchr(file->bytes, '\0', file->length))
        err_set(err, ERR_DOCUMENT, "\"%s\" holds no text", file->name);
    else
        done = true;
    if (done && !is_in(store, file_id))
        memcpy(store->files[store->file_count++], file->id, ID_MAX);
    if (done)
        file_to_document(file, request->arena, ret);
    mutex_unlock(&runtime->lock);
    return done;
}

bool stores_document(struct runtime *runtime, struct request *request, const char *store_id,
                     const char *document_id, struct document_info *ret, struct err *err)
{
    mutex_lock(&runtime->lock);
    const struct fake_file *file = fake_find_file(runtime, document_id);
    bool found = file && is_in(fake_find_store(runtime, store_id), document_id);
    if (found)
        file_to_document(file, request->arena, ret);
    mutex_unlock(&runtime->lock);
    return found || no_file(document_id, err);
}

bool stores_documents(struct runtime *runtime, struct request *request, const char *store_id,
                      struct document_info **ret, size_t *ret_count, struct err *err)
{
    mutex_lock(&runtime->lock);
    const struct fake_store *store = fake_find_store(runtime, store_id);
    *ret = arena_array(request->arena, FAKE_ITEMS_MAX, sizeof(**ret));
    *ret_count = 0;
    for (size_t i = 0; store && i < store->file_count; i++) {
        const struct fake_file *file = fake_find_file(runtime, store->files[i]);
        if (file)
            file_to_document(file, request->arena, &(*ret)[(*ret_count)++]);
    }
    mutex_unlock(&runtime->lock);
    return store || no_store(store_id, err);
}

bool stores_document_text(struct runtime *runtime, struct request *request, const char *store_id,
                          const char *document_id, const char **ret_text, size_t *ret_length,
                          struct err *err)
{
    mutex_lock(&runtime->lock);
    const struct fake_file *file = fake_find_file(runtime, document_id);
    bool found = file && is_in(fake_find_store(runtime, store_id), document_id);
    if (found) {
        *ret_text = arena_copy_n(request->arena, file->bytes, file->length);
        *ret_length = file->length;
    }
    mutex_unlock(&runtime->lock);
    return found || no_file(document_id, err);
}

bool stores_detach(struct runtime *runtime, struct request *request, const char *store_id,
                   const char *document_id, struct err *err)
{
    (void)request;
    mutex_lock(&runtime->lock);
    struct fake_store *store = fake_find_store(runtime, store_id);
    bool found = is_in(store, document_id);
    for (size_t i = 0; found && i < store->file_count; i++) {
        if (strcmp(store->files[i], document_id) != 0)
            continue;
        memmove(store->files[i], store->files[i + 1], (store->file_count - i - 1) * ID_MAX);
        store->file_count--;
        break;
    }
    mutex_unlock(&runtime->lock);
    return found || no_file(document_id, err);
}

/* ---------------------------------------------------------------- search */

/* Every file of the store that holds the query is a hit; earlier files are better. */
bool search_run(struct runtime *runtime, struct request *request,
                const struct search_request *search, struct search_result *ret, struct err *err)
{
    const char *name = search->store_count > 0 ? search->stores[0] : STORE_DEFAULT;
    mutex_lock(&runtime->lock);
    const struct fake_store *store = fake_find_store(runtime, name);
    struct search_hit *hits = arena_array(request->arena, FAKE_ITEMS_MAX, sizeof(*hits));
    size_t count = 0;
    size_t limit = search->top_k > 0 ? search->top_k : 8;
    for (size_t i = 0; store && i < store->file_count && count < limit; i++) {
        const struct fake_file *file = fake_find_file(runtime, store->files[i]);
        const char *at = file ? strstr(file->bytes, search->query) : NULL;
        if (!at)
            continue;
        hits[count++] = (struct search_hit){.document_id = arena_copy(request->arena, file->id),
                                            .store_id = arena_copy(request->arena, store->id),
                                            .path = arena_copy(request->arena, file->name),
                                            .title = "",
                                            .offset = (size_t)(at - file->bytes),
                                            .length = strlen(search->query),
                                            .line_start = 1,
                                            .line_end = 1,
                                            .text = search->query,
                                            .score = 1.0 / (double)(i + 1),
                                            .sparse = 2.5,
                                            .dense = 0.25};
    }
    mutex_unlock(&runtime->lock);
    *ret = (struct search_result){.hits = hits, .count = count, .notice = "no embedder"};
    return store || no_store(name, err);
}

/* ---------------------------------------------------------------- tuning */

bool tuning_get(struct runtime *runtime, struct request *request, const char *store,
                struct tuning *ret, struct err *err)
{
    (void)request;
    mutex_lock(&runtime->lock);
    bool found = fake_find_store(runtime, store) != NULL;
    mutex_unlock(&runtime->lock);
    if (!found)
        return no_store(store, err);
    *ret = (struct tuning){.alpha = 0.5, .rerank_depth = 20};
    return true;
}

bool tuning_set(struct runtime *runtime, struct request *request, const char *store,
                const struct tuning *tuning, struct err *err)
{
    struct tuning before;
    (void)tuning;
    return tuning_get(runtime, request, store, &before, err);
}

bool tuning_clear(struct runtime *runtime, struct request *request, const char *store,
                  struct err *err)
{
    struct tuning before;
    return tuning_get(runtime, request, store, &before, err);
}

bool tuning_sample(struct runtime *runtime, struct request *request, const char *store,
                   uint64_t seed, size_t want, struct tuning_passage **ret, size_t *ret_count,
                   struct err *err)
{
    struct tuning tuning;
    (void)seed, (void)want;
    if (!tuning_get(runtime, request, store, &tuning, err))
        return false;
    *ret = NULL;
    *ret_count = 0;
    return true;
}
