/* scheduler.h - which model is loaded where, who waits, and who has to go: events in, decisions out.
 *
 * Purpose: private to src/orchestrator. A pure state machine: no lock, no clock, no input or output, no allocation.
 *   What happens in the world is told to it by one function an event; what is to be done about it is then taken from
 *   it, decision by decision, with scheduler_next(). registry.c is the world; the tests have a fake one.
 * What it promises (tests/unit/orchestrator/test_scheduler*.c try it with random worlds, tests/spin/eviction.pml
 *   checks the protocol):
 *   - What models hold on a device, loads and processes that are ending included, never exceeds what the device may
 *     give when a load starts.
 *   - A model with a lease, and a pinned one, is never evicted. Others go only when the model that wants their memory
 *     fits afterwards, and then the set whose loss costs least.
 *   - Requests for one cold model share its load. What can never fit is refused at once. Every request ends: granted,
 *     or refused with a reason, at the latest at its deadline.
 *   - No more than overtakes_max times is a model that waits for memory passed by another: then the others wait until
 *     it had its turn, or for drain_us at most if those in its way do not end.
 * Owner:   models and tickets are the caller's structs (usually part of a larger one: `user`); a model stays where it
 *   is between scheduler_add() and scheduler_remove(), a ticket until it was granted, refused or withdrawn. Fields may
 *   be read by anybody, and written by scheduler*.c alone unless they say otherwise.
 * Threads: one at a time: under the registry's lock. Fails: never. All decisions of an event must be taken before the
 *   next event.
 *
 * The life of a model:
 *
 *     COLD --request--> PREPARING --prepared--> QUEUED --room--> LOADING --done--> READY --evicted--> UNLOADING --> COLD
 *                                                  \--victims go--> CLAIMING --/
 *     From PREPARING to LOADING: nobody wants it any more --> STOPPING --load_failed--> COLD
 */
#ifndef JARVIS_ORCHESTRATOR_SCHEDULER_H
#define JARVIS_ORCHESTRATOR_SCHEDULER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SCHEDULER_DEVICES_MAX = 8,
    SCHEDULER_SHAPES_MAX = 8,
    SCHEDULER_TICKETS_MAX = 16384, /* that wait at once, for all models together */
    SCHEDULER_DEVICE_NAME_MAX = 32,
};

/* Bytes on each device. */
struct scheduler_bytes {
    uint64_t on[SCHEDULER_DEVICES_MAX];
};

/* What models may take of a device. */
struct scheduler_device {
    char name[SCHEDULER_DEVICE_NAME_MAX]; /* "cpu", "gpu0" */
    uint64_t
        most;     /* if every other program left what it holds: what does not fit here never will */
    uint64_t now; /* <= most */
};

/* One way to load a model, and what it takes. */
struct scheduler_shape {
    uint32_t rank;      /* smaller is better; shapes of the same rank are as good as each other */
    uint32_t context;   /* for the caller: tokens of a sequence, 0 for the model's own */
    int32_t gpu_layers; /* for the caller: -1 for all */
    struct scheduler_bytes bytes;
};

enum scheduler_state {
    SCHEDULER_COLD,
    SCHEDULER_PREPARING, /* the caller finds out what it needs */
    SCHEDULER_QUEUED,    /* waits for memory */
    SCHEDULER_CLAIMING,  /* has its memory, but for what processes that are ending still hold */
    SCHEDULER_LOADING,
    SCHEDULER_READY,
    SCHEDULER_STOPPING,  /* nobody wants it any more: its load is being ended */
    SCHEDULER_UNLOADING, /* its process is being ended */
};

