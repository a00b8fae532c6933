#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/jarvis_parse.h"
#include "server/openai_parse.h"

enum { ARENA = 1 << 20 };

#define ASK "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"

static struct openai_chat chat_of(struct arena *arena, const char *body)
{
    struct openai_chat chat;
    struct err err;
    arena_init(arena, ARENA);
    if (!openai_parse_chat(body, strlen(body), arena, &chat, &err))
        fail_msg("%s: %s", body, err_message(&err, LANG_EN));
    return chat;
}

/* ---------------------------------------------------------------- chat: good */

static void test_chat_defaults(void **state)
{
    (void)state;
    struct arena arena;
    struct sampling plain;
    struct openai_chat chat = chat_of(&arena, "{" ASK "}");
    sampling_default(&plain);
    assert_null(chat.chat.model);
    assert_int_equal(chat.chat.message_count, 1);
    assert_string_equal(chat.chat.messages[0].role, "user");
    assert_string_equal(chat.chat.messages[0].content, "hi");
    assert_true(chat.chat.sampling.temperature == plain.temperature);
    assert_int_equal(chat.chat.sampling.max_tokens, 0);
    assert_string_equal(chat.chat.sampling.grammar, "");
    assert_false(chat.chat.sampling.has_seed || chat.stream || chat.include_usage);
    assert_false(chat.chat.use_documents);
    assert_true(chat.chat.search.alpha < 0 && chat.chat.search.rerank == -1);
    arena_free(&arena);
}

static void test_chat_sampling(void **state)
{
    (void)state;
    struct arena arena;
    struct openai_chat chat =
        chat_of(&arena, "{" ASK ",\"model\":\"m\",\"temperature\":0,\"top_p\":0.5,\"top_k\":3,"
                        "\"min_p\":0.1,\"max_tokens\":7,\"max_completion_tokens\":9,\"seed\":-1,"
                        "\"stop\":[\"a\",\"b\"],\"frequency_penalty\":-2,\"presence_penalty\":2,"
                        "\"repeat_penalty\":1.1,\"grammar\":\"root ::= [a]\",\"stream\":true,"
                        "\"stream_options\":{\"include_usage\":true},\"n\":1,\"user\":\"x\","
                        "\"logprobs\":false,\"logit_bias\":{},\"functions\":[],\"unheard_of\":{}}");
    const struct sampling *sampling = &chat.chat.sampling;
    assert_string_equal(chat.chat.model, "m");
    assert_true(sampling->temperature == 0 && sampling->top_p == 0.5f);
    assert_true(sampling->top_k == 3 && sampling->min_p == 0.1f);
    assert_int_equal(sampling->max_tokens, 9);
    assert_true(sampling->has_seed && sampling->seed == UINT64_MAX);
    assert_int_equal(sampling->stop_count, 2);
    assert_string_equal(sampling->stops[1], "b");
    assert_true(sampling->frequency_penalty == -2 && sampling->presence_penalty == 2);
    assert_true(sampling->repeat_penalty == 1.1f);
    assert_string_equal(sampling->grammar, "root ::= [a]");
    assert_true(chat.stream && chat.include_usage);
    arena_free(&arena);
}

static void test_chat_content(void **state)
{
    (void)state;
    struct arena arena;
    struct openai_chat chat = chat_of(
        &arena, "{\"stop\":\"x\",\"messages\":[{\"role\":\"developer\",\"content\":\"be brief\"},"
                "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"one \"},"
                "{\"type\":\"text\",\"text\":\"\"},{\"type\":\"text\",\"text\":\"ni\\u00f1o\"}]},"
                "{\"role\":\"assistant\",\"content\":\"\",\"name\":\"n\"}]}");
    assert_int_equal(chat.chat.message_count, 3);
    assert_string_equal(chat.chat.messages[0].role, "system");
    assert_string_equal(chat.chat.messages[1].content, "one ni\xc3\xb1o");
    assert_string_equal(chat.chat.messages[2].content, "");
    assert_int_equal(chat.chat.sampling.stop_count, 1);
    arena_free(&arena);
}

