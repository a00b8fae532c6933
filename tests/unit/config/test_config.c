/* Reading jarvis.json: values, the place and the hint in every complaint, the environment. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "config/config.h"
#include "helper/testing.h"

static struct config *parsed(const char *text)
{
    struct config *config = NULL;
    struct err err;
    if (!config_parse(text, strlen(text), "f", &config, &err))
        fail_msg("%s", err.message[LANG_EN]);
    return config;
}

/* The text is refused, and the message begins with `place` and contains `hint`; so does the Spanish one. */
static void refused(const char *text, const char *place, const char *hint)
{
    struct config *config = NULL;
    struct err err;
    assert_false(config_parse(text, strlen(text), "f", &config, &err));
    assert_null(config);
    assert_int_equal(err.code, ERR_CONFIG);
    for (int lang = 0; lang < LANG_COUNT; lang++) {
        const char *message = err_message(&err, (enum lang)lang);
        if (strncmp(message, place, strlen(place)) != 0 || !strstr(message, hint))
            fail_msg("\"%s\" does not begin with \"%s\" and contain \"%s\"", message, place, hint);
    }
}

static void test_defaults(void **state)
{
    (void)state;
    struct config *config = parsed("{}");
    assert_string_equal(config->server_listen, "127.0.0.1:8317");
    assert_true(config->retrieval_alpha == 0.5);
    assert_int_equal(config->retrieval_top_k, 8);
    assert_true(config->retrieval_rerank);
    assert_false(config->log_query_text);
    assert_int_equal(config->model_count, 0);
    config_free(config);
    config_free(NULL);
}

static void test_nested_and_dotted_keys(void **state)
{
    (void)state;
    struct config *config =
        parsed("// settings\n"
               "{ /* all */ \"$schema\": \"x\",\n"
               "  \"server\": {\"listen\": \"[::1]:0\", \"max_body_mib\": 7,},\n"
               "  \"retrieval.alpha\": 1, // whole is a number too\n"
               "  \"log\": {\"query_text\": true}, \"chunk\": {},\n"
               "  \"chunk.tokens\": null,\n"
               "}");
    assert_string_equal(config->server_listen, "[::1]:0");
    assert_int_equal(config->server_max_body_mib, 7);
    assert_true(config->retrieval_alpha == 1);
    assert_true(config->log_query_text);
    assert_int_equal(config->chunk_tokens, 200);
    config_free(config);
}

static void test_unknown_names_get_a_hint(void **state)
{
    (void)state;
    refused("{\n  // c\n  \"server\": {\"lisen\": \"\"}\n}", "f:3:14:", "server.listen");
    refused("{\"servre\": {\"listen\": \"\"}}", "f:1:2:", "\"server\"");
    refused("{\"alpha\": 1}", "f:1:2:", "\"retrieval.alpha\"");
    refused("{\"Retrieval.Top_K\": 1}", "f:1:2:", "\"retrieval.top_k\"");
    refused("{\"modles\": []}", "f:1:2:", "\"models\"");
    refused("{\"zzzzzzzz\": 1}", "f:1:2:", "jarvis help config");
    refused("{\"é\": 1, \"colour\": 1}", "f:1:2:", "é");
}

static void test_types_and_ranges(void **state)
{
    (void)state;
    refused("{\"server.max_body_mib\": 0}", "f:1:2:", "1");
    refused("{\"server.max_body_mib\": 1.5}", "f:1:2:", "server.max_body_mib");
    refused("{\"server.max_body_mib\": 18446744073709551615}", "f:1:2:", "1024");
    refused("{\"server.max_body_mib\": \"7\"}", "f:1:2:", "server.max_body_mib");
    refused("{\"retrieval\":\n{\"alpha\": 1.01}}", "f:2:2:", "retrieval.alpha");
    refused("{\"retrieval\":\n{\"fusion\": \"sum\"}}", "f:2:2:", "convex, rrf");
    refused("{\"retrieval.rerank\": 1}", "f:1:2:", "true");
    refused("{\"server.listen\": 8317}", "f:1:2:", "255");
    refused("{\"server.listen\": \"a\\u0000b\"}", "f:1:2:", "server.listen");
    refused("{\"log.level\": \"loud\"}", "f:1:2:", "debug, info, warn");
    refused("{\"server.listen\": \"8317\"}", "f:1:2:", "127.0.0.1:8317");
    refused("{\"server.listen\": \"::1:8317\"}", "f:1:2:", "[::1]:8317");
    refused("{\"server.listen\": \"h:65536\"}", "f:1:2:", "h:65536");
    refused("{\"chunk\": {\"tokens\": 64,\n \"overlap\": 64}}", "f:2:2:", "64");
    refused("{\"chunk.tokens\": 20}", "f:1:2:", "30");
    refused("{\"server\": 8317}", "f:1:2:", "{ … }");
    refused("{\"server\": {\"listen\": \"\"},\n\"server.listen\": \"\"}", "f:2:1:", "f:1:13");
    refused("[]", "f:1:1:", "{ … }");
}

