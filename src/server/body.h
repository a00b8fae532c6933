/* body.h - what the request parsers share: a JSON object from a body, and lists of strings out of it.
 *
 * Owner:   copies live in the arena; the document belongs to the caller (yyjson_doc_free). Threads: safe from any.
 * Fails:   ERR_INVALID_JSON with line and column, ERR_INVALID_REQUEST naming the field.
 */
#ifndef JARVIS_SERVER_BODY_H
#define JARVIS_SERVER_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"

/* Parses a body that must be a JSON object. */
bool body_object(const char *text, size_t length, yyjson_doc **ret, struct err *err);

/* The same, but an empty body counts as an empty object. */
bool body_optional_object(const char *text, size_t length, yyjson_doc **ret, struct err *err);

/* A string field copied to the arena; absent leaves *value. */
bool body_text(yyjson_val *object, const char *key, struct arena *arena, const char **value,
               struct err *err);

/* A string field that must be there and not be empty. */
bool body_need_text(yyjson_val *object, const char *key, struct arena *arena, const char **ret,
                    struct err *err);

/* A list of strings, none of them empty, at most `max` of them. Absent leaves *list and *count. */
bool body_texts(yyjson_val *object, const char *key, size_t max, struct arena *arena,
                const char *const **list, size_t *count, struct err *err);

/* The same where a single string stands for a list of one; must be there and not be empty. */
bool body_need_text_or_texts(yyjson_val *object, const char *key, size_t max, struct arena *arena,
                             const char *const **list, size_t *count, struct err *err);

/* One element of the list `key`, copied: a string that is not empty and holds no NUL. */
bool body_element(yyjson_val *value, const char *key, struct arena *arena, const char **ret,
                  struct err *err);

/* A field, NULL when it is absent or null. */
yyjson_val *body_field(yyjson_val *object, const char *key);

/* A field that must be an object when it is there; *ret is NULL when it is not. */
bool body_opt_object(yyjson_val *object, const char *key, yyjson_val **ret, struct err *err);

#endif
