/* http.h - from a connection to a handler and back: what all endpoints have in common.
 *
 * How a request goes: libmicrohttpd calls in with the headers, with each piece of the body, and at its end, always on
 *   the connection's own thread. The headers are checked (limits, route, guard); a request that fails there has
 *   its body swallowed, if that is short, so that the client reads the error and not a broken connection. When the
 *   body is complete the route's handler runs, straight through, to an answer or an error. A streamed answer is
 *   pulled from the handler's stream afterwards. At the end the request is logged and freed.
 * Owner:   struct http belongs to server.c, struct http_request to this file; handlers borrow it.
 * Threads: a request is one thread's, except that its cancel flag may be fired by the watch. struct http's counters
 *   are guarded by its lock.
 * Fails:   handlers return false with *err; everything a client can do wrong becomes an OpenAI error object.
 */
#ifndef JARVIS_SERVER_HTTP_H
#define JARVIS_SERVER_HTTP_H

#include <microhttpd.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "assistant/runtime.h"
#include "base/arena.h"
#include "base/str.h"
#include "base/thread.h"
#include "observe/log.h"
#include "observe/trace.h"
#include "server/guard.h"
#include "server/listen.h"
#include "server/route.h"
#include "server/upload.h"
#include "server/watch.h"

enum {
    HTTP_HEADERS_MAX = 32 * 1024, /* bytes of request line and headers: 431 beyond */
    HTTP_POOL = 64 * 1024,        /* a connection's memory in libmicrohttpd; its own 431 beyond */
    HTTP_DRAIN_MAX = 1024 * 1024, /* bytes of a refused body that are read for politeness */
    HTTP_SPARE_CONNECTIONS = 16,  /* beyond the limit: told 503 instead of being left to wait */
    HTTP_SPARE_MS = 5000,         /* how long such a connection may take to ask */
    HTTP_LONG_S = 24 * 60 * 60,   /* of ROUTE_LONG */
    HTTP_SLACK_MS = 2000,         /* the handler's own deadline comes first, then the watch's */
    HTTP_JSON_WEIGHT = 8,         /* memory that parsing takes, in lengths of the body */
    HTTP_BODIES_MAX = 16,         /* memory for all bodies at once, in server.max_body_mib */
    HTTP_EXTRA_HEADERS = 4,       /* that a handler may add */
    HTTP_STREAM_MAX = 64 * 1024 * 1024, /* bytes of one event */
};

#define HTTP_ARENA_MAX  ((size_t)1 << 30) /* bytes that one request may allocate */
#define HTTP_ANSWER_MAX ((size_t)1 << 30)

/* What all connections share. */
struct http {
    struct runtime *runtime;
    struct log *log;
    struct guard guard;
    struct watch *watch;
    const struct route *routes;
    size_t route_count;
    size_t max_body; /* bytes */
    size_t max_connections;
    unsigned idle_timeout_s;
    unsigned request_timeout_s;
    bool log_query_text;
    void (*on_shutdown)(void *user); /* a client has asked the service to stop */
    void *user;
    int64_t start_ns;
    char address[LISTEN_ADDRESS_MAX]; /* "127.0.0.1:8317"; "" without TCP */

    struct mutex lock; /* guards what follows */
    struct cond done;  /* a request has ended */
    size_t running;
    uint64_t served;
    int64_t last_end_ns; /* when `running` last fell to 0 */
    size_t body_bytes;   /* weighed bytes of all bodies held */
    bool stopping;       /* new requests are refused */
};

/* One of the two sockets that are accepted on. */
struct http_listener {
    struct http *http;
    bool local; /* the Unix socket */
    struct MHD_Daemon *daemon;
    atomic_size_t connections;
};

/* A streamed answer. `next` appends the next piece to `out` and returns false with the last one; `end` frees. */
struct http_stream {
    bool (*next)(void *state, struct str *out);
    void (*end)(void *state);
    void *state;
};

struct http_header {
    const char *name;
    const char *value;
};

/* What a handler fills in. */
struct http_answer {
    unsigned status; /* 200 unless the handler says otherwise */
    const char *content_type;
    struct str body;
    struct http_stream stream; /* used when next is set */
    struct http_header headers[HTTP_EXTRA_HEADERS];
    size_t header_count;
    bool close; /* the connection ends with this answer */
};

/* What the log line of the request tells. */
struct http_record {
    const char *query; /* the question; NULL for requests that are none */
    const char *model;
    uint64_t tokens;
    bool failed; /* in the middle of a stream */
};

struct http_request {
    struct http *http;
    struct runtime *runtime;
    struct MHD_Connection *connection;
    const struct route *route; /* NULL when none was found */
    const char *method;
    const char *path;
    const char *params[ROUTE_PARAMS_MAX];
    bool local;             /* came over the Unix socket */
    struct request request; /* for the assistant; points into this struct */
    struct arena arena;
    struct trace trace;
    struct cancel cancel;
    struct str body;
    struct upload *upload; /* ROUTE_UPLOAD */
    struct http_answer answer;
    struct http_record record;
    bool wants_shutdown; /* http->on_shutdown is called when the answer has been sent */

    /* http.c's own */
    struct err problem; /* found before the body was complete; code ERR_NONE: none */
    size_t received;    /* bytes of the body, kept or not */
    size_t drained;     /* bytes of the body read in vain */
    size_t weighed;     /* its part of http->body_bytes */
    struct str chunk;   /* of the stream, being sent */
    size_t chunk_sent;
    bool stream_ended;
};

/* libmicrohttpd's callbacks; `cls` is the struct http_listener. */
enum MHD_Result http_on_request(void *cls, struct MHD_Connection *connection, const char *url,
                                const char *method, const char *version, const char *upload_data,
                                size_t *upload_size, void **context);
void http_on_completed(void *cls, struct MHD_Connection *connection, void **context,
                       enum MHD_RequestTerminationCode how);
void http_on_connection(void *cls, struct MHD_Connection *connection, void **context,
                        enum MHD_ConnectionNotificationCode what);

/* --- http_answer.c, for http.c --- */

/* Queues the answer that the request holds: body or stream, with the headers that every answer has. */
enum MHD_Result http_send_answer(struct http_request *request);

/* Makes the answer an error object, with status and Retry-After, and logs it. `problem` may be reworded. */
void http_write_error(struct http_request *request, struct err *problem);

/* The line of a request that is over. */
void http_log(const struct http_request *request, bool success);

/* How long libmicrohttpd lets the connection be silent; 0: for ever. While a handler computes it must be 0, because
 * that time would be counted as the client's silence. */
void http_limit_silence(struct MHD_Connection *connection, unsigned seconds);

/* --- for handlers --- */

/* A parameter of the query string; NULL when absent. */
const char *http_query(struct http_request *request, const char *name);

/* Adds a header to the answer; the texts must live as long as the request (constants, or its arena). */
void http_add_header(struct http_request *request, const char *name, const char *value);

/* Makes the answer a stream of server-sent events; the stream is the request's from now on. */
void http_send_stream(struct http_request *request, const struct http_stream *stream);

#endif
