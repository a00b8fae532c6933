/* The speech engine in process: the file's check, a whole transcription with a model that says one sentence, and what
 * is done with a model that stammers. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fs.h"
#include "engine/speech.h"
#include "engine/speech_result.h"
#include "helper/testing.h"
#include "helper/whisper_make.h"

enum { ARENA_MAX = 16 << 20, SECOND = MSG_SPEECH_RATE, MODEL_MAX = 64 << 20 };

struct fixture {
    char *directory;
    char *path;
    struct backend backend;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    struct err err;
    fixture->directory = testing_directory();
    fixture->path = testing_path(fixture->directory, WHISPER_MAKE_FILE);
    backend_init(&fixture->backend);
    backend_load(&fixture->backend);
    *state = fixture;
    return whisper_make(fixture->path, &err) ? 0 : -1;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    testing_remove(fixture->directory);
    free(fixture->path);
    free(fixture);
    return 0;
}

static bool open_model(const char *path, struct speech *ret, struct err *err)
{
    const struct msg_load load = {
        .role = ROLE_SPEECH, .path = path, .slots = 1, .threads = 1, .charset = ""};
    struct model model;
    return speech_open(&load, NULL, NULL, ret, &model, err);
}

/* --- transcribing --- */

static struct msg_transcribed transcribe(struct speech *speech, struct msg_transcribe request,
                                         struct arena *arena)
{
    static float samples[MSG_SPEECH_SAMPLES_MAX];
    atomic_bool cancelled = false;
    struct msg_transcribed result;
    struct err err;
    for (uint32_t i = 0; i < request.sample_count; i++)
        samples[i] = (i / 40) % 2 ? 0.2F : -0.2F;
    request.samples = samples;
    assert_true(speech_transcribe(speech, &request, 1, &cancelled, arena, &result, &err));
    return result;
}

static void the_sentence_is_heard(void **state)
{
    const struct fixture *fixture = *state;
    struct speech speech;
    struct err err;
    struct arena arena;
    arena_init(&arena, ARENA_MAX);
    assert_true(open_model(fixture->path, &speech, &err));
    struct msg_transcribed result =
        transcribe(&speech,
                   (struct msg_transcribe){
                       .sample_count = 2 * SECOND, .language = "", .prompt = "", .words = true},
                   &arena);
    assert_string_equal(result.language, "es");
    assert_true(result.language_probability > 0.5F);
    assert_int_equal(result.segment_count, 1);
    assert_string_equal(result.segments[0].text, WHISPER_MAKE_TEXT);
    assert_int_equal(result.segments[0].end_ms, 2000);
    assert_int_equal(result.word_count, WHISPER_MAKE_WORDS);
    assert_string_equal(result.words[0].text, "Una");
    assert_string_equal(result.words[3].text, "voz.");
    for (uint32_t i = 0; i < result.word_count; i++) {
        assert_true(result.words[i].end_ms >= result.words[i].start_ms);
        assert_true(result.words[i].end_ms <= 2000);
        assert_true(result.words[i].probability > 0.5F);
    }
    speech_close(&speech);
    arena_free(&arena);
}

static void lengths_and_languages(void **state)
{
    static const uint32_t lengths[] = {1, 160, 8000, 16 * SECOND, MSG_SPEECH_SAMPLES_MAX};
    const struct fixture *fixture = *state;
    struct speech speech;
    struct err err;
    assert_true(open_model(fixture->path, &speech, &err));
    for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
        struct arena arena;
        arena_init(&arena, ARENA_MAX);
        struct msg_transcribed result = transcribe(
            &speech,
            (struct msg_transcribe){
                .sample_count = lengths[i], .language = i % 2 ? "en" : "spanish", .prompt = ""},
            &arena);
        assert_string_equal(result.language, i % 2 ? "en" : "es");
        assert_string_equal(result.segments[0].text, WHISPER_MAKE_TEXT);
        assert_int_equal(result.word_count, 0);
        arena_free(&arena);
    }
    speech_close(&speech);
}

static void unknown_languages_are_refused(void **state)
{
    const struct fixture *fixture = *state;
    const float sample = 0;
    const struct msg_transcribe request = {
        .samples = &sample, .sample_count = 1, .language = "klingon", .prompt = ""};
    struct speech speech;
    struct arena arena;
    struct msg_transcribed result;
    struct err err;
    atomic_bool cancelled = false;
    arena_init(&arena, ARENA_MAX);
    assert_true(open_model(fixture->path, &speech, &err));
    assert_false(speech_transcribe(&speech, &request, 1, &cancelled, &arena, &result, &err));
    assert_int_equal(err.code, ERR_UNSUPPORTED);
    assert_string_equal(err.param, "language");
    speech_close(&speech);
    arena_free(&arena);
}

