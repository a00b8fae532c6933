/* speech_result.h - what libwhisper heard, as segments and words.
 *
 * Purpose: the part of the speech engine after the model: tokens become words with times, a model that stammers is cut
 *   short, and what is no speech is left out.
 * Owner:   the result lives in the arena. Threads: one at a time. Fails: ERR_NO_MEMORY.
 */
#ifndef JARVIS_ENGINE_SPEECH_RESULT_H
#define JARVIS_ENGINE_SPEECH_RESULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "ipc/protocol.h"

struct whisper_context;
struct whisper_state;

/* How many of the tokens stand before the last of them begin to go round in circles: the whole of ids[0..count) when
 * they do not. A circle is the same 1 to 16 tokens four times in a row, and at least eight tokens. */
size_t speech_before_loop(const int32_t *ids, size_t count);

/* True when the text in the state is not to be trusted: it goes round in circles, or the model was guessing. */
bool speech_is_doubtful(struct whisper_context *context, struct whisper_state *state);

/* The segments in the state; times end at `end_ms`. `words`: their words as well. */
bool speech_collect(struct whisper_context *context, struct whisper_state *state, uint32_t end_ms,
                    bool words, struct arena *arena, struct msg_transcribed *ret, struct err *err);

#endif
