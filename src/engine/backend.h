/* backend.h - libllama's state that is one a process: the compute back ends and what it says.
 *
 * Purpose: loads ggml's back ends (the CPU variant that fits this machine, GPUs) once, and keeps the last warnings
 *   of libllama, so that a failed load can tell its reason; nothing is printed.
 * Owner:   the caller owns the struct. It must outlive all models: libllama keeps its address. One a process.
 * Threads: backend_init() and backend_load() from one thread; the log is locked, since compute threads write to it.
 * Fails:   never; without a back end the first load of a model fails.
 */
#ifndef JARVIS_ENGINE_BACKEND_H
#define JARVIS_ENGINE_BACKEND_H

#include <stdbool.h>
#include <stddef.h>

#include "base/thread.h"

enum { BACKEND_LINES = 20, BACKEND_LINE_BYTES = 240 };

/* Hears every line of libllama's log, from whichever thread writes it; must not call libllama. */
typedef void backend_listener(void *user, const char *line);

struct backend {
    struct mutex lock;
    backend_listener *listener; /* NULL: nobody */
    void *listener_user;
    char lines[BACKEND_LINES][BACKEND_LINE_BYTES]; /* a ring */
    size_t line_count;                             /* ever begun */
    bool keeping;                                  /* the line being written is one to keep */
    bool loaded;
};

/* From here on libllama's log goes to `backend`. */
void backend_init(struct backend *backend);

/* Loads the back ends unless they are: tens of milliseconds. From the folder of JARVIS_GGML_BACKENDS in the
 * environment, else from the one that the program was built for. */
void backend_load(struct backend *backend);

/* Whether a GPU is among the devices (after backend_load). */
bool backend_has_gpu(void);

/* From here on `listener` hears the log; NULL: nobody. */
void backend_listen(struct backend *backend, backend_listener *listener, void *user);

/* Forgets the lines kept so far. */
void backend_forget(struct backend *backend);

/* The last lines, newest last, joined by "; ", as many as fit; "" when there were none. */
void backend_explain(struct backend *backend, char *out, size_t size);

#endif
