/* frame.h - frames over a socketpair: the shape of every message between the service and a worker.
 *
 * A frame is a header of FRAME_HEADER bytes and a payload:
 *
 *     offset 0  u16  magic 0x564a ("JV")
 *            2  u8   version (FRAME_VERSION)
 *            3  u8   type (enum frame_type in protocol.h)
 *            4  u64  id: the request it belongs to; 0 for none
 *           12  u32  payload length in bytes, at most FRAME_PAYLOAD_MAX
 *           16  …    payload
 *
 * All numbers are little-endian. A frame of another magic, version, or length ends the connection.
 * Owner:   the caller owns the descriptor; a frame read owns its payload (frame_free()).
 * Threads: one reader and (with a lock of the caller's) one writer at a time on each end.
 * Fails:   ERR_PROTOCOL for a bad or stalled frame, ERR_WORKER_DIED at end of file, ERR_TIMEOUT past the
 *          deadline, ERR_TOO_LARGE for a payload over the limit.
 */
#ifndef JARVIS_IPC_FRAME_H
#define JARVIS_IPC_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"

enum {
    FRAME_MAGIC = 0x564a,
    FRAME_VERSION = 1,
    FRAME_HEADER = 16,
    FRAME_PAYLOAD_MAX = 64 * 1024 * 1024,
    FRAME_STALL_MS = 30 * 1000, /* the longest pause inside a frame */
};

struct frame {
    uint8_t type;
    uint64_t id;
    uint32_t length;
    uint8_t *payload; /* NULL when length is 0 */
};

void frame_free(struct frame *frame);

/* Pure part: reads a header. false with ERR_PROTOCOL / ERR_TOO_LARGE when it is not one. */
bool frame_parse_header(const uint8_t bytes[FRAME_HEADER], struct frame *ret, struct err *err);
void frame_format_header(uint8_t out[FRAME_HEADER], uint8_t type, uint64_t id, uint32_t length);

/* Writes one frame whole to a socket, waiting at most until `until` for room (no SIGPIPE). After a failure a part
 * may have left: the connection is of no more use. */
bool frame_write(int fd, uint8_t type, uint64_t id, const void *payload, size_t length,
                 deadline until, struct err *err);

/* Reads one frame whole. Waits for its first byte until `until` (deadline INT64_MAX: for ever; a frame that is
 * there is read even when `until` has passed), then a peer that pauses inside a frame for more than
 * FRAME_STALL_MS is ERR_PROTOCOL. After ERR_TIMEOUT nothing is lost and one may read again; after any other
 * failure the connection is of no more use. */
bool frame_read(int fd, struct frame *ret, deadline until, struct err *err);

/* The same with another limit of stalling. */
bool frame_read_stall(int fd, struct frame *ret, deadline until, int64_t stall_ms, struct err *err);

#endif
