/* speech_audio.h - a sound file as samples: 16 kHz, mono.
 *
 * Purpose: WAV (8 to 32 bits, float, A-law, µ-law, ADPCM; also AIFF, RF64, W64), FLAC and MP3 through miniaudio, Ogg
 *   Vorbis and Ogg Opus through the libraries of their authors. Any rate from 4 to 768 kHz, up to 32 channels, which
 *   are averaged. What is no number becomes silence; all samples are within -1..1.
 *   The file is read as it is decoded: memory does not grow with its length.
 * Owner:   audio_open() gives the audio to the caller; it uses the caller's source until audio_close().
 * Threads: one at a time.
 * Fails:   ERR_UNSUPPORTED for what is none of these formats, ERR_DOCUMENT for one that is damaged. A file that was cut
 *   off gives what there is of it.
 * The bytes are foreign: this runs in a process that has closed its sandbox (speech_decode.h).
 */
#ifndef JARVIS_ENGINE_SPEECH_AUDIO_H
#define JARVIS_ENGINE_SPEECH_AUDIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Where the bytes come from: a descriptor that can be read at any place, or memory. */
struct audio_source {
    int fd;               /* -1: `bytes` */
    const uint8_t *bytes; /* size of them */
    uint64_t size;
    uint64_t at; /* how far it has been read */
};

struct audio;

bool audio_open(struct audio_source *source, struct audio **ret, struct err *err);
void audio_close(struct audio *audio); /* NULL is fine */

/* Writes up to `max` samples; *ret_count is 0 at the end. */
bool audio_read(struct audio *audio, float *out, size_t max, size_t *ret_count, struct err *err);

#endif
