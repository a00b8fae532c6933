/* log.c - one JSON object a line, one write(2) a line.
 *
 * The file is opened with O_APPEND, so lines of several threads and processes never mix. Texts and whole lines
 * are bounded: a text that is too long is cut, fields that no longer fit are left out and `"cut":true` says so.
 * When the disk takes only a part of a line, the next line begins with a line feed: one line is damaged, never two.
 */
#include "observe/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"

enum {
    LINE_MAX_BYTES = 256 * 1024,
    TEXT_MAX_BYTES = 8 * 1024, /* of one text, before it is escaped */
    ESCAPED_SIZE = 6,          /* the most bytes that one becomes: \u0000 */
    NUMBER_SIZE = 40,          /* the longest number, with room */
    LINE_END_SIZE = 16,        /* ,"cut":true} and a line feed */
};

struct log {
    int fd;
    bool owned; /* fd is closed at the end */
    enum log_level level;
    atomic_bool torn; /* the last line in the file has no end */
    _Atomic uint64_t lost;
    log_critical *critical; /* NULL: nobody is told */
    void *critical_user;
};

static const char *const level_names[LOG_LEVEL_COUNT] = {"debug", "info", "warn", "error"};

bool log_open(const char *path, enum log_level level, struct log **ret, struct err *err)
{
    bool to_stderr = strcmp(path, "-") == 0;
    int fd = to_stderr ? STDERR_FILENO
                       : open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0600);
    if (fd < 0)
        return err_set_errno(err, ERR_IO, errno, "cannot open the log file \"%s\"", path);
    struct log *log = calloc(1, sizeof(*log));
    if (!log) {
        if (!to_stderr)
            close(fd);
        return err_no_memory(err);
    }
    log->fd = fd;
    log->owned = !to_stderr;
    log->level = level;
    *ret = log;
    return true;
}

void log_close(struct log *log)
{
    if (!log)
        return;
    if (log->owned)
        close(log->fd);
    free(log);
}

bool log_level_parse(const char *name, enum log_level *ret)
{
    for (int level = 0; level < LOG_LEVEL_COUNT; level++) {
        if (strcmp(name, level_names[level]) == 0) {
            *ret = (enum log_level)level;
            return true;
        }
    }
    return false;
}

uint64_t log_lost(const struct log *log)
{
    return log ? atomic_load(&log->lost) : 0;
}

static size_t text_length(const char *text)
{
    return strnlen(text, TEXT_MAX_BYTES);
}

/* A JSON string, or null. */
static void put_text(struct str *line, const char *text)
{
    if (!text) {
        str_puts(line, "null");
        return;
    }
    str_putc(line, '"');
    str_json(line, text, text_length(text));
    str_putc(line, '"');
}

/* JSON has no infinities, and printf writes the decimal sign of the locale. */
static void put_number(struct str *line, double number)
{
    if (!isfinite(number)) {
        str_puts(line, "null");
        return;
    }
    char text[NUMBER_SIZE];
    snprintf(text, sizeof(text), "%.15g", number);
    if (strtod(text, NULL) != number)
        snprintf(text, sizeof(text), "%.17g", number);
    size_t sign = strspn(text, "+-0123456789e");
    if (text[sign] != '\0')
        text[sign] = '.';
    str_puts(line, text);
}

/* The most bytes that a field can add to the line. */
static size_t field_bound(const struct log_field *field)
{
    size_t value = NUMBER_SIZE;
    if (field->type == LOG_FIELD_TEXT && field->value.text)
        value = ESCAPED_SIZE * text_length(field->value.text) + 2;
    return strlen(field->name) + value + 4;
}

