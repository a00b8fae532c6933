/* How it works: sockets are used without blocking in send and recv, and poll() does all waiting, so that each
 * wait ends at its deadline whatever mode the descriptor is in. */
#include "ipc/frame.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

void frame_free(struct frame *frame)
{
    free(frame->payload);
    *frame = (struct frame){0};
}

static uint64_t get_le(const uint8_t *bytes, size_t size)
{
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++)
        value |= (uint64_t)bytes[i] << (8 * i);
    return value;
}

static void put_le(uint8_t *bytes, uint64_t value, size_t size)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(value >> (8 * i));
}

bool frame_parse_header(const uint8_t bytes[FRAME_HEADER], struct frame *ret, struct err *err)
{
    if (get_le(bytes, 2) != FRAME_MAGIC)
        return err_set(err, ERR_PROTOCOL,
                       "the other process does not speak Jarvis's protocol; restart the service");
    if (bytes[2] != FRAME_VERSION)
        return err_set(err, ERR_PROTOCOL,
                       "the other process speaks version %d of the protocol and this one %d; "
                       "restart the service so that both are of the same build",
                       bytes[2], FRAME_VERSION);
    uint32_t length = (uint32_t)get_le(bytes + 12, 4);
    if (length > FRAME_PAYLOAD_MAX)
        return err_set(err, ERR_TOO_LARGE,
                       "a message of %u bytes is larger than the limit of %d; send less at a time",
                       length, FRAME_PAYLOAD_MAX);
    *ret = (struct frame){.type = bytes[3], .id = get_le(bytes + 4, 8), .length = length};
    return true;
}

void frame_format_header(uint8_t out[FRAME_HEADER], uint8_t type, uint64_t id, uint32_t length)
{
    put_le(out, FRAME_MAGIC, 2);
    out[2] = FRAME_VERSION;
    out[3] = type;
    put_le(out + 4, id, 8);
    put_le(out + 12, length, 4);
}

static bool closed(struct err *err)
{
    return err_set(err, ERR_WORKER_DIED, "the process at the other end has ended; try again");
}

static bool failed(int errnum, struct err *err)
{
    if (errnum == EPIPE || errnum == ECONNRESET || errnum == ENOTCONN)
        return closed(err);
    return err_set_errno(err, ERR_IO, errnum, "cannot talk to the other process");
}

enum wait_result { WAIT_READY, WAIT_LATE, WAIT_FAILED };

/* Waits for `events` on fd. What is wrong with the socket is left for send or recv to tell. */
static enum wait_result wait_for(int fd, short events, deadline until, struct err *err)
{
    for (;;) {
        struct pollfd poller = {.fd = fd, .events = events};
        int ready = poll(&poller, 1, deadline_left_ms(until));
        if (ready > 0)
            return WAIT_READY;
        if (ready < 0 && errno != EINTR) {
            failed(errno, err);
            return WAIT_FAILED;
        }
        if (deadline_passed(until))
            return WAIT_LATE;
    }
}

static bool late(struct err *err)
{
    return err_set(err, ERR_TIMEOUT,
                   "the other process did not answer in time; it may be overloaded: try again");
}

static bool try_again(int errnum)
{
    return errnum == EAGAIN || errnum == EINTR;
}

bool frame_write(int fd, uint8_t type, uint64_t id, const void *payload, size_t length,
                 deadline until, struct err *err)
{
    if (length > FRAME_PAYLOAD_MAX)
        return err_set(err, ERR_TOO_LARGE,
                       "a message of %zu bytes is larger than the limit of %d; send less at a time",
                       length, FRAME_PAYLOAD_MAX);
    uint8_t header[FRAME_HEADER];
    frame_format_header(header, type, id, (uint32_t)length);
    size_t sent = 0;
    while (sent < FRAME_HEADER + length) {
        size_t in_header = sent < FRAME_HEADER ? FRAME_HEADER - sent : 0;
        size_t in_payload = sent < FRAME_HEADER ? 0 : sent - FRAME_HEADER;
        struct iovec parts[2] = {
            {.iov_base = header + FRAME_HEADER - in_header, .iov_len = in_header},
            {.iov_base = length ? (char *)payload + in_payload : NULL,
             .iov_len = length - in_payload},
        };
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
        ssize_t count = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (count >= 0)
            sent += (size_t)count;
        else if (!try_again(errno))
            return failed(errno, err);
        else
            switch (wait_for(fd, POLLOUT, until, err)) {
            case WAIT_READY: break;
            case WAIT_LATE: return late(err);
            case WAIT_FAILED: return false;
            }
    }
    return true;
}

static bool stalled(struct err *err)
{
    return err_set(err, ERR_PROTOCOL,
                   "the other process stopped in the middle of a message; try again");
}

/* Fills bytes[0..length). Each wait lasts at most `stall_ms`; the very first one, when `first` is given, lasts
 * until then. */
static bool read_all(int fd, uint8_t *bytes, size_t length, const deadline *first, int64_t stall_ms,
                     struct err *err)
{
    size_t got = 0;
    while (got < length) {
        ssize_t count = recv(fd, bytes + got, length - got, MSG_DONTWAIT);
        if (count > 0) {
            got += (size_t)count;
            continue;
        }
        if (count == 0)
            return closed(err);
        if (!try_again(errno))
            return failed(errno, err);
        bool idle = first && got == 0;
        switch (wait_for(fd, POLLIN, idle ? *first : deadline_in_ms(stall_ms), err)) {
        case WAIT_READY: break;
        case WAIT_LATE: return idle ? late(err) : stalled(err);
        case WAIT_FAILED: return false;
        }
    }
    return true;
}

bool frame_read_stall(int fd, struct frame *ret, deadline until, int64_t stall_ms, struct err *err)
{
    uint8_t header[FRAME_HEADER];
    struct frame frame;
    if (!read_all(fd, header, FRAME_HEADER, &until, stall_ms, err) ||
        !frame_parse_header(header, &frame, err))
        return false;
    if (frame.length > 0) {
        frame.payload = malloc(frame.length);
        if (!frame.payload)
            return err_no_memory(err);
        if (!read_all(fd, frame.payload, frame.length, NULL, stall_ms, err)) {
            frame_free(&frame);
            return false;
        }
    }
    *ret = frame;
    return true;
}

bool frame_read(int fd, struct frame *ret, deadline until, struct err *err)
{
    return frame_read_stall(fd, ret, until, FRAME_STALL_MS, err);
}
