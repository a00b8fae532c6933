/* Adding and removing models: the rest of the file keeps every byte. */
#include <fcntl.h>
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
#include "base/thread.h"
#include "config/config.h"
#include "helper/testing.h"

enum { FILE_MAX = 1024 * 1024 };

struct fixture {
    char *folder;
    char *path;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    fixture->folder = testing_directory();
    fixture->path = testing_path(fixture->folder, "jarvis.json");
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    free(fixture->path);
    testing_remove(fixture->folder);
    free(fixture);
    return 0;
}

static void write_text(const struct fixture *fixture, const char *text)
{
    assert_true(fs_write_atomic(fixture->path, text, strlen(text), 0640, NULL));
}

static void assert_text(const struct fixture *fixture, const char *expected)
{
    char *text;
    size_t length;
    assert_true(fs_read(fixture->path, FILE_MAX, &text, &length, NULL));
    assert_string_equal(text, expected);
    free(text);
}

static void add(const struct fixture *fixture, const char *name)
{
    char names[128];
    snprintf(names, sizeof(names), "%s", name);
    struct model_entry entry = {
        .name = names, .path = names, .role = ROLE_CHAT, .slots = 2, .gpu_layers = -1};
    struct err err;
    if (!config_add_model(fixture->path, &entry, &err))
        fail_msg("%s", err.message[LANG_EN]);
}

static void remove_model(const struct fixture *fixture, const char *name)
{
    struct err err;
    if (!config_remove_model(fixture->path, name, &err))
        fail_msg("%s", err.message[LANG_EN]);
}

#define ENTRY(name) "{\"name\": \"" name "\", \"path\": \"" name "\", \"role\": \"chat\"}"

/* before + model "n" = after. */
static const char *const additions[][2] = {
    {"{}", "{\n  \"models\": [\n    " ENTRY("n") "\n  ]\n}"},
    {"{\"models\": []}\n", "{\"models\": [\n  " ENTRY("n") "\n]}\n"},
    {"{\n  \"models\": [],\n}", "{\n  \"models\": [\n    " ENTRY("n") "\n  ],\n}"},
    {"{\n  \"models\": null // later\n}",
     "{\n  \"models\": [\n    " ENTRY("n") "\n  ] // later\n}"},
    {"{\"models\": [" ENTRY("a") "]}", "{\"models\": [" ENTRY("a") ", " ENTRY("n") "]}"},
    {"{\n  \"models\": [\n      " ENTRY("a") " // first, the best\n      // none\n  ], // end\n}\n",
     "{\n  \"models\": [\n      " ENTRY("a") ", // first, the best\n      // none\n      " ENTRY(
         "n") "\n  ], // end\n}\n"},
    {"{\n  \"models\": [\n    " ENTRY("a") ", /* [ */\n  ]\n}",
     "{\n  \"models\": [\n    " ENTRY("a") ", /* [ */\n    " ENTRY("n") "\n  ]\n}"},
    {"{\n   \"chunk.tokens\": 100 // [ \"models\"\n}\n",
     "{\n   \"chunk.tokens\": 100, // [ \"models\"\n   \"models\": [\n    " ENTRY(
         "n") "\n  ]\n}\n"},
    {"{\"models\": [\n  {\"name\": \"n\", \"path\": \"old\", \"role\": \"rerank\"}, // mine\n]}",
     "{\"models\": [\n  " ENTRY("n") ", // mine\n]}"},
    {"{\"models\": [\n  {\"path\": \"old\", \"name\": \"\\u006e\", \"role\": \"chat\"}]}",
     "{\"models\": [\n  " ENTRY("n") "]}"},
};

static void test_add(void **state)
{
    struct fixture *fixture = *state;
    for (size_t i = 0; i < sizeof(additions) / sizeof(*additions); i++) {
        write_text(fixture, additions[i][0]);
        add(fixture, "n");
        assert_text(fixture, additions[i][1]);
        struct stat info;
        assert_int_equal(stat(fixture->path, &info), 0);
        assert_int_equal(info.st_mode & 0777, 0640);
    }
}

