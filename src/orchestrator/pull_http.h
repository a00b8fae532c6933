/* pull_http.h - one GET at a time over libcurl, as downloads need it.
 *
 * Purpose: ranges, redirects that are followed by hand (a bounded number, never to plain http, the token never to
 *   another host), cancelling at once, an end to silence.
 * Owner:   pull_http_open() gives the connection to the caller; replies are values.
 * Threads: one. Fails: ERR_NOT_FOUND, ERR_UNAUTHORIZED, ERR_FORBIDDEN; ERR_BUSY for 429 and 503, ERR_UNAVAILABLE for
 *   the network and other 5xx, both worth another try (err->retry_after_ms when the server said when); ERR_PROTOCOL,
 *   ERR_CANCELLED, ERR_TIMEOUT; whatever the callbacks fail with. The token appears in no message.
 */
#ifndef JARVIS_ORCHESTRATOR_PULL_HTTP_H
#define JARVIS_ORCHESTRATOR_PULL_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "orchestrator/pull.h"

enum {
    PULL_REDIRECTS_MAX = 5,
    PULL_CONNECT_MS = 30000,
    PULL_ETAG_MAX = 256,
    PULL_LINK_MAX = 2048,
    PULL_RETRY_AFTER_MAX_S = 120, /* a server that asks for more is not waited for that long */
};

struct pull_http;

bool pull_http_open(uint32_t silence_s, struct pull_http **ret, struct err *err);
void pull_http_close(struct pull_http *http);

/* What the headers of an answer say. */
struct pull_reply {
    int status;      /* 200, 206 or 416 */
    uint64_t offset; /* of the first byte of the body in the file: 0 unless 206 */
    uint64_t total;  /* bytes of the file; 0: not told */
    char etag
        [PULL_ETAG_MAX]; /* as it was sent, quotes included; "" when there is none, or a weak one */
    char sha256
        [PULL_SHA256_HEX]; /* of the file, when the hub told it on the way (X-Linked-Etag); or "" */
    char next[PULL_LINK_MAX]; /* address of the next page of a list (Link: …; rel="next"); or "" */
};

struct pull_get {
    const char *url;
    const char *token;    /* sent to the host of `url` alone; NULL or "": none */
    uint64_t offset;      /* bytes that are there already: a Range is asked for when it is not 0 */
    const char *if_range; /* the validator of those bytes; "" or NULL: none is sent */
    /* The headers of a 200 or 206, before its bytes. May be NULL. */
    bool (*begin)(void *user, const struct pull_reply *reply, struct err *err);
    bool (*bytes)(void *user, const void *bytes, size_t length, struct err *err);
    void *user;
};

/* True: 200 or 206, all bytes given to `bytes`; or 416, none. ret may be NULL. */
bool pull_http_get(struct pull_http *http, const struct pull_get *get, const struct wait *wait,
                   struct pull_reply *ret, struct err *err);

/* Appends `text` to an address, escaped but for its slashes. */
bool pull_http_escape(const char *text, struct str *out, struct err *err);

#endif
