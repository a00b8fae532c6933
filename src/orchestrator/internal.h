/* internal.h - the registry as its own files see it.
 *
 * Purpose: private to src/orchestrator: the table of models, loads, the keeper, the parser workers.
 * Owner:   struct registry owns all of it. A model is freed only while it has no lease, no load and no instance, so a
 *   lease may point to it. An instance is counted: the model holds one reference while it is loaded with it, each
 *   lease another.
 * Threads: everything that is not marked otherwise is guarded by registry->lock. Lock order and the threads there
 *   are: the top of registry.c.
 * Fails:   see registry.h.
 */
#ifndef JARVIS_ORCHESTRATOR_INTERNAL_H
#define JARVIS_ORCHESTRATOR_INTERNAL_H

#include "base/str.h"
#include "orchestrator/breaker.h"
#include "orchestrator/memory.h"
#include "orchestrator/memory_predict.h"
#include "orchestrator/registry.h"
#include "orchestrator/scheduler.h"
#include "orchestrator/upstream.h"
#include "orchestrator/why.h"
#include "orchestrator/worker.h"

enum {
    REGISTRY_MODELS_MAX = 1000,
    REGISTRY_NOTES_MAX = 16,   /* decisions that a model remembers */
    REGISTRY_EVENTS_MAX = 512, /* decisions that the registry remembers, for those who listen */
    PARSERS_MAX = 4,
    PARSER_CHARSET_MAX = 41, /* bytes of a charset's name, its NUL included */
    INSTANCE_ARENA_MAX = 64 * 1024,
    MODEL_IDENTITY_MAX = 1024,
    LEASE_NAME_MAX = 128,   /* bytes of a model's name, its NUL included */
    LEASE_RENEWALS_MAX = 4, /* workers that may die under one lease */
    OVERTAKES_MAX = 16,     /* loads and leases that may pass a model that waits for memory */
    DRAIN_MS = 60000, /* longest that models give no leases because one has waited long enough */
};

struct model;

/* One worker with one model in it. */
struct instance {
    uint32_t references;
    struct model *model;
    struct worker *worker;
    struct arena arena; /* of the strings in `loaded` */
    struct msg_loaded loaded;
    struct file_identity file;
    struct hash hash; /* of the file, once hash_known */
    bool hash_known;
    uint64_t bytes;   /* that count against the budget */
    uint64_t held;    /* that its worker said it holds; 0: it was not asked yet */
    uint32_t context; /* that it was asked to be loaded with; 0: the model's own */
    uint64_t uses;
    int64_t sample;        /* of what was learned from it; see memory_seen() */
    bool told_to_leave;    /* in registry->ending */
    bool gone;             /* in registry->ending: its process has ended */
    bool killed;           /* in registry->ending: it did not leave in time */
    deadline leave_by;     /* in registry->ending */
    struct instance *next; /* in registry->ending or ->dead */
};

enum load_stage { LOAD_PREPARING, LOAD_QUEUED, LOAD_WORKER, LOAD_READING };

/* One loading of one model, on a thread of its own. It belongs to the reaper, who frees it when it is done. */
struct load {
    struct registry *registry;
    struct model *model; /* not once it is done */
    pthread_t thread;
    struct cancel cancel;
    bool admitted;  /* the scheduler has said: start */
    bool stop;      /* it has called the load off */
    bool cancelled; /* stop: the reaper has fired `cancel` */
    bool done;      /* the thread is about to end */
    enum load_stage stage;
    bool crashed;       /* its worker ended by a fault of its own */
    int64_t started_ns; /* its reading */
    float fraction;
    float told_fraction; /* that the last event told */
    uint64_t bytes_total;
    struct worker *warm; /* has looked into the file already; the load's thread's */
    struct load *next;   /* in registry->loads, oldest first */
};

/* Something that must follow once all decisions have been taken. */
enum follow_up { FOLLOW_NOTHING, FOLLOW_FAILED, FOLLOW_RELEASE };

/* The last decisions about a model, oldest first when read from `count` on, round. */
struct notes {
    struct why ring[REGISTRY_NOTES_MAX];
    uint64_t count; /* ever */
};

struct model {
    struct model_entry entry;
    char *path;
    struct scheduler_model plan; /* state, leases, order of uses, queue: the scheduler's */
    struct instance *instance;   /* loaded */
    struct load *load;           /* being loaded */
    struct err load_err;         /* of the last load that failed */
    bool failed;                 /* the last load did */
    struct breaker breaker;
    struct upstream *upstream;          /* NULL: a file */
    char cause[PROCESS_CAUSE_MAX];      /* of the last failure; "": none since it was added */
    char last_words[PROCESS_WORDS_MAX]; /* that the worker wrote then */
    int64_t failed_us;                  /* wall clock of that */
    bool house; /* came with the program: only the default where no other is */
    enum follow_up follow_up;
    struct scheduler_ticket preload; /* of the registry itself: user is NULL */
    uint64_t uses;
    int64_t last_use_us;              /* wall clock */
    struct memory_forecast forecast;  /* of the last load, as configured */
    struct file_identity hashed_file; /* of hash */
    struct hash hash;
    bool hash_known;
    struct notes notes;
};

