/* Every message survives the trip, and nothing else than a whole message is taken. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "helper/testing.h"
#include "ipc/wire.h"
#include "samples.h"

enum { ARENA_MAX = 1 << 20, OUT_MAX = 1 << 20 };

static bool run_again(const struct codec_case *codec, const void *bytes, size_t length,
                      struct str *out, struct err *err)
{
    struct arena arena;
    arena_init(&arena, ARENA_MAX);
    bool ok = codec->again(bytes, length, &arena, out, err);
    arena_free(&arena);
    return ok;
}

/* Bytes in memory of exactly their size, so that a sanitizer sees any read past them. */
static void *exact_copy(const void *bytes, size_t length)
{
    void *copy = malloc(length ? length : 1);
    assert_non_null(copy);
    memcpy(copy, bytes, length);
    return copy;
}

static void samples_round_trip(void **state)
{
    (void)state;
    for (size_t i = 0; i < codec_case_count; i++) {
        struct str first, second;
        str_init(&first, OUT_MAX);
        str_init(&second, OUT_MAX);
        codec_cases[i].sample(&first);
        assert_true(str_ok(&first));
        struct err err = {0};
        if (!run_again(&codec_cases[i], first.data, first.length, &second, &err))
            fail_msg("%s: %s", codec_cases[i].name, err.message[LANG_EN]);
        assert_int_equal(first.length, second.length);
        assert_memory_equal(first.data, second.data, first.length);
        str_free(&first);
        str_free(&second);
    }
}

static void every_truncation_and_excess_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < codec_case_count; i++) {
        struct str whole, out;
        str_init(&whole, OUT_MAX);
        str_init(&out, OUT_MAX);
        codec_cases[i].sample(&whole);
        size_t length = whole.length;
        str_putc(&whole, '\0');
        for (size_t cut = 0; cut <= length + 1; cut++) {
            if (cut == length)
                continue;
            void *part = exact_copy(whole.data, cut);
            struct err err = {0};
            if (run_again(&codec_cases[i], part, cut, &out, &err))
                fail_msg("%s was taken at %zu of %zu bytes", codec_cases[i].name, cut, length);
            assert_int_equal(err.code, ERR_PROTOCOL);
            free(part);
        }
        str_free(&whole);
        str_free(&out);
    }
}

/* Whatever a decoder takes from damaged bytes, it encodes back to those very bytes: nothing is misread. */
static void damaged_messages_are_refused_or_mean_what_they_say(void **state)
{
    (void)state;
    struct testing_random random;
    testing_seed(&random);
    for (size_t i = 0; i < codec_case_count; i++) {
        struct str whole;
        str_init(&whole, OUT_MAX);
        codec_cases[i].sample(&whole);
        for (int round = 0; round < 2000; round++) {
            uint8_t *bytes = exact_copy(whole.data, whole.length);
            uint64_t damages = 1 + testing_below(&random, 4);
            for (uint64_t k = 0; k < damages; k++)
                bytes[testing_below(&random, whole.length)] = (uint8_t)testing_next(&random);
            struct str out;
            str_init(&out, OUT_MAX);
            struct err err = {0};
            if (!run_again(&codec_cases[i], bytes, whole.length, &out, &err)) {
                assert_int_equal(err.code, ERR_PROTOCOL);
            } else if (strcmp(codec_cases[i].name, "err") != 0) {
                assert_int_equal(out.length, whole.length);
                assert_memory_equal(out.data, bytes, whole.length);
            }
            str_free(&out);
            free(bytes);
        }
        str_free(&whole);
    }
}

static void huge_counts_allocate_nothing(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, ARENA_MAX);
    struct err err;
    uint8_t bytes[64];
    memset(bytes, 0xff, sizeof(bytes));
    struct msg_texts texts;
    assert_false(msg_get_texts(bytes, sizeof(bytes), &arena, &texts, &err));
    struct msg_vectors vectors;
    assert_false(msg_get_vectors(bytes, sizeof(bytes), &arena, &vectors, &err));
    struct msg_scores scores;
    assert_false(msg_get_scores(bytes, sizeof(bytes), &arena, &scores, &err));
    struct msg_generate generate;
    assert_false(msg_get_generate(bytes, sizeof(bytes), &arena, &generate, &err));
    assert_int_equal(err.code, ERR_PROTOCOL);
    assert_true(arena.used < 1024);
    arena_free(&arena);
}