static void test_chat_documents(void **state)
{
    (void)state;
    struct arena arena;
    struct openai_chat chat = chat_of(
        &arena, "{" ASK ",\"tools\":[{\"type\":\"file_search\",\"vector_store_ids\":[\"vs_1\","
                "\"vs_2\"],\"max_num_results\":4}]}");
    assert_true(chat.chat.use_documents);
    assert_int_equal(chat.chat.search.store_count, 2);
    assert_string_equal(chat.chat.search.stores[1], "vs_2");
    assert_int_equal(chat.chat.search.top_k, 4);
    arena_free(&arena);

    chat = chat_of(&arena, "{" ASK ",\"jarvis\":{\"stores\":[\"a\"],\"top_k\":3,\"alpha\":0.25,"
                           "\"rerank\":false}}");
    assert_true(chat.chat.use_documents);
    assert_string_equal(chat.chat.search.stores[0], "a");
    assert_true(chat.chat.search.alpha == 0.25 && chat.chat.search.rerank == 0);
    arena_free(&arena);

    chat = chat_of(&arena, "{" ASK ",\"jarvis\":{\"documents\":false},\"tool_choice\":\"none\","
                           "\"tools\":[{\"type\":\"function\"}]}");
    assert_false(chat.chat.use_documents);
    arena_free(&arena);
}

static void test_chat_json_format(void **state)
{
    (void)state;
    struct arena arena;
    struct openai_chat chat =
        chat_of(&arena, "{" ASK ",\"response_format\":{\"type\":\"json_object\"}}");
    assert_non_null(strstr(chat.chat.sampling.grammar, "root ::= object"));
    arena_free(&arena);
    chat = chat_of(&arena, "{" ASK ",\"response_format\":{\"type\":\"text\"}}");
    assert_string_equal(chat.chat.sampling.grammar, "");
    arena_free(&arena);
}

/* ---------------------------------------------------------------- chat: bad */

