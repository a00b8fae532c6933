/* registry.h - the models: which are known, which are loaded, and the use of them.
 *
 * Purpose: every use of a model goes through a lease: registry_acquire() finds the model, loads it if it is cold
 *   (several requests for a cold model share one load), makes room by ending idle ones (least recently used
 *   first, never one with a lease), and counts the use. Each loaded model is one worker process; a spare worker
 *   is always kept ready. A worker that dies costs its requests ERR_WORKER_DIED; the next acquire loads anew.
 * Owner:   the registry owns its workers; a lease belongs to who acquired it and must be released. Results are
 *   written into the caller's arena.
 * Threads: all functions may be called from any thread; one mutex guards the table and is never held while a
 *   worker is waited for. A lease is used by one thread at a time (a stream by one thread too).
 * Fails:   ERR_MODEL_NOT_FOUND, ERR_MODEL_INVALID, ERR_MODEL_TOO_LARGE (can never fit),
 *          ERR_OUT_OF_MEMORY_BUDGET (does not fit now), ERR_WORKER_DIED, ERR_TIMEOUT, ERR_CANCELLED.
 */
#ifndef JARVIS_ORCHESTRATOR_REGISTRY_H
#define JARVIS_ORCHESTRATOR_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/thread.h"
#include "config/config.h"
#include "ipc/protocol.h"
#include "observe/log.h"
#include "orchestrator/why.h"

struct registry;
struct lease;

/* Names of the models that came with the program. A configured model of such a name takes its place. */
#define REGISTRY_HOUSE_EMBEDDER "jarvis-embed"
#define REGISTRY_HOUSE_SPEECH   "jarvis-speech"

struct registry_options {
    const char *
        program; /* path of the jarvis binary, started as `PROGRAM worker` with the socket as fd 3 */
    const char *models_dir;      /* where relative model paths begin */
    const char *house_embedder;  /* the embedding model that came with the program; NULL: none */
    const char *house_speech;    /* the speech model that came with it; NULL: none */
    const struct config *config; /* read while opening: models, memory.*, worker.* */
    struct log *log;
    bool keep_spare;     /* false in tests that count processes */
    const char *learned; /* file of what loads have taken (SQLite); NULL: forgotten at the end */
    /* For tests; 0 gives the usual: */
    bool exact_forecasts;       /* reserve what is predicted, without a margin */
    uint64_t available_bytes;   /* memory that the machine has: asked of the kernel */
    int64_t heartbeat_ms;       /* worker.heartbeat_s */
    int64_t hang_ms;            /* worker.hang_timeout_s */
    int64_t health_interval_ms; /* upstream.health_interval_s */
    /* Told of each use in the order of uses, under the lock; may be NULL. */
    void (*on_use)(void *user, const char *model, uint64_t order);
    void *on_use_user;
    int64_t cancel_ms; /* a worker that ignores a cancel for so long is killed: 15 s */
    int64_t parse_ms;  /* longest that one document may take: 60 s */
};

bool registry_open(const struct registry_options *options, struct registry **ret, struct err *err);

/* Ends all workers: asks first, kills after a second. No lease may be out. */
void registry_close(struct registry *registry);

/* Makes a model known (or replaces an entry of that name that is not loaded). The entry is copied. */
bool registry_add(struct registry *registry, const struct model_entry *entry, struct err *err);
bool registry_remove(struct registry *registry, const char *name, struct err *err);

/* Name of the first model of a role in the configuration's order, copied to out[0..size); the house's own only where
 * no other is known. false: none. */
bool registry_default(struct registry *registry, enum model_role role, char *out, size_t size);

/* --- leases --- */

/* How a caller waits: `cancel` may be NULL. */
struct wait {
    struct cancel *cancel;
    deadline until;
};

/* Called while a load goes on, from the thread that waits in registry_acquire(). */
typedef void registry_progress(void *user, const char *model, float fraction, uint64_t bytes_total);

/* `name` must be a known model of that role. Where it cannot be had, and the fault is its own, the lease is of the
 * first model in its "fallback" that can. `progress` may be NULL. */
bool registry_acquire(struct registry *registry, const char *name, enum model_role role,
                      const struct wait *wait, registry_progress *progress, void *user,
                      struct lease **ret, struct err *err);
void lease_release(struct lease *lease); /* NULL is fine */

/* Why another model than the one asked for answers (it is in that one's "fallback"); NULL: it does not. The model that
 * answers is lease_entry(). Either may change until the first event of a generation has come. */
const struct err *lease_degraded(const struct lease *lease);

/* What the model said when it was loaded; valid as long as the lease. */
const struct msg_loaded *lease_model(const struct lease *lease);
const struct model_entry *lease_entry(const struct lease *lease);

/* Whether the model came with the program: small, and there only where no other is. */
bool lease_is_house(const struct lease *lease);

/* BLAKE3 of the model file: the key of stored embeddings. Known from the load on, but for chat models, whose file is
 * read at the first call. NULL when it cannot be read. Valid as long as the lease. */
const struct hash *lease_model_hash(const struct lease *lease);

/* L2-normalised vectors, in the order of the texts; any count (sent in parts). `prefix` is put before each. */
bool lease_embed(struct lease *lease, const char *prefix, const char *const *texts, size_t count,
                 const struct wait *wait, struct arena *arena, struct msg_vectors *ret,
                 struct err *err);

/* Tokens of each text. */
bool lease_count(struct lease *lease, const char *const *texts, size_t count,
                 const struct wait *wait, struct arena *arena, struct msg_counts *ret,
                 struct err *err);

