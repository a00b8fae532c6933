#include "assistant/tuning.h"

#include "assistant/scope.h"

bool tuning_get(struct runtime *runtime, struct request *request, const char *store,
                struct tuning *ret, struct err *err)
{
    struct collection collection;
    struct ranking ranking;
    bool found;
    if (!store_collection_find(runtime->store, store, request->arena, &collection, err) ||
        !store_ranking_get(runtime->store, collection.id, &ranking, &found, err))
        return false;
    const struct config *config = runtime->config;
    *ret = (struct tuning){
        .alpha = found ? ranking.alpha : config->retrieval_alpha,
        .rerank_depth = found                      ? ranking.rerank_depth
                        : config->retrieval_rerank ? (size_t)config->retrieval_rerank_depth
                                                   : 0,
        .chosen = found,
    };
    return true;
}

bool tuning_set(struct runtime *runtime, struct request *request, const char *store,
                const struct tuning *tuning, struct err *err)
{
    struct collection collection;
    const struct ranking ranking = {.alpha = tuning->alpha, .rerank_depth = tuning->rerank_depth};
    return store_collection_find(runtime->store, store, request->arena, &collection, err) &&
           store_ranking_put(runtime->store, collection.id, &ranking, err);
}

bool tuning_clear(struct runtime *runtime, struct request *request, const char *store,
                  struct err *err)
{
    struct collection collection;
    return store_collection_find(runtime->store, store, request->arena, &collection, err) &&
           store_ranking_clear(runtime->store, collection.id, err);
}

/* Reads the passages drawn; those that were deleted meanwhile are left out. */
static bool read_drawn(struct runtime *runtime, struct request *request,
                       const struct index_drawn *drawn, size_t count, struct tuning_passage *rows,
                       size_t *ret_count, struct err *err)
{
    struct passage_key *keys = arena_array(request->arena, count, sizeof(*keys));
    struct passage *passages;
    size_t read;
    if (!keys)
        return err_no_memory(err);
    for (size_t i = 0; i < count; i++)
        keys[i] = drawn[i].key;
    if (!store_passages(runtime->store, keys, count, request->arena, &passages, &read, err))
        return false;
    size_t at = 0;
    for (size_t i = 0; i < count && at < read; i++) {
        const struct passage *passage = &passages[at];
        if (passage->key.document != keys[i].document || passage->key.ordinal != keys[i].ordinal)
            continue;
        rows[at++] = (struct tuning_passage){.document_id = passage->document_id,
                                             .path = passage->path,
                                             .text = passage->text,
                                             .offset = passage->place.offset,
                                             .length = passage->place.length,
                                             .siblings = drawn[i].siblings};
    }
    *ret_count = at;
    return true;
}

bool tuning_sample(struct runtime *runtime, struct request *request, const char *store,
                   uint64_t seed, size_t want, struct tuning_passage **ret, size_t *ret_count,
                   struct err *err)
{
    const struct search_request search = {.stores = &store, .store_count = 1};
    struct tuning_passage *rows = arena_array(request->arena, want, sizeof(*rows));
    struct scope scope;
    if (!rows)
        return err_no_memory(err);
    if (!scope_open(runtime, request, &search, NULL, &scope, err))
        return false;
    struct index_drawn *drawn;
    size_t count;
    bool ok = index_sample(scope.indexes[0], seed, want, request->arena, &drawn, &count, err);
    scope_close(&scope);
    if (!ok || !read_drawn(runtime, request, drawn, count, rows, ret_count, err))
        return false;
    *ret = rows;
    return true;
}