static void test_chat_refuses(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        enum err_code code;
        const char *param;
    } cases[] = {
        {"", ERR_INVALID_REQUEST, ""},
        {"[]", ERR_INVALID_REQUEST, ""},
        {"null", ERR_INVALID_REQUEST, ""},
        {"{", ERR_INVALID_JSON, ""},
        {"{}x", ERR_INVALID_JSON, ""},
        {"{\"a\":\"\xff\"}", ERR_INVALID_JSON, ""},
        {"{\"a\":NaN}", ERR_INVALID_JSON, ""},
        {"{}", ERR_INVALID_REQUEST, "messages"},
        {"{\"messages\":{}}", ERR_INVALID_REQUEST, "messages"},
        {"{\"messages\":[]}", ERR_INVALID_REQUEST, "messages"},
        {"{\"messages\":[\"hi\"]}", ERR_INVALID_REQUEST, "messages"},
        {"{\"messages\":[{}]}", ERR_INVALID_REQUEST, "role"},
        {"{\"messages\":[{\"role\":\"user\"}]}", ERR_INVALID_REQUEST, "messages"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":7}]}", ERR_INVALID_REQUEST, "content"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"a\\u0000b\"}]}", ERR_INVALID_REQUEST,
         "content"},
        {"{\"messages\":[{\"role\":\"tool\",\"content\":\"x\"}]}", ERR_UNSUPPORTED, "messages"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\"}]}]}",
         ERR_UNSUPPORTED, "messages"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\"}]}]}",
         ERR_INVALID_REQUEST, "text"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":[\"x\"]}]}", ERR_UNSUPPORTED, "messages"},
        {"{" ASK ",\"model\":7}", ERR_INVALID_REQUEST, "model"},
        {"{" ASK ",\"temperature\":2.1}", ERR_INVALID_REQUEST, "temperature"},
        {"{" ASK ",\"temperature\":\"1\"}", ERR_INVALID_REQUEST, "temperature"},
        {"{" ASK ",\"temperature\":1e999}", ERR_INVALID_JSON, ""},
        {"{" ASK ",\"top_p\":-0.1}", ERR_INVALID_REQUEST, "top_p"},
        {"{" ASK ",\"top_k\":1.5}", ERR_INVALID_REQUEST, "top_k"},
        {"{" ASK ",\"max_tokens\":0}", ERR_INVALID_REQUEST, "max_tokens"},
        {"{" ASK ",\"max_tokens\":99999999999}", ERR_INVALID_REQUEST, "max_tokens"},
        {"{" ASK ",\"repeat_penalty\":0}", ERR_INVALID_REQUEST, "repeat_penalty"},
        {"{" ASK ",\"seed\":18446744073709551615}", ERR_INVALID_REQUEST, "seed"},
        {"{" ASK ",\"seed\":\"x\"}", ERR_INVALID_REQUEST, "seed"},
        {"{" ASK ",\"stop\":[\"\"]}", ERR_INVALID_REQUEST, "stop"},
        {"{" ASK ",\"stop\":7}", ERR_INVALID_REQUEST, "stop"},
        {"{" ASK ",\"stop\":[1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7]}", ERR_INVALID_REQUEST, "stop"},
        {"{" ASK ",\"stream\":1}", ERR_INVALID_REQUEST, "stream"},
        {"{" ASK ",\"stream_options\":true}", ERR_INVALID_REQUEST, "stream_options"},
        {"{" ASK ",\"n\":2}", ERR_UNSUPPORTED, "n"},
        {"{" ASK ",\"n\":0}", ERR_INVALID_REQUEST, "n"},
        {"{" ASK ",\"logprobs\":true}", ERR_UNSUPPORTED, "logprobs"},
        {"{" ASK ",\"top_logprobs\":3}", ERR_UNSUPPORTED, "top_logprobs"},
        {"{" ASK ",\"logit_bias\":{\"5\":1}}", ERR_UNSUPPORTED, "logit_bias"},
        {"{" ASK ",\"functions\":[{}]}", ERR_UNSUPPORTED, "functions"},
        {"{" ASK ",\"response_format\":{}}", ERR_INVALID_REQUEST, "type"},
        {"{" ASK ",\"response_format\":{\"type\":\"json_schema\"}}", ERR_UNSUPPORTED,
         "response_format"},
        {"{" ASK ",\"grammar\":\"x\",\"response_format\":{\"type\":\"json_object\"}}",
         ERR_INVALID_REQUEST, "response_format"},
        {"{" ASK ",\"tools\":{}}", ERR_INVALID_REQUEST, "tools"},
        {"{" ASK ",\"tools\":[{}]}", ERR_UNSUPPORTED, "tools"},
        {"{" ASK ",\"tools\":[7]}", ERR_UNSUPPORTED, "tools"},
        {"{" ASK ",\"tools\":[{\"type\":\"function\",\"function\":{}}]}", ERR_UNSUPPORTED, "tools"},
        {"{" ASK ",\"tools\":[{\"type\":\"file_search\",\"vector_store_ids\":\"x\"}]}",
         ERR_INVALID_REQUEST, "vector_store_ids"},
        {"{" ASK ",\"tools\":[{\"type\":\"file_search\",\"filters\":{\"a\":1}}]}", ERR_UNSUPPORTED,
         "tools"},
        {"{" ASK ",\"jarvis\":[]}", ERR_INVALID_REQUEST, "jarvis"},
        {"{" ASK ",\"jarvis\":{\"alpha\":1.5}}", ERR_INVALID_REQUEST, "alpha"},
        {"{" ASK ",\"jarvis\":{\"top_k\":0}}", ERR_INVALID_REQUEST, "top_k"},
        {"{" ASK ",\"jarvis\":{\"stores\":[1]}}", ERR_INVALID_REQUEST, "stores"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct arena arena;
        struct openai_chat chat = {.stream = true};
        struct err err;
        arena_init(&arena, ARENA);
        if (openai_parse_chat(cases[i].body, strlen(cases[i].body), &arena, &chat, &err))
            fail_msg("%s was accepted", cases[i].body);
        if (err.code != cases[i].code || strcmp(err.param, cases[i].param) != 0)
            fail_msg("%s: %s, %s: %s", cases[i].body, err_info(err.code)->name, err.param,
                     err_message(&err, LANG_EN));
        assert_true(chat.stream); /* untouched */
        arena_free(&arena);
    }
}

/* A small arena is an error like any other. */
static void test_small_arena(void **state)
{
    (void)state;
    static const char body[] =
        "{" ASK ",\"model\":\"m\",\"stop\":[\"a\",\"b\"],\"tools\":[{\"type\":"
        "\"file_search\",\"vector_store_ids\":[\"x\"]}]}";
    for (size_t room = 0; room < 160; room += 16) {
        struct arena arena;
        struct openai_chat chat;
        struct err err;
        arena_init(&arena, room);
        if (!openai_parse_chat(body, strlen(body), &arena, &chat, &err))
            assert_int_equal(err.code, ERR_NO_MEMORY);
        arena_free(&arena);
    }
}

/* ---------------------------------------------------------------- the other bodies */

