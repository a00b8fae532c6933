/* fit.h - what loading a model would take, and whether there is room for it.
 *
 * Owner:   results are values. Threads: any. Nothing is loaded and nobody is ended; a worker is started to look into the
 *   file when its forecast is not known yet.
 * Fails:   ERR_MODEL_NOT_FOUND; ERR_UNSUPPORTED for a model of another server; ERR_CANCELLED, ERR_TIMEOUT.
 */
#ifndef JARVIS_ORCHESTRATOR_FIT_H
#define JARVIS_ORCHESTRATOR_FIT_H

#include "orchestrator/memory.h"
#include "orchestrator/registry.h"

enum { FIT_EVICT_MAX = 32, FIT_NAME_MAX = 128 };

/* In what it is asked differs from the configuration. */
struct fit_options {
    uint32_t context; /* 0: as configured */
    uint32_t slots;   /* 0: as configured */
    bool has_kv_type;
    enum kv_type kv_type;
};

enum fit_verdict {
    FIT_FITS,  /* beside all that is loaded */
    FIT_EVICT, /* when the models in `evict` are unloaded, which then happens by itself */
    FIT_WAIT,  /* when models that are in use become idle */
    FIT_SHORT, /* not while other programs hold what they hold */
    FIT_NEVER,
};

/* "fits" "evict" "wait" "short" "never". */
const char *fit_verdict_name(enum fit_verdict verdict);

struct fit_eviction {
    char name[FIT_NAME_MAX];
    uint64_t bytes;
};

struct model_fit {
    struct memory_forecast forecast;
    uint32_t slots;
    enum kv_type kv_type;
    uint64_t budget_bytes;    /* that models may take now */
    uint64_t used_bytes;      /* by other models */
    uint64_t free_bytes;      /* of the budget */
    uint64_t reachable_bytes; /* with all idle models unloaded */
    enum fit_verdict verdict;
    struct fit_eviction evict[FIT_EVICT_MAX];
    uint32_t evict_count;
    uint32_t largest_context; /* of a slot, that fits into reachable_bytes; 0: none, or not known */
};

bool registry_fit(struct registry *registry, const char *name, const struct fit_options *options,
                  const struct wait *wait, struct arena *arena, struct model_fit *ret,
                  struct err *err);

/* The forecast of a model as it is configured. */
bool registry_forecast(struct registry *registry, const char *name, const struct wait *wait,
                       struct memory_forecast *ret, struct err *err);

#endif
