#include "engine/stream_text.h"

#include <string.h>

#include "base/utf8.h"

enum { TEXT_MAX = 64 << 20 };

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

void stream_text_init(struct stream_text *text, const char *const *stops, uint32_t stop_count)
{
    *text = (struct stream_text){.stops = stops, .stop_count = stop_count};
    str_init(&text->bytes, TEXT_MAX);
    str_init(&text->held, TEXT_MAX);
    str_init(&text->ready, TEXT_MAX);
}

void stream_text_free(struct stream_text *text)
{
    str_free(&text->bytes);
    str_free(&text->held);
    str_free(&text->ready);
}

/* Removes the first `length` bytes. */
static void drop_front(struct str *str, size_t length)
{
    if (length == 0)
        return;
    memmove(str->data, str->data + length, str->length - length);
    str_truncate(str, str->length - length);
}

/* Moves the whole characters from `bytes` to `held`; `last`: no more bytes will come. */
static void decode(struct stream_text *text, bool last)
{
    struct str *bytes = &text->bytes;
    size_t at = 0;
    while (at < bytes->length) {
        uint32_t point;
        int size = utf8_decode(bytes->data + at, bytes->length - at, &point);
        if (size < 0 && !last)
            break;
        if (size > 0 && point != 0) {
            str_append(&text->held, bytes->data + at, (size_t)size);
            at += (size_t)size;
        } else {
            str_puts(&text->held, REPLACEMENT);
            at = size < 0 ? bytes->length
                          : at + 1; /* the beginning of a character is one character lost */
        }
    }
    drop_front(bytes, at);
}

/* The place of the first stop string in `held`; its length when there is none. */
static size_t find_stop(const struct stream_text *text)
{
    size_t first = text->held.length;
    for (uint32_t i = 0; i < text->stop_count; i++) {
        const char *found =
            text->stops[i][0] ? strstr(str_text(&text->held), text->stops[i]) : NULL;
        if (found && (size_t)(found - text->held.data) < first)
            first = (size_t)(found - text->held.data);
    }
    return first;
}

/* How many bytes at the end of `held` are the beginning of some stop string. */
static size_t undecided(const struct stream_text *text)
{
    size_t most = 0;
    for (uint32_t i = 0; i < text->stop_count; i++) {
        size_t length = strlen(text->stops[i]);
        size_t try = length > 0 ? length - 1 : 0;
        if (try > text->held.length)
            try = text->held.length;
        while (try > most &&
               memcmp(text->held.data + text->held.length - try, text->stops[i], try) != 0)
            try--;
        if (try > most)
            most = try;
    }
    return most;
}

/* Moves what is decided from `held` to `ready`. */
static void release(struct stream_text *text, bool last)
{
    size_t stop = find_stop(text);
    if (stop < text->held.length) {
        text->stopped = true;
        str_append(&text->ready, text->held.data, stop);
        str_truncate(&text->held, 0);
        return;
    }
    size_t free = text->held.length - (last ? 0 : undecided(text));
    str_append(&text->ready, str_text(&text->held), free);
    drop_front(&text->held, free);
}

bool stream_text_feed(struct stream_text *text, const char *bytes, size_t length)
{
    str_truncate(&text->ready, 0);
    if (text->stopped)
        return true;
    str_append(&text->bytes, bytes, length);
    decode(text, false);
    release(text, false);
    return text->stopped;
}

void stream_text_finish(struct stream_text *text)
{
    if (text->stopped)
        return;
    decode(text, true);
    release(text, true);
}

const char *stream_text_ready(const struct stream_text *text)
{
    return str_text(&text->ready);
}

bool stream_text_ok(const struct stream_text *text)
{
    return str_ok(&text->bytes) && str_ok(&text->held) && str_ok(&text->ready);
}
