/* memory_watch.c - what loaded models really hold, asked when they have been used.
 *
 * A model's buffers fill as it is used, so its worker is asked at the end of its first use, its second, its fourth, its
 * eighth, …: often while it may still grow, and hardly ever after that. The answer counts against the budget and is a
 * sample for later forecasts. It is asked under the lease of that use, since only a lease keeps a worker alive.
 */
#include "orchestrator/internal.h"

enum { ANSWER_MS = 500 };

static bool is_due(struct lease *lease)
{
    struct registry *registry = lease->registry;
    mutex_lock(&registry->lock);
    uint64_t uses = ++lease->instance->uses;
    bool alive = lease->model->instance == lease->instance;
    mutex_unlock(&registry->lock);
    return alive && (uses & (uses - 1)) == 0;
}

static bool ask_held(const struct lease *lease, uint64_t *ret)
{
    const struct wait wait = {.until = deadline_in_ms(ANSWER_MS)};
    struct frame frame;
    struct msg_stats stats;
    struct err err;
    if (!worker_ask(lease->instance->worker, FRAME_STATS, NULL, FRAME_STATED,
                    lease->model->entry.name, &wait, &frame, &err))
        return false;
    bool ok = msg_get_stats(frame.payload, frame.length, NULL, &stats, &err);
    frame_free(&frame);
    if (ok)
        *ret = stats.held_bytes;
    return ok && stats.held_bytes > 0;
}

void memory_watch(struct lease *lease)
{
    struct registry *registry = lease->registry;
    struct instance *instance = lease->instance;
    uint64_t held;
    if (lease->model->upstream || !is_due(lease) || !ask_held(lease, &held))
        return;
    struct memory_question question;
    model_question(lease->model, &instance->file, &question);
    question.context = instance->context;
    memory_seen(registry, &question, held, &instance->sample);
    mutex_lock(&registry->lock);
    instance->held = held;
    if (held > instance->bytes) {
        instance->bytes = held;
        model_measured(registry, instance);
    }
    mutex_unlock(&registry->lock);
}