/* One who waits for a lease, on its stack. */
struct waiter {
    struct scheduler_ticket ticket; /* its user is this waiter */
    struct model *model;
    struct instance *instance; /* granted: a reference */
    bool done;
    bool ok;
    struct err err; /* done && !ok */
};

/* A worker that extracts text; used by one document at a time, so that a death has one culprit. */
struct parser {
    struct worker *worker; /* NULL: none */
    char charset[PARSER_CHARSET_MAX];
    bool busy;
    uint64_t last_use;
};

struct registry {
    char *program;
    char *models_dir;
    struct log *log;
    bool keep_spare;
    uint64_t limit_bytes; /* configured; 0: none */
    uint64_t reserve_bytes;
    uint64_t available_fixed; /* for tests; 0: measure */
    int64_t cancel_ms;
    int64_t heartbeat_ms;
    int64_t hang_ms;
    int64_t health_interval_ms;
    uint32_t retries; /* of a request, before its first word */
    struct breaker_policy policy;
    int64_t parse_ms;
    uint32_t threads;
    struct threads thread_budget;
    char *rpc_hosts;
    char *devices; /* mocks, as configured; "": none */
    int64_t load_timeout_ms;

    void (*on_use)(void *user, const char *model, uint64_t order);
    void *on_use_user;

    struct mutex lock;   /* of all that follows */
    struct cond changed; /* a load moved or ended, memory or a parser became free */
    struct cond keeper_wake;
    struct cancel closing_cancel; /* has a lock of its own */
    bool closing;
    struct scheduler scheduler;
    uint32_t cpu;  /* the scheduler's number of the machine's memory */
    bool follows;  /* some model has a follow_up */
    uint64_t tick; /* counts uses of parsers: the order of them */
    struct model **models;
    size_t model_count;
    size_t model_capacity;
    struct load *loads;
    struct instance *ending;       /* told to leave, or about to be: the reaper's */
    struct instance *dead;         /* unreferenced: the reaper's */
    uint64_t unloaded_available;   /* memory available when no model was loaded */
    struct worker *spare;          /* ready; NULL: none */
    struct worker *dead_spare;     /* for the keeper */
    int spare_failures;            /* in a row */
    deadline spare_not_before;     /* after a failure */
    struct registry_event *events; /* REGISTRY_EVENTS_MAX of them, a ring */
    uint64_t event_count;          /* ever */
    uint64_t logged;               /* of them */
    struct cond reaper_wake;
    bool reaper_ends;
    pthread_t reaper;
    struct parser parsers[PARSERS_MAX];
    pthread_t keeper;
    struct forecasts *forecasts; /* has a lock of its own */
};

/* --- registry.c --- */

/* NULL when there is none. With the lock. */
struct model *model_find(struct registry *registry, const char *name);

/* Drops a reference. The last one hands it to the reaper. With the lock. */
void instance_drop(struct registry *registry, struct instance *instance);

/* Frees an instance without references. Without the lock; waits for its process. */
void instance_free(struct instance *instance);

void model_free(struct model *model);

/* The model's worker has died by itself: the model is cold, and says why. With the lock. */
void model_lost(struct registry *registry, struct model *model);

/* Gives a lease back. With the lock. */
void model_release(struct registry *registry, struct model *model, struct instance *instance);

/* The model was used just now (a lease taken, or given back), as the scheduler has counted. With the lock. */
void model_used(struct registry *registry, struct model *model, uint64_t order);

/* Microseconds of the monotonic clock, as the scheduler wants them. */
int64_t registry_now_us(void);

/* cancel_hook of whoever waits for registry->changed; the argument is the registry. */
void registry_wake(void *argument);

/* A lease that fell back on another model is that model's, and keeps the one before until its end. */
struct lease {
    struct registry *registry;
    struct lease *before; /* of the model that could not answer; NULL: none */
    char
        asked[LEASE_NAME_MAX]; /* the model that was asked for, when another one answers; else "" */
    struct err why;            /* asked: what was wrong with it */
    size_t fallbacks;          /* of the asked model's, that have been tried */
    struct model *model;
    struct msg_loaded remote;                      /* of an upstream: what is known of it */
    struct hash remote_hash;                       /* of an upstream */
    struct instance *instance;                     /* the one in use; NULL: an upstream */
    struct instance *previous[LEASE_RENEWALS_MAX]; /* kept for what lease_model() gave out */
    int renewals;
};

/* --- policy.c: circuits, retries, fallbacks --- */

/* What the registry itself has to do for a lease: policy.c decides which model to ask, and whether. */
bool registry_acquire_one(struct registry *registry, const char *name, enum model_role role,
                          const struct wait *wait, registry_progress *progress, void *user,
                          struct lease **ret, struct err *err);
void lease_release_one(struct lease *lease);

/* The model's worker has died, or a load of it was the end of one. Counts against its circuit; the worker may be NULL.
 * With the lock. */
void model_trouble(struct registry *registry, struct model *model, struct worker *worker,
                   const char *cause);

