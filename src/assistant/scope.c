#include "assistant/scope.h"

struct embedder_key scope_embedder(const struct lease *lease)
{
    return (struct embedder_key){
        .model = *lease_model_hash(lease),
        .prefix = lease_entry(lease)->passage_prefix,
        .pooling = lease_model(lease)->pooling,
    };
}

bool scope_open(struct runtime *runtime, struct request *request,
                const struct search_request *search, const struct embedder_key *embedder,
                struct scope *ret, struct err *err)
{
    static const char *const only_default[] = {STORE_DEFAULT};
    size_t count = search->store_count > 0 ? search->store_count : 1;
    const char *const *names = search->store_count > 0 ? search->stores : only_default;
    struct scope scope = {
        .collections = arena_array(request->arena, count, sizeof(*scope.collections)),
        .indexes = arena_array(request->arena, count, sizeof(struct index *)),
    };
    if (!scope.collections || !scope.indexes)
        return err_no_memory(err);
    struct index_load load = {.embedder = embedder, .cancel = request->cancel};
    for (; scope.count < count; scope.count++) {
        struct collection *collection = &scope.collections[scope.count];
        if (!store_collection_find(runtime->store, names[scope.count], request->arena, collection,
                                   err) ||
            !index_set_acquire(runtime->indexes, collection->id, &load, &scope.indexes[scope.count],
                               err)) {
            scope_close(&scope);
            return false;
        }
    }
    *ret = scope;
    return true;
}

void scope_close(struct scope *scope)
{
    for (size_t i = 0; i < scope->count; i++)
        index_release(scope->indexes[i]);
    scope->count = 0;
}
