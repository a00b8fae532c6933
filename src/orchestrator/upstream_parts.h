/* upstream_parts.h - an upstream as upstream.c (addresses), upstream_health.c and upstream_stream.c share it.
 *
 * Purpose: private to those. Owner: upstream.c. Threads: what is below `lock` is guarded by it.
 */
#ifndef JARVIS_ORCHESTRATOR_UPSTREAM_PARTS_H
#define JARVIS_ORCHESTRATOR_UPSTREAM_PARTS_H

#include "base/json.h"
#include "orchestrator/upstream.h"
#include "orchestrator/upstream_http.h"

enum {
    IDLE_MAX = 8,                           /* connections that are kept for each address */
    UPSTREAM_ANSWER_MAX = 64 * 1024 * 1024, /* bytes of a whole answer */
    UPSTREAM_ERROR_MAX = 64 * 1024,         /* of one that tells an error */
    UPSTREAM_KEY_MAX = 4096,
    UPSTREAM_URL_MAX = 4096,
};

/* One base address. */
struct address {
    const char *url; /* the entry's */
    struct breaker breaker;
    uint32_t in_flight;
    uint64_t served;
    int64_t heard_ns; /* of the last answer that makes sense; 0: never */
    struct exchange *idle[IDLE_MAX];
    size_t idle_count;
};

struct upstream {
    const struct model_entry *entry;
    struct breaker_policy policy;
    int64_t health_interval_ms;
    struct log *log;
    pthread_t health;
    struct cancel closing; /* of the health checks */
    struct mutex lock;     /* of all that follows */
    struct cond changed;   /* stop */
    bool stop;
    size_t count;
    struct address addresses[UPSTREAM_URLS_MAX];
    uint32_t dimensions;
    int64_t failed_us;
    char cause[256];
};

/* A request at one address. */
struct attempt {
    struct upstream *upstream;
    struct address *address;
    struct exchange *exchange;
    struct exchange_request request;
    char url[UPSTREAM_URL_MAX];
    char key[UPSTREAM_KEY_MAX];
};

/* The addresses that a request has been tried at: a bit each. */
typedef uint32_t address_set;

/* Begins a request at the best address that is not in *tried, and adds it. ERR_CIRCUIT_OPEN or ERR_RATE_LIMITED when
 * none may be tried now; `body` must live until attempt_end(). */
bool attempt_begin(struct upstream *upstream, address_set *tried, const char *path,
                   const struct str *body, bool stream, struct attempt *ret, struct err *err);

/* Waits for the status; one that is not 2xx is read to its end and is an error. */
bool attempt_accepted(struct attempt *attempt, const struct wait *wait, struct err *err);

/* Ends it, and what came of it counts: `err` NULL: it was answered. Is the next address worth a try? */
bool attempt_end(struct attempt *attempt, const struct err *err);

/* The key, read now. "" when there is none to be sent. */
bool upstream_key(const struct upstream_entry *entry, char out[UPSTREAM_KEY_MAX], struct err *err);

/* What a status and the body of an error mean. Fills *err, returns false. */
bool upstream_refusal(const char *model, long status, const char *body, size_t length,
                      uint32_t retry_after_ms, struct err *err);

bool upstream_health_start(struct upstream *upstream, struct err *err);
void upstream_health_stop(struct upstream *upstream);

#endif
