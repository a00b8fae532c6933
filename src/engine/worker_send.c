#include <unistd.h>

#include "engine/worker.h"
#include "engine/worker_main.h"
#include "ipc/protocol.h"

/* A service that has gone needs no worker; one that does not read has lost the thread of it. */
static void send_bytes(struct worker *worker, uint8_t type, uint64_t id, const void *bytes,
                       size_t length)
{
    struct err err;
    mutex_lock(&worker->write_lock);
    bool ok =
        frame_write(worker->fd, type, id, bytes, length, deadline_in_ms(WORKER_SEND_MS), &err);
    mutex_unlock(&worker->write_lock);
    if (!ok)
        _exit(err.code == ERR_WORKER_DIED ? WORKER_EXIT_DONE : WORKER_EXIT_SEND);
}

void reply_empty(struct worker *worker, uint8_t type, uint64_t id)
{
    send_bytes(worker, type, id, NULL, 0);
}

void reply_error(struct worker *worker, uint64_t id, const struct err *error)
{
    struct str payload;
    str_init(&payload, FRAME_PAYLOAD_MAX);
    msg_put_err(&payload, error);
    send_bytes(worker, FRAME_ERROR, id, payload.data, payload.length);
    str_free(&payload);
}

void reply_send(struct worker *worker, uint8_t type, uint64_t id, struct str *payload)
{
    struct err err;
    if (str_ok(payload)) {
        send_bytes(worker, type, id, payload->data, payload->length);
    } else {
        if (payload->overflowed)
            err_set(&err, ERR_TOO_LARGE,
                    "the answer would be longer than %zu bytes; ask for less at a time",
                    payload->max);
        else
            err_no_memory(&err);
        reply_error(worker, id, &err);
    }
    str_free(payload);
}
