#include "base/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The end of a string or (where the text may have them) a comment that begins at `at`; `at` when none does. */
static size_t skip_quoted(const char *text, size_t length, size_t at, bool comments)
{
    const char *end = NULL;
    if (text[at] == '"') {
        for (at++; at < length && text[at] != '"'; at++)
            at += text[at] == '\\';
        return at < length ? at + 1 : length;
    }
    if (!comments || text[at] != '/' || at + 1 >= length)
        return at;
    if (text[at + 1] == '/')
        end = memchr(text + at, '\n', length - at);
    else if (text[at + 1] == '*')
        end = memmem(text + at + 2, length - at - 2, "*/", 2);
    else
        return at;
    return end ? (size_t)(end - text) + 1 : length;
}

/* Nesting is measured before parsing: brackets outside of strings and comments. */
static size_t nesting(const char *text, size_t length, bool comments)
{
    size_t depth = 0;
    size_t deepest = 0;
    for (size_t at = 0; at < length; at++) {
        size_t after = skip_quoted(text, length, at, comments);
        if (after > at) {
            at = after - 1;
        } else if (text[at] == '{' || text[at] == '[') {
            depth++;
            deepest = depth > deepest ? depth : deepest;
        } else if ((text[at] == '}' || text[at] == ']') && depth > 0) {
            depth--;
        }
    }
    return deepest;
}

static bool parse(const char *text, size_t length, const char *what, yyjson_read_flag flags,
                  yyjson_doc **ret, struct err *err)
{
    bool comments = flags & YYJSON_READ_ALLOW_COMMENTS;
    if (nesting(text, length, comments) > JSON_DEPTH_MAX) {
        err_set(err, ERR_INVALID_JSON, "%s is nested deeper than %d levels", what, JSON_DEPTH_MAX);
        return err_translate_noun(err, what);
    }
    yyjson_read_err failed;
    yyjson_doc *doc = yyjson_read_opts((char *)(uintptr_t)text, length, flags, NULL, &failed);
    if (doc) {
        *ret = doc;
        return true;
    }
    if (failed.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION)
        return err_no_memory(err);
    size_t line = 1;
    size_t column = 1;
    size_t character = 0;
    yyjson_locate_pos(text, length, failed.pos, &line, &column, &character);
    err_set(err, ERR_INVALID_JSON, "%s is not valid JSON at line %zu, column %zu: %s", what, line,
            column, failed.msg);
    return err_translate_noun(err, what);
}

bool json_parse(const char *text, size_t length, const char *what, yyjson_doc **ret,
                struct err *err)
{
    return parse(text, length, what, YYJSON_READ_NOFLAG, ret, err);
}

bool json_parse_relaxed(const char *text, size_t length, const char *what, yyjson_doc **ret,
                        struct err *err)
{
    return parse(text, length, what, YYJSON_READ_ALLOW_COMMENTS | YYJSON_READ_ALLOW_TRAILING_COMMAS,
                 ret, err);
}

/* The field, or NULL when it is absent or null. */
static yyjson_val *field(yyjson_val *object, const char *key)
{
    yyjson_val *value = yyjson_obj_get(object, key);
    return yyjson_is_null(value) ? NULL : value;
}

bool json_opt_string(yyjson_val *object, const char *key, const char **value, struct err *err)
{
    yyjson_val *found = field(object, key);
    if (!found)
        return true;
    if (!yyjson_is_str(found))
        return err_set_param(err, ERR_INVALID_REQUEST, key, "\"%s\" must be a string", key);
    if (strlen(yyjson_get_str(found)) != yyjson_get_len(found))
        return err_set_param(err, ERR_INVALID_REQUEST, key,
                             "\"%s\" must not contain a NUL character", key);
    *value = yyjson_get_str(found);
    return true;
}

bool json_opt_bool(yyjson_val *object, const char *key, bool *value, struct err *err)
{
    yyjson_val *found = field(object, key);
    if (!found)
        return true;
    if (!yyjson_is_bool(found))
        return err_set_param(err, ERR_INVALID_REQUEST, key, "\"%s\" must be true or false", key);
    *value = yyjson_get_bool(found);
    return true;
}

bool json_opt_int(yyjson_val *object, const char *key, int64_t min, int64_t max, int64_t *value,
                  struct err *err)
{
    yyjson_val *found = field(object, key);
    if (!found)
        return true;
    bool whole =
        yyjson_is_sint(found) || (yyjson_is_uint(found) && yyjson_get_uint(found) <= INT64_MAX);
    if (!whole || yyjson_get_sint(found) < min || yyjson_get_sint(found) > max)
        return err_set_param(err, ERR_INVALID_REQUEST, key,
                             "\"%s\" must be a whole number from %lld to %lld", key, (long long)min,
                             (long long)max);
    *value = yyjson_get_sint(found);
    return true;
}

bool json_opt_double(yyjson_val *object, const char *key, double min, double max, double *value,
                     struct err *err)
{
    yyjson_val *found = field(object, key);
    if (!found)
        return true;
    double number = yyjson_is_num(found) ? yyjson_get_num(found) : NAN;
    if (!(number >= min && number <= max))
        return err_set_param(err, ERR_INVALID_REQUEST, key, "\"%s\" must be a number from %g to %g",
                             key, min, max);
    *value = number;
    return true;
}

bool json_need_string(yyjson_val *object, const char *key, const char **ret, struct err *err)
{
    const char *value = NULL;
    if (!json_opt_string(object, key, &value, err))
        return false;
    if (!value)
        return err_set_param(err, ERR_INVALID_REQUEST, key, "\"%s\" is missing", key);
    *ret = value;
    return true;
}

bool json_write(const yyjson_mut_doc *doc, bool pretty, struct str *out, struct err *err)
{
    size_t length = 0;
    yyjson_write_flag flags = pretty ? YYJSON_WRITE_PRETTY_TWO_SPACES : YYJSON_WRITE_NOFLAG;
    yyjson_write_err failed;
    char *text = yyjson_mut_write_opts(doc, flags, NULL, &length, &failed);
    if (!text) {
        if (failed.code == YYJSON_WRITE_ERROR_MEMORY_ALLOCATION)
            return err_no_memory(err);
        return err_set(err, ERR_INTERNAL, "cannot write JSON: %s", failed.msg);
    }
    str_append(out, text, length);
    free(text);
    return str_check(out, "JSON", err);
}
