/* Sound files of each format become the tone that is in them; broken ones become an error or what there is of them. */
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fs.h"
#include "engine/speech_audio.h"
#include "helper/testing.h"

enum { RATE = 16000, SAMPLES_MAX = 4 * RATE, FILE_MAX = 1 << 20 };

/* Decodes bytes in parts of `part` samples. Returns the number of samples, or -1 when it failed. */
static long decode(const uint8_t *bytes, size_t length, size_t part, float *out)
{
    struct audio_source source = {.fd = -1, .bytes = bytes, .size = length};
    struct audio *audio;
    struct err err;
    size_t done = 0, count = 1;
    if (!audio_open(&source, &audio, &err)) {
        assert_true(err.code == ERR_UNSUPPORTED || err.code == ERR_DOCUMENT);
        return -1;
    }
    bool ok = true;
    while (ok && count > 0 && done + part <= SAMPLES_MAX) {
        ok = audio_read(audio, out + done, part, &count, &err);
        done += ok ? count : 0;
    }
    audio_close(audio);
    return ok ? (long)done : -1;
}

static uint8_t *read_sound(const char *name, size_t *ret_length)
{
    char path[512], *bytes;
    struct err err;
    snprintf(path, sizeof(path), "%s/%s", SOUNDS, name);
    assert_true(fs_read(path, FILE_MAX, &bytes, ret_length, &err));
    return (uint8_t *)bytes;
}

/* How much of the sound is a tone of this pitch: 1 for a tone of amplitude 1 (Goertzel 1958). */
static double tone_in(const float *samples, long count, double pitch)
{
    double re = 0, im = 0;
    for (long i = 0; i < count; i++) {
        re += samples[i] * cos(2 * M_PI * pitch * (double)i / RATE);
        im += samples[i] * sin(2 * M_PI * pitch * (double)i / RATE);
    }
    return 2 * hypot(re, im) / (double)count;
}

static const struct {
    const char *name;
    double seconds;
} sounds[] = {
    {"tone.flac", .15}, {"tone.mp3", .25}, {"tone.ogg", .25}, {"tone.opus", .25},
    {"pcm16.wav", .05}, {"ulaw.wav", .05}, {"adpcm.wav", .1}, {"tone.aiff", .05},
};
enum { SOUNDS_COUNT = sizeof(sounds) / sizeof(*sounds) };

static void every_format_gives_its_tone(void **state)
{
    (void)state;
    static float samples[SAMPLES_MAX];
    for (size_t i = 0; i < SOUNDS_COUNT; i++) {
        size_t length;
        uint8_t *bytes = read_sound(sounds[i].name, &length);
        long count = decode(bytes, length, 160, samples);
        print_message("# %s: %ld samples, %.2f of the tone\n", sounds[i].name, count,
                      tone_in(samples, count, 440));
        /* Encoders add and take away some at both ends. */
        assert_true(fabs((double)count / RATE - sounds[i].seconds) < 0.08);
        assert_float_equal(tone_in(samples, count, 440), 0.5, 0.15);
        assert_true(tone_in(samples, count, 3000) < 0.05);
        free(bytes);
    }
}

static void parts_of_any_size_give_the_same(void **state)
{
    (void)state;
    static float whole[SAMPLES_MAX], parts[SAMPLES_MAX];
    for (size_t i = 0; i < SOUNDS_COUNT; i++) {
        size_t length;
        uint8_t *bytes = read_sound(sounds[i].name, &length);
        long count = decode(bytes, length, RATE, whole);
        assert_int_equal(decode(bytes, length, 7, parts), count);
        assert_memory_equal(whole, parts, (size_t)count * sizeof(float));
        free(bytes);
    }
}

