#include "base/thread.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A mutex or condition that answers an error is a bug in this program: stop where it is seen. */
static void must(int result, const char *call)
{
    if (result == 0)
        return;
    fprintf(stderr, "jarvis: %s: %s\n", call, strerrordesc_np(result));
    abort();
}

void mutex_init(struct mutex *mutex)
{
    must(pthread_mutex_init(&mutex->handle, NULL), "pthread_mutex_init");
}

void mutex_destroy(struct mutex *mutex)
{
    must(pthread_mutex_destroy(&mutex->handle), "pthread_mutex_destroy");
}

void mutex_lock(struct mutex *mutex)
{
    must(pthread_mutex_lock(&mutex->handle), "pthread_mutex_lock");
}

void mutex_unlock(struct mutex *mutex)
{
    must(pthread_mutex_unlock(&mutex->handle), "pthread_mutex_unlock");
}

void cond_init(struct cond *cond)
{
    pthread_condattr_t attributes;
    must(pthread_condattr_init(&attributes), "pthread_condattr_init");
    must(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC), "pthread_condattr_setclock");
    must(pthread_cond_init(&cond->handle, &attributes), "pthread_cond_init");
    pthread_condattr_destroy(&attributes);
}

void cond_destroy(struct cond *cond)
{
    must(pthread_cond_destroy(&cond->handle), "pthread_cond_destroy");
}

void cond_signal(struct cond *cond)
{
    must(pthread_cond_signal(&cond->handle), "pthread_cond_signal");
}

void cond_broadcast(struct cond *cond)
{
    must(pthread_cond_broadcast(&cond->handle), "pthread_cond_broadcast");
}

bool cond_wait(struct cond *cond, struct mutex *mutex, deadline until)
{
    struct timespec at = deadline_timespec(until);
    int result = pthread_cond_timedwait(&cond->handle, &mutex->handle, &at);
    if (result == ETIMEDOUT)
        return false;
    must(result, "pthread_cond_timedwait");
    return true;
}

bool thread_start(pthread_t *ret_thread, const char *name, void *(*run)(void *), void *argument,
                  struct err *err)
{
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_t thread;
    int result = pthread_create(&thread, NULL, run, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (result != 0)
        return err_set_errno(err, ERR_BUSY, result, "cannot start a thread (\"%s\")", name);
    char cut[16];
    snprintf(cut, sizeof(cut), "%s", name);
    pthread_setname_np(thread, cut);
    *ret_thread = thread;
    return true;
}

void cancel_init(struct cancel *cancel)
{
    *cancel = (struct cancel){0};
    mutex_init(&cancel->lock);
}

void cancel_destroy(struct cancel *cancel)
{
    mutex_destroy(&cancel->lock);
}

void cancel_fire(struct cancel *cancel)
{
    mutex_lock(&cancel->lock);
    if (!atomic_exchange(&cancel->set, true))
        for (struct cancel_hook *hook = cancel->hooks; hook; hook = hook->next)
            hook->fire(hook->argument);
    mutex_unlock(&cancel->lock);
}

bool cancel_is_set(struct cancel *cancel)
{
    return cancel && atomic_load(&cancel->set);
}

void cancel_watch(struct cancel *cancel, struct cancel_hook *hook)
{
    if (!cancel)
        return;
    mutex_lock(&cancel->lock);
    hook->next = cancel->hooks;
    cancel->hooks = hook;
    if (atomic_load(&cancel->set))
        hook->fire(hook->argument);
    mutex_unlock(&cancel->lock);
}

void cancel_unwatch(struct cancel *cancel, struct cancel_hook *hook)
{
    if (!cancel)
        return;
    mutex_lock(&cancel->lock);
    for (struct cancel_hook **at = &cancel->hooks; *at; at = &(*at)->next) {
        if (*at == hook) {
            *at = hook->next;
            break;
        }
    }
    mutex_unlock(&cancel->lock);
}

bool cancel_error(struct err *err)
{
    return err_set(err, ERR_CANCELLED, "the request was cancelled");
}
