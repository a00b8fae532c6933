/* service.h - finding, starting and ending `jarvis serve`, from the side of a command.
 *
 * How a command gets its service: it connects to the socket; when nobody listens it takes
 * run/start.lock, looks again (another command may have been quicker), starts `jarvis serve
 * --ready-fd N` in a session of its own, and waits until the service writes one line to that pipe:
 * ready, or why not. So two commands at once start one service.
 * Owner:   nothing stays with the caller. Threads: one.
 * Fails:   what the service failed with; ERR_TIMEOUT when it takes longer than SERVICE_START_S.
 */
#ifndef JARVIS_CLI_SERVICE_H
#define JARVIS_CLI_SERVICE_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/fs.h"

enum {
    SERVICE_START_S = 60, /* a first start creates the database */
    SERVICE_STOP_S = 30,  /* requests in flight are given time to end */
    SERVICE_IDLE_S =
        600, /* a service that a command has started leaves after this long without work */
};

struct service_options {
    int idle_exit_s;    /* 0: never */
    const char *listen; /* NULL: as configured; "": on the socket only */
};

/* How a command starts a service for itself: it leaves when idle, and opens no port that nobody
 * asked for. */
struct service_options service_own(void);

/* Whether a service listens on the socket. ret_pid (may be NULL): its process. */
bool service_running(const struct fs_paths *paths, pid_t *ret_pid);

/* Makes sure that a service runs. ret_started: it was this call that started it. */
bool service_ensure(const struct fs_paths *paths, const struct service_options *options,
                    bool *ret_started, struct err *err);

/* Waits until the process has ended. ERR_TIMEOUT after SERVICE_STOP_S. */
bool service_wait_end(pid_t pid, struct err *err);

/* --- the other side of the pipe, for `jarvis serve` --- */

/* Tells who started us that the service is ready (err NULL) or why it is not; closes the pipe. */
void service_report(int ready_fd, const struct err *err);

#endif
