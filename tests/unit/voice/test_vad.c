/* Voice activity: frames and rates, silence and noise, and a real speech against the segments that another detector
 * finds in it. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/fs.h"
#include "helper/testing.h"
#include "voice/segment.h"
#include "voice/upsample.h"
#include "voice/vad.h"

static void frames_of_other_lengths_are_refused(void **state)
{
    (void)state;
    static const int16_t samples[1440];
    static const int rates[] = {8000, 16000, 48000};
    struct vad *vad;
    struct err err;
    bool speech;
    for (size_t i = 0; i < 3; i++) {
        size_t step = (size_t)rates[i] / 100;
        assert_true(vad_open(VAD_RNNOISE, rates[i], 1, &vad, &err));
        for (size_t frame = 1; frame <= 3; frame++) {
            assert_true(vad_frame(vad, samples, frame * step, &speech, &err));
            assert_false(speech);
        }
        assert_false(vad_frame(vad, samples, step + 1, &speech, &err));
        assert_int_equal(err.code, ERR_INVALID_REQUEST);
        assert_false(vad_frame(vad, samples, 0, &speech, &err));
        assert_false(vad_has_speech(vad, samples, 100, 15, &speech, &err));
        vad_close(vad);
    }
    assert_false(vad_open(VAD_RNNOISE, 44100, 1, &vad, &err));
    assert_int_equal(err.code, ERR_INVALID_REQUEST);
}

static void names(void **state)
{
    (void)state;
    for (enum vad_engine engine = 0; engine < VAD_ENGINES; engine++) {
        enum vad_engine again = VAD_ENGINES;
        assert_true(vad_engine_parse(vad_engine_name(engine), &again));
        assert_int_equal(again, engine);
    }
    enum vad_engine none;
    assert_false(vad_engine_parse("webrtc", &none));
}

static void upsampling_keeps_a_tone(void **state)
{
    (void)state;
    enum { SLOW = 800 };
    for (int factor = 1; factor <= UPSAMPLE_FACTOR_MAX; factor++) {
        struct upsample upsample;
        static float slow[SLOW], fast[SLOW * UPSAMPLE_FACTOR_MAX];
        for (int i = 0; i < SLOW; i++)
            slow[i] = sinf(0.3F * (float)i);
        upsample_init(&upsample, factor);
        upsample_run(&upsample, slow, SLOW / 2, fast);
        upsample_run(&upsample, slow + SLOW / 2, SLOW / 2, fast + factor * SLOW / 2);
        float delay = factor == 1 ? 0 : UPSAMPLE_TAPS / 2.0F;
        for (int i = 100 * factor; i < SLOW * factor; i++)
            assert_float_equal(fast[i], sinf(0.3F * ((float)i / (float)factor - delay)), 0.01);
    }
}

/* --- sounds that the test makes --- */

enum { RATE = 16000, SECONDS = 4 };

static void count_speech(void *user, float probability)
{
    size_t *count = user;
    assert_true(probability >= 0 && probability <= 1);
    *count += probability >= 0.5F;
}

/* How many of the 10 ms steps of a sound are speech. */
static size_t speech_steps(enum vad_engine engine, const float *samples, size_t count, size_t part)
{
    struct vad *vad;
    struct err err;
    size_t speech = 0;
    assert_true(vad_open(engine, RATE, 1, &vad, &err));
    for (size_t at = 0; at < count; at += part)
        vad_feed(vad, samples + at, at + part < count ? part : count - at, count_speech, &speech);
    vad_close(vad);
    return speech;
}

static void silence_hum_and_noise_are_no_speech(void **state)
{
    (void)state;
    struct testing_random random;
    testing_seed(&random);
    static float silence[SECONDS * RATE], hum[SECONDS * RATE], noise[SECONDS * RATE];
    for (size_t i = 0; i < SECONDS * RATE; i++) {
        hum[i] = 0.2F * sinf((float)(2 * M_PI) * 50 * (float)i / RATE);
        noise[i] = 0.02F * ((float)testing_below(&random, 2001) / 1000 - 1);
    }
    for (enum vad_engine engine = 0; engine < VAD_ENGINES; engine++) {
        assert_int_equal(speech_steps(engine, silence, SECONDS * RATE, 160), 0);
        size_t loud = speech_steps(engine, hum, SECONDS * RATE, 777);
        size_t hiss = speech_steps(engine, noise, SECONDS * RATE, 1);
        /* The energy detector takes the beginning of any sound for speech, until its floor has risen. */
        if (engine == VAD_RNNOISE)
            assert_true(loud < 40 && hiss < 40);
    }
}