static void test_broken_json_is_a_config_error(void **state)
{
    (void)state;
    static const char *const broken[] = {"", "{", "{\"a\" 1}", "{\"server.listen\": \"x}", "nul"};
    for (size_t i = 0; i < sizeof(broken) / sizeof(*broken); i++) {
        struct config *config;
        struct err err;
        assert_false(config_parse(broken[i], strlen(broken[i]), "f", &config, &err));
        assert_int_equal(err.code, ERR_CONFIG);
        assert_non_null(strstr(err.message[LANG_EN], "line 1"));
    }
}

static void test_models(void **state)
{
    (void)state;
    struct config *config =
        parsed("{\"models\": [\n"
               "  {\"name\": \"small\", \"path\": \"s.gguf\", \"role\": \"chat\", \"slots\": 3,\n"
               "   \"context_length\": 4096, \"gpu_layers\": 0},\n"
               "  {\"name\": \"e5\", \"path\": \"/m/e5.gguf\", \"role\": \"embedding\",\n"
               "   \"query_prefix\": \"query: \", \"passage_prefix\": \"passage: \",\n"
               "   \"preload\": true, \"pin\": true, \"ttl_s\": 60,\n"
               "   \"alternatives\": [\"fallback\", \"smaller_context\"]},\n"
               "]}");
    assert_int_equal(config->model_count, 2);
    const struct model_entry *chat = &config->models[0];
    const struct model_entry *embedder = &config->models[1];
    assert_string_equal(chat->name, "small");
    assert_int_equal(chat->role, ROLE_CHAT);
    assert_int_equal(chat->slots, 3);
    assert_int_equal(chat->context_length, 4096);
    assert_int_equal(chat->gpu_layers, 0);
    assert_string_equal(chat->query_prefix, "");
    assert_string_equal(embedder->path, "/m/e5.gguf");
    assert_int_equal(embedder->gpu_layers, -1);
    assert_int_equal(embedder->slots, 2);
    assert_string_equal(embedder->passage_prefix, "passage: ");
    assert_false(chat->preload || chat->pin || chat->ttl_s || chat->alternative_count);
    assert_true(embedder->preload && embedder->pin);
    assert_int_equal(embedder->ttl_s, 60);
    assert_int_equal(embedder->alternative_count, 2);
    assert_int_equal(embedder->alternatives[0], ALTERNATIVE_FALLBACK);
    assert_int_equal(embedder->alternatives[1], ALTERNATIVE_SMALLER_CONTEXT);
    config_free(config);
}

static void test_models_refused(void **state)
{
    (void)state;
#define PREFIX "{\"models\": [\n"
#define GOOD   "{\"name\": \"a\", \"path\": \"p\", \"role\": \"chat\"}"
    refused("{\"models\": {}}", "f:1:2:", "[ … ]");
    refused(PREFIX "3]}", "f:2:1:", "{ … }");
    refused(PREFIX GOOD ",\n " GOOD "]}", "f:3:2:", "\"a\"");
    refused(PREFIX "{\"name\": \"a\", \"path\": \"p\"}]}", "f:2:1:", "role");
    refused(PREFIX "{\"name\": \"a b\"}]}", "f:2:2:", "127");
    refused(PREFIX "{\"name\": \"\"}]}", "f:2:2:", "127");
    refused(PREFIX "{\"path\": \"\"}]}", "f:2:2:", "4095");
    refused(PREFIX "{\"role\": \"parser\"}]}", "f:2:2:", "rerank");
    refused(PREFIX "{\"role\": 1}]}", "f:2:2:", "rerank");
    refused(PREFIX "{\"slots\": 0}]}", "f:2:2:", "64");
    refused(PREFIX "{\"contextlength\": 1}]}", "f:2:2:", "context_length");
    refused(PREFIX "{\"pin\": 1}]}", "f:2:2:", "\"pin\"");
    refused(PREFIX "{\"ttl_s\": -1}]}", "f:2:2:", "ttl_s");
    refused(PREFIX "{\"alternatives\": \"fallback\"}]}", "f:2:2:", "smaller_context");
    refused(PREFIX "{\"alternatives\": [\"fallback\", \"fallback\"]}]}",
            "f:2:2:", "fewer_gpu_layers");
    refused(PREFIX "{\"zzzzz\": 1}]}", "f:2:2:", "passage_prefix");
    refused(PREFIX "{\"slots\": 1, \"slots\": 1}]}", "f:2:14:", "slots");
    refused("{\"models\": [], \"models\": []}", "f:1:16:", "models");
}

