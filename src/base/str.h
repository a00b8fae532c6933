/* str.h - a string builder that knows its limit.
 *
 * Purpose: build text or bytes piece by piece. Every builder declares the most it may hold; a failure (limit or
 *   memory) sticks, further appends do nothing, and it is checked once at the end with str_ok().
 * Owner:   the struct owns `data` until str_take() hands it over or str_free() ends it.
 * Threads: one thread at a time.
 * Fails:   str_ok() turns false; data keeps what was appended before.
 *
 * `data` is always NUL-terminated, also when empty, so it can be printed; it may hold NUL bytes inside.
 */
#ifndef JARVIS_BASE_STR_H
#define JARVIS_BASE_STR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct str {
    char *data;
    size_t length;   /* bytes in use, NUL not counted */
    size_t capacity; /* bytes allocated */
    size_t max;      /* the most bytes that `length` may reach */
    bool failed;     /* sticky: the limit was met or memory ran out */
    bool overflowed; /* `failed` because of the limit */
};

/* An empty builder of at most `max` bytes; allocates nothing yet. */
void str_init(struct str *str, size_t max);
void str_free(struct str *str);

void str_append(struct str *str, const void *bytes, size_t length);
void str_puts(struct str *str, const char *text);
void str_putc(struct str *str, char c);
void str_printf(struct str *str, const char *format, ...) __attribute__((format(printf, 2, 3)));
void str_vprintf(struct str *str, const char *format, va_list arguments)
    __attribute__((format(printf, 2, 0)));

/* Appends text as the inside of a JSON string (RFC 8259): escaped, invalid UTF-8 replaced by U+FFFD. */
void str_json(struct str *str, const char *text, size_t length);

/* Makes room for `length` more bytes and returns where to write them; NULL on failure. After writing, the
 * caller adds what it wrote to str->length and keeps data NUL-terminated with str_commit(). */
char *str_reserve(struct str *str, size_t length);
void str_commit(struct str *str, size_t length);

/* Shortens to `length` bytes (nothing when it is shorter). */
void str_truncate(struct str *str, size_t length);

bool str_ok(const struct str *str);

/* str_ok() as an error of the usual form: ERR_TOO_LARGE naming `what`, or ERR_NO_MEMORY. */
bool str_check(const struct str *str, const char *what, struct err *err);

/* The text as a NUL-terminated string, never NULL. Valid until the next change. */
const char *str_text(const struct str *str);

/* Hands the buffer to the caller (free() it) and leaves the builder empty; NULL if the builder has failed. */
char *str_take(struct str *str);

/* strdup and friends with an error: the copy is the caller's. */
bool str_copy(const char *text, char **ret, struct err *err);
bool str_copy_n(const char *text, size_t length, char **ret, struct err *err);
char *str_format(size_t max, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
