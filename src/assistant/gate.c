#include <stdio.h>
#include <string.h>

#include "assistant/internal.h"

static void wake(void *argument)
{
    struct gate *gate = argument;
    mutex_lock(&gate->lock);
    cond_broadcast(&gate->freed);
    mutex_unlock(&gate->lock);
}

static bool is_busy(const struct gate *gate, const char *collection)
{
    for (size_t i = 0; i < gate->count; i++)
        if (strcmp(gate->busy[i], collection) == 0)
            return true;
    return gate->count == GATE_MAX;
}

bool gate_enter(struct gate *gate, const char *collection, struct request *request, struct err *err)
{
    struct cancel_hook hook = {.fire = wake, .argument = gate};
    cancel_watch(request->cancel, &hook);
    mutex_lock(&gate->lock);
    bool ok = true;
    while (ok && is_busy(gate, collection)) {
        if (!cond_wait(&gate->freed, &gate->lock, request->until) || cancel_is_set(request->cancel))
            ok = request_check(request, err);
    }
    if (ok)
        snprintf(gate->busy[gate->count++], ID_MAX, "%s", collection);
    mutex_unlock(&gate->lock);
    cancel_unwatch(request->cancel, &hook);
    return ok;
}

void gate_leave(struct gate *gate, const char *collection)
{
    mutex_lock(&gate->lock);
    for (size_t i = 0; i < gate->count; i++) {
        if (strcmp(gate->busy[i], collection) == 0) {
            memmove(gate->busy[i], gate->busy[--gate->count], ID_MAX);
            break;
        }
    }
    cond_broadcast(&gate->freed);
    mutex_unlock(&gate->lock);
}

bool request_check(const struct request *request, struct err *err)
{
    if (cancel_is_set(request->cancel))
        return cancel_error(err);
    if (deadline_passed(request->until))
        return err_set(err, ERR_TIMEOUT,
                       "the request took longer than server.request_timeout_s allows; ask for "
                       "less, or raise it");
    return true;
}
