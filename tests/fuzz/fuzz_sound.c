/* Fuzzes the decoders of sound files: whatever the bytes, at most a bounded number of samples, each within -1..1. */
#include <stdlib.h>

#include "engine/speech_audio.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PART = 1000, PARTS_MAX = 400 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct audio_source source = {.fd = -1, .bytes = data, .size = size};
    struct audio *audio;
    struct err err;
    float samples[PART];
    size_t count = 1;
    if (!audio_open(&source, &audio, &err))
        return 0;
    for (int i = 0; i < PARTS_MAX && count > 0; i++) {
        if (!audio_read(audio, samples, PART, &count, &err))
            break;
        if (count > PART)
            abort();
        for (size_t j = 0; j < count; j++)
            if (!(samples[j] >= -1 && samples[j] <= 1))
                abort();
    }
    audio_close(audio);
    return 0;
}
