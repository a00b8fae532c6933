/* Reranking: each pair as the model wants it, scores that do not depend on the batch, documents cut to fit. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/rerank.h"
#include "helper/gguf_edit.h"
#include "helper/gguf_make.h"
#include "helper/gguf_vocabulary.h"
#include "helper/testing.h"
#include "tiny.h"

static void start(struct encoder *encoder, const char *query, const char *const *documents,
                  uint32_t count, struct encode_job *job)
{
    struct err err;
    struct msg_rerank request = {.query = query, .documents = {documents, count}};
    tiny_ok(rerank_start(encoder, &request, job, &err), &err);
}

static void score(struct encoder *encoder, const char *query, const char *const *documents,
                  uint32_t count, struct arena *arena, struct msg_scores *ret)
{
    struct encode_job job;
    struct err err;
    start(encoder, query, documents, count, &job);
    while (!encode_job_done(&job))
        tiny_ok(encoder_step(encoder, &job, &err), &err);
    tiny_ok(rerank_finish(&job, arena, ret, &err), &err);
    encode_job_free(&job);
}

static void a_pair_is_cls_query_sep_document_sep(void **state)
{
    struct tiny_encoder opened;
    tiny_encoder_open(*state, ROLE_RERANK, &opened);
    static const char *const documents[] = {"the moon", ""};
    struct encode_job job;
    start(&opened.encoder, "dog", documents, 2, &job);
    assert_int_equal(job.lengths[0], 6);
    assert_int_equal(job.tokens[0][0], WORDPIECE_CLS);
    assert_int_equal(job.tokens[0][2], WORDPIECE_SEP);
    assert_int_equal(job.tokens[0][5], WORDPIECE_SEP);
    char piece[16] = "";
    llama_token_to_piece(opened.model.vocab, job.tokens[0][1], piece, sizeof(piece) - 1, 1, false);
    assert_non_null(strstr(piece, "dog"));
    assert_int_equal(job.lengths[1], 4); /* an empty document: both separators */
    encode_job_free(&job);
    tiny_encoder_close(&opened);
}

static void scores_do_not_depend_on_the_batch(void **state)
{
    struct tiny_encoder opened;
    tiny_encoder_open(*state, ROLE_RERANK, &opened);
    static const char *const documents[] = {
        "the dog eats meat", "moon",     "",    "license of the free software",
        "water and fire",    "el perro", "moon"};
    enum { COUNT = sizeof(documents) / sizeof(documents[0]) };
    struct arena arena;
    arena_init(&arena, 1 << 16);
    struct msg_scores together;
    score(&opened.encoder, "where is the dog?", documents, COUNT, &arena, &together);
    assert_int_equal(together.count, COUNT);
    int distinct = 0;
    for (uint32_t i = 0; i < COUNT; i++) {
        struct msg_scores alone;
        score(&opened.encoder, "where is the dog?", &documents[i], 1, &arena, &alone);
        assert_float_equal(alone.scores[0], together.scores[i], 1e-2);
        distinct += fabsf(together.scores[i] - together.scores[0]) > 2e-2F;
    }
    assert_float_equal(together.scores[1], together.scores[6], 1e-3);
    assert_true(distinct >= 4);
    arena_free(&arena);
    tiny_encoder_close(&opened);
}

static char *repeated(const char *word, int times)
{
    struct str text;
    str_init(&text, 1 << 18);
    for (int i = 0; i < times; i++)
        str_puts(&text, word);
    return str_take(&text);
}

