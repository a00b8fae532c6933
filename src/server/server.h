/* server.h - the HTTP service: OpenAI's API and Jarvis's own, on a Unix socket and on TCP.
 *
 * Purpose: server_start() listens and returns; requests are answered on threads of their own until server_stop().
 *   docs/API.md lists the endpoints; routes.c is their table.
 * Owner:   the caller owns the server and what the options point to, which must outlive it.
 * Threads: start and stop from one thread; the other functions from any. `on_shutdown` is called on a connection's
 *   thread: it may signal, but must not call server_stop().
 * Fails:   server_start(): ERR_CONFLICT (a service is running already, the port is taken), ERR_CONFIG (address, API
 *   key file, an open address without an API key), ERR_IO; nothing stays open then.
 */
#ifndef JARVIS_SERVER_SERVER_H
#define JARVIS_SERVER_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "assistant/runtime.h"
#include "base/err.h"
#include "observe/log.h"

struct server;

struct server_options {
    struct runtime *runtime; /* its configuration gives limits, address and API key file */
    const char *socket_path; /* of the Unix socket; NULL: none */
    const char
        *listen;     /* "127.0.0.1:8317"; NULL: server.listen; "": no TCP; port 0: any free one */
    struct log *log; /* NULL discards */
    void (*on_shutdown)(
        void *user); /* a client has asked for POST /v1/jarvis/shutdown; may be NULL */
    void *user;
};

/* Signals stay with the calling threads: those of the server have all of them blocked. */
bool server_start(const struct server_options *options, struct server **ret, struct err *err);

/* Removes the socket, accepts no more, waits for running requests up to `grace_ms`, cancels the rest, waits for them
 * to end, frees. NULL is fine. */
void server_stop(struct server *server, int grace_ms);

/* "127.0.0.1:8317" with the real port, "[::1]:8317"; "" without TCP. Valid as long as the server. */
const char *server_address(const struct server *server);

/* Milliseconds since the last request ended (or since the start); 0 while one is running. */
int64_t server_idle_ms(struct server *server);

#endif
