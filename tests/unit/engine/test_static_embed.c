/* The house embedder in C: the same pieces and vectors as its Python reference, and no file can harm it. */
#include <cmocka.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "engine/static_embed.h"
#include "helper/testing.h"

enum { FILE_MAX = 16 << 20, IDS_MAX = 512, CORRUPTIONS = 800 };

static struct static_embed open_model(const char *path)
{
    struct static_embed model;
    struct err err;
    if (!static_embed_open(path, &model, &err))
        fail_msg("%s", err.message[LANG_EN]);
    return model;
}

/* ---------------------------------------------------------------- equality with the reference */

static void check_ids(const struct static_embed *model, const char *text, char *expected)
{
    uint32_t ids[IDS_MAX];
    size_t count = static_tokenize(&model->tokenizer, text, strlen(text), ids, IDS_MAX);
    size_t at = 0;
    for (char *end, *p = expected; *p; p = *end ? end + 1 : end, at++) {
        unsigned long id = strtoul(p, &end, 10);
        assert_true(at < count);
        assert_int_equal(ids[at], id);
    }
    assert_int_equal(at, count);
}

static void check_vector(const struct static_embed *model, const char *text, char *expected)
{
    float *vector = calloc(model->dimensions, sizeof(*vector));
    assert_non_null(vector);
    static_embed_text(model, text, strlen(text), vector);
    size_t at = 0;
    for (char *end, *p = expected; *p; p = *end ? end + 1 : end, at++)
        assert_float_equal(vector[at], strtof(p, &end), 2e-6);
    assert_true(at >= 8);
    free(vector);
}

/* Lines of: text, ids, components; a tab between, as tools/train/make_fixture.py writes them. */
static void check_fixture(const char *model_path, const char *expected_path)
{
    struct static_embed model = open_model(model_path);
    char *lines;
    size_t length, checked = 0;
    struct err err;
    assert_true(fs_read(expected_path, FILE_MAX, &lines, &length, &err));
    char *end;
    for (char *line = lines; *line; line = end + 1, checked++) {
        end = strchr(line, '\n');
        char *ids = strchr(line, '\t'), *components = ids ? strchr(ids + 1, '\t') : NULL;
        assert_non_null(end);
        assert_non_null(components);
        *end = *ids = *components = '\0';
        check_ids(&model, line, ids + 1);
        check_vector(&model, line, components + 1);
    }
    assert_true(checked > 20);
    free(lines);
    static_embed_close(&model);
}

static void tiny_equals_reference(void **state)
{
    (void)state;
    check_fixture(STATIC_FIXTURES "/tiny.gguf", STATIC_FIXTURES "/tiny.tsv");
}

static void house_equals_reference(void **state)
{
    (void)state;
    check_fixture(HOUSE_MODEL, STATIC_FIXTURES "/house.tsv");
}

/* ---------------------------------------------------------------- what it is good for */

static float cosine(const struct static_embed *model, const char *a, const char *b)
{
    float *x = calloc(model->dimensions, sizeof(*x)), *y = calloc(model->dimensions, sizeof(*y));
    assert_true(x && y);
    static_embed_text(model, a, strlen(a), x);
    static_embed_text(model, b, strlen(b), y);
    float dot = 0;
    for (uint32_t i = 0; i < model->dimensions; i++)
        dot += x[i] * y[i];
    free(x);
    free(y);
    return dot;
}

static void languages_meet(void **state)
{
    (void)state;
    struct static_embed model = open_model(HOUSE_MODEL);
    const char *question = "¿Cuál es la capital de Polonia?";
    float right = cosine(&model, question, "Warsaw is the capital of Poland.");
    assert_true(right >
                cosine(&model, question, "Photosynthesis happens in the leaves of plants."));
    assert_true(right > cosine(&model, question, "A wing in a slipstream has more lift."));
    static_embed_close(&model);
}

static void vectors_are_unit_or_zero(void **state)
{
    (void)state;
    struct static_embed model = open_model(HOUSE_MODEL);
    assert_float_equal(cosine(&model, "hello world", "hello world"), 1, 1e-5);
    assert_float_equal(cosine(&model, "...", "..."), 0, 0);
    static_embed_close(&model);
}

static void only_the_context_counts(void **state)
{
    (void)state;
    struct static_embed model = open_model(STATIC_FIXTURES "/tiny.gguf");
    size_t words = STATIC_CONTEXT_MAX + 100, length = words * 2;
    char *text = malloc(length + 2);
    assert_non_null(text);
    for (size_t i = 0; i < words; i++)
        memcpy(text + 2 * i, i < STATIC_CONTEXT_MAX ? "a " : "b ", 2);
    float whole[16], cut[16];
    assert_int_equal(static_embed_text(&model, text, length, whole), words);
    assert_int_equal(static_embed_text(&model, text, (size_t)STATIC_CONTEXT_MAX * 2, cut),
                     STATIC_CONTEXT_MAX);
    assert_memory_equal(whole, cut, sizeof(whole));
    free(text);
    static_embed_close(&model);
}

