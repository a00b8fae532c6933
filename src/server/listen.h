/* listen.h - the sockets that the service accepts on.
 *
 * Owner:   the caller closes the descriptors; a struct listen_unix is ended with listen_unix_close().
 * Threads: each call is one thread's.
 * Fails:   ERR_CONFLICT (another service, or another program on the port), ERR_CONFIG (an address that cannot be
 *          understood), ERR_IO. Nothing stays open or on disk after a failure.
 */
#ifndef JARVIS_SERVER_LISTEN_H
#define JARVIS_SERVER_LISTEN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum { LISTEN_HOST_MAX = 256, LISTEN_ADDRESS_MAX = 300, LISTEN_BACKLOG = 128 };

/* A Unix socket, mode 0600, and the lock beside it ("PATH.lock") that says whose it is: a socket file alone cannot,
 * because one that a killed service left looks like any other. */
struct listen_unix {
    int fd;
    int lock_fd;
    char path[108];
};

bool listen_unix_open(const char *path, struct listen_unix *ret, struct err *err);

/* Removes the socket's name, so that no client finds it any more; connections that are queued stay. */
void listen_unix_remove(struct listen_unix *listener);

/* Gives up the lock. The descriptor of the socket itself is closed by who accepts on it. */
void listen_unix_close(struct listen_unix *listener);

/* "127.0.0.1:8317", "localhost:0", "[::1]:8317" into the host without brackets and the port. */
bool listen_parse(const char *address, char ret_host[LISTEN_HOST_MAX], uint16_t *ret_port,
                  struct err *err);

/* Listens on a numeric address or "localhost" (127.0.0.1). *ret_port: the real one when 0 was asked. */
bool listen_tcp_open(const char *host, uint16_t port, int *ret_fd, uint16_t *ret_port,
                     struct err *err);

#endif
