/* log.h - the log: one JSON object a line.
 *
 * Purpose: `timestamp` (RFC 3339 UTC, microseconds), `level`, `event_type`, `message`, `trace_id`, then typed
 *   fields. Any bytes in any field stay one valid line. Message texts are English.
 * Owner:   log_open() gives the log to the caller, log_close() ends it; lines are written with one write(2) each.
 * Threads: log_write() is safe from any thread. NULL as log discards.
 * Fails:   opening may fail; writing never does: a line that cannot be written is counted (log_lost()).
 */
#ifndef JARVIS_OBSERVE_LOG_H
#define JARVIS_OBSERVE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_LEVEL_COUNT };

/* The values of `event_type`. */
#define LOG_EVENT_QUERY       "query"
#define LOG_EVENT_ERROR       "error"
#define LOG_EVENT_PERFORMANCE "performance"
#define LOG_EVENT_MODEL       "model"
#define LOG_EVENT_CONFIG      "config"
#define LOG_EVENT_INGEST      "ingest"
#define LOG_EVENT_SECURITY    "security"
#define LOG_EVENT_SERVICE     "service"

struct log_field {
    const char *name; /* a constant of lower-case letters and _ */
    enum { LOG_FIELD_TEXT, LOG_FIELD_INT, LOG_FIELD_NUMBER, LOG_FIELD_BOOL } type;
    union {
        const char *text; /* NULL is written as null */
        int64_t integer;
        double number;
        bool boolean;
    } value;
};

struct log;

/* Opens (creates, appends, mode 0600) the file; `path` "-" is standard error. Lines below `level` are dropped. */
bool log_open(const char *path, enum log_level level, struct log **ret, struct err *err);
void log_close(struct log *log);

/* Calls `critical` for every CRITICAL error that log_error() is given. Before other threads use the log. */
typedef void log_critical(void *user, const struct err *err);
void log_on_critical(struct log *log, log_critical *critical, void *user);

/* "debug" "info" "warn" "error". */
bool log_level_parse(const char *name, enum log_level *ret);

void log_write(struct log *log, enum log_level level, const char *event_type, const char *trace_id,
               const struct log_field *fields, size_t field_count, const char *format, ...)
    __attribute__((format(printf, 7, 8)));

/* An error as a line of event_type "error": code, category, message. */
void log_error(struct log *log, const char *trace_id, const char *where, const struct err *err);

struct log_field log_text(const char *name, const char *value);
struct log_field log_int(const char *name, int64_t value);
struct log_field log_number(const char *name, double value);
struct log_field log_bool(const char *name, bool value);

/* Lines lost so far because the disk refused them. */
uint64_t log_lost(const struct log *log);

#endif