bool lease_rerank(struct lease *lease, const char *query, const char *const *documents,
                  size_t count, const struct wait *wait, struct arena *arena,
                  struct msg_scores *ret, struct err *err);

/* The text of a piece of speech of at most MSG_SPEECH_SAMPLES_MAX samples. */
bool lease_transcribe(struct lease *lease, const struct msg_transcribe *request,
                      const struct wait *wait, struct arena *arena, struct msg_transcribed *ret,
                      struct err *err);

/* Generation is pulled: start, then next until `done`, then end. */
struct generation;

struct generation_event {
    bool done;
    const char *text;     /* !done: new text, valid until the next call */
    struct msg_done last; /* done */
};

bool lease_generate(struct lease *lease, const struct msg_generate *request,
                    const struct wait *wait, struct generation **ret, struct err *err);

/* Waits for the next event. After an error or `done` only generation_end() may be called. */
bool generation_next(struct generation *generation, struct generation_event *ret, struct err *err);

/* Cancels what is not done. NULL is fine. Must be called before the lease is released. */
void generation_end(struct generation *generation);

/* --- documents and files, done by a sandboxed worker without a model --- */

/* Extracts text; a worker that dies of a document costs ERR_DOCUMENT. */
bool registry_parse(struct registry *registry, const struct msg_parse *request,
                    const struct wait *wait, struct arena *arena, struct msg_parsed *ret,
                    struct err *err);

/* What a GGUF file says of itself, read by a worker that is ended afterwards. ERR_MODEL_INVALID. */
bool registry_inspect(struct registry *registry, const char *path, const struct wait *wait,
                      struct arena *arena, struct msg_inspected *ret, struct err *err);

/* The sandbox of a parser worker, tried from inside (for `jarvis doctor`). */
bool registry_probe(struct registry *registry, const struct wait *wait, struct msg_probed *ret,
                    struct err *err);

/* --- state --- */

enum model_state { MODEL_COLD, MODEL_LOADING, MODEL_READY, MODEL_FAILED };
const char *model_state_name(enum model_state state); /* "cold" "loading" "ready" "failed" */

struct model_status {
    char name[128];
    char path[512];
    enum model_role role;
    enum model_state state;
    float progress;      /* while loading */
    pid_t pid;           /* 0 when not loaded */
    uint64_t file_bytes; /* 0 when the file is missing */
    uint64_t predicted_bytes;
    uint64_t resident_bytes; /* measured; 0 when not loaded */
    uint32_t context_length;
    uint32_t dimensions;
    uint32_t in_flight; /* leases out */
    uint64_t uses;
    int64_t last_use_us; /* wall clock; 0 for never */
    struct why why;      /* the last decision or failure */
    uint64_t order;      /* of the last use, over all models: larger is later; 0: never */
    const char *stage; /* what the state means in detail: "queued", "claiming", "unloading", … */
    bool pinned;
    bool preload;
    uint32_t ttl_s;
    uint32_t queue;          /* requests that wait for it */
    uint32_t overtaken;      /* by others, since it waits for memory */
    char device[32];         /* where it is, or will be; "" when nothing of it is loaded */
    uint64_t reserved_bytes; /* that count against the budget now */
    double load_ms;          /* that its last load took; 0: never */
    uint64_t bytes_total;    /* while loading: of the file */
    /* What keeps failing: */
    const char *circuit; /* "closed" "open" "half_open"; of an upstream: that of its best address */
    uint32_t retry_in_ms;  /* until the next try is allowed; 0: now */
    uint32_t failures;     /* in a row */
    int64_t failed_us;     /* wall clock of the last failure; 0 for never */
    char cause[256];       /* English: of the last failure, "" for none */
    char last_words[1024]; /* that its worker process wrote then */
    bool upstream;         /* another server, not a file */
};

/* Fills up to `max` rows and returns how many models there are. Never loads or keeps a model. */
size_t registry_status(struct registry *registry, struct model_status *rows, size_t max);

struct registry_memory {
    uint64_t limit_bytes;
    uint64_t used_bytes;
};
void registry_memory(struct registry *registry, struct registry_memory *ret);

/* Loads a model, whatever its role, and uses it for nothing. `progress` (may be NULL) is told 0 of 0 bytes as well, when
 * the model begins to wait for memory. */
bool registry_load(struct registry *registry, const char *name, const struct wait *wait,
                   registry_progress *progress, void *user, struct err *err);

/* Ends an idle model's worker, and waits until it has ended; ERR_BUSY when it has leases or is being loaded. */
bool registry_unload(struct registry *registry, const char *name, struct err *err);

/* A pinned model is not unloaded to make room, nor for being idle. Until the service ends: the configuration's "pin"
 * stays as it is. */
bool registry_pin(struct registry *registry, const char *name, bool pinned, struct err *err);

/* The last decisions about a model, oldest first, into rows[0..max); *ret_count of them. */
bool registry_explain(struct registry *registry, const char *name, struct why *rows, size_t max,
                      size_t *ret_count, struct err *err);

/* What was decided about any model, as it happens. */
struct registry_event {
    uint64_t number; /* from 1, one more each */
    char model[WHY_NAME_MAX];
    enum model_state state; /* after it */
    struct why why;
};

/* The number of the last event so far. */
uint64_t registry_event_last(struct registry *registry);

/* Waits for events after number `after` and copies up to `max`: how many, 0 when none came in time or the registry
 * closes. Who is slower than the registry misses the oldest: then their numbers have a gap. */
size_t registry_events(struct registry *registry, uint64_t after, const struct wait *wait,
                       struct registry_event *rows, size_t max);

#endif
