/* process.h - one worker process: started, listened to, ended, reaped.
 *
 * Purpose: private to src/orchestrator. `PROGRAM worker` runs with one end of a socketpair as descriptor 3, nothing
 *   else of ours open, its own process group (Ctrl-C is for the service, which then ends its workers) and an
 *   environment in which OpenMP's threads sleep instead of spin. What it writes to stdout and stderr comes back
 *   through a pipe, of which the end is kept: the last words tell why a process died.
 * Owner:   the struct owns the descriptors and the child until process_reap(). A service that dies closes its end of
 *   the socket; workers leave when they see that.
 * Threads: one at a time; process_kill() may run beside process_drain().
 * Fails:   process_start() returns false with err.
 */
#ifndef JARVIS_ORCHESTRATOR_PROCESS_H
#define JARVIS_ORCHESTRATOR_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

enum {
    PROCESS_TAIL_MAX = 2048,  /* bytes of output that are kept */
    PROCESS_WORDS_MAX = 1024, /* bytes of last words, for those who ask */
    PROCESS_CAUSE_MAX = 512,  /* bytes of a cause of death */
    PROCESS_SOCKET_CHILD = 3, /* the worker's descriptor of its socket */
    PROCESS_EXIT_ASSERT =
        70, /* exit status of a worker in which an assertion failed (WORKER_EXIT_ASSERT) */
};

struct process {
    pid_t pid;
    int socket;                  /* the service's end */
    int output;                  /* read end of the pipe, non-blocking; -1 once it has ended */
    char tail[PROCESS_TAIL_MAX]; /* the last bytes written, no NUL inside */
    size_t tail_length;
    uint64_t oom_kills; /* of the kernel, when it was started */
    bool crashed;       /* it ended by a fault of its own, not by a kill. Set by process_reap() */
};

bool process_start(const char *program, uint32_t threads, struct process *ret, struct err *err);

/* `PROGRAM worker sound` with `file` as its standard input: decodes a sound file. The descriptor stays the caller's. */
bool process_start_sound(const char *program, int file, struct process *ret, struct err *err);

/* Reads what the pipe holds, without waiting. */
void process_drain(struct process *process);

/* SIGKILL. Only between process_start() and process_reap(). */
void process_kill(const struct process *process);

/* Waits until the process has ended, without taking its number away: process_kill() is still safe. */
void process_await_end(const struct process *process);

/* Takes the end of a process that has ended and closes the descriptors. `cause` (English) is like
 * `signal 6 (Aborted): last line it wrote`. */
void process_reap(struct process *process, char cause[PROCESS_CAUSE_MAX]);

/* The last lines that it wrote, whole ones where they fit; valid UTF-8. */
void process_last_words(const struct process *process, char out[PROCESS_WORDS_MAX]);

/* How many processes the kernel has killed for lack of memory, as a text like /proc/vmstat tells; 0: it does not. */
uint64_t process_oom_kills(const char *vmstat);

#endif
