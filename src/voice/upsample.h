/* upsample.h - a higher sampling rate by a whole factor: zeros between the samples, then a low pass.
 *
 * The low pass is a sinc under a Hann window over 32 of the slow samples, taken apart into its phases (polyphase), so
 * that a sample costs 32 multiplications. Delay: 16 slow samples.
 * Owner: the struct is the caller's, nothing is allocated. Threads: one at a time. Fails: never.
 */
#ifndef JARVIS_VOICE_UPSAMPLE_H
#define JARVIS_VOICE_UPSAMPLE_H

#include <stddef.h>

enum { UPSAMPLE_TAPS = 32, UPSAMPLE_FACTOR_MAX = 6 };

struct upsample {
    int factor;
    float taps[UPSAMPLE_FACTOR_MAX][UPSAMPLE_TAPS];
    float history[UPSAMPLE_TAPS]; /* the last samples, newest last */
};

/* `factor` 1 to UPSAMPLE_FACTOR_MAX; with 1 samples pass as they are. */
void upsample_init(struct upsample *upsample, int factor);

/* Writes count * factor samples to `out`. */
void upsample_run(struct upsample *upsample, const float *samples, size_t count, float *out);

#endif
