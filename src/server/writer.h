/* writer.h - writing JSON straight into a string builder.
 *
 * Purpose: answers are written in one pass, in the order in which they are read; commas, quotes and escapes are
 *   taken care of. A `key` of NULL writes an element of an array (or the outermost value).
 * Owner:   the text belongs to the builder, which belongs to the caller. Threads: one.
 * Fails:   through str_ok() of the builder. Nesting past WRITER_DEPTH_MAX fails the builder as well.
 *
 *     writer_begin(&w, out)
 *     writer_object(&w, NULL); writer_text(&w, "object", "list"); writer_end(&w)
 */
#ifndef JARVIS_SERVER_WRITER_H
#define JARVIS_SERVER_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

enum { WRITER_DEPTH_MAX = 32 };

struct writer {
    struct str *out;
    int depth;
    bool has_items[WRITER_DEPTH_MAX]; /* per open level: a comma goes before the next item */
    bool is_array[WRITER_DEPTH_MAX];
};

/* Begins a document at the end of `out`. */
void writer_begin(struct writer *writer, struct str *out);

void writer_object(struct writer *writer, const char *key);
void writer_array(struct writer *writer, const char *key);
void writer_end(struct writer *writer); /* of the innermost object or array */

/* A NULL text is written as null. */
void writer_text(struct writer *writer, const char *key, const char *text);
void writer_text_n(struct writer *writer, const char *key, const char *text, size_t length);
void writer_int(struct writer *writer, const char *key, int64_t number);
void writer_uint(struct writer *writer, const char *key, uint64_t number);

/* The shortest form that reads back as the same number; null when it is not finite (JSON has no such numbers). */
void writer_number(struct writer *writer, const char *key, double number);
void writer_float(struct writer *writer, const char *key, float number);

/* Milliseconds: three decimals. */
void writer_ms(struct writer *writer, const char *key, double milliseconds);

void writer_bool(struct writer *writer, const char *key, bool value);
void writer_null(struct writer *writer, const char *key);

/* Text that is JSON already. */
void writer_json(struct writer *writer, const char *key, const char *json);

#endif