static void cut_and_changed_files_do_no_harm(void **state)
{
    (void)state;
    static float samples[SAMPLES_MAX];
    struct testing_random random;
    testing_seed(&random);
    for (size_t i = 0; i < SOUNDS_COUNT; i++) {
        size_t length;
        uint8_t *bytes = read_sound(sounds[i].name, &length);
        assert_true(length > 0);
        for (size_t cut = 0; cut < length; cut += 1 + length / 40)
            decode(bytes, cut, 1000, samples);
        for (int round = 0; round < 200; round++) {
            uint8_t *copy = malloc(length + 1);
            memcpy(copy, bytes, length);
            for (int change = 0; change < 3; change++)
                copy[testing_below(&random, length)] = (uint8_t)testing_next(&random);
            long count = decode(copy, length, 1000, samples);
            for (long j = 0; j < count; j++)
                assert_true(samples[j] >= -1 && samples[j] <= 1);
            free(copy);
        }
        free(bytes);
    }
}

static void put_number(uint8_t *at, uint32_t value, size_t size)
{
    memcpy(at, &value, size);
}

/* A WAV of 32-bit floats. */
static size_t make_wav(uint8_t *out, uint32_t rate, const float *samples, uint32_t count)
{
    enum { HEADER = 44, FLOAT = 3 };
    memcpy(out, "RIFF", 4);
    put_number(out + 4, 36 + 4 * count, 4);
    memcpy(out + 8, "WAVEfmt ", 8);
    put_number(out + 16, 16, 4);
    put_number(out + 20, FLOAT, 2);
    put_number(out + 22, 1, 2);
    put_number(out + 24, rate, 4);
    put_number(out + 28, rate * 4, 4);
    put_number(out + 32, 4, 2);
    put_number(out + 34, 32, 2);
    memcpy(out + 36, "data", 4);
    put_number(out + 40, 4 * count, 4);
    memcpy(out + HEADER, samples, 4 * (size_t)count);
    return HEADER + 4 * (size_t)count;
}

static void what_is_no_number_is_silence(void **state)
{
    (void)state;
    static const float values[] = {NAN, INFINITY, -INFINITY, 1e30F, -5, 0.5F};
    static uint8_t file[1024];
    float samples[RATE];
    size_t length = make_wav(file, RATE, values, 6);
    assert_int_equal(decode(file, length, 100, samples), 6);
    assert_true(samples[0] == 0 && samples[1] == 0 && samples[2] == 0);
    assert_true(samples[3] == 1 && samples[4] == -1 && samples[5] == 0.5F);
}

static void mad_rates_are_refused(void **state)
{
    (void)state;
    static const uint32_t rates[] = {1, 100, 1000000, 0xffffffff};
    static const float values[100];
    static uint8_t file[1024];
    float samples[RATE];
    for (size_t i = 0; i < sizeof(rates) / sizeof(*rates); i++)
        assert_int_equal(decode(file, make_wav(file, rates[i], values, 100), 100, samples), -1);
}

static void a_file_is_read_through_its_descriptor(void **state)
{
    (void)state;
    struct audio_source source = {.fd = open(SOUNDS "/tone.ogg", O_RDONLY | O_CLOEXEC)};
    struct stat status;
    struct audio *audio;
    struct err err;
    float samples[100];
    size_t count;
    assert_int_equal(fstat(source.fd, &status), 0);
    source.size = (uint64_t)status.st_size;
    assert_true(audio_open(&source, &audio, &err));
    assert_true(audio_read(audio, samples, 100, &count, &err));
    assert_int_equal(count, 100);
    audio_close(audio);
    close(source.fd);
}

static void other_files_are_refused(void **state)
{
    (void)state;
    static const char *const files[] = {"",
                                        "a",
                                        "# A page of Markdown, long enough to be more",
                                        "%PDF-1.7",
                                        "OggS and something else",
                                        "\177ELF"};
    float samples[100];
    for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++)
        assert_int_equal(decode((const uint8_t *)files[i], strlen(files[i]), 100, samples), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_format_gives_its_tone),
        cmocka_unit_test(parts_of_any_size_give_the_same),
        cmocka_unit_test(cut_and_changed_files_do_no_harm),
        cmocka_unit_test(what_is_no_number_is_silence),
        cmocka_unit_test(mad_rates_are_refused),
        cmocka_unit_test(a_file_is_read_through_its_descriptor),
        cmocka_unit_test(other_files_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
