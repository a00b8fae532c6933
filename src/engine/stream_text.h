/* stream_text.h - the bytes of tokens become text that may be shown.
 *
 * Purpose: a token may end inside a character, and a stop string may spread over several tokens. What is not yet
 *   certain is held back; what is ready is valid UTF-8 always. Bytes that can be no character become U+FFFD.
 * Owner:   the caller owns the struct; the stop strings must live as long.
 * Threads: one at a time. Fails: stream_text_ok() turns false when memory ran out.
 *
 *     if (stream_text_feed(&text, piece, length)) … a stop string was met: nothing more will come
 *     if (that was the last token) stream_text_finish(&text)
 *     show(stream_text_ready(&text))
 */
#ifndef JARVIS_ENGINE_STREAM_TEXT_H
#define JARVIS_ENGINE_STREAM_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

struct stream_text {
    const char *const *stops;
    uint32_t stop_count;
    struct str bytes; /* the beginning of a character, at most 3 bytes */
    struct str held;  /* text that may become a stop string */
    struct str ready;
    bool stopped;
};

/* Empty stop strings are ignored. */
void stream_text_init(struct stream_text *text, const char *const *stops, uint32_t stop_count);
void stream_text_free(struct stream_text *text);

/* Takes the bytes of a token; what was ready before is forgotten. True when a stop string has been met: the text
 * ends before it, and later bytes are ignored. */
bool stream_text_feed(struct stream_text *text, const char *bytes, size_t length);

/* No more tokens: what was held back is added to what the last feed made ready. */
void stream_text_finish(struct stream_text *text);

/* The text that became ready by the last feed and by finish; "" when none. Valid until the next call. */
const char *stream_text_ready(const struct stream_text *text);

bool stream_text_ok(const struct stream_text *text);

#endif