/* before - model "n" = after. */
static const char *const removals[][2] = {
    {"{\"models\": [" ENTRY("n") "]}", "{\"models\": []}"},
    {"{\"models\": [" ENTRY("n") ", " ENTRY("a") "]}", "{\"models\": [" ENTRY("a") "]}"},
    {"{\"models\": [" ENTRY("a") ", " ENTRY("n") "]}", "{\"models\": [" ENTRY("a") " ]}"},
    {"{\"models\": [\n  // one\n  " ENTRY("a") ",\n  // two\n  " ENTRY("n") "\n]}",
     "{\"models\": [\n  // one\n  " ENTRY("a") "\n  // two\n]}"},
    {"{\"models\": [\n  " ENTRY("n") ", // gone\n  " ENTRY("a") ",\n]}",
     "{\"models\": [\n   // gone\n  " ENTRY("a") ",\n]}"},
    {"{\"models\": [\n  " ENTRY("n") ",\n  " ENTRY("a") ",\n]}",
     "{\"models\": [\n  " ENTRY("a") ",\n]}"},
};

static void test_remove(void **state)
{
    struct fixture *fixture = *state;
    for (size_t i = 0; i < sizeof(removals) / sizeof(*removals); i++) {
        write_text(fixture, removals[i][0]);
        remove_model(fixture, "n");
        assert_text(fixture, removals[i][1]);
    }
    struct err err;
    assert_false(config_remove_model(fixture->path, "n", &err));
    assert_int_equal(err.code, ERR_MODEL_NOT_FOUND);
}

static void test_new_file_explains_itself(void **state)
{
    struct fixture *fixture = *state;
    free(fixture->path);
    fixture->path = testing_path(fixture->folder, "a/b/jarvis.json");
    char values[][16] = {"b", "m/b.gguf", "query: ", "\"p\": "};
    struct model_entry entry = {.name = values[0],
                                .path = values[1],
                                .role = ROLE_EMBEDDING,
                                .context_length = 512,
                                .slots = 1,
                                .gpu_layers = 3,
                                .kv_type = KV_Q8_0,
                                .query_prefix = values[2],
                                .passage_prefix = values[3],
                                .preload = true,
                                .pin = true,
                                .ttl_s = 90,
                                .alternatives = {ALTERNATIVE_FEWER_GPU_LAYERS},
                                .alternative_count = 1};
    assert_true(config_add_model(fixture->path, &entry, NULL));
    char *text;
    size_t length;
    assert_true(fs_read(fixture->path, FILE_MAX, &text, &length, NULL));
    assert_non_null(strstr(text, "\n  // \"server.listen\": \"127.0.0.1:8317\", // "));
    free(text);

    struct config *config;
    assert_true(config_load(fixture->path, &config, NULL));
    assert_int_equal(config->model_count, 1);
    const struct model_entry *read = &config->models[0];
    assert_string_equal(read->name, "b");
    assert_int_equal(read->role, ROLE_EMBEDDING);
    assert_int_equal(read->context_length, 512);
    assert_int_equal(read->slots, 1);
    assert_int_equal(read->gpu_layers, 3);
    assert_int_equal(read->kv_type, KV_Q8_0);
    assert_string_equal(read->query_prefix, "query: ");
    assert_string_equal(read->passage_prefix, "\"p\": ");
    assert_true(read->preload && read->pin);
    assert_int_equal(read->ttl_s, 90);
    assert_int_equal(read->alternative_count, 1);
    assert_int_equal(read->alternatives[0], ALTERNATIVE_FEWER_GPU_LAYERS);
    config_free(config);
}