/* Where windows begin and end: every token of the document is in one, in order. */
static void long_documents_are_read_in_windows(void **state)
{
    struct tiny_encoder opened;
    tiny_encoder_open(*state, ROLE_RERANK, &opened);
    enum { WORDS = 3 * GGUF_MAKE_CONTEXT };
    char *text = repeated("moon ", WORDS);
    const char *documents[] = {"moon", text, ""};
    struct encode_job job;
    start(&opened.encoder, "dog", documents, 3, &job);
    assert_int_equal(job.text_count, 3);
    assert_int_equal(job.truncated, 0);
    size_t room = GGUF_MAKE_CONTEXT - 4, step = room - room / 4;
    size_t windows = 1 + (WORDS - room + step - 1) / step;
    assert_int_equal(job.count, windows + 2);
    for (uint32_t i = 1; i <= windows; i++) {
        assert_int_equal(job.texts[i], 1);
        size_t left = WORDS - (i - 1) * step;
        assert_int_equal(job.lengths[i], 4 + (left < room ? left : room));
        assert_int_equal(job.tokens[i][0], WORDPIECE_CLS);
        assert_int_equal(job.tokens[i][job.lengths[i] - 1], WORDPIECE_SEP);
    }
    assert_int_equal(job.texts[windows + 1], 2);
    encode_job_free(&job);
    free(text);
    tiny_encoder_close(&opened);
}

static void the_best_window_speaks_for_a_document(void **state)
{
    struct tiny_encoder opened;
    tiny_encoder_open(*state, ROLE_RERANK, &opened);
    size_t room = GGUF_MAKE_CONTEXT - 4, step = room - room / 4;
    char *moons = repeated("moon ", (int)step), *waters = repeated("water ", (int)room);
    struct str both;
    str_init(&both, 1 << 18);
    str_puts(&both, moons);
    str_puts(&both, waters);
    struct str first; /* what the first window reads */
    str_init(&first, 1 << 18);
    str_puts(&first, moons);
    str_append(&first, waters, strlen("water ") * (room - step));
    const char *documents[] = {str_text(&both), str_text(&first), waters};
    struct arena arena;
    arena_init(&arena, 1 << 16);
    struct msg_scores scores;
    score(&opened.encoder, "dog", documents, 3, &arena, &scores);
    assert_int_equal(scores.count, 3);
    assert_int_equal(scores.truncated, 0);
    assert_float_equal(scores.scores[0], fmaxf(scores.scores[1], scores.scores[2]), 1e-2);
    arena_free(&arena);
    str_free(&first);
    str_free(&both);
    free(waters);
    free(moons);
    tiny_encoder_close(&opened);
}

static void what_is_not_read_is_counted(void **state)
{
    struct tiny_encoder opened;
    tiny_encoder_open(*state, ROLE_RERANK, &opened);
    char *text = repeated("moon ", (RERANK_WINDOWS_MAX + 1) * GGUF_MAKE_CONTEXT);
    const char *documents[] = {text, "moon"};
    struct encode_job job;
    start(&opened.encoder, "dog", documents, 2, &job);
    assert_int_equal(job.truncated, 1);
    assert_int_equal(job.count, RERANK_WINDOWS_MAX + 1);
    encode_job_free(&job);
    /* A query may take half of the context; the document gets the rest, and no pair is read in full. */
    start(&opened.encoder, text, documents, 2, &job);
    assert_int_equal(job.truncated, 2);
    assert_int_equal(job.lengths[0], GGUF_MAKE_CONTEXT);
    assert_int_equal(job.tokens[0][GGUF_MAKE_CONTEXT / 2 + 1], WORDPIECE_SEP);
    assert_int_equal(job.lengths[job.count - 1], GGUF_MAKE_CONTEXT / 2 + 4);
    encode_job_free(&job);
    free(text);
    tiny_encoder_close(&opened);
}

static void add_template(struct gguf_context *gguf)
{
    const char *names[] = {"rerank"};
    gguf_set_arr_str(gguf, "tokenizer.chat_templates", names, 1);
    gguf_set_val_str(gguf, "tokenizer.chat_template.rerank", "moon {query} sun {document}");
}