/* Why something was decided, or is waited for. */
enum scheduler_reason {
    SCHEDULER_NO_REASON,
    /* EVICT */
    SCHEDULER_FOR_ANOTHER, /* `other` needs the room */
    SCHEDULER_FOR_OTHERS,  /* other programs do */
    SCHEDULER_IDLE,        /* longer than its time to live */
    SCHEDULER_ASKED,
    /* REFUSE; a model that waits has one of them as well */
    SCHEDULER_BUSY,     /* too much is held by models in use: `other` holds most of it */
    SCHEDULER_ITS_TURN, /* `other` has waited longer and was passed often enough */
    SCHEDULER_LEAVING,  /* what was freed for it is still being freed */
    SCHEDULER_PINNED,   /* too much is held by pinned models: `other` holds most of it */
    SCHEDULER_SHORT,    /* other programs hold too much */
    SCHEDULER_NEVER,    /* it needs more than the device will ever give */
    SCHEDULER_FALLBACK, /* it would have to wait, and the configuration prefers another model then */
    SCHEDULER_LATE,     /* its deadline has passed */
    SCHEDULER_FULL,     /* too many wait */
    SCHEDULER_FAILED,   /* the load failed */
    SCHEDULER_CALLED_OFF /* the model is unloaded or removed on request */
};

struct scheduler_model;

/* What keeps a model waiting, or why something was decided. */
struct scheduler_block {
    enum scheduler_reason reason;
    uint32_t device;
    uint64_t need;                 /* bytes, on that device */
    uint64_t have;                 /* that could be had there */
    struct scheduler_model *other; /* in the way, or for whom; NULL: none */
};

/* One request for a lease. The caller sets `user` and nothing else. */
struct scheduler_ticket {
    void *user;
    struct scheduler_model *model;
    uint64_t arrived; /* order of arrival, from 1 */
    int64_t until_us;
    bool granted;               /* else it waits, or was refused */
    uint64_t use;               /* granted: the order of this use */
    struct scheduler_block why; /* refused */
    struct scheduler_ticket *next;
};

enum scheduler_verb {
    SCHEDULER_PREPARE, /* find out what the model needs: then scheduler_prepared() or scheduler_load_failed() */
    SCHEDULER_START, /* load it as model->shapes[model->shape]: then _load_done() or _load_failed() */
    SCHEDULER_STOP, /* end what PREPARE or START began: then scheduler_load_failed(), in any case */
    SCHEDULER_EVICT,  /* end its process: then scheduler_unloaded() */
    SCHEDULER_GRANT,  /* the ticket has a lease: give it back with scheduler_release() */
    SCHEDULER_REFUSE, /* the ticket has none */
};

struct scheduler_model {
    /* The caller's, before scheduler_add(). */
    void *user;
    bool pinned;           /* afterwards: scheduler_pin() */
    bool prefers_fallback; /* refused with SCHEDULER_FALLBACK instead of waiting */
    int64_t ttl_us;        /* evicted when unused for so long; 0: never */
    /* The scheduler's. */
    enum scheduler_state state;
    struct scheduler_shape shapes[SCHEDULER_SHAPES_MAX]; /* as last prepared, best first */
    size_t shape_count;
    size_t shape; /* chosen: from CLAIMING on */
    struct scheduler_bytes
        held; /* LOADING: its shape's; READY: measured; until its process has ended */
    struct scheduler_bytes claim; /* CLAIMING */
    uint32_t leases;
    uint64_t
        last_use; /* order of uses over all models, from 1; 0: never. A lease taken and one given back are uses */
    int64_t last_use_us;    /* or the end of its load */
    int64_t load_us;        /* that its last load took */
    uint32_t waiting;       /* tickets */
    uint32_t overtaken;     /* while it waits for memory */
    int64_t drain_until_us; /* overtaken often enough: the others wait until then; 0: they do not */
    struct scheduler_block block; /* QUEUED: what for */
    const struct scheduler_model
        *draining_for;              /* READY: gives no leases until that one had its turn */
    struct scheduler_ticket *first; /* that wait, in order of arrival */
    struct scheduler_ticket *last;
    struct scheduler_model *next;
    struct scheduler_model *next_told; /* has a decision that was not taken yet */
    enum scheduler_verb verb;          /* that decision */
    struct scheduler_block why;        /* of it */
    bool told;
    bool chosen; /* as a victim, while one is looked for */
};

struct scheduler_decision {
    enum scheduler_verb verb;
    struct scheduler_model *model;
    struct scheduler_ticket *ticket; /* GRANT and REFUSE: the caller's again */
    struct scheduler_block why; /* EVICT and REFUSE; START: reason NO_REASON, need and device */
};

