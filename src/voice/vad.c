#include "voice/vad.h"

#include <math.h>
#include <rnnoise.h>
#include <stdlib.h>
#include <string.h>

#include "voice/upsample.h"

enum {
    STEPS_A_SECOND = 1000 / VAD_STEP_MS,
    RNNOISE_RATE = 48000,
    RNNOISE_STEP = RNNOISE_RATE / STEPS_A_SECOND, /* samples */
    STEP_MAX = RNNOISE_STEP,
    SPEECH_PERCENT = 30, /* of the frames: more than that is speech */
};

static const struct vad_level levels[VAD_AGGRESSIVENESS_MAX + 1] = {
    {.on = 0.35F, .off = 0.20F, .hangover_ms = 700},
    {.on = 0.50F, .off = 0.35F, .hangover_ms = 500},
    {.on = 0.65F, .off = 0.45F, .hangover_ms = 350},
    {.on = 0.80F, .off = 0.60F, .hangover_ms = 250},
};

const struct vad_level *vad_level(int aggressiveness)
{
    if (aggressiveness < 0)
        aggressiveness = 0;
    if (aggressiveness > VAD_AGGRESSIVENESS_MAX)
        aggressiveness = VAD_AGGRESSIVENESS_MAX;
    return &levels[aggressiveness];
}

static const char *const engine_names[VAD_ENGINES] = {"rnnoise", "energy"};

const char *vad_engine_name(enum vad_engine engine)
{
    return (unsigned)engine < VAD_ENGINES ? engine_names[engine] : "unknown";
}

bool vad_engine_parse(const char *name, enum vad_engine *ret)
{
    for (unsigned engine = 0; engine < VAD_ENGINES; engine++) {
        if (strcmp(name, engine_names[engine]) == 0) {
            *ret = (enum vad_engine)engine;
            return true;
        }
    }
    return false;
}

struct vad {
    enum vad_engine engine;
    int rate;
    const struct vad_level *level;
    float pending[STEP_MAX]; /* of the step that is not full yet */
    size_t pending_count;
    bool in_speech; /* for vad_frame(): the last frame was */

    DenoiseState *denoise; /* RNNOISE */
    struct upsample upsample;
    float floor_db; /* ENERGY */
};

/* ---------------------------------------------------------------- energy */

/* The floor falls at once and rises by 3 dB a second; speech is some 10 dB above it. */
static const float floor_start_db = -50, floor_rise_db = 3.0F / STEPS_A_SECOND;
static const float middle_db = 10, slope_db = 2.5F, silence_db = -75;

static float energy_step(struct vad *vad, const float *samples, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += (double)samples[i] * samples[i];
    float db = (float)(10 * log10(sum / (double)count + 1e-12));
    vad->floor_db = db < vad->floor_db ? db : vad->floor_db + floor_rise_db;
    if (vad->floor_db < silence_db)
        vad->floor_db = silence_db; /* digital silence is no measure */
    return 1 / (1 + expf(-(db - vad->floor_db - middle_db) / slope_db));
}

/* ---------------------------------------------------------------- RNNoise */

/* RNNoise takes 48 kHz and numbers in the range of 16 bits. */
static float rnnoise_step(struct vad *vad, const float *samples, size_t count)
{
    float wide[RNNOISE_STEP], cleaned[RNNOISE_STEP];
    upsample_run(&vad->upsample, samples, count, wide);
    for (size_t i = 0; i < RNNOISE_STEP; i++)
        wide[i] *= 32768;
    float probability = rnnoise_process_frame(vad->denoise, cleaned, wide);
    return isfinite(probability) ? probability : 0;
}

/* ---------------------------------------------------------------- the interface */