static void a_template_of_the_model_is_used(void **state)
{
    struct tiny *tiny = *state;
    char *path = testing_path(tiny->directory, "template.gguf");
    struct err err;
    tiny_ok(gguf_edit(tiny->rerank, path, add_template, &err), &err);
    struct msg_load load = tiny_load(tiny, ROLE_RERANK);
    load.path = path;
    struct model model;
    struct encoder encoder;
    tiny_ok(model_open(&tiny->backend, &load, NULL, NULL, &model, &err), &err);
    tiny_ok(encoder_open(&model, NULL, &encoder, &err), &err);
    static const char *const documents[] = {"water"};
    struct encode_job job;
    start(&encoder, "dog {document}", documents, 1, &job); /* the query's text is no template */
    char words[256] = "";
    size_t used = 0;
    for (uint32_t i = 0; i < job.lengths[0]; i++)
        used += (size_t)llama_token_to_piece(model.vocab, job.tokens[0][i], words + used,
                                             (int32_t)(sizeof(words) - 1 - used), 0, true);
    const char *moon = strstr(words, "moon"), *dog = strstr(words, "dog"),
               *sun = strstr(words, "sun");
    assert_non_null(moon);
    assert_true(dog > moon && sun > dog && strstr(words, "water") > sun);
    encode_job_free(&job);
    encoder_close(&encoder);
    model_close(&model);
    free(path);
}

enum { DOCUMENT_AT = 16 };

static void add_position(struct gguf_context *gguf)
{
    gguf_set_val_u32(gguf, "bert.rerank.document_position", DOCUMENT_AT);
}

/* The document begins at the position that the file names, whatever the length of the query. */
static void documents_begin_where_the_model_says(void **state)
{
    struct tiny *tiny = *state;
    char *path = testing_path(tiny->directory, "position.gguf");
    struct err err;
    tiny_ok(gguf_edit(tiny->rerank, path, add_position, &err), &err);
    struct msg_load load = tiny_load(tiny, ROLE_RERANK);
    load.path = path;
    struct model model;
    struct encoder encoder;
    tiny_ok(model_open(&tiny->backend, &load, NULL, NULL, &model, &err), &err);
    tiny_ok(encoder_open(&model, NULL, &encoder, &err), &err);
    char *text = repeated("moon ", GGUF_MAKE_CONTEXT);
    const char *documents[] = {text, "moon"};
    struct encode_job job;
    start(&encoder, "dog", documents, 2, &job);
    assert_int_equal(job.begins[0], DOCUMENT_AT - 3); /* [CLS] dog [SEP] */
    assert_int_equal(job.lengths[0], GGUF_MAKE_CONTEXT - job.begins[0]);
    encode_job_free(&job);
    start(&encoder, text, documents, 2, &job); /* a query that fills all that is before */
    assert_int_equal(job.begins[0], 0);
    assert_int_equal(job.lengths[job.count - 1], DOCUMENT_AT + 2);
    assert_int_equal(job.truncated, 2);
    encode_job_free(&job);

    struct arena arena;
    arena_init(&arena, 1 << 16);
    struct msg_scores with, without;
    score(&encoder, "dog", documents, 2, &arena, &with);
    struct tiny_encoder plain;
    tiny_encoder_open(tiny, ROLE_RERANK, &plain);
    score(&plain.encoder, "dog", documents, 2, &arena, &without);
    assert_true(isfinite(with.scores[1]) && with.scores[1] != without.scores[1]);
    tiny_encoder_close(&plain);
    arena_free(&arena);
    free(text);
    encoder_close(&encoder);
    model_close(&model);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pair_is_cls_query_sep_document_sep),
        cmocka_unit_test(scores_do_not_depend_on_the_batch),
        cmocka_unit_test(long_documents_are_read_in_windows),
        cmocka_unit_test(the_best_window_speaks_for_a_document),
        cmocka_unit_test(what_is_not_read_is_counted),
        cmocka_unit_test(a_template_of_the_model_is_used),
        cmocka_unit_test(documents_begin_where_the_model_says),
    };
    return cmocka_run_group_tests_name("rerank", tests, tiny_setup, tiny_teardown);
}