static void energy_finds_what_is_louder_than_before(void **state)
{
    (void)state;
    static float sound[SECONDS * RATE];
    for (size_t i = 0; i < SECONDS * RATE; i++)
        sound[i] = (i / RATE % 2 ? 0.3F : 0.001F) * sinf(0.2F * (float)i);
    size_t speech = speech_steps(VAD_ENERGY, sound, SECONDS * RATE, 160);
    assert_int_in_range(speech, 190, 215);
}

/* --- a real speech --- */

/* The samples of a WAV file of 16 bits at 16 kHz; NULL when there is none. */
static int16_t *read_wav(const char *name, size_t *ret_count)
{
    enum { FILE_MAX = 8 << 20, CHUNK_HEAD = 8, FIRST_CHUNK = 12 };
    char *path = testing_data(name), *bytes;
    size_t length;
    struct err err;
    if (!path)
        return NULL;
    assert_true(fs_read(path, FILE_MAX, &bytes, &length, &err));
    free(path);
    size_t at = FIRST_CHUNK;
    uint32_t size;
    memcpy(&size, bytes + at + 4, sizeof(size));
    while (memcmp(bytes + at, "data", 4) != 0) {
        at += CHUNK_HEAD + size;
        memcpy(&size, bytes + at + 4, sizeof(size));
    }
    *ret_count = size / sizeof(int16_t);
    memmove(bytes, bytes + at + CHUNK_HEAD, size);
    return (int16_t *)(void *)bytes;
}

/* Speech in jfk.wav as Silero v6.2 finds it, in seconds. */
static const double reference[][2] = {{0.32, 2.27}, {3.27, 4.41}, {5.38, 7.68}, {8.16, 10.62}};

static bool is_in_reference(double second)
{
    for (size_t i = 0; i < sizeof(reference) / sizeof(*reference); i++)
        if (second >= reference[i][0] && second < reference[i][1])
            return true;
    return false;
}

struct score {
    size_t both, found, expected;
};

static void measure(const int16_t *samples, size_t count, int aggressiveness, struct score *ret)
{
    struct vad *vad;
    struct err err;
    *ret = (struct score){0};
    assert_true(vad_open(VAD_RNNOISE, RATE, aggressiveness, &vad, &err));
    for (size_t at = 0; at + SEGMENT_STEP <= count; at += SEGMENT_STEP) {
        bool found;
        assert_true(vad_frame(vad, samples + at, SEGMENT_STEP, &found, &err));
        bool expected = is_in_reference((double)at / RATE);
        ret->both += found && expected;
        ret->found += found;
        ret->expected += expected;
    }
    vad_close(vad);
}

static void a_real_speech_is_found(void **state)
{
    (void)state;
    size_t count;
    int16_t *samples = read_wav("speech/jfk.wav", &count);
    if (!samples)
        skip();
    for (int aggressiveness = 0; aggressiveness <= VAD_AGGRESSIVENESS_MAX; aggressiveness++) {
        struct score score;
        measure(samples, count, aggressiveness, &score);
        double precision = (double)score.both / (double)score.found;
        double recall = (double)score.both / (double)score.expected;
        print_message("# aggressiveness %d: precision %.3f, recall %.3f\n", aggressiveness,
                      precision, recall);
        if (aggressiveness == VAD_AGGRESSIVENESS_DEFAULT) {
            assert_true(precision >= 0.85);
            assert_true(recall >= 0.9);
        }
    }
    bool speech;
    struct vad *vad;
    struct err err;
    assert_true(vad_open(VAD_RNNOISE, RATE, 1, &vad, &err));
    assert_true(vad_has_speech(vad, samples, count, 20, &speech, &err));
    assert_true(speech);
    vad_close(vad);
    free(samples);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_of_other_lengths_are_refused),
        cmocka_unit_test(names),
        cmocka_unit_test(upsampling_keeps_a_tone),
        cmocka_unit_test(silence_hum_and_noise_are_no_speech),
        cmocka_unit_test(energy_finds_what_is_louder_than_before),
        cmocka_unit_test(a_real_speech_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