static void test_completion(void **state)
{
    (void)state;
    struct arena arena;
    struct openai_chat chat;
    struct err err;
    arena_init(&arena, ARENA);
    static const char *const good[] = {"{\"prompt\":\"once\"}", "{\"prompt\":[\"once\"]}"};
    for (size_t i = 0; i < 2; i++) {
        assert_true(openai_parse_completion(good[i], strlen(good[i]), &arena, &chat, &err));
        assert_string_equal(chat.chat.prompt, "once");
        assert_int_equal(chat.chat.message_count, 0);
    }
    static const char *const bad[] = {"{}",
                                      "{\"prompt\":[]}",
                                      "{\"prompt\":[1,2]}",
                                      "{\"prompt\":[[1]]}",
                                      "{\"prompt\":[\"a\",\"b\"]}",
                                      "{\"prompt\":\"\"}",
                                      "{\"prompt\":7}",
                                      "{\"prompt\":\"a\",\"echo\":true}",
                                      "{\"prompt\":\"a\",\"suffix\":\"b\"}",
                                      "{\"prompt\":\"a\",\"best_of\":2}"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_false(openai_parse_completion(bad[i], strlen(bad[i]), &arena, &chat, &err));
    arena_free(&arena);
}

static void test_embeddings(void **state)
{
    (void)state;
    struct arena arena;
    struct openai_embeddings asked;
    struct err err;
    arena_init(&arena, ARENA);
    static const char good[] = "{\"input\":[\"a\",\"b\"],\"model\":\"m\",\"dimensions\":3,"
                               "\"encoding_format\":\"base64\"}";
    assert_true(openai_parse_embeddings(good, strlen(good), &arena, &asked, &err));
    assert_true(asked.count == 2 && asked.base64 && asked.dimensions == 3);
    assert_string_equal(asked.inputs[1], "b");
    static const char *const bad[] = {"{}",
                                      "{\"input\":\"\"}",
                                      "{\"input\":[]}",
                                      "{\"input\":[\"a\",\"\"]}",
                                      "{\"input\":7}",
                                      "{\"input\":[1,2]}",
                                      "{\"input\":[[1,2]]}",
                                      "{\"input\":{\"a\":1}}",
                                      "{\"input\":\"a\",\"encoding_format\":\"int8\"}",
                                      "{\"input\":\"a\",\"dimensions\":0}"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_false(openai_parse_embeddings(bad[i], strlen(bad[i]), &arena, &asked, &err));
    arena_free(&arena);
}

static void test_rerank(void **state)
{
    (void)state;
    struct arena arena;
    struct openai_rerank asked;
    struct err err;
    arena_init(&arena, ARENA);
    static const char good[] = "{\"query\":\"q\",\"documents\":[\"a\",{\"text\":\"b\"}]}";
    assert_true(openai_parse_rerank(good, strlen(good), &arena, &asked, &err));
    assert_true(asked.count == 2 && asked.top_n == 2 && !asked.return_documents);
    assert_string_equal(asked.documents[1], "b");
    static const char *const bad[] = {"{}",
                                      "{\"query\":\"q\"}",
                                      "{\"query\":\"\",\"documents\":[\"a\"]}",
                                      "{\"query\":\"q\",\"documents\":[]}",
                                      "{\"query\":\"q\",\"documents\":[{}]}",
                                      "{\"query\":\"q\",\"documents\":[7]}",
                                      "{\"query\":\"q\",\"documents\":\"a\"}",
                                      "{\"query\":\"q\",\"documents\":[\"a\"],\"top_n\":0}"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_false(openai_parse_rerank(bad[i], strlen(bad[i]), &arena, &asked, &err));
    arena_free(&arena);
}

static void test_stores(void **state)
{
    (void)state;
    struct arena arena;
    struct openai_store store;
    struct openai_search search;
    struct err err;
    arena_init(&arena, ARENA);
    assert_true(openai_parse_store("", 0, &arena, &store, &err));
    assert_true(!store.name && !store.metadata && store.file_count == 0);
    static const char good[] = "{\"name\":\"n\",\"metadata\":{\"k\":\"v\"},\"file_ids\":[\"f\"]}";
    assert_true(openai_parse_store(good, strlen(good), &arena, &store, &err));
    assert_string_equal(store.metadata, "{\"k\":\"v\"}");
    static const char *const bad[] = {"{\"metadata\":{\"k\":1}}", "{\"metadata\":[]}",
                                      "{\"file_ids\":\"f\"}", "{\"name\":1}", "[]"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_false(openai_parse_store(bad[i], strlen(bad[i]), &arena, &store, &err));

    static const char one[] = "{\"query\":\"q\"}";
    assert_true(openai_parse_search(one, strlen(one), &arena, &search, &err));
    assert_true(search.count == 1 && search.max_results == 10 && search.rerank == -1);
    assert_true(search.alpha < 0 && search.fusion < 0);
    assert_true(isinf(search.score_threshold) && search.score_threshold < 0);
    static const char two[] =
        "{\"query\":[\"q\",\"r\"],\"max_num_results\":2,\"rewrite_query\":true,"
        "\"ranking_options\":{\"ranker\":\"none\",\"score_threshold\":0.5,\"fusion\":\"rrf\","
        "\"hybrid_search\":{\"embedding_weight\":3,\"text_weight\":1}}}";
    assert_true(openai_parse_search(two, strlen(two), &arena, &search, &err));
    assert_true(search.count == 2 && search.rerank == 0 && search.score_threshold == 0.5);
    assert_true(search.alpha == 0.75 && search.fusion == FUSION_RRF);
    static const char *const bad_searches[] = {"{}",
                                               "{\"query\":[]}",
                                               "{\"query\":\"q\",\"max_num_results\":51}",
                                               "{\"query\":\"q\",\"filters\":{\"type\":\"eq\"}}",
                                               "{\"query\":\"q\",\"ranking_options\":7}",
                                               "{\"query\":\"q\",\"ranking_options\":{\"fusion\":"
                                               "\"sum\"}}",
                                               "{\"query\":\"q\",\"ranking_options\":{"
                                               "\"hybrid_search\":{\"embedding_weight\":0,"
                                               "\"text_weight\":0}}}"};
    for (size_t i = 0; i < sizeof(bad_searches) / sizeof(*bad_searches); i++)
        assert_false(
            openai_parse_search(bad_searches[i], strlen(bad_searches[i]), &arena, &search, &err));
    arena_free(&arena);
}

static void test_jarvis(void **state)
{
    (void)state;
    struct arena arena;
    struct search_request search;
    struct jarvis_ingest ingest;
    struct jarvis_model model;
    struct err err;
    arena_init(&arena, ARENA);
    static const char query[] = "{\"query\":\"q\",\"top_k\":2,\"rerank\":true}";
    assert_true(jarvis_parse_search(query, strlen(query), &arena, &search, &err));
    assert_true(search.top_k == 2 && search.rerank == 1 && search.alpha < 0);
    assert_false(jarvis_parse_search("{}", 2, &arena, &search, &err));
    assert_string_equal(err.param, "query");

    static const char paths[] = "{\"paths\":[\"/a\",\"/b\"],\"store\":\"\"}";
    assert_true(jarvis_parse_ingest(paths, strlen(paths), &arena, &ingest, &err));
    assert_true(ingest.path_count == 2 && !ingest.store);
    static const char relative[] = "{\"paths\":[\"/a\",\"b\"]}";
    assert_false(jarvis_parse_ingest(relative, strlen(relative), &arena, &ingest, &err));
    assert_non_null(strstr(err_message(&err, LANG_EN), "\"b\""));

    static const char add[] = "{\"path\":\"/m.gguf\",\"role\":\"embedding\"}";
    assert_true(jarvis_parse_model(add, strlen(add), &arena, &model, &err));
    assert_int_equal(model.role, ROLE_EMBEDDING);
    assert_string_equal(model.name, "");
    static const char *const bad[] = {"{}", "{\"path\":\"m.gguf\"}",
                                      "{\"path\":\"/m\",\"role\":\"parser\"}",
                                      "{\"path\":\"/m\",\"role\":\"poet\"}"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_false(jarvis_parse_model(bad[i], strlen(bad[i]), &arena, &model, &err));
    arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chat_defaults),    cmocka_unit_test(test_chat_sampling),
        cmocka_unit_test(test_chat_content),     cmocka_unit_test(test_chat_documents),
        cmocka_unit_test(test_chat_json_format), cmocka_unit_test(test_chat_refuses),
        cmocka_unit_test(test_small_arena),      cmocka_unit_test(test_completion),
        cmocka_unit_test(test_embeddings),       cmocka_unit_test(test_rerank),
        cmocka_unit_test(test_stores),           cmocka_unit_test(test_jarvis),
    };
    return cmocka_run_group_tests_name("server_parse", tests, NULL, NULL);
}