#define REMOTE                                                                              \
    "{\"name\": \"far\", \"role\": \"chat\", \"upstream\": {\"urls\": [\"http://a:1/v1\", " \
    "\"https://b/v1\"], \"model\": \"big\", \"api_key_env\": \"KEY\", \"timeout_s\": 7}}"

static void test_upstream_and_fallback(void **state)
{
    (void)state;
    struct config *config =
        parsed(PREFIX "{\"name\": \"near\", \"path\": \"n\", \"role\": \"chat\", \"fallback\": "
                      "[\"far\"]},\n" REMOTE "]}");
    const struct model_entry *near = &config->models[0];
    const struct model_entry *far = &config->models[1];
    assert_int_equal(near->fallback_count, 1);
    assert_string_equal(near->fallback[0], "far");
    assert_null(near->upstream);
    assert_string_equal(far->path, "");
    assert_int_equal(far->upstream->url_count, 2);
    assert_string_equal(far->upstream->urls[1], "https://b/v1");
    assert_string_equal(far->upstream->model, "big");
    assert_string_equal(far->upstream->api_key_env, "KEY");
    assert_string_equal(far->upstream->api_key_file, "");
    assert_int_equal(far->upstream->timeout_s, 7);
    assert_int_equal(far->upstream->connect_timeout_s, 5);
    /* What is written is what is read. */
    struct str text;
    struct err err;
    str_init(&text, 4096);
    assert_true(config_get(config, "models", &text, &err));
    assert_non_null(strstr(str_text(&text), REMOTE));
    assert_non_null(strstr(str_text(&text), "\"fallback\": [\"far\"]"));
    struct model_entry copy;
    assert_true(model_entry_copy(far, &copy, &err));
    config_free(config);
    assert_string_equal(copy.upstream->urls[0], "http://a:1/v1");
    model_entry_free(&copy);
    str_free(&text);
}

static void test_upstream_refused(void **state)
{
    (void)state;
#define UPSTREAM(members) PREFIX "{\"upstream\": " members "}]}"
    refused(UPSTREAM("3"), "f:2:2:", "{ … }");
    refused(UPSTREAM("{\"urls\": []}"), "f:2:2:", "\"model\"");
    refused(UPSTREAM("{\"urls\": [\"ftp://a\"]}"), "f:2:2:", "http://host");
    refused(UPSTREAM("{\"urls\": [\"http:///v1\"]}"), "f:2:2:", "http://host");
    refused(UPSTREAM("{\"urls\": [\"http://me:secret@a/v1\"]}"), "f:2:2:", "http://host");
    refused(UPSTREAM("{\"urls\": [\"http://a/v1?key=1\"]}"), "f:2:2:", "http://host");
    refused(UPSTREAM("{\"timeout_s\": 0}"), "f:2:2:", "86400");
    refused(UPSTREAM("{\"api_key\": \"x\"}"), "f:2:2:", "api_key_file");
    refused(UPSTREAM("{\"urls\": [\"http://a\"], \"model\": \"m\", \"api_key_env\": \"E\", "
                     "\"api_key_file\": \"F\"}"),
            "f:2:2:", "api_key_file");
    refused(PREFIX "{\"name\": \"a\", \"path\": \"p\", \"role\": \"chat\", \"upstream\": "
                   "{\"urls\": [\"http://a\"], \"model\": \"m\"}}]}",
            "f:2:1:", "\"path\"");
    refused(PREFIX "{\"name\": \"a\", \"path\": \"p\", \"role\": \"embedding\", \"fallback\": "
                   "[\"b\"]}]}",
            "f:2:1:", "fallback");
    refused(PREFIX "{\"name\": \"a\", \"path\": \"p\", \"role\": \"chat\", \"fallback\": "
                   "[\"b\"]}]}",
            "f:", "\"b\"");
    refused(PREFIX "{\"name\": \"a\", \"path\": \"p\", \"role\": \"chat\", \"fallback\": "
                   "[\"a\"]}]}",
            "f:", "role");
}

