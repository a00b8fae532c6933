/* upstream.h - a model that another server answers for: its addresses, their health, and requests to them.
 *
 * Purpose: private to src/orchestrator. One struct upstream for each model with "upstream" in the configuration. A
 *   request goes to the address with the fewest requests in flight whose circuit is closed; what fails there before
 *   anything has come is tried at the next one at once. A thread asks for signs of life (GET <url>/models) at addresses
 *   whose circuit is not closed, and at all of them where there are several.
 * Owner:   the model owns its upstream; the entry it was made of must live as long. A stream is the caller's.
 * Threads: all functions from any thread, a stream from one at a time. Its lock is a leaf: nothing is called with it.
 * Fails:   ERR_UPSTREAM, ERR_UPSTREAM_REFUSED, ERR_RATE_LIMITED, ERR_CIRCUIT_OPEN, ERR_PROTOCOL (an answer that makes no
 *   sense), ERR_CONTEXT_LENGTH, ERR_INVALID_REQUEST, ERR_TIMEOUT, ERR_CANCELLED.
 *
 * The key is read from its file or variable when it is needed, so that a new one counts at once; it is in no message
 * and in no log.
 */
#ifndef JARVIS_ORCHESTRATOR_UPSTREAM_H
#define JARVIS_ORCHESTRATOR_UPSTREAM_H

#include "base/json.h"
#include "orchestrator/breaker.h"
#include "orchestrator/registry.h"

struct upstream;

struct upstream_options {
    const struct model_entry *entry; /* entry->upstream is not NULL */
    struct breaker_policy policy;
    int64_t health_interval_ms;
    struct log *log;
};

bool upstream_open(const struct upstream_options *options, struct upstream **ret, struct err *err);
void upstream_close(struct upstream *upstream); /* no request may be at work; NULL is fine */

/* What lease_model() tells; dimensions are 0 until the first vectors have come. */
void upstream_describe(struct upstream *upstream, struct msg_loaded *ret);

struct upstream_status {
    enum breaker_state circuit; /* of the best address */
    uint32_t retry_in_ms;
    uint32_t failures;
    uint32_t usable; /* addresses whose circuit is closed */
    uint32_t addresses;
    int64_t failed_us; /* wall clock of the last failure; 0: never */
    char cause[256];   /* of that */
};
void upstream_look(struct upstream *upstream, struct upstream_status *ret);

/* One whole answer to a POST of `body` to <url><path>, as JSON that is the caller's. One try at each address. */
bool upstream_ask(struct upstream *upstream, const char *path, const struct str *body,
                  const struct wait *wait, yyjson_doc **ret, struct err *err);

/* A generation. Returns when the first event has come, so that everything before it could be tried elsewhere. */
struct upstream_stream;
bool upstream_generate(struct upstream *upstream, const struct msg_generate *request,
                       const struct wait *wait, struct upstream_stream **ret, struct err *err);

/* The next event; its text is valid until the next call. */
bool upstream_stream_next(struct upstream_stream *stream, struct generation_event *ret,
                          struct err *err);

/* Closes the connection when the answer is not complete. NULL is fine. */
void upstream_stream_end(struct upstream_stream *stream);

/* The vectors were of this length: told by upstream_describe() from now on. */
void upstream_learn_dimensions(struct upstream *upstream, uint32_t dimensions);

#endif
