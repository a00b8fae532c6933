/* threads.h - compute threads are a budget over all workers, as memory is.
 *
 * Purpose: two models that compute with n threads each on n cores get in each other's way: each step waits for the
 *   slowest thread, and that one waits for a core. So the cores are shared out among the models that are at work at
 *   the moment: all to one that is alone, half to each of two, never less than one thread. A model learns of its share
 *   as soon as another begins or ends, and computes its next step with it.
 * Owner:   the budget belongs to the registry; a user is part of its worker and is in the budget only while it is at
 *   work.
 * Threads: all functions from any; `tell` is called with the budget's lock and must not wait for anything, nor come
 *   back here. Fails: never.
 */
#ifndef JARVIS_ORCHESTRATOR_THREADS_H
#define JARVIS_ORCHESTRATOR_THREADS_H

#include <stdint.h>

#include "base/thread.h"

struct threads_user {
    void (*tell)(struct threads_user *user, uint32_t threads);
    uint32_t share; /* told last; to begin with, what the model was loaded with */
    uint32_t works; /* begun and not ended */
    struct threads_user *next;
};

struct threads {
    struct mutex lock;
    uint32_t cores;            /* threads to share out; >= 1 */
    struct threads_user *busy; /* in the order in which they began */
};

void threads_init(struct threads *threads, uint32_t cores);
void threads_destroy(struct threads *threads);

/* A piece of work begins, or ends. NULL threads: there is no budget. */
void threads_begin(struct threads *threads, struct threads_user *user);
void threads_end(struct threads *threads, struct threads_user *user);

/* The rule: what the user at position `index` of `busy` gets of `cores`. The shares add up to `cores`, unless there are
 * more users than cores: then each has one thread. Who came first gets what is left over. */
uint32_t threads_share(uint32_t cores, uint32_t busy, uint32_t index);

#endif
