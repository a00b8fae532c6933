/* Embeddings of the tiny embedder: unit length, order, independence of batching, truncation, and its meaning. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/embed.h"
#include "helper/gguf_make.h"
#include "helper/testing.h"
#include "tiny.h"

/* Runs a job to its end. Returns how many steps it took. */
static int run(struct encoder *encoder, struct encode_job *job)
{
    struct err err;
    int steps = 0;
    while (!encode_job_done(job)) {
        tiny_ok(encoder_step(encoder, job, &err), &err);
        steps++;
    }
    return steps;
}

static int embed(struct encoder *encoder, const char *const *texts, uint32_t count,
                 struct encode_job *job, struct msg_vectors *ret)
{
    struct err err;
    tiny_ok(embed_start(encoder, &(struct msg_texts){.texts = texts, .count = count}, job, &err),
            &err);
    int steps = run(encoder, job);
    embed_finish(job, ret);
    return steps;
}

static double dot(const float *a, const float *b, uint32_t dimensions)
{
    double sum = 0;
    for (uint32_t i = 0; i < dimensions; i++)
        sum += (double)a[i] * b[i];
    return sum;
}

/* The cosine of two texts. */
static double similarity(struct encoder *encoder, const char *a, const char *b)
{
    const char *texts[] = {a, b};
    struct encode_job job;
    struct msg_vectors vectors;
    embed(encoder, texts, 2, &job, &vectors);
    double cosine = dot(vectors.values, vectors.values + vectors.dimensions, vectors.dimensions);
    encode_job_free(&job);
    return cosine;
}

static void vectors_have_unit_length(void **state)
{
    struct tiny_encoder opened;
    tiny_encoder_open(*state, ROLE_EMBEDDING, &opened);
    static const char *const texts[] = {"hello", "the dog eats", "", "\xc2\xbfqu\xc3\xa9 hora es?",
                                        "\xe6\x97\xa5\xe6\x9c\xac"};
    struct encode_job job;
    struct msg_vectors vectors;
    embed(&opened.encoder, texts, 5, &job, &vectors);
    assert_int_equal(vectors.count, 5);
    assert_int_equal(vectors.dimensions, GGUF_MAKE_WIDTH);
    for (uint32_t i = 0; i < vectors.count; i++) {
        const float *row = vectors.values + (size_t)i * vectors.dimensions;
        assert_float_equal(dot(row, row, vectors.dimensions), 1.0, 1e-5);
    }
    assert_int_equal(vectors.truncated, 0);
    assert_true(vectors.tokens >= 2 * 5);
    encode_job_free(&job);
    tiny_encoder_close(&opened);
}

/* A text of `words` random words that the vocabulary knows in part. */
static char *random_text(struct testing_random *random, uint64_t words)
{
    static const char *const known[] = {"dog", "perro", "moon", "license",    "water", "xylophone",
                                        "the", "casa",  "42",   "r\xc3\xado", ",",     "qwerty"};
    struct str text;
    str_init(&text, 1 << 16);
    for (uint64_t i = 0; i < words; i++) {
        str_puts(&text, known[testing_below(random, sizeof(known) / sizeof(known[0]))]);
        str_putc(&text, ' ');
    }
    char *taken = str_take(&text);
    assert_non_null(taken);
    return taken;
}

static void batching_changes_neither_order_nor_values(void **state)
{
    struct tiny_encoder opened;
    tiny_encoder_open(*state, ROLE_EMBEDDING, &opened);
    enum { TEXTS = 60 };
    struct testing_random random;
    testing_seed(&random);
    char *texts[TEXTS];
    for (int i = 0; i < TEXTS; i++)
        texts[i] = random_text(&random, testing_below(&random, i % 10 == 0 ? 200 : 12));
    struct encode_job job;
    struct msg_vectors together;
    int steps = embed(&opened.encoder, (const char *const *)texts, TEXTS, &job, &together);
    assert_int_in_range(steps, 2, TEXTS / 2);
    for (int i = 0; i < TEXTS; i++) {
        struct encode_job single;
        struct msg_vectors alone;
        embed(&opened.encoder, (const char *const *)&texts[i], 1, &single, &alone);
        const float *row = together.values + (size_t)i * together.dimensions;
        for (uint32_t k = 0; k < alone.dimensions; k++)
            assert_float_equal(alone.values[k], row[k], 1e-3);
        encode_job_free(&single);
    }
    encode_job_free(&job);
    for (int i = 0; i < TEXTS; i++)
        free(texts[i]);
    tiny_encoder_close(&opened);
}

static void texts_that_share_words_or_translations_are_closer(void **state)
{
    struct tiny_encoder opened;
    tiny_encoder_open(*state, ROLE_EMBEDDING, &opened);
    struct encoder *encoder = &opened.encoder;
    const char *dog = "the dog eats meat in the garden";
    double same_words = similarity(encoder, dog, "in a garden there is a dog");
    double translated = similarity(encoder, dog, "el perro come carne en el jard\xc3\xadn");
    double other = similarity(encoder, dog, "the license grants the freedom to copy");
    double stop_words_only = similarity(encoder, dog, "the moon in the sky");
    print_message("# same words %.2f, translated %.2f, other %.2f, stop words %.2f\n", same_words,
                  translated, other, stop_words_only);
    assert_true(same_words > 0.5);
    assert_true(translated > 0.6);
    assert_true(other < 0.35);
    assert_true(stop_words_only < 0.35);
    assert_float_equal(similarity(encoder, dog, dog), 1.0, 1e-4);
    tiny_encoder_close(&opened);
}