/* Every setting of a new file works when its // is taken away. */
static void test_skeleton_uncommented_is_valid(void **state)
{
    struct fixture *fixture = *state;
    add(fixture, "n");
    char *text;
    size_t length;
    assert_true(fs_read(fixture->path, FILE_MAX, &text, &length, NULL));
    int uncommented = 0;
    for (char *at = text; (at = strstr(at, "\n  // \"")); uncommented++)
        at[3] = at[4] = ' ';
    assert_true(uncommented >= 19);
    write_text(fixture, text);
    free(text);
    struct config *config;
    struct err err;
    if (!config_load(fixture->path, &config, &err))
        fail_msg("%s", err.message[LANG_EN]);
    config_free(config);
}

static void test_refusals_leave_the_file(void **state)
{
    struct fixture *fixture = *state;
    static const char broken[] = "{\"models\": [,]}";
    write_text(fixture, broken);
    char name[] = "n";
    char bad[] = "a b";
    struct model_entry entry = {.name = name, .path = name, .role = ROLE_CHAT};
    struct err err;
    assert_false(config_add_model(fixture->path, &entry, &err));
    assert_int_equal(err.code, ERR_CONFIG);
    entry.name = bad;
    assert_false(config_add_model(fixture->path, &entry, &err));
    assert_int_equal(err.code, ERR_CONFIG);
    assert_text(fixture, broken);
}

static void test_link_stays_a_link(void **state)
{
    struct fixture *fixture = *state;
    free(testing_file(fixture->folder, "real.json", "{}", 2));
    assert_int_equal(symlink("real.json", fixture->path), 0);
    add(fixture, "n");
    struct stat info;
    assert_int_equal(lstat(fixture->path, &info), 0);
    assert_true(S_ISLNK(info.st_mode));
    assert_text(fixture, additions[0][1]);
}

enum { EDITORS = 4, MODELS_EACH = 10 };

struct editor {
    const struct fixture *fixture;
    int number;
};

static void *add_many(void *argument)
{
    const struct editor *editor = argument;
    for (int i = 0; i < MODELS_EACH; i++) {
        char name[32];
        snprintf(name, sizeof(name), "m%d-%d", editor->number, i);
        struct model_entry entry = {.name = name, .path = name, .role = ROLE_CHAT};
        if (!config_add_model(editor->fixture->path, &entry, NULL))
            return argument;
    }
    return NULL;
}

