/* json.h - reading and writing JSON through yyjson, with errors that point at the field.
 *
 * Owner:   documents are yyjson's (yyjson_doc_free); strings returned point into the document.
 * Threads: a document may be read from many threads, changed by one.
 * Fails:   false with err; ERR_INVALID_JSON has line and column, ERR_INVALID_REQUEST names the field.
 */
#ifndef JARVIS_BASE_JSON_H
#define JARVIS_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <yyjson.h>

#include "base/err.h"
#include "base/str.h"

enum { JSON_DEPTH_MAX = 64 };

/* Parses strict JSON (RFC 8259); deeper nesting than JSON_DEPTH_MAX is refused. `what` names the text in messages. */
bool json_parse(const char *text, size_t length, const char *what, yyjson_doc **ret,
                struct err *err);

/* The same with comments and trailing commas allowed, as the configuration has them. */
bool json_parse_relaxed(const char *text, size_t length, const char *what, yyjson_doc **ret,
                        struct err *err);

/* Optional fields of an object: absent or null leaves *value as it is; a wrong type or range is an error that
 * names the field (err->param). */
bool json_opt_string(yyjson_val *object, const char *key, const char **value, struct err *err);
bool json_opt_bool(yyjson_val *object, const char *key, bool *value, struct err *err);
bool json_opt_int(yyjson_val *object, const char *key, int64_t min, int64_t max, int64_t *value,
                  struct err *err);
bool json_opt_double(yyjson_val *object, const char *key, double min, double max, double *value,
                     struct err *err);

/* A string that must be there. */
bool json_need_string(yyjson_val *object, const char *key, const char **ret, struct err *err);

/* Serialises to a string builder. */
bool json_write(const yyjson_mut_doc *doc, bool pretty, struct str *out, struct err *err);

#endif