static void a_text_longer_than_the_context_is_cut_and_counted(void **state)
{
    struct tiny_encoder opened;
    tiny_encoder_open(*state, ROLE_EMBEDDING, &opened);
    struct testing_random random = {.state = 5};
    char *fitting = random_text(&random, 100), *endless = random_text(&random, 2000);
    const char *texts[] = {endless, fitting, endless};
    struct encode_job job;
    struct msg_vectors vectors;
    embed(&opened.encoder, texts, 3, &job, &vectors);
    assert_int_equal(vectors.truncated, 2);
    assert_true(vectors.tokens <= 3 * GGUF_MAKE_CONTEXT);
    assert_memory_equal(vectors.values, vectors.values + 2 * vectors.dimensions,
                        vectors.dimensions * sizeof(float));
    /* The cut text still ends as the model was trained to see it: with [SEP]. */
    assert_int_equal(job.lengths[0], GGUF_MAKE_CONTEXT);
    assert_int_equal(job.tokens[0][GGUF_MAKE_CONTEXT - 1], llama_vocab_sep(opened.model.vocab));
    encode_job_free(&job);
    free(fitting);
    free(endless);
    tiny_encoder_close(&opened);
}

static void no_text_is_no_vector(void **state)
{
    struct tiny_encoder opened;
    tiny_encoder_open(*state, ROLE_EMBEDDING, &opened);
    struct encode_job job;
    struct msg_vectors vectors;
    assert_int_equal(embed(&opened.encoder, NULL, 0, &job, &vectors), 0);
    assert_int_equal(vectors.count, 0);
    encode_job_free(&job);
    tiny_encoder_close(&opened);
}

static void counts_leave_out_special_tokens(void **state)
{
    struct tiny_encoder opened;
    tiny_encoder_open(*state, ROLE_EMBEDDING, &opened);
    static const char *const texts[] = {"", "dog", "dog cat, water", "[SEP]"};
    struct arena arena;
    arena_init(&arena, 1 << 16);
    struct msg_counts counts;
    struct err err;
    tiny_ok(embed_count(&opened.model, &(struct msg_texts){.texts = texts, .count = 4}, &arena,
                        &counts, &err),
            &err);
    assert_int_equal(counts.tokens[0], 0);
    assert_int_equal(counts.tokens[1], 1);
    assert_int_equal(counts.tokens[2], 4);
    assert_true(counts.tokens[3] > 1); /* the text of a special token is only text */
    arena_free(&arena);
    tiny_encoder_close(&opened);
}

static void an_interrupted_step_can_be_taken_again(void **state)
{
    struct tiny *tiny = *state;
    struct msg_load load = tiny_load(tiny, ROLE_EMBEDDING);
    struct model model;
    struct encoder encoder;
    struct err err;
    struct pulse pulse = {0};
    tiny_ok(model_open(&tiny->backend, &load, NULL, NULL, &model, &err), &err);
    tiny_ok(encoder_open(&model, &pulse, &encoder, &err), &err);
    static const char *const texts[] = {"dog", "moon"};
    struct encode_job job;
    tiny_ok(embed_start(&encoder, &(struct msg_texts){.texts = texts, .count = 2}, &job, &err),
            &err);
    atomic_store(&pulse.interrupt, true);
    tiny_ok(encoder_step(&encoder, &job, &err), &err);
    assert_false(encode_job_done(&job));
    atomic_store(&pulse.interrupt, false);
    run(&encoder, &job);
    struct msg_vectors vectors, again;
    embed_finish(&job, &vectors);
    struct encode_job undisturbed;
    embed(&encoder, texts, 2, &undisturbed, &again);
    assert_memory_equal(vectors.values, again.values, 2 * vectors.dimensions * sizeof(float));
    encode_job_free(&undisturbed);
    encode_job_free(&job);
    encoder_close(&encoder);
    model_close(&model);
}

static void a_language_model_can_embed_too(void **state)
{
    struct tiny *tiny = *state;
    struct msg_load load = tiny_load(tiny, ROLE_EMBEDDING);
    load.path = tiny->chat;
    struct model model;
    struct encoder encoder;
    struct err err;
    tiny_ok(model_open(&tiny->backend, &load, NULL, NULL, &model, &err), &err);
    assert_int_equal(model.pooling, LLAMA_POOLING_TYPE_MEAN);
    tiny_ok(encoder_open(&model, NULL, &encoder, &err), &err);
    static const char *const texts[] = {"hello you", "", "una casa con los"};
    struct encode_job job, single;
    struct msg_vectors vectors, alone;
    embed(&encoder, texts, 3, &job, &vectors);
    assert_float_equal(dot(vectors.values, vectors.values, vectors.dimensions), 1.0, 1e-5);
    /* This vocabulary adds no special tokens, so an empty text has nothing to compute. */
    const float *empty = vectors.values + vectors.dimensions;
    assert_float_equal(dot(empty, empty, vectors.dimensions), 0.0, 0.0);
    embed(&encoder, &texts[2], 1, &single, &alone);
    for (uint32_t k = 0; k < alone.dimensions; k++)
        assert_float_equal(alone.values[k], vectors.values[2 * vectors.dimensions + k], 1e-3);
    encode_job_free(&job);
    encode_job_free(&single);
    encoder_close(&encoder);
    model_close(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_have_unit_length),
        cmocka_unit_test(batching_changes_neither_order_nor_values),
        cmocka_unit_test(texts_that_share_words_or_translations_are_closer),
        cmocka_unit_test(a_text_longer_than_the_context_is_cut_and_counted),
        cmocka_unit_test(no_text_is_no_vector),
        cmocka_unit_test(counts_leave_out_special_tokens),
        cmocka_unit_test(an_interrupted_step_can_be_taken_again),
        cmocka_unit_test(a_language_model_can_embed_too),
    };
    return cmocka_run_group_tests_name("embed", tests, tiny_setup, tiny_teardown);
}
