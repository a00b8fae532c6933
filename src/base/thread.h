/* thread.h - mutexes, conditions with deadlines, threads, and the cancel flag.
 *
 * Purpose: pthreads with the return codes that cannot happen turned into a crash with a message, conditions on
 *   the monotonic clock, and one way to tell a waiting thread to stop.
 * Owner:   each struct belongs to who declares it; destroy what you init.
 * Fails:   thread_start() and *_init() return false with err; locking a broken mutex aborts.
 */
#ifndef JARVIS_BASE_THREAD_H
#define JARVIS_BASE_THREAD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/clock.h"
#include "base/err.h"

struct mutex {
    pthread_mutex_t handle;
};

struct cond {
    pthread_cond_t handle;
};

void mutex_init(struct mutex *mutex);
void mutex_destroy(struct mutex *mutex);
void mutex_lock(struct mutex *mutex);
void mutex_unlock(struct mutex *mutex);

void cond_init(struct cond *cond);
void cond_destroy(struct cond *cond);
void cond_signal(struct cond *cond);
void cond_broadcast(struct cond *cond);

/* Waits for a signal with the mutex held; false when `until` has passed. Wakes may be spurious: loop. */
bool cond_wait(struct cond *cond, struct mutex *mutex, deadline until);

/* Starts a joinable thread named `name` (15 characters are kept) with all signals blocked. */
bool thread_start(pthread_t *ret_thread, const char *name, void *(*run)(void *), void *argument,
                  struct err *err);

/* cancel: one flag per request, set once from any thread. Whoever waits for something else (a condition, a
 * worker) registers a hook, which is called once, at once when the flag is already set. A hook runs under the
 * cancel's own lock: it may lock, signal and send, but not call cancel_* on the same flag. */
struct cancel_hook {
    void (*fire)(void *argument);
    void *argument;
    struct cancel_hook *next; /* private */
};

struct cancel {
    struct mutex lock;
    struct cancel_hook *hooks;
    atomic_bool set;
};

void cancel_init(struct cancel *cancel);
void cancel_destroy(struct cancel *cancel);
void cancel_fire(struct cancel *cancel);

/* False for a NULL cancel. */
bool cancel_is_set(struct cancel *cancel);

/* Registers; `hook` must live until cancel_unwatch() returns. NULL cancel: does nothing. */
void cancel_watch(struct cancel *cancel, struct cancel_hook *hook);

/* After it returns the hook is not running and will not run. */
void cancel_unwatch(struct cancel *cancel, struct cancel_hook *hook);

/* The error of a request that was cancelled. Returns false. */
bool cancel_error(struct err *err);

#endif
