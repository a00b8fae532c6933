/* client.h - the service's HTTP API over its Unix socket.
 *
 * Purpose: one connection, kept alive between requests; JSON in, JSON or events out; the service's
 *   errors become struct err in the reader's language.
 * Owner:   client_open() gives the client to the caller. Documents returned are the caller's
 *   (yyjson_doc_free).
 * Threads: one. Fails: the error of the service by its code; ERR_UNAVAILABLE when it cannot be
 *   reached or goes away in the middle; ERR_TIMEOUT after CLIENT_SILENCE_S without a byte;
 *   ERR_CANCELLED by the interrupt; ERR_PROTOCOL for an answer that makes no sense.
 */
#ifndef JARVIS_CLI_CLIENT_H
#define JARVIS_CLI_CLIENT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/event_reader.h"
#include "base/json.h"
#include "base/lang.h"

enum {
    EVENT_MAX = 16 * 1024 * 1024, /* bytes of a line, or of an event */
    CLIENT_CONNECT_MS = 5000,
    CLIENT_SILENCE_S = 660,               /* a little longer than a request may take by default */
    CLIENT_ANSWER_MAX = 64 * 1024 * 1024, /* bytes of an answer that is not a stream */
};

struct client;

bool client_open(const char *socket, enum lang lang, struct client **ret, struct err *err);
void client_close(struct client *client);

/* While `fd` is readable requests end with ERR_CANCELLED; -1: nothing does (interrupt.h). */
void client_interrupt_by(struct client *client, int fd);

/* One exchange. `body` NULL: none. ret_answer NULL: the caller does not want it. */
bool client_call(struct client *client, const char *method, const char *path,
                 const yyjson_mut_doc *body, yyjson_doc **ret_answer, struct err *err);

/* POSTs and hands each event to `handler` as it comes; returns when the stream has ended. An event
 * named "error", and data with an "error" object, are not handed on but end the stream with that
 * error. */
bool client_stream(struct client *client, const char *path, const yyjson_mut_doc *body,
                   event_handler *handler, void *user, struct err *err);

/* Appends `text` as one segment of a URL's path. */
bool client_escape(struct client *client, const char *text, struct str *out, struct err *err);

/* The struct err of an OpenAI error object ({"message", "code", "param", "retry_after_ms"}).
 * Returns false. */
bool client_error(yyjson_val *error, struct err *err);

#endif
