#include <stdlib.h>

#include "assistant/internal.h"

static bool ensure_default_store(struct runtime *runtime, struct err *err)
{
    struct arena arena;
    arena_init(&arena, 256 * 1024);
    struct collection collection;
    bool ok = store_collection_ensure(runtime->store, STORE_DEFAULT, &arena, &collection, err);
    arena_free(&arena);
    return ok;
}

static bool open_parts(struct runtime *runtime, const struct runtime_options *options,
                       struct err *err)
{
    char *learned = fs_join(options->paths->data, "memory.db");
    if (!learned)
        return err_no_memory(err);
    struct registry_options registry = {
        .learned = learned,
        .program = options->program,
        .models_dir = options->paths->models,
        .house_embedder = options->house_embedder,
        .house_speech = options->house_speech,
        .config = options->config,
        .log = options->log,
        .keep_spare = true,
    };
    bool ok = store_open(options->paths->database, &runtime->store, err) &&
              ensure_default_store(runtime, err) &&
              index_set_new(runtime->store, &runtime->indexes, err) &&
              registry_open(&registry, &runtime->registry, err);
    free(learned);
    return ok;
}

bool runtime_open(const struct runtime_options *options, struct runtime **ret, struct err *err)
{
    struct runtime *runtime = calloc(1, sizeof(*runtime));
    if (!runtime)
        return err_no_memory(err);
    runtime->paths = options->paths;
    runtime->config = options->config;
    runtime->log = options->log;
    mutex_init(&runtime->gate.lock);
    cond_init(&runtime->gate.freed);
    if (!open_parts(runtime, options, err)) {
        runtime_close(runtime);
        return false;
    }
    *ret = runtime;
    return true;
}

void runtime_close(struct runtime *runtime)
{
    if (!runtime)
        return;
    if (runtime->registry)
        registry_close(runtime->registry);
    index_set_free(runtime->indexes);
    store_close(runtime->store);
    cond_destroy(&runtime->gate.freed);
    mutex_destroy(&runtime->gate.lock);
    free(runtime);
}

const struct config *runtime_config(const struct runtime *runtime)
{
    return runtime->config;
}

const struct fs_paths *runtime_paths(const struct runtime *runtime)
{
    return runtime->paths;
}

struct log *runtime_log(const struct runtime *runtime)
{
    return runtime->log;
}

struct registry *runtime_registry(const struct runtime *runtime)
{
    return runtime->registry;
}

static bool has_role(struct runtime *runtime, enum model_role role)
{
    char name[MODEL_NAME_MAX];
    return registry_default(runtime->registry, role, name, sizeof(name));
}

void runtime_readiness(struct runtime *runtime, struct runtime_readiness *ret)
{
    struct err ignored;
    *ret = (struct runtime_readiness){
        .store = store_ping(runtime->store, &ignored),
        .chat_model = has_role(runtime, ROLE_CHAT),
        .embedding_model = has_role(runtime, ROLE_EMBEDDING),
        .rerank_model = has_role(runtime, ROLE_RERANK),
    };
}