static void put_field(struct str *line, const struct log_field *field)
{
    str_puts(line, ",\"");
    str_puts(line, field->name);
    str_puts(line, "\":");
    switch (field->type) {
    case LOG_FIELD_TEXT: put_text(line, field->value.text); break;
    case LOG_FIELD_INT: str_printf(line, "%" PRId64, field->value.integer); break;
    case LOG_FIELD_NUMBER: put_number(line, field->value.number); break;
    case LOG_FIELD_BOOL: str_puts(line, field->value.boolean ? "true" : "false"); break;
    }
}

static void put_fields(struct str *line, const struct log_field *fields, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (line->length + field_bound(&fields[i]) + LINE_END_SIZE > line->max) {
            str_puts(line, ",\"cut\":true");
            return;
        }
        put_field(line, &fields[i]);
    }
}

static void lose(struct log *log)
{
    atomic_fetch_add(&log->lost, 1);
}

/* Writes the line, which begins with a spare line feed that is left out unless the last line is torn. */
static void write_line(struct log *log, const struct str *line)
{
    bool torn = atomic_exchange(&log->torn, false);
    const char *text = line->data + (torn ? 0 : 1);
    size_t length = line->length - (torn ? 0 : 1);
    ssize_t written;
    do
        written = write(log->fd, text, length);
    while (written < 0 && errno == EINTR);
    if (written == (ssize_t)length)
        return;
    if (torn || written > 0)
        atomic_store(&log->torn, true);
    lose(log);
}

void log_write(struct log *log, enum log_level level, const char *event_type, const char *trace_id,
               const struct log_field *fields, size_t field_count, const char *format, ...)
{
    if (!log || level < log->level)
        return;
    char timestamp[32];
    clock_format(clock_wall_us(), timestamp, sizeof(timestamp));
    struct str message;
    str_init(&message, LINE_MAX_BYTES);
    va_list arguments;
    va_start(arguments, format);
    str_vprintf(&message, format, arguments);
    va_end(arguments);

    struct str line;
    str_init(&line, LINE_MAX_BYTES);
    str_printf(&line, "\n{\"timestamp\":\"%s\",\"level\":\"%s\",\"event_type\":", timestamp,
               level_names[level]);
    put_text(&line, event_type);
    str_puts(&line, ",\"message\":");
    put_text(&line, str_text(&message));
    str_puts(&line, ",\"trace_id\":");
    put_text(&line, trace_id);
    put_fields(&line, fields, field_count);
    str_puts(&line, "}\n");
    if (str_ok(&line) && str_ok(&message))
        write_line(log, &line);
    else
        lose(log);
    str_free(&line);
    str_free(&message);
}

void log_error(struct log *log, const char *trace_id, const char *where, const struct err *err)
{
    const struct log_field fields[] = {
        log_text("where", where),
        log_text("code", err_info(err->code)->name),
        log_text("category", err_category_name(err->category)),
        log_text("param", err->param[0] ? err->param : NULL),
    };
    enum log_level level = err->category == ERR_CRITICAL ? LOG_ERROR : LOG_WARN;
    log_write(log, level, LOG_EVENT_ERROR, trace_id, fields, sizeof(fields) / sizeof(*fields), "%s",
              err_message(err, LANG_EN));
    if (log && log->critical && err->category == ERR_CRITICAL)
        log->critical(log->critical_user, err);
}

void log_on_critical(struct log *log, log_critical *critical, void *user)
{
    if (!log)
        return;
    log->critical = critical;
    log->critical_user = user;
}

struct log_field log_text(const char *name, const char *value)
{
    return (struct log_field){.name = name, .type = LOG_FIELD_TEXT, .value.text = value};
}

struct log_field log_int(const char *name, int64_t value)
{
    return (struct log_field){.name = name, .type = LOG_FIELD_INT, .value.integer = value};
}

struct log_field log_number(const char *name, double value)
{
    return (struct log_field){.name = name, .type = LOG_FIELD_NUMBER, .value.number = value};
}

struct log_field log_bool(const char *name, bool value)
{
    return (struct log_field){.name = name, .type = LOG_FIELD_BOOL, .value.boolean = value};
}
