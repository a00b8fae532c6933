/* How it works. The segmenter holds a window: the steps since the piece began, or, while nobody speaks, the last
 * preroll_ms. For each step it keeps the samples, the probability and the loudness. Times are steps since the
 * beginning of the stream; `first` is the window's first. */
#include "voice/segment.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_MS = 25000,
    KEPT_MS = 300,   /* of the silence after a piece: more only costs time */
    QUIET_STEPS = 5, /* over which the quietest place is looked for: 50 ms */
    SOFT_PAUSE_MS = 120,
    SPEECH_PERCENT = 30,
};

struct step {
    float probability;
    float loudness; /* root mean square */
};

struct segmenter {
    struct segment_options options;
    segment_receive *receive;
    void *user;
    float *samples;
    struct step *steps;
    size_t capacity; /* steps */
    size_t count;    /* steps in the window */
    int64_t first;
    bool open;           /* a piece has begun */
    size_t onset;        /* steps in a row that were likely, while not open */
    size_t speech_begin; /* step of the window where speech began */
    size_t speech_end;   /* one past the last step that was speech */
};

static size_t steps_of(int ms)
{
    return ms > 0 ? (size_t)(ms / VAD_STEP_MS) : 0;
}

void segment_options_default(int aggressiveness, struct segment_options *ret)
{
    const struct vad_level *level = vad_level(aggressiveness);
    *ret = (struct segment_options){
        .level = *level,
        .onset_ms = 30,
        .preroll_ms = 300,
        .min_speech_ms = 250,
        .min_silence_ms = level->hangover_ms,
        .soft_ms = 12000,
        .max_ms = 20000,
    };
    if (ret->level.hangover_ms > KEPT_MS)
        ret->level.hangover_ms = KEPT_MS;
}

bool segmenter_open(const struct segment_options *options, segment_receive *receive, void *user,
                    struct segmenter **ret, struct err *err)
{
    struct segmenter *segmenter = calloc(1, sizeof(*segmenter));
    if (!segmenter)
        return err_no_memory(err);
    segmenter->options = *options;
    if (segmenter->options.max_ms > MAX_MS)
        segmenter->options.max_ms = MAX_MS;
    if (segmenter->options.max_ms < 1000)
        segmenter->options.max_ms = 1000;
    segmenter->receive = receive;
    segmenter->user = user;
    segmenter->capacity = steps_of(segmenter->options.max_ms) + steps_of(options->preroll_ms) + 1;
    segmenter->samples = calloc(segmenter->capacity, SEGMENT_STEP * sizeof(float));
    segmenter->steps = calloc(segmenter->capacity, sizeof(struct step));
    if (!segmenter->samples || !segmenter->steps) {
        segmenter_close(segmenter);
        return err_no_memory(err);
    }
    *ret = segmenter;
    return true;
}

void segmenter_close(struct segmenter *segmenter)
{
    if (!segmenter)
        return;
    free(segmenter->samples);
    free(segmenter->steps);
    free(segmenter);
}

/* ---------------------------------------------------------------- the window */

/* Drops the window's first steps. */
static void drop(struct segmenter *segmenter, size_t steps)
{
    size_t rest = segmenter->count - steps;
    memmove(segmenter->samples, segmenter->samples + steps * SEGMENT_STEP,
            rest * SEGMENT_STEP * sizeof(float));
    memmove(segmenter->steps, segmenter->steps + steps, rest * sizeof(struct step));
    segmenter->count = rest;
    segmenter->first += (int64_t)steps;
}

/* Keeps the last `steps` of the window. */
static void keep_last(struct segmenter *segmenter, size_t steps)
{
    if (segmenter->count > steps)
        drop(segmenter, segmenter->count - steps);
}

static float loudness_of(const float *samples)
{
    double sum = 0;
    for (size_t i = 0; i < SEGMENT_STEP; i++)
        sum += (double)samples[i] * samples[i];
    return (float)sqrt(sum / SEGMENT_STEP);
}

static void append(struct segmenter *segmenter, const float *samples, float probability)
{
    memcpy(segmenter->samples + segmenter->count * SEGMENT_STEP, samples,
           SEGMENT_STEP * sizeof(*samples));
    segmenter->steps[segmenter->count++] =
        (struct step){.probability = probability, .loudness = loudness_of(samples)};
}

/* ---------------------------------------------------------------- pieces */

/* Whether the steps of the piece up to `end` hold enough speech. */
static bool is_worth_it(const struct segmenter *segmenter, size_t end)
{
    size_t speech = 0;
    for (size_t i = segmenter->speech_begin; i < end; i++)
        speech += segmenter->steps[i].probability >= segmenter->options.level.off;
    size_t length = end - segmenter->speech_begin;
    return speech >= steps_of(segmenter->options.min_speech_ms) &&
           speech * 100 > length * SPEECH_PERCENT;
}

