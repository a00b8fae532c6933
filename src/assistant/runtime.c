#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "assistant/internal.h"
#include "assistant/pair_cache.h"

static bool ensure_default_store(struct runtime *runtime, struct err *err)
{
    struct arena arena;
    arena_init(&arena, 256 * 1024);
    struct collection collection;
    bool ok = store_collection_ensure(runtime->store, STORE_DEFAULT, &arena, &collection, err);
    arena_free(&arena);
    return ok;
}

static void on_critical(void *user, const struct err *err)
{
    alarm_raise(user, err);
}

static bool open_alarm(struct runtime *runtime, struct err *err)
{
    const struct alarm_options options = {
        .command = runtime->config->errors_critical_hook,
        .log = runtime->log,
    };
    if (!alarm_open(&options, &runtime->alarm, err))
        return false;
    log_on_critical(runtime->log, on_critical, runtime->alarm);
    return true;
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
              pair_cache_new(&runtime->pairs, err) &&
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
    if (!open_alarm(runtime, err) || !open_parts(runtime, options, err)) {
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
    pair_cache_free(runtime->pairs);
    index_set_free(runtime->indexes);
    store_close(runtime->store);
    log_on_critical(runtime->log, NULL, NULL);
    alarm_close(runtime->alarm);
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

/* Why the default model of a role cannot be used now, from the state of all models. */
static void find_why(const struct model_status *rows, size_t count, const char *name,
                     char why[RUNTIME_WHY_MAX])
{
    for (size_t i = 0; i < count; i++) {
        const struct model_status *row = &rows[i];
        bool failing = row->state == MODEL_FAILED || strcmp(row->circuit, "open") == 0;
        char words[WHY_TEXT_MAX];
        if (strcmp(row->name, name) != 0 || !failing)
            continue;
        why_render(&row->why, LANG_EN, words);
        snprintf(why, RUNTIME_WHY_MAX, "%s: %.200s", name, row->cause[0] ? row->cause : words);
    }
}

static bool look_at_role(struct runtime *runtime, enum model_role role,
                         const struct model_status *rows, size_t count, char why[RUNTIME_WHY_MAX])
{
    char name[MODEL_NAME_MAX];
    if (!registry_default(runtime->registry, role, name, sizeof(name)))
        return false;
    find_why(rows, count, name, why);
    return true;
}

void runtime_readiness(struct runtime *runtime, struct runtime_readiness *ret)
{
    struct err ignored;
    size_t room = registry_status(runtime->registry, NULL, 0);
    struct model_status *rows = calloc(room + 1, sizeof(*rows));
    size_t count = rows ? registry_status(runtime->registry, rows, room) : 0;
    count = count < room ? count : room;
    *ret = (struct runtime_readiness){.store = store_ping(runtime->store, &ignored)};
    ret->chat_model = look_at_role(runtime, ROLE_CHAT, rows, count, ret->chat_why);
    ret->embedding_model = look_at_role(runtime, ROLE_EMBEDDING, rows, count, ret->embedding_why);
    ret->rerank_model = look_at_role(runtime, ROLE_RERANK, rows, count, ret->rerank_why);
    ret->critical = alarm_look(runtime->alarm, &ret->alarm);
    free(rows);
}
