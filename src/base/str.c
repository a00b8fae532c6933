#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

void str_init(struct str *str, size_t max)
{
    *str = (struct str){.max = max};
}

void str_free(struct str *str)
{
    free(str->data);
    *str = (struct str){.max = str->max};
}

char *str_reserve(struct str *str, size_t length)
{
    if (str->failed)
        return NULL;
    if (length > str->max - str->length) {
        str->failed = str->overflowed = true;
        return NULL;
    }
    size_t need = str->length + length + 1;
    if (need > str->capacity) {
        size_t capacity = str->capacity < 32 ? 64 : str->capacity * 2;
        if (capacity < need)
            capacity = need;
        if (capacity > str->max + 1)
            capacity = str->max + 1;
        char *data = realloc(str->data, capacity);
        if (!data) {
            str->failed = true;
            return NULL;
        }
        str->data = data;
        str->capacity = capacity;
    }
    return str->data + str->length;
}

void str_commit(struct str *str, size_t length)
{
    str->length += length;
    str->data[str->length] = '\0';
}

void str_append(struct str *str, const void *bytes, size_t length)
{
    char *to = str_reserve(str, length);
    if (!to)
        return;
    if (length > 0)
        memcpy(to, bytes, length);
    str_commit(str, length);
}

void str_puts(struct str *str, const char *text)
{
    str_append(str, text, strlen(text));
}

void str_putc(struct str *str, char c)
{
    str_append(str, &c, 1);
}

void str_vprintf(struct str *str, const char *format, va_list arguments)
{
    va_list again;
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    char *to = length < 0 ? NULL : str_reserve(str, (size_t)length);
    if (to) {
        vsnprintf(to, (size_t)length + 1, format, again);
        str_commit(str, (size_t)length);
    } else {
        str->failed = true;
    }
    va_end(again);
}

void str_printf(struct str *str, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    str_vprintf(str, format, arguments);
    va_end(arguments);
}

/* Escapes one character of one byte. */
static void json_escape_byte(struct str *str, unsigned char c)
{
    switch (c) {
    case '"': str_append(str, "\\\"", 2); break;
    case '\\': str_append(str, "\\\\", 2); break;
    case '\n': str_append(str, "\\n", 2); break;
    case '\r': str_append(str, "\\r", 2); break;
    case '\t': str_append(str, "\\t", 2); break;
    default:
        if (c < 0x20 || c == 0x7f)
            str_printf(str, "\\u%04x", c);
        else
            str_putc(str, (char)c);
    }
}

void str_json(struct str *str, const char *text, size_t length)
{
    size_t at = 0;
    while (at < length) {
        uint32_t point;
        int size = utf8_decode(text + at, length - at, &point);
        if (size <= 0) {
            str_append(str, "\xef\xbf\xbd", 3);
            at++;
        } else if (size == 1) {
            json_escape_byte(str, (unsigned char)text[at]);
            at++;
        } else {
            str_append(str, text + at, (size_t)size);
            at += (size_t)size;
        }
    }
}

void str_truncate(struct str *str, size_t length)
{
    if (length < str->length) {
        str->length = length;
        str->data[length] = '\0';
    }
}

bool str_ok(const struct str *str)
{
    return !str->failed;
}

bool str_check(const struct str *str, const char *what, struct err *err)
{
    if (!str->failed)
        return true;
    if (!str->overflowed)
        return err_no_memory(err);
    err_set(err, ERR_TOO_LARGE, "%s is larger than the limit of %zu bytes; send less at a time",
            what, str->max);
    return err_translate_noun(err, what);
}

const char *str_text(const struct str *str)
{
    return str->data ? str->data : "";
}

char *str_take(struct str *str)
{
    char *data = str->data;
    if (str->failed) {
        str_free(str);
        return NULL;
    }
    if (!data)
        data = calloc(1, 1);
    *str = (struct str){.max = str->max};
    return data;
}

bool str_copy_n(const char *text, size_t length, char **ret, struct err *err)
{
    char *copy = malloc(length + 1);
    if (!copy)
        return err_no_memory(err);
    memcpy(copy, text, length);
    copy[length] = '\0';
    *ret = copy;
    return true;
}

bool str_copy(const char *text, char **ret, struct err *err)
{
    return str_copy_n(text, strlen(text), ret, err);
}

char *str_format(size_t max, const char *format, ...)
{
    struct str str;
    str_init(&str, max);
    va_list arguments;
    va_start(arguments, format);
    str_vprintf(&str, format, arguments);
    va_end(arguments);
    return str_take(&str);
}
