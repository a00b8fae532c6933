#include "server/writer.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void writer_begin(struct writer *writer, struct str *out)
{
    *writer = (struct writer){.out = out};
}

/* What stands before a value: the comma, and the key in an object. */
static void lead(struct writer *writer, const char *key)
{
    bool *has_items = &writer->has_items[writer->depth];
    if (*has_items)
        str_putc(writer->out, ',');
    *has_items = writer->depth > 0;
    if (key) {
        str_putc(writer->out, '"');
        str_json(writer->out, key, strlen(key));
        str_puts(writer->out, "\":");
    }
}

static void open_level(struct writer *writer, const char *key, bool is_array)
{
    lead(writer, key);
    str_putc(writer->out, is_array ? '[' : '{');
    if (writer->depth + 1 == WRITER_DEPTH_MAX) {
        writer->out->failed = true;
        return;
    }
    writer->depth++;
    writer->has_items[writer->depth] = false;
    writer->is_array[writer->depth] = is_array;
}

void writer_object(struct writer *writer, const char *key)
{
    open_level(writer, key, false);
}

void writer_array(struct writer *writer, const char *key)
{
    open_level(writer, key, true);
}

void writer_end(struct writer *writer)
{
    str_putc(writer->out, writer->is_array[writer->depth] ? ']' : '}');
    if (writer->depth > 0)
        writer->depth--;
}

void writer_text(struct writer *writer, const char *key, const char *text)
{
    if (text)
        writer_text_n(writer, key, text, strlen(text));
    else
        writer_null(writer, key);
}

void writer_text_n(struct writer *writer, const char *key, const char *text, size_t length)
{
    lead(writer, key);
    str_putc(writer->out, '"');
    str_json(writer->out, text, length);
    str_putc(writer->out, '"');
}

void writer_int(struct writer *writer, const char *key, int64_t number)
{
    lead(writer, key);
    str_printf(writer->out, "%" PRId64, number);
}

void writer_uint(struct writer *writer, const char *key, uint64_t number)
{
    lead(writer, key);
    str_printf(writer->out, "%" PRIu64, number);
}

/* printf and strtod follow the locale, whose decimal point may be a comma. */
static void use_point(char *digits)
{
    char *comma = strchr(digits, ',');
    if (comma)
        *comma = '.';
}

void writer_number(struct writer *writer, const char *key, double number)
{
    if (!isfinite(number)) {
        writer_null(writer, key);
        return;
    }
    char digits[40];
    snprintf(digits, sizeof(digits), "%.15g", number);
    if (strtod(digits, NULL) != number)
        snprintf(digits, sizeof(digits), "%.17g", number);
    use_point(digits);
    writer_json(writer, key, digits);
}

void writer_float(struct writer *writer, const char *key, float number)
{
    if (!isfinite(number)) {
        writer_null(writer, key);
        return;
    }
    char digits[32];
    snprintf(digits, sizeof(digits), "%.7g", (double)number);
    if (strtof(digits, NULL) != number)
        snprintf(digits, sizeof(digits), "%.9g", (double)number);
    use_point(digits);
    writer_json(writer, key, digits);
}

void writer_ms(struct writer *writer, const char *key, double milliseconds)
{
    writer_number(writer, key, round(milliseconds * 1000) / 1000);
}

void writer_bool(struct writer *writer, const char *key, bool value)
{
    writer_json(writer, key, value ? "true" : "false");
}

void writer_null(struct writer *writer, const char *key)
{
    writer_json(writer, key, "null");
}

void writer_json(struct writer *writer, const char *key, const char *json)
{
    lead(writer, key);
    str_puts(writer->out, json);
}
