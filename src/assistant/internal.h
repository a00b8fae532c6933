/* internal.h - what the files of src/assistant share; no other folder includes it.
 *
 * Owner: the runtime owns everything in it. Threads: its parts lock for themselves.
 */
#ifndef JARVIS_ASSISTANT_INTERNAL_H
#define JARVIS_ASSISTANT_INTERNAL_H

#include <stdatomic.h>

#include "assistant/chat.h"
#include "assistant/models.h"
#include "assistant/runtime.h"
#include "observe/alarm.h"
#include "retrieval/index.h"
#include "retrieval/store.h"

enum {
    MODEL_NAME_MAX = 128, /* bytes of a model's name, as in struct model_status */
    MODELS_MAX = 256,     /* models listed at once */
    GATE_MAX = 64,        /* stores being written at the same time */
};

/* Lets one writer at a time into a store. */
struct gate {
    struct mutex lock;
    struct cond freed;
    char busy[GATE_MAX][ID_MAX]; /* collection ids */
    size_t count;
};

struct runtime {
    const struct fs_paths *paths;
    const struct config *config;
    struct log *log;
    struct alarm *alarm;
    struct registry *registry;
    struct store *store;
    struct index_set *indexes;
    struct gate gate;
    atomic_uint house_logged; /* roles, as in struct request: the log knows */
    struct pair_cache *pairs;
};

/* Waits until nobody writes to the collection. ERR_TIMEOUT, ERR_CANCELLED. */
bool gate_enter(struct gate *gate, const char *collection, struct request *request,
                struct err *err);
void gate_leave(struct gate *gate, const char *collection);

static inline struct wait request_wait(const struct request *request)
{
    return (struct wait){.cancel = request->cancel, .until = request->until};
}

static inline const char *trace_id_of(const struct request *request)
{
    return request->trace ? request->trace->id : NULL;
}

/* False with ERR_CANCELLED or ERR_TIMEOUT when the request should not go on. */
bool request_check(const struct request *request, struct err *err);

/* The model of a role to use: `model`, or the default one when it is NULL or "jarvis". */
bool model_choose(struct runtime *runtime, struct request *request, const char *model,
                  enum model_role role, const char **ret, struct err *err);

/* The same and a lease on it. ret_name may be NULL. */
bool model_lease(struct runtime *runtime, struct request *request, const char *model,
                 enum model_role role, struct lease **ret, const char **ret_name, struct err *err);

#endif
