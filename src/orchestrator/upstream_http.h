/* upstream_http.h - one HTTP request to another server, pulled by the thread that wants the answer.
 *
 * Purpose: private to src/orchestrator. libcurl's multi interface driven from the caller's own thread: what has come
 *   is handed out at once, nothing is read ahead of the reader beyond one buffer, and a cancel (curl_multi_wakeup)
 *   ends the wait, after which exchange_stop() closes the connection: the other server sees it and stops computing.
 * Owner:   an exchange is the caller's; it keeps its connection for the next request to the same server.
 * Threads: one at a time; a cancel may fire from any.
 * Fails:   ERR_UPSTREAM (not reached, cut off, silent for too long), ERR_UPSTREAM_REFUSED (certificate, address),
 *   ERR_TIMEOUT (the caller's deadline), ERR_CANCELLED. An HTTP status is no failure here.
 *
 * TLS certificates are verified, redirects are not followed, only http and https are spoken. The key goes into one
 * header and into no message.
 */
#ifndef JARVIS_ORCHESTRATOR_UPSTREAM_HTTP_H
#define JARVIS_ORCHESTRATOR_UPSTREAM_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "orchestrator/registry.h"

enum { EXCHANGE_BUFFER_MAX = 4 * 1024 * 1024 }; /* bytes that have come and were not taken */

struct exchange;

struct exchange_request {
    const char *url;
    const char *key;  /* "": none */
    const char *body; /* JSON; NULL: a GET. Must live until exchange_stop() */
    size_t body_length;
    bool stream; /* an event stream is wanted */
    uint32_t connect_ms;
    uint32_t silence_ms; /* longest until exchange_alive() is called, again and again */
};

bool exchange_open(struct exchange **ret, struct err *err);
void exchange_close(struct exchange *exchange); /* NULL is fine */

/* Sends a request; exchange_stop() ends it, also after a failure. */
bool exchange_start(struct exchange *exchange, const struct exchange_request *request,
                    struct err *err);

/* Waits for the status. */
bool exchange_status(struct exchange *exchange, const struct wait *wait, long *ret_status,
                     struct err *err);

/* Waits for bytes of the answer and appends them to `out`; *ret_end when there are no more. */
bool exchange_read(struct exchange *exchange, const struct wait *wait, struct str *out,
                   bool *ret_end, struct err *err);

/* Something useful has come: the silence begins anew. */
void exchange_alive(struct exchange *exchange);

/* What the server asked for in Retry-After, in ms; 0: nothing. After the status. */
uint32_t exchange_retry_after_ms(struct exchange *exchange);

/* Ends the request. What has not been read to its end is cut off: the connection is closed. */
void exchange_stop(struct exchange *exchange);

#endif
