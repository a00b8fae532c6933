/* jsonc.h - where things stand in the text of JSON with comments.
 *
 * Purpose: private to src/config. The parser of base/json.h tells what a file says but not where; messages need
 *   the place, and editing a file without disturbing its comments needs the bytes. This walks the same text.
 * Owner:   nothing is allocated; spans are offsets into the caller's text.
 * Threads: safe from any.
 * Fails:   never: the text must have been accepted by json_parse_relaxed(). (On any other text the walk ends early,
 *   always inside its bounds.)
 *
 *     struct jsonc_walk walk;
 *     jsonc_open(&walk, text, length, jsonc_root(text, length));
 *     while (jsonc_next(&walk, &item)) ...
 */
#ifndef JARVIS_CONFIG_JSONC_H
#define JARVIS_CONFIG_JSONC_H

#include <stdbool.h>
#include <stddef.h>

/* text[begin..end) */
struct jsonc_span {
    size_t begin;
    size_t end;
};

struct jsonc_item {
    struct jsonc_span key; /* with its quotes; empty in an array */
    struct jsonc_span value;
    size_t comma; /* offset of the comma after it; `length` of the text when there is none */
};

struct jsonc_walk {
    const char *text;
    size_t length;
    size_t at;
    bool is_object;
    size_t close; /* offset of the closing bracket, once jsonc_next() has returned false */
};

/* Offset of the outermost value. */
size_t jsonc_root(const char *text, size_t length);

/* Begins to walk the items of the object or array whose bracket stands at `container`. */
void jsonc_open(struct jsonc_walk *walk, const char *text, size_t length, size_t container);

/* The next item; false at the end. */
bool jsonc_next(struct jsonc_walk *walk, struct jsonc_item *ret);

/* The end of the last thing before `at` that is not white space (a value, a comma, a bracket, or a comment). */
size_t jsonc_before_space(const char *text, size_t at);

#endif