static void test_editors_at_once_lose_nothing(void **state)
{
    struct fixture *fixture = *state;
    pthread_t threads[EDITORS];
    struct editor editors[EDITORS];
    for (int i = 0; i < EDITORS; i++) {
        editors[i] = (struct editor){fixture, i};
        assert_true(thread_start(&threads[i], "editor", add_many, &editors[i], NULL));
    }
    for (int i = 0; i < EDITORS; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    struct config *config;
    assert_true(config_load(fixture->path, &config, NULL));
    assert_int_equal(config->model_count, EDITORS * MODELS_EACH);
    config_free(config);
}

/* ---------------------------------------------------------------- any layout */

enum { NAMES = 6, ROUNDS = 15, STEPS = 6 };

/* White space and comments as people write them; each comment is numbered, so that its loss is seen. */
static void put_gap(struct str *out, struct testing_random *random, int *comments)
{
    switch (testing_below(random, 8)) {
    case 0: str_printf(out, " // c%d ] } , \"\n", (*comments)++); break;
    case 1: str_printf(out, " /* c%d [ { \" */ ", (*comments)++); break;
    case 2: str_puts(out, "\n    "); break;
    case 3: str_puts(out, "\t"); break;
    case 4: str_puts(out, "\r\n"); break;
    default: break;
    }
}

static void put_pieces(struct str *out, struct testing_random *random, int *comments,
                       const char *const *pieces)
{
    for (size_t i = 0; pieces[i]; i++) {
        put_gap(out, random, comments);
        str_puts(out, pieces[i]);
    }
    put_gap(out, random, comments);
}

/* A file with some settings and the models of `present`, laid out anyhow. */
static void put_random_file(struct str *out, struct testing_random *random, int *comments,
                            const bool present[NAMES])
{
    static const char *const begin[] = {"{", "\"chunk.tokens\"", ":", "123", ",", NULL};
    static const char *const list[] = {"\"models\"", ":", "[", NULL};
    put_pieces(out, random, comments, begin);
    put_pieces(out, random, comments, list);
    bool first = true;
    for (int i = 0; i < NAMES; i++) {
        char name[16];
        if (!present[i])
            continue;
        snprintf(name, sizeof(name), "\"m%d\"", i);
        const char *const entry[] = {
            first ? "{" : ",{", "\"name\"", ":",        name, ",",        "\"path\"", ":",
            "\"a,b]}//\\\"\"",  ",",        "\"role\"", ":",  "\"chat\"", "}",        NULL};
        put_pieces(out, random, comments, entry);
        first = false;
    }
    if (!first && testing_below(random, 2) == 0)
        str_puts(out, ",");
    static const char *const end[] = {"]", ",", "\"log.level\"", ":", "\"warn\"", "}", NULL};
    put_pieces(out, random, comments, end);
}

/* The file says what it should, and no comment is lost. */
static void check_file(const struct fixture *fixture, const bool present[NAMES], int comments)
{
    struct config *config;
    struct err err;
    char *text;
    size_t length;
    if (!config_load(fixture->path, &config, &err))
        fail_msg("%s", err.message[LANG_EN]);
    assert_int_equal(config->chunk_tokens, 123);
    assert_string_equal(config->log_level, "warn");
    size_t expected = 0;
    for (int i = 0; i < NAMES; i++)
        expected += present[i];
    assert_int_equal(config->model_count, expected);
    for (size_t i = 0; i < config->model_count; i++)
        assert_true(present[config->models[i].name[1] - '0']);
    config_free(config);

    assert_true(fs_read(fixture->path, FILE_MAX, &text, &length, NULL));
    for (int i = 0; i < comments; i++) {
        char word[16];
        snprintf(word, sizeof(word), "c%d ", i);
        if (!strstr(text, word))
            fail_msg("comment %d is lost in:\n%s", i, text);
    }
    free(text);
}

/* Models are added and removed at random in files of random layout. Only those that were added here are removed: the
 * comments inside an entry go with it. */
static void test_any_layout(void **state)
{
    struct fixture *fixture = *state;
    struct testing_random random;
    testing_seed(&random);
    for (int round = 0; round < ROUNDS; round++) {
        bool present[NAMES] = {false};
        int comments = 0;
        struct str text;
        str_init(&text, FILE_MAX);
        for (int i = 0; i < NAMES / 2; i++)
            present[i] = testing_below(&random, 2) == 0;
        put_random_file(&text, &random, &comments, present);
        write_text(fixture, str_text(&text));
        str_free(&text);
        check_file(fixture, present, comments);
        for (int step = 0; step < STEPS; step++) {
            uint64_t i = NAMES / 2 + testing_below(&random, NAMES / 2);
            char name[16];
            snprintf(name, sizeof(name), "m%u", (unsigned)i);
            bool remove = present[i] && testing_below(&random, 2) == 0;
            if (remove)
                remove_model(fixture, name);
            else
                add(fixture, name);
            present[i] = !remove;
            check_file(fixture, present, comments);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_add, setup, teardown),
        cmocka_unit_test_setup_teardown(test_remove, setup, teardown),
        cmocka_unit_test_setup_teardown(test_new_file_explains_itself, setup, teardown),
        cmocka_unit_test_setup_teardown(test_skeleton_uncommented_is_valid, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refusals_leave_the_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_link_stays_a_link, setup, teardown),
        cmocka_unit_test_setup_teardown(test_editors_at_once_lose_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_any_layout, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
