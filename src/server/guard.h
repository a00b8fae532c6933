/* guard.h - who may talk to the service over TCP.
 *
 * Purpose: three checks. The API key, where one is configured. The Host header, because a web page may point its own
 *   name at 127.0.0.1 (DNS rebinding) and would then reach the service with the page's rights. The Origin header,
 *   because a page of another site may send requests whose answers it cannot read. The Unix socket needs none of
 *   them: its file mode says who may connect.
 * Owner:   guard_load() fills the caller's struct; guard_clear() wipes the key's hash.
 * Threads: read-only after loading.
 * Fails:   ERR_CONFIG (key file), ERR_UNAUTHORIZED, ERR_FORBIDDEN. No message or log ever holds a key.
 */
#ifndef JARVIS_SERVER_GUARD_H
#define JARVIS_SERVER_GUARD_H

#include <stdbool.h>

#include "base/err.h"
#include "base/hash.h"

enum { GUARD_HOST_MAX = 256, GUARD_KEY_MIN = 16, GUARD_KEY_FILE_MAX = 4096 };

struct guard {
    bool has_key;
    struct hash key;           /* BLAKE3 of the key; the key itself is not kept */
    bool any_host;             /* bound to all addresses: the key protects, the name may be any */
    char host[GUARD_HOST_MAX]; /* that the listener is bound to */
};

/* Reads the key (the file's text without surrounding white space, at least GUARD_KEY_MIN bytes). */
bool guard_load_key(struct guard *guard, const char *key_file, struct err *err);

/* Tells the guard where the service listens: the host part, without brackets. */
void guard_set_host(struct guard *guard, const char *host);

void guard_clear(struct guard *guard);

/* `authorization`: the header, or NULL. */
bool guard_check_key(const struct guard *guard, const char *authorization, struct err *err);

/* `host` and `origin`: the headers, or NULL when they are absent (no browser leaves out Host). */
bool guard_check_host(const struct guard *guard, const char *host, struct err *err);
bool guard_check_origin(const struct guard *guard, const char *origin, struct err *err);

/* True for localhost, 127.0.0.0/8 and ::1 (without brackets). */
bool guard_is_loopback(const char *host);

#endif