static void a_cancelled_request_ends(void **state)
{
    const struct fixture *fixture = *state;
    const float sample = 0;
    const struct msg_transcribe request = {
        .samples = &sample, .sample_count = 1, .language = "", .prompt = ""};
    struct speech speech;
    struct arena arena;
    struct msg_transcribed result;
    struct err err;
    atomic_bool cancelled = true;
    arena_init(&arena, ARENA_MAX);
    assert_true(open_model(fixture->path, &speech, &err));
    assert_false(speech_transcribe(&speech, &request, 1, &cancelled, &arena, &result, &err));
    assert_int_equal(err.code, ERR_CANCELLED);
    speech_close(&speech);
    arena_free(&arena);
}

/* --- files --- */

static void a_file_says_what_it_is(void **state)
{
    const struct fixture *fixture = *state;
    struct arena arena;
    struct msg_inspected inspected;
    struct err err;
    arena_init(&arena, ARENA_MAX);
    assert_true(speech_file_is(fixture->path));
    assert_true(speech_inspect(fixture->path, &arena, &inspected, &err));
    assert_string_equal(inspected.architecture, "whisper");
    assert_int_equal(inspected.role, ROLE_SPEECH);
    assert_int_equal(inspected.layers, 2);
    assert_false(speech_inspect(fixture->directory, &arena, &inspected, &err));
    assert_false(speech_inspect("/nonexistent", &arena, &inspected, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    arena_free(&arena);
}

static bool opens(const char *path)
{
    struct err err;
    struct speech speech;
    bool ok = open_model(path, &speech, &err);
    if (ok)
        speech_close(&speech);
    else
        assert_int_equal(err.code, ERR_MODEL_INVALID);
    return ok;
}

/* Whether the model opens with one of its 32-bit numbers changed. */
static bool opens_with(const struct fixture *fixture, size_t at, uint32_t number)
{
    uint32_t before;
    int fd = open(fixture->path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &before, sizeof(before), (off_t)at), sizeof(before));
    assert_int_equal(pwrite(fd, &number, sizeof(number), (off_t)at), sizeof(number));
    bool ok = opens(fixture->path);
    assert_int_equal(pwrite(fd, &before, sizeof(before), (off_t)at), sizeof(before));
    close(fd);
    return ok;
}

static void damaged_files_are_refused(void **state)
{
    const struct fixture *fixture = *state;
    static const uint32_t lies[] = {0, 1, 5, 0x7fffffff, 0x80000000, 0xffffffff};
    enum { HEADER_NUMBERS = 12, TYPE = 11 };
    for (size_t field = 0; field < HEADER_NUMBERS; field++)
        for (size_t i = 0; i < sizeof(lies) / sizeof(*lies); i++)
            if (field != TYPE && lies[i] != 1)
                assert_false(opens_with(fixture, field * sizeof(uint32_t), lies[i]));
    char *bytes;
    size_t length;
    struct err err;
    assert_true(fs_read(fixture->path, MODEL_MAX, &bytes, &length, &err));
    for (size_t cut = 0; cut < 200000; cut = cut * 3 + 7) {
        char *path = testing_file(fixture->directory, "cut.bin", bytes, cut);
        assert_false(opens(path));
        free(path);
    }
    free(bytes);
}

/* The first tensor's head: dimensions, length of the name, type, sides. */
static void lying_tensors_are_refused(void **state)
{
    const struct fixture *fixture = *state;
    char *bytes;
    size_t length;
    struct err err;
    assert_true(fs_read(fixture->path, MODEL_MAX, &bytes, &length, &err));
    const char name[] = "encoder.positional_embedding";
    const char *found = memmem(bytes, length, name, strlen(name));
    assert_non_null(found);
    size_t head = (size_t)(found - bytes) - 5 * sizeof(uint32_t);
    free(bytes);
    static const uint32_t lies[] = {0, 4, 5, 1000, 0xffffffff};
    for (size_t field = 0; field < 5; field++)
        for (size_t i = 0; i < sizeof(lies) / sizeof(*lies); i++)
            if (field != 2 || lies[i] > 4) /* types 0 and 4 are types */
                assert_false(opens_with(fixture, head + field * sizeof(uint32_t), lies[i]));
}

/* --- circles --- */

static void circles_are_cut(void **state)
{
    (void)state;
    const int32_t plain[] = {1, 2, 3, 1, 2, 3, 4, 5, 5, 5, 6};
    const int32_t pairs[] = {9, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2};
    const int32_t same[] = {7, 7, 7, 7, 7, 7, 7, 7};
    const int32_t number[] = {0, 0, 0, 0, 0}; /* "100000" is no circle yet */
    assert_int_equal(speech_before_loop(plain, 11), 11);
    assert_int_equal(speech_before_loop(pairs, 11), 3);
    assert_int_equal(speech_before_loop(same, 8), 1);
    assert_int_equal(speech_before_loop(number, 5), 5);
    assert_int_equal(speech_before_loop(number, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_sentence_is_heard),
        cmocka_unit_test(lengths_and_languages),
        cmocka_unit_test(unknown_languages_are_refused),
        cmocka_unit_test(a_cancelled_request_ends),
        cmocka_unit_test(a_file_says_what_it_is),
        cmocka_unit_test(damaged_files_are_refused),
        cmocka_unit_test(lying_tensors_are_refused),
        cmocka_unit_test(circles_are_cut),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
