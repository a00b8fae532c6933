/* event_reader.h - reading a stream of server-sent events (WHATWG HTML, "Server-sent events",
 * 9.2.6).
 *
 * Bytes come in pieces of any size; each complete event is handed to the handler at once. Lines may
 * end in LF, CR or CRLF, also when a CRLF is split between two pieces; comments and unknown fields
 * are ignored; several `data` lines are joined by newlines.
 * Owner:   what an event points to is valid during the call. event_reader_free() ends the reader.
 * Threads: one. Fails: ERR_PROTOCOL when a line or an event is over its limit; whatever the handler
 *   fails with.
 */
#ifndef JARVIS_BASE_EVENT_READER_H
#define JARVIS_BASE_EVENT_READER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/str.h"

enum { EVENT_NAME_MAX = 32 };

struct event {
    const char *name; /* "message" when the stream does not name it */
    const char *data; /* NUL-terminated */
    size_t length;
};

/* Returning false ends the reading with that error. */
typedef bool event_handler(void *user, const struct event *event, struct err *err);

struct event_reader {
    event_handler *handler;
    void *user;
    struct str line; /* the unfinished line */
    struct str data; /* the unfinished event */
    char name[EVENT_NAME_MAX];
    bool has_data;
    bool after_cr; /* the last byte was CR: a LF that follows belongs to it */
};

/* `max`: bytes of a line, and of an event's data. */
void event_reader_init(struct event_reader *reader, size_t max, event_handler *handler, void *user);
void event_reader_free(struct event_reader *reader);
bool event_reader_feed(struct event_reader *reader, const char *bytes, size_t length,
                       struct err *err);

#endif
