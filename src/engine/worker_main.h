/* worker_main.h - a worker: the process that holds one model, or parses documents.
 *
 * Purpose: `jarvis worker` calls worker_main() with the service's socket and lives until the service ends it. What it
 *   can be asked is in ipc/protocol.h.
 * Owner:   the process is the worker's: it ignores SIGINT, SIGTERM and SIGHUP (the service decides), takes over
 *   libllama's log, and ends with _exit() when the socket closes, in the middle of whatever it is doing. Standard
 *   error goes to /dev/null, because libllama prints there what users sent (a grammar that it cannot read); only the
 *   words of a failed assertion reach where it went before.
 * Threads: call from the main thread before any other thread exists.
 * Fails:   returns an exit code when it cannot even begin.
 */
#ifndef JARVIS_ENGINE_WORKER_MAIN_H
#define JARVIS_ENGINE_WORKER_MAIN_H

enum {
    WORKER_EXIT_DONE = 0,     /* SHUTDOWN, or the service has gone */
    WORKER_EXIT_PROTOCOL = 2, /* the other end does not speak our protocol */
    WORKER_EXIT_START = 3,    /* no socket, no memory, no thread */
    WORKER_EXIT_SANDBOX = 4,  /* the sandbox could not be closed */
    WORKER_EXIT_SEND = 5,     /* the service did not read for WORKER_SEND_MS */
    WORKER_EXIT_ASSERT = 70,  /* an assertion in ggml failed */
};

enum {
    WORKER_WORDS_FD = 4, /* where standard error went */
    WORKER_SEND_MS = 60 * 1000,
    WORKER_IDLE_MS =
        20, /* without work for so long a worker loads its back ends, to be a warm spare */
};

int worker_main(int fd);

#endif