/* True when a worker's answer with one segment and one word of these times is taken. */
static bool takes_times(const struct msg_segment *segment, const struct msg_word *word)
{
    const struct msg_transcribed message = {
        .language = "en", .segments = segment, .segment_count = 1, .words = word, .word_count = 1};
    struct str bytes;
    struct arena arena;
    struct msg_transcribed back;
    struct err err;
    str_init(&bytes, FRAME_PAYLOAD_MAX);
    arena_init(&arena, ARENA_MAX);
    msg_put_transcribed(&bytes, &message);
    bool ok = msg_get_transcribed(bytes.data, bytes.length, &arena, &back, &err);
    arena_free(&arena);
    str_free(&bytes);
    return ok;
}

static void times_outside_of_the_sound_are_refused(void **state)
{
    (void)state;
    const struct msg_word word = {"a", 10, 20, 1};
    const struct msg_word late = {"a", 10, 30001, 1}, backwards = {"a", 20, 10, 1};
    const struct msg_segment good = {"a", 0, 30000, 0, 0, 0, 1, 1};
    const struct msg_segment wordless = {"a", 0, 30000, 0, 0, 0, 0, 1};
    const struct msg_segment others = {"a", 0, 30000, 0, 0, 1, 1, 1};
    const struct msg_segment vague = {"a", 0, 30000, NAN, 0, 0, 1, 1};
    assert_true(takes_times(&good, &word));
    assert_false(takes_times(&good, &late));
    assert_false(takes_times(&good, &backwards));
    assert_false(takes_times(&wordless, &word)); /* a word of no segment */
    assert_false(takes_times(&others, &word));   /* a segment of a word that is not there */
    assert_false(takes_times(&vague, &word));
}

static void one_text_too_many_is_refused(void **state)
{
    (void)state;
    static const char *texts[MSG_TEXTS_MAX + 1];
    for (size_t i = 0; i <= MSG_TEXTS_MAX; i++)
        texts[i] = "";
    for (uint32_t count = MSG_TEXTS_MAX; count <= MSG_TEXTS_MAX + 1; count++) {
        struct str out;
        str_init(&out, OUT_MAX);
        msg_put_texts(&out, &(struct msg_texts){.texts = texts, .count = count});
        struct arena arena;
        arena_init(&arena, ARENA_MAX);
        struct msg_texts ret;
        struct err err;
        assert_int_equal(msg_get_texts(out.data, out.length, &arena, &ret, &err),
                         count <= MSG_TEXTS_MAX);
        arena_free(&arena);
        str_free(&out);
    }
}

static void a_full_arena_is_a_clean_failure(void **state)
{
    (void)state;
    for (size_t i = 0; i < codec_case_count; i++) {
        struct str whole, out;
        str_init(&whole, OUT_MAX);
        codec_cases[i].sample(&whole);
        for (size_t max = 0; max < 256; max += 16) {
            struct arena arena;
            arena_init(&arena, max);
            str_init(&out, OUT_MAX);
            struct err err = {0};
            if (codec_cases[i].again(whole.data, whole.length, &arena, &out, &err))
                assert_memory_equal(out.data, whole.data, whole.length);
            else
                assert_int_equal(err.code, ERR_PROTOCOL);
            str_free(&out);
            arena_free(&arena);
        }
        str_free(&whole);
    }
}

/* Decodes what `put` of one parsed document makes. */
static bool parsed_is_taken(const struct msg_parsed *message)
{
    struct str out;
    str_init(&out, OUT_MAX);
    msg_put_parsed(&out, message);
    struct arena arena;
    arena_init(&arena, ARENA_MAX);
    struct msg_parsed ret;
    bool ok = msg_get_parsed(out.data, out.length, &arena, &ret, NULL);
    arena_free(&arena);
    str_free(&out);
    return ok;
}

