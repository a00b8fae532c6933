/* sse.h - server-sent events (WHATWG HTML, "Server-sent events"): the lines around a JSON object.
 *
 *     sse_begin(out, "progress"); …write JSON to out…; sse_end(out);
 *
 * Threads: safe from any. Fails: through str_ok() of the builder. The JSON between the two holds no line break:
 * writer.h escapes them.
 */
#ifndef JARVIS_SERVER_SSE_H
#define JARVIS_SERVER_SSE_H

#include "base/str.h"

/* `event` is a constant name, or NULL for an event without one, as OpenAI's streams have them. */
void sse_begin(struct str *out, const char *event);
void sse_end(struct str *out);

/* The event that ends OpenAI's streams: `data: [DONE]`. */
void sse_done(struct str *out);

/* A comment line, which clients ignore: it keeps a silent connection open and finds out who has left. */
void sse_keep_alive(struct str *out);

#endif