struct scheduler {
    struct scheduler_device devices[SCHEDULER_DEVICES_MAX];
    uint32_t device_count;
    uint32_t overtakes_max;
    int64_t drain_us;
    /* private */
    uint64_t uses;
    uint64_t arrivals;
    uint32_t waiting;
    int64_t now_us;
    struct scheduler_model *models;
    struct scheduler_model *told_first;
    struct scheduler_model *told_last;
    struct scheduler_ticket *done_first; /* granted or refused, not taken yet */
    struct scheduler_ticket *done_last;
};

/* Without models or devices. */
void scheduler_init(struct scheduler *scheduler, uint32_t overtakes_max, int64_t drain_us);

/* The next free number; its budget is 0 until scheduler_budget(). At most SCHEDULER_DEVICES_MAX. */
uint32_t scheduler_device_add(struct scheduler *scheduler, const char *name);

void scheduler_add(struct scheduler *scheduler, struct scheduler_model *model);

/* Only a COLD model without tickets may be removed: false for any other. */
bool scheduler_remove(struct scheduler *scheduler, struct scheduler_model *model);

/* --- events: `now_us` never goes back --- */

/* Somebody wants to use the model until `until_us` at the latest. Warm, it is granted at once. */
void scheduler_request(struct scheduler *scheduler, struct scheduler_model *model,
                       struct scheduler_ticket *ticket, int64_t until_us, int64_t now_us);

/* Does not want to any more. Only before the ticket was taken back as GRANT or REFUSE. */
void scheduler_withdraw(struct scheduler *scheduler, struct scheduler_ticket *ticket,
                        int64_t now_us);

/* A lease on a model that takes no memory here, because another server answers for it: the use counts, nothing is
 * loaded. Returns the order of this use. */
uint64_t scheduler_lend(struct scheduler *scheduler, struct scheduler_model *model, int64_t now_us);

/* A lease is given back. Returns the order of this use. */
uint64_t scheduler_release(struct scheduler *scheduler, struct scheduler_model *model,
                           int64_t now_us);

/* 1..SCHEDULER_SHAPES_MAX shapes, ranks ascending. */
void scheduler_prepared(struct scheduler *scheduler, struct scheduler_model *model,
                        const struct scheduler_shape *shapes, size_t count, int64_t now_us);

/* `held` was measured; `load_us` is what the load took. A model in STOPPING that was loaded after all is kept. */
void scheduler_load_done(struct scheduler *scheduler, struct scheduler_model *model,
                         const struct scheduler_bytes *held, int64_t load_us, int64_t now_us);

/* Failed, or was stopped; nothing of it is in memory any more. */
void scheduler_load_failed(struct scheduler *scheduler, struct scheduler_model *model,
                           int64_t now_us);

/* The process of a model has ended: as it was told to, or by itself. */
void scheduler_unloaded(struct scheduler *scheduler, struct scheduler_model *model, int64_t now_us);

/* A loaded model takes more or less than it did. */
void scheduler_measured(struct scheduler *scheduler, struct scheduler_model *model,
                        const struct scheduler_bytes *held, int64_t now_us);

/* What models may take of a device has changed. Idle models go when it is less than they hold. */
void scheduler_budget(struct scheduler *scheduler, uint32_t device, uint64_t most, uint64_t now,
                      int64_t now_us);

void scheduler_pin(struct scheduler *scheduler, struct scheduler_model *model, bool pinned,
                   int64_t now_us);

/* Somebody asks that the model leaves. False, and nothing happens, while it is in use or being loaded. */
bool scheduler_unload(struct scheduler *scheduler, struct scheduler_model *model, int64_t now_us);

/* Time has passed: deadlines, idle models. */
void scheduler_tick(struct scheduler *scheduler, int64_t now_us);

/* --- what comes of it --- */

/* The next decision; false: no more. */
bool scheduler_next(struct scheduler *scheduler, struct scheduler_decision *ret);

/* When scheduler_tick() has something to do; INT64_MAX: never. */
int64_t scheduler_wake_us(const struct scheduler *scheduler);

/* What all models hold of a device, and what others will free for those that claim it. */
uint64_t scheduler_held(const struct scheduler *scheduler, uint32_t device);

/* "cold" "preparing" … and "for_another" "busy" …: stable names. */
const char *scheduler_state_name(enum scheduler_state state);
const char *scheduler_reason_name(enum scheduler_reason reason);

#endif