/* Hands out the window's first `end` steps, of which speech takes those up to `speech_end`. */
static bool hand_out(struct segmenter *segmenter, size_t end, size_t speech_end, bool cut,
                     struct err *err)
{
    if (speech_end <= segmenter->speech_begin || !is_worth_it(segmenter, speech_end))
        return true;
    const struct segment_piece piece = {
        .samples = segmenter->samples,
        .count = end * SEGMENT_STEP,
        .begin_ms = segmenter->first * VAD_STEP_MS,
        .speech_begin_ms = (segmenter->first + (int64_t)segmenter->speech_begin) * VAD_STEP_MS,
        .speech_end_ms = (segmenter->first + (int64_t)speech_end) * VAD_STEP_MS,
        .cut = cut,
    };
    return segmenter->receive(segmenter->user, &piece, err);
}

/* The piece has ended: it keeps the hangover, the window keeps what the next one may begin with. */
static bool end_piece(struct segmenter *segmenter, struct err *err)
{
    size_t end = segmenter->speech_end + steps_of(segmenter->options.level.hangover_ms);
    if (end > segmenter->count)
        end = segmenter->count;
    bool ok = hand_out(segmenter, end, segmenter->speech_end, false, err);
    segmenter->open = false;
    segmenter->onset = 0;
    drop(segmenter, segmenter->speech_end); /* nothing is heard twice */
    keep_last(segmenter, steps_of(segmenter->options.preroll_ms));
    return ok;
}

/* The step in the second half of the window around which it is quietest. */
static size_t quietest(const struct segmenter *segmenter)
{
    size_t best = segmenter->count / 2;
    double least = INFINITY;
    for (size_t i = segmenter->count / 2; i + QUIET_STEPS <= segmenter->count; i++) {
        double sum = 0;
        for (size_t j = i; j < i + QUIET_STEPS; j++)
            sum += (double)segmenter->steps[j].probability + (double)segmenter->steps[j].loudness;
        if (sum < least) {
            least = sum;
            best = i + QUIET_STEPS / 2;
        }
    }
    return best;
}

/* The piece is too long: hands out its first part and goes on with the rest. */
static bool cut_piece(struct segmenter *segmenter, struct err *err)
{
    size_t at = quietest(segmenter);
    size_t speech_end = segmenter->speech_end < at ? segmenter->speech_end : at;
    bool ok = hand_out(segmenter, at, speech_end, true, err);
    drop(segmenter, at);
    segmenter->speech_begin = 0;
    segmenter->speech_end = segmenter->speech_end > at ? segmenter->speech_end - at : 0;
    return ok;
}

/* ---------------------------------------------------------------- step by step */

static void wait_for_speech(struct segmenter *segmenter, float probability)
{
    const struct segment_options *options = &segmenter->options;
    segmenter->onset = probability >= options->level.on ? segmenter->onset + 1 : 0;
    size_t needed = steps_of(options->onset_ms);
    if (segmenter->onset < (needed > 0 ? needed : 1)) {
        keep_last(segmenter, steps_of(options->preroll_ms) + segmenter->onset);
        return;
    }
    segmenter->open = true;
    segmenter->speech_begin = segmenter->count - segmenter->onset;
    segmenter->speech_end = segmenter->count;
}

static bool go_on(struct segmenter *segmenter, float probability, struct err *err)
{
    const struct segment_options *options = &segmenter->options;
    if (probability >= options->level.off)
        segmenter->speech_end = segmenter->count;
    size_t silence = segmenter->count - segmenter->speech_end;
    bool is_long = segmenter->count >= steps_of(options->soft_ms);
    if (silence >= steps_of(is_long ? SOFT_PAUSE_MS : options->min_silence_ms) && silence > 0)
        return end_piece(segmenter, err);
    return segmenter->count < steps_of(options->max_ms) || cut_piece(segmenter, err);
}

bool segmenter_feed(struct segmenter *segmenter, const float *samples, float probability,
                    struct err *err)
{
    append(segmenter, samples, probability);
    if (segmenter->open)
        return go_on(segmenter, probability, err);
    wait_for_speech(segmenter, probability);
    return true;
}

bool segmenter_finish(struct segmenter *segmenter, struct err *err)
{
    bool ok = !segmenter->open || end_piece(segmenter, err);
    segmenter->first += (int64_t)segmenter->count;
    segmenter->count = 0;
    return ok;
}
