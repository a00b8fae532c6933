/* alarm.h - when somebody must act: CRITICAL errors run a command and turn /readyz red.
 *
 * Purpose: every CRITICAL error that is written to the log is also told to the alarm. It remembers the last one for
 *   ALARM_HOLD_MS, and runs the configured command: at most once in ALARM_PAUSE_MS, one at a time, for at most
 *   ALARM_RUN_MS. The command is a program and its arguments, split at blanks, with no shell in between; it finds
 *   what happened in JARVIS_ERROR_CODE and JARVIS_ERROR_MESSAGE, its input and output are /dev/null.
 * Owner:   alarm_open() gives the alarm to the caller; alarm_close() ends a command that still runs.
 * Threads: all functions from any thread; alarm_raise() never waits.
 * Fails:   opening may; a command that cannot be run is a line in the log.
 */
#ifndef JARVIS_OBSERVE_ALARM_H
#define JARVIS_OBSERVE_ALARM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "observe/log.h"

enum {
    ALARM_HOLD_MS = 5 * 60 * 1000,
    ALARM_PAUSE_MS = 60 * 1000,
    ALARM_RUN_MS = 30 * 1000,
    ALARM_WORDS_MAX = 64,     /* of a command */
    ALARM_COMMAND_MAX = 4096, /* bytes */
};

struct alarm;

struct alarm_options {
    const char *command; /* "": none is run */
    struct log *log;     /* must outlive the alarm */
    /* For tests; 0 gives the usual: */
    int64_t hold_ms;
    int64_t pause_ms;
    int64_t run_ms;
};

bool alarm_open(const struct alarm_options *options, struct alarm **ret, struct err *err);
void alarm_close(struct alarm *alarm); /* NULL is fine */

/* Takes note of a CRITICAL error, and of no other. */
void alarm_raise(struct alarm *alarm, const struct err *err);

/* Is there one that was raised a short while ago? *ret is it. */
bool alarm_look(struct alarm *alarm, struct err *ret);

#endif
