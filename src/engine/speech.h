/* speech.h - speech to text with a Whisper model, over libwhisper.
 *
 * Purpose: the role `speech` of a worker: opens the file, turns a piece of sound of at most 30 s into segments and
 *   words. How it works is told at the top of speech.c.
 * Owner:   speech_close() frees what speech_open() made. Results live in the caller's arena.
 * Threads: one at a time.
 * Fails:   ERR_NOT_FOUND, ERR_MODEL_INVALID, ERR_UNSUPPORTED (another role, a language that the model does not know),
 *          ERR_OUT_OF_MEMORY_BUDGET, ERR_CANCELLED.
 */
#ifndef JARVIS_ENGINE_SPEECH_H
#define JARVIS_ENGINE_SPEECH_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/arena.h"
#include "base/err.h"
#include "engine/model.h"
#include "engine/speech_check.h"
#include "ipc/protocol.h"

struct whisper_context;
struct whisper_state;

struct speech {
    struct whisper_context *context; /* NULL: not open */
    struct whisper_state *fitted;    /* encoder positions as the sound needs, in steps of 256 */
    struct whisper_state *full;      /* always all positions; NULL until it is needed */
    struct speech_shape shape;
    bool aligns; /* words get their times by attention, not by an estimate */
};

/* `ret_model` gets what a worker tells of any model. `progress` may be NULL. */
bool speech_open(const struct msg_load *load, model_progress *progress, void *user,
                 struct speech *ret, struct model *ret_model, struct err *err);
void speech_close(struct speech *speech);

/* Ends early with ERR_CANCELLED when *cancelled becomes true, at the next step of the model. */
bool speech_transcribe(struct speech *speech, const struct msg_transcribe *request, int threads,
                       atomic_bool *cancelled, struct arena *arena, struct msg_transcribed *ret,
                       struct err *err);

/* What a speech model's file says of itself, without loading it. */
bool speech_inspect(const char *path, struct arena *arena, struct msg_inspected *ret,
                    struct err *err);

#endif