bool vad_open(enum vad_engine engine, int rate, int aggressiveness, struct vad **ret,
              struct err *err)
{
    if (rate != 8000 && rate != 16000 && rate != 48000)
        return err_set_param(err, ERR_INVALID_REQUEST, "rate",
                             "voice activity is found at 8000, 16000 or 48000 samples a second, "
                             "not at %d",
                             rate);
    struct vad *vad = calloc(1, sizeof(*vad));
    if (!vad)
        return err_no_memory(err);
    vad->engine = engine;
    vad->rate = rate;
    vad->level = vad_level(aggressiveness);
    vad_reset(vad);
    if (engine == VAD_RNNOISE && !vad->denoise) {
        vad_close(vad);
        return err_no_memory(err);
    }
    *ret = vad;
    return true;
}

void vad_close(struct vad *vad)
{
    if (!vad)
        return;
    if (vad->denoise)
        rnnoise_destroy(vad->denoise);
    free(vad);
}

void vad_reset(struct vad *vad)
{
    vad->pending_count = 0;
    vad->in_speech = false;
    vad->floor_db = floor_start_db;
    upsample_init(&vad->upsample, RNNOISE_RATE / vad->rate);
    if (vad->engine != VAD_RNNOISE)
        return;
    if (vad->denoise)
        rnnoise_init(vad->denoise, NULL);
    else
        vad->denoise = rnnoise_create(NULL);
}

static float run_step(struct vad *vad, const float *samples, size_t count)
{
    return vad->engine == VAD_RNNOISE ? rnnoise_step(vad, samples, count)
                                      : energy_step(vad, samples, count);
}

void vad_feed(struct vad *vad, const float *samples, size_t count, vad_step *step, void *user)
{
    size_t size = (size_t)(vad->rate / STEPS_A_SECOND);
    while (count > 0) {
        size_t part = size - vad->pending_count;
        if (part > count)
            part = count;
        memcpy(vad->pending + vad->pending_count, samples, part * sizeof(*samples));
        vad->pending_count += part;
        samples += part;
        count -= part;
        if (vad->pending_count == size) {
            vad->pending_count = 0;
            step(user, run_step(vad, vad->pending, size));
        }
    }
}

/* The highest probability of a frame's steps. */
static void keep_highest(void *user, float probability)
{
    float *highest = user;
    if (probability > *highest)
        *highest = probability;
}

static bool is_frame_ms(int rate, size_t count)
{
    size_t step = (size_t)(rate / STEPS_A_SECOND);
    return count == step || count == 2 * step || count == 3 * step;
}

bool vad_frame(struct vad *vad, const int16_t *samples, size_t count, bool *ret_speech,
               struct err *err)
{
    float values[3 * STEP_MAX], highest = 0;
    if (!is_frame_ms(vad->rate, count))
        return err_set_param(err, ERR_INVALID_REQUEST, "frame",
                             "a frame holds 10, 20 or 30 ms, and %zu samples at %d a second are "
                             "none of these",
                             count, vad->rate);
    for (size_t i = 0; i < count; i++)
        values[i] = (float)samples[i] / 32768;
    vad_feed(vad, values, count, keep_highest, &highest);
    vad->in_speech = highest >= (vad->in_speech ? vad->level->off : vad->level->on);
    *ret_speech = vad->in_speech;
    return true;
}

bool vad_has_speech(struct vad *vad, const int16_t *samples, size_t count, int frame_ms, bool *ret,
                    struct err *err)
{
    size_t size = (size_t)vad->rate * (size_t)(frame_ms > 0 ? frame_ms : 0) / 1000;
    size_t frames = 0, speech = 0;
    if (!is_frame_ms(vad->rate, size))
        return err_set_param(err, ERR_INVALID_REQUEST, "frame",
                             "a frame holds 10, 20 or 30 ms, and %zu samples at %d a second are "
                             "none of these",
                             size, vad->rate);
    vad_reset(vad);
    for (size_t at = 0; at + size <= count; at += size) {
        bool is_speech = false;
        if (!vad_frame(vad, samples + at, size, &is_speech, err))
            return false;
        frames++;
        speech += is_speech;
    }
    *ret = speech * 100 > frames * SPEECH_PERCENT;
    return true;
}
