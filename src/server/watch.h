/* watch.h - one thread that looks after all open connections.
 *
 * Purpose: two things that the thread of a connection cannot do while it computes or reads. It notices that a client
 *   has left (the socket is hung up) and fires the request's cancel flag at once. And it ends what takes too long:
 *   a connection on which no complete request arrives in time, a request past its deadline.
 *
 *   How it works: a table of connections, and epoll on their sockets for "hung up" only, once each; reading and
 *   writing stay with the connection's own thread. Slots are named by index and generation, so that an event which
 *   arrives late cannot meet the slot's next owner.
 * Owner:   the server owns the watch; a slot belongs to its connection from watch_add() to watch_remove().
 * Threads: all functions may be called from any thread. A cancel flag is fired with the watch's lock held: its hooks
 *   must not call this module.
 * Fails:   watch_open() as usual; watch_add() gives WATCH_NONE when the table is full or epoll refuses, and then the
 *   other functions do nothing for it.
 *
 * A client that only closes its sending half counts as gone: over TCP the two look the same.
 */
#ifndef JARVIS_SERVER_WATCH_H
#define JARVIS_SERVER_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/thread.h"

struct watch;

typedef uint64_t watch_slot;
#define WATCH_NONE UINT64_MAX

/* A request that has been cancelled for its deadline may take this long to end before its socket is shut down. */
enum { WATCH_GRACE_MS = 5000 };

bool watch_open(size_t max_connections, struct watch **ret, struct err *err);
void watch_close(struct watch *watch); /* NULL is fine */

/* A new connection; at `until` its socket is shut down. */
watch_slot watch_add(struct watch *watch, int fd, deadline until);
void watch_remove(struct watch *watch, watch_slot slot);

/* The connection has a request now: `cancel` is fired when the client leaves or `until` passes, at once if it has
 * left already. It must live until watch_idle() or watch_remove(). */
void watch_busy(struct watch *watch, watch_slot slot, struct cancel *cancel, deadline until);

/* The request is done; the next one must be complete at `until`. */
void watch_idle(struct watch *watch, watch_slot slot, deadline until);

/* Fires the cancel flag of every request there is. */
void watch_cancel_all(struct watch *watch);

#endif
