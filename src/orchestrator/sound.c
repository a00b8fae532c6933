#include "orchestrator/sound.h"

#include <stdlib.h>

#include "orchestrator/internal.h"
#include "orchestrator/process.h"

enum { FRAME_ARENA_MAX = 4 << 20 };

struct sound {
    struct process process;
    struct wait wait;
    struct cancel_hook hook;
    struct arena arena; /* of the last frame's samples */
    const char *name;
};

static void kill_process(void *argument)
{
    const struct process *process = argument;
    process_kill(process);
}

bool sound_open(struct registry *registry, int fd, const char *name, const struct wait *wait,
                struct sound **ret, struct err *err)
{
    struct sound *sound = calloc(1, sizeof(*sound));
    if (!sound)
        return err_no_memory(err);
    if (!process_start_sound(registry->program, fd, &sound->process, err)) {
        free(sound);
        return false;
    }
    sound->wait = *wait;
    sound->name = name;
    sound->hook = (struct cancel_hook){.fire = kill_process, .argument = &sound->process};
    arena_init(&sound->arena, FRAME_ARENA_MAX);
    cancel_watch(wait->cancel, &sound->hook);
    *ret = sound;
    return true;
}

void sound_close(struct sound *sound)
{
    if (!sound)
        return;
    char cause[PROCESS_CAUSE_MAX];
    cancel_unwatch(sound->wait.cancel, &sound->hook);
    process_kill(&sound->process); /* it has nothing to put in order */
    process_await_end(&sound->process);
    process_reap(&sound->process, cause);
    arena_free(&sound->arena);
    free(sound);
}

/* The end of the connection is one of three things. */
static bool explain(const struct sound *sound, struct err *err)
{
    if (cancel_is_set(sound->wait.cancel))
        return cancel_error(err);
    if (err->code != ERR_WORKER_DIED)
        return false;
    return err_set_param(err, ERR_DOCUMENT, "file",
                         "\"%s\" cannot be read: the process that decodes it ended because of it; "
                         "the file is probably damaged",
                         sound->name);
}

bool sound_next(struct sound *sound, struct msg_sound *ret, bool *ret_done, struct err *err)
{
    struct err own = {.code = ERR_NONE};
    struct err *told = err ? err : &own;
    struct frame frame;
    if (!frame_read(sound->process.socket, &frame, sound->wait.until, told))
        return explain(sound, told);
    arena_free(&sound->arena);
    arena_init(&sound->arena, FRAME_ARENA_MAX);
    bool ok = true;
    struct err sent;
    *ret_done = frame.type == FRAME_DONE;
    if (frame.type == FRAME_SOUND) {
        ok = msg_get_sound(frame.payload, frame.length, &sound->arena, ret, told);
    } else if (frame.type == FRAME_ERROR) {
        ok = false;
        if (msg_get_err(frame.payload, frame.length, &sent, told))
            *told = sent;
    } else if (!*ret_done) {
        ok = err_set(told, ERR_PROTOCOL,
                     "the worker process of \"%s\" answered with a message of type %u; restart the "
                     "service",
                     sound->name, (unsigned)frame.type);
    }
    frame_free(&frame);
    return ok;
}
