#include "orchestrator/threads.h"

void threads_init(struct threads *threads, uint32_t cores)
{
    *threads = (struct threads){.cores = cores > 0 ? cores : 1};
    mutex_init(&threads->lock);
}

void threads_destroy(struct threads *threads)
{
    mutex_destroy(&threads->lock);
}

uint32_t threads_share(uint32_t cores, uint32_t busy, uint32_t index)
{
    if (busy >= cores)
        return 1;
    return cores / busy + (index < cores % busy);
}

/* Tells those whose share is another now. With the lock. */
static void share_out(struct threads *threads)
{
    uint32_t busy = 0, index = 0;
    for (const struct threads_user *user = threads->busy; user; user = user->next)
        busy++;
    for (struct threads_user *user = threads->busy; user; user = user->next) {
        uint32_t share = threads_share(threads->cores, busy, index++);
        if (share != user->share) {
            user->share = share;
            user->tell(user, share);
        }
    }
}

void threads_begin(struct threads *threads, struct threads_user *user)
{
    if (!threads)
        return;
    mutex_lock(&threads->lock);
    if (user->works++ == 0) {
        struct threads_user **end = &threads->busy;
        while (*end)
            end = &(*end)->next;
        user->next = NULL;
        *end = user;
        share_out(threads);
    }
    mutex_unlock(&threads->lock);
}

void threads_end(struct threads *threads, struct threads_user *user)
{
    if (!threads)
        return;
    mutex_lock(&threads->lock);
    if (--user->works == 0) {
        struct threads_user **at = &threads->busy;
        while (*at != user)
            at = &(*at)->next;
        *at = user->next;
        share_out(threads);
    }
    mutex_unlock(&threads->lock);
}
