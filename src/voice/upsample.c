#include "voice/upsample.h"

#include <math.h>
#include <string.h>

void upsample_init(struct upsample *upsample, int factor)
{
    memset(upsample, 0, sizeof(*upsample));
    upsample->factor = factor;
    const double half = UPSAMPLE_TAPS / 2.0;
    for (int phase = 0; phase < factor; phase++) {
        for (int tap = 0; tap < UPSAMPLE_TAPS; tap++) {
            /* Distance, in slow samples, of the new sample from the one that this tap weighs. */
            double x = tap - (half - 1) - (double)phase / factor;
            double sinc = fabs(x) < 1e-9 ? 1 : sin(M_PI * x) / (M_PI * x);
            double window = fabs(x) < half ? 0.5 + 0.5 * cos(M_PI * x / half) : 0;
            upsample->taps[phase][tap] = (float)(sinc * window);
        }
    }
}

void upsample_run(struct upsample *upsample, const float *samples, size_t count, float *out)
{
    if (upsample->factor == 1) {
        memcpy(out, samples, count * sizeof(*out));
        return;
    }
    float *history = upsample->history;
    for (size_t i = 0; i < count; i++) {
        memmove(history, history + 1, (UPSAMPLE_TAPS - 1) * sizeof(*history));
        history[UPSAMPLE_TAPS - 1] = samples[i];
        for (int phase = 0; phase < upsample->factor; phase++) {
            float sum = 0;
            for (int tap = 0; tap < UPSAMPLE_TAPS; tap++)
                sum += history[tap] * upsample->taps[phase][tap];
            *out++ = sum;
        }
    }
}