/* The model has answered a request. Without the lock. */
void lease_succeeded(struct lease *lease);

/* The tries of one request. */
struct retry {
    uint32_t tries;
    bool renewed; /* on a fresh worker: only once, the request may be what kills it */
};

/* After a failure before the first word: is the same asked again? Waits the back-off first, and for a worker that has
 * died, until there is another one. */
bool lease_retry(struct lease *lease, struct retry *retry, const struct wait *wait,
                 struct err *err);

/* The same, for the next model in the asked one's "fallback": true when the lease is that model's now. Otherwise *err
 * tells what was wrong with the model that was asked for. */
bool lease_fall_back(struct lease *lease, const struct wait *wait, struct err *err);

/* --- upstream_lease.c: leases of models with an upstream --- */

/* With the lock. */
bool upstream_acquire(struct registry *registry, struct model *model, struct lease **ret,
                      struct err *err);
void upstream_release(struct lease *lease);

/* With the lock. */
void upstream_status(struct model *model, struct model_status *row);

/* As lease_embed() and the others; `err` is not NULL. */
bool upstream_lease_embed(struct lease *lease, const char *prefix, const char *const *texts,
                          size_t count, const struct wait *wait, struct arena *arena,
                          struct msg_vectors *ret, struct err *err);
bool upstream_lease_count(const char *const *texts, size_t count, struct arena *arena,
                          struct msg_counts *ret, struct err *err);
bool upstream_lease_rerank(struct lease *lease, const char *query, const char *const *documents,
                           size_t count, const struct wait *wait, struct arena *arena,
                           struct msg_scores *ret, struct err *err);

/* --- lease.c --- */

/* For a lease whose worker has died: loads the model anew. */
bool lease_renew(struct lease *lease, const struct wait *wait, struct err *err);

/* --- decide.c --- */

/* Does what the scheduler has decided. After each of its events. With the lock. */
void registry_decide(struct registry *registry);

/* --- notes.c --- */

/* Remembers what was decided about a model or met by it: for `jarvis explain`, for those who listen, for the log (which
 * the reaper writes). With the lock. */
void model_note(struct registry *registry, struct model *model, const struct why *why);

/* The last of them; NULL: none. With the lock. */
const struct why *model_why(const struct model *model);

/* As model_note() for a code without parameters. */
void model_note_code(struct registry *registry, struct model *model, enum why_code code);

/* --- load.c --- */

/* Starts the thread that prepares a cold model and loads it once the scheduler says so: model->load. With the lock. */
bool load_start(struct registry *registry, struct model *model, struct err *err);

/* instance->bytes has changed. With the lock. */
void model_measured(struct registry *registry, struct instance *instance);

/* Joins and frees a load that is done. Without the lock. */
void load_free(struct load *load);

/* The identity of a file now. ERR_MODEL_NOT_FOUND with what to do. */
bool model_file(const struct model *model, struct file_identity *ret, struct err *err);

/* The way in which a model is configured to be loaded. */
void model_question(const struct model *model, const struct file_identity *file,
                    struct memory_question *ret);

/* --- admit.c --- */

/* What the model will take, as it is configured and in the ways that may be tried instead, best first. Without the
 * lock. ret[0..*ret_count), at most SCHEDULER_SHAPES_MAX. */
bool admit_shapes(struct load *load, const struct file_identity *file, struct scheduler_shape *ret,
                  size_t *ret_count, struct err *err);

/* What models may take now. With the lock. */
struct memory_budget registry_budget(struct registry *registry);

/* Measures the machine and tells the scheduler. With the lock. */
void admit_measure(struct registry *registry);

/* The error of a request that the scheduler has refused. With the lock. Returns false. */
bool admit_refusal(const struct model *model, const struct scheduler_block *why, struct err *err);

/* --- reaper.c --- */

bool reaper_start(struct registry *registry, struct err *err);

/* Waits until it has done everything that there is to do, and ends it. Loads have been stopped before. */
void reaper_stop(struct registry *registry);

/* Gives it the process of an instance to end. With the lock. */
void reaper_end(struct registry *registry, struct instance *instance);

/* Such a process has ended. With the lock. */
void reaper_left(struct registry *registry, struct instance *instance);

/* --- memory_watch.c --- */

/* A use of the model ends: now and then its worker is asked what it holds. Without the lock; takes milliseconds. */
void memory_watch(struct lease *lease);

/* --- keeper.c --- */

bool keeper_start(struct registry *registry, struct err *err);

/* Ends the thread and the spare. registry->closing is set before. */
void keeper_stop(struct registry *registry);

/* A worker that has said HELLO: the spare, else a new one. Without the lock. */
bool keeper_take_worker(struct registry *registry, const struct wait *wait, struct worker **ret,
                        struct err *err);

/* What a worker that has died was: called by its reader thread. */
void keeper_worker_died(void *user, struct worker *worker);

/* --- parse.c --- */

void parsers_close(struct registry *registry);

/* True for a name that may be given to iconv: [A-Za-z0-9_.:+-], 1 to 40 of them. */
bool parser_charset_valid(const char *charset);

#endif