static void test_get(void **state)
{
    (void)state;
    struct config *config =
        parsed("{\"retrieval.alpha\": 0.25, \"server.listen\": \"a:1\", \"models\": [" GOOD "]}");
    static const char *const expected[][2] = {
        {"server.listen", "a:1"}, {"retrieval.alpha", "0.25"}, {"retrieval.rerank", "true"},
        {"chunk.tokens", "200"},  {"models", "[" GOOD "]"},
    };
    for (size_t i = 0; i < sizeof(expected) / sizeof(*expected); i++) {
        struct str out;
        str_init(&out, 10000);
        assert_true(config_get(config, expected[i][0], &out, NULL));
        assert_string_equal(str_text(&out), expected[i][1]);
        str_free(&out);
    }
    struct str out;
    struct err err;
    str_init(&out, 10000);
    assert_false(config_get(config, "chunk.token", &out, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    assert_non_null(strstr(err.message[LANG_EN], "\"chunk.tokens\""));
    assert_false(config_get(config, "nothing like it", &out, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    config_free(config);
}

struct count {
    int keys;
    int translated;
};

static void count_key(void *user, const char *key, const char *value, const char *help)
{
    struct count *count = user;
    count->keys++;
    count->translated += strcmp(lang_text(LANG_ES, help), help) != 0;
    assert_true(strchr(key, '.') || strcmp(key, "devices") == 0);
    assert_non_null(value);
}

static void test_each_setting_has_help_in_both_languages(void **state)
{
    (void)state;
    struct config *config = parsed("{}");
    struct count count = {0};
    config_each(config, count_key, &count);
    assert_true(count.keys >= 19);
    assert_int_equal(count.translated, count.keys);
    config_free(config);
}

static void test_load_and_environment(void **state)
{
    (void)state;
    char *folder = testing_directory();
    char *path = testing_path(folder, "jarvis.json");
    struct config *config;
    struct err err;
    assert_true(config_load(path, &config, NULL)); /* absent: defaults */
    config_free(config);

    static const char text[] = "{\"server.listen\": \"a:1\", \"chunk.tokens\": 100}";
    free(testing_file(folder, "jarvis.json", text, strlen(text)));
    setenv("JARVIS_SERVER_LISTEN", "b:2", 1);      /* allow(setenv): no other thread is there */
    setenv("JARVIS_RETRIEVAL_RERANK", "false", 1); /* allow(setenv): no other thread is there */
    setenv("JARVIS_RETRIEVAL_ALPHA", "0.75", 1);   /* allow(setenv): no other thread is there */
    assert_true(config_load(path, &config, NULL));
    assert_string_equal(config->server_listen, "b:2");
    assert_int_equal(config->chunk_tokens, 100);
    assert_false(config->retrieval_rerank);
    assert_true(config->retrieval_alpha == 0.75);
    config_free(config);

    setenv("JARVIS_RETRIEVAL_ALPHA", "0.75x", 1); /* allow(setenv): no other thread is there */
    assert_false(config_load(path, &config, &err));
    assert_int_equal(err.code, ERR_CONFIG);
    assert_ptr_equal(strstr(err.message[LANG_EN], "JARVIS_RETRIEVAL_ALPHA: "),
                     err.message[LANG_EN]);
    unsetenv("JARVIS_SERVER_LISTEN");    /* allow(unsetenv): no other thread is there */
    unsetenv("JARVIS_RETRIEVAL_RERANK"); /* allow(unsetenv): no other thread is there */
    unsetenv("JARVIS_RETRIEVAL_ALPHA");  /* allow(unsetenv): no other thread is there */
    free(path);
    testing_remove(folder);
}

/* Texts made of the pieces of real ones: never a crash (the sanitizers look), and an error has a message. */
static void test_random_texts(void **state)
{
    (void)state;
    static const char *const pieces[] = {
        "{",          "}",        "[",     "]",        ",",     ":",    "\"models\"", "\"server\"",
        "\"listen\"", "\"name\"", "\"a\"", "\"\\\"\"", "//x\n", "/**/", "1",          "-1e9",
        "true",       "null",     "\n",    "\"é\"",    "/",     " ",    "\"path\"",   GOOD,
    };
    struct testing_random random;
    testing_seed(&random);
    int accepted = 0;
    for (int round = 0; round < 20000; round++) {
        struct str text;
        str_init(&text, 10000);
        bool whole = testing_below(&random, 2) == 0;
        str_puts(&text, whole ? "{\"models\": [" GOOD : "{");
        for (uint64_t i = testing_below(&random, 12); i > 0; i--)
            str_puts(&text, pieces[testing_below(&random, sizeof(pieces) / sizeof(*pieces))]);
        str_puts(&text, whole ? "]}" : "}");
        struct config *config;
        struct err err;
        if (config_parse(text.data, text.length, "f", &config, &err)) {
            accepted++;
            config_free(config);
        } else {
            assert_int_equal(err.code, ERR_CONFIG);
            assert_true(err.message[LANG_EN][0] != '\0');
        }
        str_free(&text);
    }
    assert_true(accepted > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_nested_and_dotted_keys),
        cmocka_unit_test(test_unknown_names_get_a_hint),
        cmocka_unit_test(test_types_and_ranges),
        cmocka_unit_test(test_broken_json_is_a_config_error),
        cmocka_unit_test(test_models),
        cmocka_unit_test(test_models_refused),
        cmocka_unit_test(test_upstream_and_fallback),
        cmocka_unit_test(test_upstream_refused),
        cmocka_unit_test(test_get),
        cmocka_unit_test(test_each_setting_has_help_in_both_languages),
        cmocka_unit_test(test_load_and_environment),
        cmocka_unit_test(test_random_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