static void bytes_that_are_no_text_are_harmless(void **state)
{
    (void)state;
    struct testing_random random;
    testing_seed(&random);
    struct static_embed model = open_model(STATIC_FIXTURES "/tiny.gguf");
    for (int round = 0; round < 2000; round++) {
        char bytes[64] = {0};
        size_t length = testing_below(&random, sizeof(bytes) + 1);
        for (size_t i = 0; i < length; i++)
            bytes[i] = (char)testing_below(&random, 256);
        /* No byte more than it needs, so that a sanitizer sees one read too far. */
        char *exact = malloc(length > 0 ? length : 1);
        assert_non_null(exact);
        memcpy(exact, bytes, length);
        float vector[16];
        assert_true(static_embed_text(&model, exact, length, vector) <= length * STATIC_FOLD_MAX);
        for (size_t i = 0; i < 16; i++)
            assert_true(fabsf(vector[i]) <= 1.0001F);
        free(exact);
    }
    static_embed_close(&model);
}

/* ---------------------------------------------------------------- files of strangers */

/* Opens bytes as a model: refused with a reason, or usable. */
static void try_bytes(const char *directory, const char *bytes, size_t length)
{
    char *path = testing_file(directory, "model.gguf", bytes, length);
    struct static_embed model;
    struct err err;
    if (static_embed_open(path, &model, &err)) {
        float *vector = calloc(model.dimensions, sizeof(*vector));
        assert_non_null(vector);
        const char *text = "The boundary layer ñandú 123";
        static_embed_text(&model, text, strlen(text), vector);
        for (uint32_t i = 0; i < model.dimensions; i++)
            assert_true(fabsf(vector[i]) <= 1.0001F);
        free(vector);
        static_embed_close(&model);
    } else {
        assert_true(err.code == ERR_MODEL_INVALID || err.code == ERR_UNSUPPORTED);
        assert_true(err.message[LANG_EN][0] != '\0');
    }
    free(path);
}

static void damaged_files_are_refused_or_harmless(void **state)
{
    (void)state;
    struct testing_random random;
    testing_seed(&random);
    char *directory = testing_directory();
    char *original;
    size_t length;
    struct err err;
    assert_true(fs_read(STATIC_FIXTURES "/tiny.gguf", FILE_MAX, &original, &length, &err));
    char *bytes = malloc(length);
    assert_non_null(bytes);
    for (int round = 0; round < CORRUPTIONS; round++) {
        memcpy(bytes, original, length);
        /* Half of the damage where the numbers are, and now and then a file that ends early. */
        size_t area = round % 2 ? length : 1200;
        for (uint64_t i = testing_below(&random, 4) + 1; i > 0; i--)
            bytes[testing_below(&random, area)] = (char)testing_below(&random, 256);
        try_bytes(directory, bytes, round % 10 ? length : testing_below(&random, length));
    }
    free(bytes);
    free(original);
    testing_remove(directory);
}

/* Replaces the first occurrence of a word of the tiny model by another of the same length, and opens that. */
static void expect_refused(const char *from, const char *to, const char *named)
{
    char *directory = testing_directory();
    char *bytes;
    size_t length;
    struct err err;
    assert_true(fs_read(STATIC_FIXTURES "/tiny.gguf", FILE_MAX, &bytes, &length, &err));
    char *at = memmem(bytes, length, from, strlen(from));
    assert_non_null(at);
    memcpy(at, to, strlen(to));
    char *path = testing_file(directory, "model.gguf", bytes, length);
    struct static_embed model;
    assert_false(static_embed_open(path, &model, &err));
    assert_int_equal(err.code, ERR_MODEL_INVALID);
    assert_non_null(strstr(err.message[LANG_EN], named));
    free(path);
    free(bytes);
    testing_remove(directory);
}

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    expect_refused("jarvis-static", "jarvis-statue", "general.architecture");
    expect_refused("embedding_length", "embedding_lengty", "embedding_length");
    expect_refused("context_length", "context_lengty", "context_length");
    expect_refused("jarvis-wordpiece", "jarvis-wordpiecf", "tokenizer.ggml.model");
    expect_refused("ggml.tokens", "ggml.tokenz", "tokenizer.ggml.tokens");
    expect_refused("fold_to", "fold_tu", "fold_from");
    expect_refused("token_embd.weight", "token_embd.weighs", "token_embd.weight");
    expect_refused("token_embd.scale", "token_embd.scald", "token_embd.scale");
}

static void only_its_own_files_are_claimed(void **state)
{
    (void)state;
    assert_true(static_embed_is(HOUSE_MODEL));
    assert_true(static_embed_is(STATIC_FIXTURES "/tiny.gguf"));
    assert_false(static_embed_is(STATIC_FIXTURES "/tiny.tsv"));
    assert_false(static_embed_is(STATIC_FIXTURES "/absent.gguf"));
    struct static_embed model;
    struct err err;
    assert_false(static_embed_open(STATIC_FIXTURES "/absent.gguf", &model, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tiny_equals_reference),
        cmocka_unit_test(house_equals_reference),
        cmocka_unit_test(languages_meet),
        cmocka_unit_test(vectors_are_unit_or_zero),
        cmocka_unit_test(only_the_context_counts),
        cmocka_unit_test(bytes_that_are_no_text_are_harmless),
        cmocka_unit_test(damaged_files_are_refused_or_harmless),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(only_its_own_files_are_claimed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
