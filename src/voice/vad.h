/* vad.h - is somebody speaking? One small interface, several engines.
 *
 * Purpose: sound goes in, in frames or in pieces of any length; out comes for each 10 ms how probable speech is.
 *     RNNOISE  a recurrent network (Valin 2018) whose weights are in its library: the default, needs no file
 *     ENERGY   loudness over a noise floor that follows the quietest parts: for tests and very small devices
 *   Aggressiveness 0 to 3 says how sure one must be: 0 loses no speech, 3 lets the least noise through.
 * Owner:   vad_open() gives the detector to the caller; it keeps about 40 kB of state.
 * Threads: one at a time. Fails: ERR_INVALID_REQUEST for a rate or a frame that it does not take, ERR_NO_MEMORY.
 */
#ifndef JARVIS_VOICE_VAD_H
#define JARVIS_VOICE_VAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum vad_engine { VAD_RNNOISE, VAD_ENERGY, VAD_ENGINES };

/* "rnnoise" "energy". */
const char *vad_engine_name(enum vad_engine engine);
bool vad_engine_parse(const char *name, enum vad_engine *ret);

enum {
    VAD_STEP_MS = 10,
    VAD_AGGRESSIVENESS_MAX = 3,
    VAD_AGGRESSIVENESS_DEFAULT = 1,
};

/* What an aggressiveness stands for. */
struct vad_level {
    float on;        /* speech begins at this probability */
    float off;       /* and goes on above this one */
    int hangover_ms; /* silence that still belongs to it */
};
const struct vad_level *vad_level(int aggressiveness); /* 0..3; others are the nearest */

struct vad;

/* `rate` is 8000, 16000 or 48000 samples a second. */
bool vad_open(enum vad_engine engine, int rate, int aggressiveness, struct vad **ret,
              struct err *err);
void vad_close(struct vad *vad); /* NULL is fine */

/* Forgets what it has heard. */
void vad_reset(struct vad *vad);

/* Called with the probability of speech, 0..1, in each 10 ms. */
typedef void vad_step(void *user, float probability);

/* Takes any number of samples, nominally -1..1; what does not fill a step waits for more. */
void vad_feed(struct vad *vad, const float *samples, size_t count, vad_step *step, void *user);

/* One frame of 10, 20 or 30 ms: whether it is speech. */
bool vad_frame(struct vad *vad, const int16_t *samples, size_t count, bool *ret_speech,
               struct err *err);

/* Whether more than 30% of the frames of `frame_ms` (10, 20 or 30) are speech; a rest that fills none is ignored. */
bool vad_has_speech(struct vad *vad, const int16_t *samples, size_t count, int frame_ms, bool *ret,
                    struct err *err);

#endif
