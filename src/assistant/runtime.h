/* runtime.h - the assistant as a whole: paths, configuration, log, store, models, indexes.
 *
 * Owner:   the service (or a test) opens one runtime and closes it last.
 * Threads: all functions of src/assistant may be called from any thread on one runtime.
 * Fails:   runtime_open(): ERR_CONFIG, ERR_STORE, ERR_DISK_FULL; nothing stays open then.
 */
#ifndef JARVIS_ASSISTANT_RUNTIME_H
#define JARVIS_ASSISTANT_RUNTIME_H

#include <stdbool.h>
#include <stdint.h>

#include "assistant/request.h"
#include "base/err.h"
#include "base/fs.h"
#include "config/config.h"
#include "observe/log.h"
#include "orchestrator/registry.h"

struct runtime;

enum { RUNTIME_WHY_MAX = 384 };

struct runtime_options {
    const struct fs_paths *paths; /* must outlive the runtime */
    const struct config *config;  /* must outlive the runtime */
    struct log *log;              /* must outlive the runtime; NULL discards */
    const char *program;          /* the jarvis binary, for workers */
    const char *house_embedder;   /* see house.h; NULL: without a configured one there is none */
    const char *house_speech;     /* the same for speech */
};

bool runtime_open(const struct runtime_options *options, struct runtime **ret, struct err *err);
void runtime_close(struct runtime *runtime);

const struct config *runtime_config(const struct runtime *runtime);
const struct fs_paths *runtime_paths(const struct runtime *runtime);
struct log *runtime_log(const struct runtime *runtime);
struct registry *runtime_registry(const struct runtime *runtime);

/* What the service can do now, for /readyz, `jarvis ps` and `jarvis doctor`. */
struct runtime_readiness {
    bool store;           /* the database answers */
    bool chat_model;      /* one is configured; without it answers are extractive */
    bool embedding_model; /* one is configured; without it search is by words alone */
    bool rerank_model;
    /* What keeps the model of a role from answering now (English); "" when nothing does. */
    char chat_why[RUNTIME_WHY_MAX];
    char embedding_why[RUNTIME_WHY_MAX];
    char rerank_why[RUNTIME_WHY_MAX];
    bool critical; /* somebody must act: alarm.h */
    struct err alarm;
};
void runtime_readiness(struct runtime *runtime, struct runtime_readiness *ret);

#endif
