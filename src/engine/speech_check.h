/* speech_check.h - is this file a whole, well-formed Whisper model in ggml's format?
 *
 * Purpose: libwhisper trusts the numbers in a model file: it reads as many dimensions as a tensor says it has into an
 *   array of four, and looks up special tokens by numbers that a small vocabulary lacks. So the whole file is walked
 *   here first, every number against what the format allows and against the size of the file.
 *   The format (little-endian, 32 bits a number): magic, 11 hyperparameters, mel filters, vocabulary, then tensors
 *   (dimensions, length of the name, type, the dimensions' sizes, name, data) up to the end.
 * Owner:   nothing is kept; the descriptor is the caller's. Threads: safe from any.
 * Fails:   ERR_IO, or ERR_MODEL_INVALID naming the part that is wrong.
 */
#ifndef JARVIS_ENGINE_SPEECH_CHECK_H
#define JARVIS_ENGINE_SPEECH_CHECK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum {
    SPEECH_POSITIONS = 1500,           /* of the encoder: 30 s, in every Whisper model */
    SPEECH_VOCABULARY_ENGLISH = 51864, /* a model with more tokens knows other languages */
};

/* What the file says of the model. */
struct speech_shape {
    uint32_t vocabulary; /* tokens, special ones included */
    uint32_t audio_context;
    uint32_t audio_state;
    uint32_t audio_heads;
    uint32_t audio_layers;
    uint32_t text_context;
    uint32_t text_state;
    uint32_t text_heads;
    uint32_t text_layers;
    uint32_t mels;
    uint32_t file_type; /* enum ggml_ftype */
    uint64_t file_bytes;
    uint64_t parameters;
};

/* Whether the file begins as one; false also when it cannot be read. */
bool speech_file_is(const char *path);

/* `path` is for messages. Leaves the descriptor's position anywhere. */
bool speech_check(int fd, const char *path, struct speech_shape *ret, struct err *err);

#endif
