#include "server/body.h"

#include <string.h>

bool body_object(const char *text, size_t length, yyjson_doc **ret, struct err *err)
{
    yyjson_doc *doc = NULL;
    if (length == 0)
        return err_set(err, ERR_INVALID_REQUEST,
                       "the request has no body; a JSON object is expected");
    if (!json_parse(text, length, "the request body", &doc, err))
        return false;
    if (!yyjson_is_obj(yyjson_doc_get_root(doc))) {
        yyjson_doc_free(doc);
        return err_set(err, ERR_INVALID_REQUEST, "the request body must be a JSON object");
    }
    *ret = doc;
    return true;
}

bool body_optional_object(const char *text, size_t length, yyjson_doc **ret, struct err *err)
{
    return length == 0 ? body_object("{}", 2, ret, err) : body_object(text, length, ret, err);
}

yyjson_val *body_field(yyjson_val *object, const char *key)
{
    yyjson_val *value = yyjson_obj_get(object, key);
    return yyjson_is_null(value) ? NULL : value;
}

bool body_opt_object(yyjson_val *object, const char *key, yyjson_val **ret, struct err *err)
{
    yyjson_val *value = body_field(object, key);
    if (value && !yyjson_is_obj(value))
        return err_set_param(err, ERR_INVALID_REQUEST, key, "\"%s\" must be an object", key);
    *ret = value;
    return true;
}

bool body_text(yyjson_val *object, const char *key, struct arena *arena, const char **value,
               struct err *err)
{
    const char *found = NULL;
    if (!json_opt_string(object, key, &found, err))
        return false;
    if (!found)
        return true;
    const char *copy = arena_copy(arena, found);
    if (!copy)
        return err_no_memory(err);
    *value = copy;
    return true;
}

bool body_need_text(yyjson_val *object, const char *key, struct arena *arena, const char **ret,
                    struct err *err)
{
    const char *text = NULL;
    if (!body_text(object, key, arena, &text, err))
        return false;
    if (!text)
        return err_set_param(err, ERR_INVALID_REQUEST, key, "\"%s\" is missing", key);
    if (*text == '\0')
        return err_set_param(err, ERR_INVALID_REQUEST, key, "\"%s\" is empty", key);
    *ret = text;
    return true;
}

bool body_element(yyjson_val *value, const char *key, struct arena *arena, const char **ret,
                  struct err *err)
{
    const char *text = yyjson_get_str(value);
    if (!text || *text == '\0' || strlen(text) != yyjson_get_len(value))
        return err_set_param(err, ERR_INVALID_REQUEST, key,
                             "\"%s\" must hold strings that are not empty and without NUL", key);
    const char *copy = arena_copy(arena, text);
    if (!copy)
        return err_no_memory(err);
    *ret = copy;
    return true;
}

/* The elements of an array, each copied. */
static bool copy_elements(yyjson_val *array, const char *key, struct arena *arena,
                          const char *const **ret, struct err *err)
{
    const char **list = arena_array(arena, yyjson_arr_size(array), sizeof(*list));
    if (!list)
        return err_no_memory(err);
    yyjson_val *value;
    size_t i;
    size_t count;
    yyjson_arr_foreach(array, i, count, value)
    {
        if (!body_element(value, key, arena, &list[i], err))
            return false;
    }
    *ret = list;
    return true;
}

bool body_texts(yyjson_val *object, const char *key, size_t max, struct arena *arena,
                const char *const **list, size_t *count, struct err *err)
{
    yyjson_val *array = body_field(object, key);
    if (!array)
        return true;
    if (!yyjson_is_arr(array))
        return err_set_param(err, ERR_INVALID_REQUEST, key, "\"%s\" must be a list of strings",
                             key);
    size_t size = yyjson_arr_size(array);
    if (size > max)
        return err_set_param(err, ERR_INVALID_REQUEST, key,
                             "\"%s\" has %zu elements; at most %zu are allowed", key, size, max);
    if (!copy_elements(array, key, arena, list, err))
        return false;
    *count = size;
    return true;
}

bool body_need_text_or_texts(yyjson_val *object, const char *key, size_t max, struct arena *arena,
                             const char *const **list, size_t *count, struct err *err)
{
    yyjson_val *value = body_field(object, key);
    if (!value)
        return err_set_param(err, ERR_INVALID_REQUEST, key, "\"%s\" is missing", key);
    if (yyjson_is_arr(value)) {
        if (yyjson_arr_size(value) == 0)
            return err_set_param(err, ERR_INVALID_REQUEST, key, "\"%s\" is empty", key);
        return body_texts(object, key, max, arena, list, count, err);
    }
    if (!yyjson_is_str(value))
        return err_set_param(err, ERR_INVALID_REQUEST, key,
                             "\"%s\" must be a string or a list of strings", key);
    const char **one = arena_array(arena, 1, sizeof(*one));
    if (!one)
        return err_no_memory(err);
    if (!body_need_text(object, key, arena, one, err))
        return false;
    *list = one;
    *count = 1;
    return true;
}