static void a_map_must_cover_the_text_and_stay_in_the_file(void **state)
{
    (void)state;
    struct text_run runs[2] = {{0, 0, true}, {3, 5, true}};
    struct msg_parsed message = {.title = "",
                                 .charset = "UTF-8",
                                 .need_charset = "",
                                 .text = "abcdef",
                                 .text_length = 6,
                                 .runs = runs,
                                 .run_count = 2,
                                 .file_length = 8};
    assert_true(parsed_is_taken(&message));
    message.file_length = 7; /* the second run would end past the file */
    assert_false(parsed_is_taken(&message));
    message.file_length = 8;
    runs[0].text_offset = 1; /* the beginning is not covered */
    assert_false(parsed_is_taken(&message));
    runs[0].text_offset = 0;
    runs[1].text_offset = 6; /* an empty run */
    assert_false(parsed_is_taken(&message));
    runs[1].text_offset = 0; /* not ascending */
    assert_false(parsed_is_taken(&message));
    message.run_count = 0;
    assert_false(parsed_is_taken(&message));
    message.text = "";
    message.text_length = 0;
    assert_true(parsed_is_taken(&message));
}

static void numbers_that_are_none_are_refused(void **state)
{
    (void)state;
    struct msg_generate message = {.prompt = "x", .sampling = {.grammar = ""}};
    sampling_default(&message.sampling);
    volatile float zero = 0;
    message.sampling.temperature = zero / zero;
    struct str out;
    str_init(&out, OUT_MAX);
    msg_put_generate(&out, &message);
    struct arena arena;
    arena_init(&arena, ARENA_MAX);
    struct msg_generate ret;
    assert_false(msg_get_generate(out.data, out.length, &arena, &ret, NULL));
    arena_free(&arena);
    str_free(&out);
}

static void text_that_is_not_utf8_is_repaired_by_the_encoder(void **state)
{
    (void)state;
    struct str out;
    str_init(&out, OUT_MAX);
    msg_put_path(&out, "a\xff"
                       "b\xc3");
    struct arena arena;
    arena_init(&arena, ARENA_MAX);
    const char *path;
    assert_true(msg_get_path(out.data, out.length, &arena, &path, NULL));
    assert_string_equal(path, "a\xef\xbf\xbd"
                              "b\xef\xbf\xbd");
    arena_free(&arena);
    str_free(&out);
}

static void an_error_keeps_both_languages_and_an_unknown_code_is_internal(void **state)
{
    (void)state;
    struct err error = {0}, ret = {0};
    err_restore(&error, ERR_BUSY, "busy", "ocupado", "model", 250);
    struct str out;
    str_init(&out, OUT_MAX);
    msg_put_err(&out, &error);
    assert_true(msg_get_err(out.data, out.length, &ret, NULL));
    assert_int_equal(ret.code, ERR_BUSY);
    assert_int_equal(ret.category, ERR_TRANSIENT);
    assert_string_equal(ret.message[LANG_EN], "busy");
    assert_string_equal(ret.message[LANG_ES], "ocupado");
    assert_string_equal(ret.param, "model");
    assert_int_equal(ret.retry_after_ms, 250);
    memset(out.data, 0x7f, 4);
    assert_true(msg_get_err(out.data, out.length, &ret, NULL));
    assert_int_equal(ret.code, ERR_INTERNAL);
    str_free(&out);
}

static void roles_have_names(void **state)
{
    (void)state;
    for (int role = 0; role < ROLE_COUNT; role++) {
        enum model_role parsed;
        assert_true(model_role_parse(model_role_name((enum model_role)role), &parsed));
        assert_int_equal(parsed, role);
    }
    enum model_role role = ROLE_CHAT;
    assert_false(model_role_parse("poet", &role));
    assert_int_equal(role, ROLE_CHAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples_round_trip),
        cmocka_unit_test(every_truncation_and_excess_is_refused),
        cmocka_unit_test(damaged_messages_are_refused_or_mean_what_they_say),
        cmocka_unit_test(huge_counts_allocate_nothing),
        cmocka_unit_test(times_outside_of_the_sound_are_refused),
        cmocka_unit_test(one_text_too_many_is_refused),
        cmocka_unit_test(a_full_arena_is_a_clean_failure),
        cmocka_unit_test(a_map_must_cover_the_text_and_stay_in_the_file),
        cmocka_unit_test(numbers_that_are_none_are_refused),
        cmocka_unit_test(text_that_is_not_utf8_is_repaired_by_the_encoder),
        cmocka_unit_test(an_error_keeps_both_languages_and_an_unknown_code_is_internal),
        cmocka_unit_test(roles_have_names),
    };
    return cmocka_run_group_tests_name("message", tests, NULL, NULL);
}
