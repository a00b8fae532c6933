/* trace.h - where the time of one request went.
 *
 * Purpose: a trace has an id (W3C Trace Context) and spans: named steps with a start and a length on the
 *   monotonic clock, nested by who is open when they begin.
 * Owner:   the request's thread owns the struct; nothing is allocated. Span names are string constants.
 * Threads: begin and end from one thread; another may read after it is done.
 * Fails:   never; spans past TRACE_SPANS are counted, not kept. NULL as trace is allowed everywhere.
 */
#ifndef JARVIS_OBSERVE_TRACE_H
#define JARVIS_OBSERVE_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

enum { TRACE_SPANS = 48, TRACE_ID_HEX = 33 };

struct trace_span {
    const char *name; /* "embed", "retrieve", … */
    int parent;       /* index of the span it is in; -1 for none */
    int64_t start_ns;
    int64_t length_ns; /* -1 while open */
};

struct trace {
    char id[TRACE_ID_HEX]; /* 32 lower-case hexadecimal digits */
    int64_t start_ns;
    struct trace_span spans[TRACE_SPANS];
    int count;
    int open; /* the innermost open span; -1 */
    int dropped;
};

/* Starts; takes the id from a valid `traceparent` header, else (also for NULL) makes a random one. */
void trace_init(struct trace *trace, const char *traceparent);

/* Returns the span's index for trace_end(); -1 when it is not kept. */
int trace_begin(struct trace *trace, const char *name);
void trace_end(struct trace *trace, int span);

/* Milliseconds of all spans called `name`, together; 0 when there are none. */
double trace_ms(const struct trace *trace, const char *name);
double trace_total_ms(const struct trace *trace);

/* The value of a Server-Timing header: `embed;dur=1.2, retrieve;dur=0.3, total;dur=…` (top-level spans). */
void trace_server_timing(const struct trace *trace, struct str *out);

#endif
