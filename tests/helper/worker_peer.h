/* worker_peer.h - the service's end of a worker's socket, for tests that drive a real `jarvis worker`.
 *
 * Owner:   worker_peer_stop() ends the process and frees all. Frames received are the caller's (frame_free()).
 * Threads: one. Fails: by failing the test, except where a death is what is expected.
 */
#ifndef JARVIS_TESTS_WORKER_PEER_H
#define JARVIS_TESTS_WORKER_PEER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/arena.h"
#include "ipc/protocol.h"

/* ThreadSanitizer does not see libgomp's barriers: it would take each vector that two threads compute for a race, drop
 * it as suppressed, and spend its time on that. */
#ifdef __SANITIZE_THREAD__
enum { WORKER_PEER_THREADS = 1 };
#else
enum { WORKER_PEER_THREADS = 2 };
#endif

enum { WORKER_PEER_WAIT_MS = 20000 };

struct worker_peer {
    pid_t pid;
    int fd;
    uint64_t next_id;
    struct arena arena; /* of what is decoded */
};

/* Starts `program worker` with OMP_WAIT_POLICY=passive, as the service does, and takes its HELLO. */
void worker_peer_start(struct worker_peer *peer, const char *program);

/* Closes the socket if it is open, kills the process if it lives, and reaps it. Returns its wait status. */
int worker_peer_stop(struct worker_peer *peer);

/* Waits for the process to end by itself; its wait status. */
int worker_peer_wait(struct worker_peer *peer);

/* Sends a request with a fresh id, which it returns; frees the payload. */
uint64_t worker_peer_send(struct worker_peer *peer, uint8_t type, struct str *payload);
void worker_peer_cancel(struct worker_peer *peer, uint64_t id);

/* The next frame; false when the worker is gone. */
bool worker_peer_receive(struct worker_peer *peer, struct frame *ret);

/* Waits for a frame of this type and id. Frames of other ids, and PROGRESS and TOKENS of this one, are passed over.
 * An ERROR where none is expected fails the test with its message. */
void worker_peer_expect(struct worker_peer *peer, uint8_t type, uint64_t id, struct frame *ret);

/* LOAD of a model that must work. */
struct msg_loaded worker_peer_load(struct worker_peer *peer, enum model_role role, const char *path,
                                   uint32_t slots);

#endif
