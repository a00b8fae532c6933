/* A speech model's memory, from the numbers at the beginning of its file. libwhisper has no dry run; what it allocates is
 * known from its source (1.9): the weights, read into memory as they are; and for each state the caches of the decoder
 * (its own and the one over the sound, F16), and the buffers of four graphs, of which the decoder's, with the scores of
 * every token of the vocabulary, is the largest, then what the encoder makes of 1500 positions. A worker has two states:
 * one for short pieces and, once it is needed, one for long ones. */
#include <fcntl.h>
#include <unistd.h>

#include "engine/forecast.h"
#include "engine/speech_check.h"

enum {
    STATES = 2,
    CELLS_STEP = 256, /* as libwhisper rounds contexts */
    F16_BYTES = 2,
    F32_BYTES = 4,
    ENCODER_ROWS = 10, /* rows of activations that are alive at once */
    CONVOLUTION_ROWS = 6,
    STATE_EXTRA = 4 << 20, /* tables, and what the search keeps of its hypotheses */
};

static uint64_t round_up(uint64_t value)
{
    return (value + CELLS_STEP - 1) / CELLS_STEP * CELLS_STEP;
}

static uint64_t cache_bytes(const struct speech_shape *shape)
{
    uint64_t row = (uint64_t)shape->text_layers * shape->text_state * 2 * F16_BYTES; /* K and V */
    uint64_t padding = 2 * (uint64_t)shape->audio_state * F16_BYTES;
    return row * round_up(shape->text_context) + row * round_up(shape->audio_context) +
           padding * round_up(shape->audio_context);
}

static uint64_t compute_bytes(const struct speech_shape *shape)
{
    uint64_t positions = shape->audio_context, width = shape->audio_state;
    uint64_t encoder = positions * width * F32_BYTES * ENCODER_ROWS;
    uint64_t convolution = positions * width * F32_BYTES * CONVOLUTION_ROWS;
    uint64_t scores = (uint64_t)shape->vocabulary * F32_BYTES;
    uint64_t decoder = shape->text_context * (scores + shape->text_state * F32_BYTES * 6ULL);
    return encoder + convolution + decoder + STATE_EXTRA;
}

bool forecast_speech(const char *path, uint64_t process, struct forecast_parts *parts,
                     struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct speech_shape shape;
    bool ok = fd >= 0 ? speech_check(fd, path, &shape, err)
                      : err_set(err, ERR_NOT_FOUND, "cannot read the model file %s", path);
    if (fd >= 0)
        close(fd);
    if (!ok)
        return false;
    forecast_add(parts, PART_REPACKED, "CPU", shape.file_bytes);
    forecast_add(parts, PART_CACHE, "CPU", STATES * cache_bytes(&shape));
    forecast_add(parts, PART_COMPUTE, "CPU", STATES * compute_bytes(&shape));
    forecast_add(parts, PART_PROCESS, "CPU", process);
    return true;
}
