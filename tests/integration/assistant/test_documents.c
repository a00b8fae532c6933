/* The whole way of a document, with real workers, a real database and no fake: ingest, search, answer; idempotence;
 * changed and vanished files; stale quotes; with tiny models and with none. */
#include <errno.h>
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

#include "assistant/chat.h"
#include "assistant/ingest.h"
#include "assistant/models.h"
#include "assistant/rerank.h"
#include "assistant/stores.h"
#include "helper/testing.h"

struct fixture {
    char *home;
    char *documents;
    struct fs_paths paths;
    struct config *config;
    struct runtime *runtime;
    struct arena arena;
    struct trace trace;
    struct request request;
};

static void open_runtime(struct fixture *fixture)
{
    struct err err;
    if (!config_load(fixture->paths.config_file, &fixture->config, &err))
        fail_msg("%s", err.message[LANG_EN]);
    struct runtime_options options = {
        .paths = &fixture->paths,
        .config = fixture->config,
        .program = getenv("JARVIS_PROGRAM"),
    };
    assert_non_null(options.program);
    if (!runtime_open(&options, &fixture->runtime, &err))
        fail_msg("%s", err.message[LANG_EN]);
}

static void close_runtime(struct fixture *fixture)
{
    runtime_close(fixture->runtime);
    config_free(fixture->config);
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    fixture->home = testing_directory();
    fixture->documents = testing_path(fixture->home, "documents");
    assert_int_equal(mkdir(fixture->documents, 0700), 0);
    setenv("JARVIS_HOME", fixture->home, 1);
    struct err err;
    assert_true(fs_paths_find(&fixture->paths, &err));
    open_runtime(fixture);
    arena_init(&fixture->arena, 256 << 20);
    trace_init(&fixture->trace, NULL);
    fixture->request = (struct request){
        .arena = &fixture->arena,
        .trace = &fixture->trace,
        .until = deadline_in_ms(60000),
    };
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    close_runtime(fixture);
    arena_free(&fixture->arena);
    fs_paths_free(&fixture->paths);
    free(fixture->documents);
    testing_remove(fixture->home);
    free(fixture);
    return 0;
}

static void put(struct fixture *fixture, const char *name, const char *text)
{
    free(testing_file(fixture->documents, name, text, strlen(text)));
}

static struct ingest_summary ingest(struct fixture *fixture)
{
    const char *const paths[] = {fixture->documents};
    struct ingest_request request = {.paths = paths, .path_count = 1};
    struct ingest_summary summary;
    struct err err;
    if (!ingest_run(fixture->runtime, &fixture->request, &request, &summary, &err))
        fail_msg("%s", err.message[LANG_EN]);
    return summary;
}

static struct search_result search(struct fixture *fixture, const char *query)
{
    struct search_request request = {.query = query, .alpha = -1, .rerank = -1};
    struct search_result result;
    struct err err;
    if (!search_run(fixture->runtime, &fixture->request, &request, &result, &err))
        fail_msg("%s", err.message[LANG_EN]);
    return result;
}

/* Asks, reads the whole answer, and ends the stream. */
static struct chat_result ask(struct fixture *fixture, const char *question)
{
    const struct msg_chat_message messages[] = {{"user", question}};
    struct chat_request request = {
        .messages = messages,
        .message_count = 1,
        .search = {.alpha = -1, .rerank = -1},
    };
    sampling_default(&request.sampling);
    request.sampling.max_tokens = 16;
    request.sampling.seed = 7;
    request.sampling.has_seed = true;
    struct chat_stream *stream;
    struct err err;
    if (!chat_start(fixture->runtime, &fixture->request, &request, &stream, &err))
        fail_msg("%s", err.message[LANG_EN]);
    struct chat_event event;
    do {
        if (!chat_next(stream, &event, &err))
            fail_msg("%s", err.message[LANG_EN]);
    } while (event.type != CHAT_DONE);
    struct chat_result result = *event.result;
    result.text = arena_copy(&fixture->arena, result.text);
    assert_non_null(result.text);
    chat_end(stream);
    return result;
}

/* The bytes of the file that a source points to are its quoted words. */
static void assert_quotes_hold(const struct chat_result *result)
{
    for (size_t i = 0; i < result->source_count; i++) {
        const struct chat_source *source = &result->sources[i];
        char *bytes;
        size_t length;
        struct err err;
        assert_true(fs_read(source->hit.path, 1 << 20, &bytes, &length, &err));
        assert_true(source->quote_offset + source->quote_length <= length);
        assert_int_equal(source->quote_length, strlen(source->quote));
        assert_memory_equal(bytes + source->quote_offset, source->quote, source->quote_length);
        size_t line = 1;
        for (size_t at = 0; at < source->quote_offset; at++)
            line += bytes[at] == '\n';
        assert_int_equal(source->quote_line_start, line);
        free(bytes);
    }
}

static const char garden[] =
    "# The garden\n\nThe olive tree was planted in 1987 by Carmen. It needs little water.\n\n"
    "The lemon tree bears fruit in winter.\n";
static const char house[] = "La caldera se revisa en octubre. El técnico se llama Ramón Ibáñez.\n\n"
                            "La llave del agua está debajo del fregadero.\n";

static void test_extractive_answer(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, "garden.md", garden);
    put(fixture, "casa.txt", house);
    struct ingest_summary summary = ingest(fixture);
    assert_int_equal(summary.added, 2);
    assert_int_equal(summary.failed, 0);
    assert_true(strlen(summary.notice) > 0);

    struct chat_result result = ask(fixture, "Who planted the olive tree?");
    assert_int_equal(result.category, CHAT_DEGRADED);
    assert_string_equal(result.model, "extractive");
    assert_true(result.source_count >= 1);
    assert_non_null(strstr(result.text, "Carmen"));
    assert_non_null(strstr(result.sources[0].quote, "planted in 1987 by Carmen"));
    assert_non_null(strstr(result.notice, "jarvis models add"));
    assert_quotes_hold(&result);

    fixture->request.lang = LANG_ES;
    result = ask(fixture, "¿Cómo se llama el técnico de la caldera?");
    assert_non_null(strstr(result.text, "Ramón Ibáñez"));
    assert_quotes_hold(&result);
}

static void test_nothing_found(void **state)
{
    struct fixture *fixture = *state;
    struct chat_result result = ask(fixture, "Who planted the olive tree?");
    assert_int_equal(result.category, CHAT_DEGRADED);
    assert_int_equal(result.source_count, 0);
    assert_non_null(strstr(result.text, "jarvis ingest"));
}

static void test_ingest_is_idempotent(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, "garden.md", garden);
    put(fixture, "casa.txt", house);
    put(fixture, "old.txt", "The boiler was sold to a zeppelin company.");
    assert_int_equal(ingest(fixture).added, 3);
    struct ingest_summary again = ingest(fixture);
    assert_int_equal(again.added + again.changed + again.removed, 0);
    assert_int_equal(again.unchanged, 3);

    assert_int_equal(search(fixture, "zeppelin").count, 1);
    put(fixture, "garden.md", "The fig tree was planted by Lucía.");
    char *old = testing_path(fixture->documents, "old.txt");
    assert_int_equal(unlink(old), 0);
    free(old);
    struct ingest_summary changed = ingest(fixture);
    assert_int_equal(changed.changed, 1);
    assert_int_equal(changed.removed, 1);
    assert_int_equal(changed.unchanged, 1);
    assert_int_equal(search(fixture, "zeppelin").count, 0);
    assert_int_equal(search(fixture, "olive").count, 0);
    assert_int_equal(search(fixture, "fig").count, 1);
}

static void test_survives_a_restart(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, "garden.md", garden);
    ingest(fixture);
    close_runtime(fixture);
    open_runtime(fixture);
    struct search_result result = search(fixture, "lemon winter");
    assert_true(result.count >= 1);
    assert_non_null(strstr(result.hits[0].text, "lemon tree bears fruit"));
    assert_int_equal(ingest(fixture).unchanged, 1);
}

static void test_bad_files_are_reported_and_skipped(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, "garden.md", garden);
    static const char binary[] = "\x7f"
                                 "ELF\0\0\0\1\2\3\0\0\0\0\0\0\0\0\0\0";
    free(testing_file(fixture->documents, "program", binary, sizeof(binary)));
    free(testing_file(fixture->documents, "photo.png", binary, sizeof(binary)));
    struct ingest_summary summary = ingest(fixture);
    assert_int_equal(summary.added, 1);
    assert_int_equal(summary.failed, 1);
    assert_int_equal(summary.skipped, 1);
    assert_int_equal(summary.failure_count, 1);
    assert_non_null(strstr(summary.failures[0].path, "/program"));
    assert_true(strlen(summary.failures[0].reason) > 0);
}

static void test_a_changed_file_makes_its_quote_stale(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, "garden.md", garden);
    ingest(fixture);
    struct chat_result result = ask(fixture, "Who planted the olive tree?");
    assert_false(result.sources[0].stale);
    put(fixture, "garden.md", "All trees are gone.");
    result = ask(fixture, "Who planted the olive tree?");
    assert_true(result.source_count >= 1);
    assert_true(result.sources[0].stale);
}

/* Adds a tiny model of the test's own. */
static void add_model(struct fixture *fixture, const char *file, const char *name)
{
    const char *models = getenv("JARVIS_TEST_MODELS");
    assert_non_null(models);
    char *path = testing_path(models, file);
    struct model_entry entry;
    struct err err;
    if (!models_add(fixture->runtime, &fixture->request, path, name, -1, &entry, &err))
        fail_msg("%s", err.message[LANG_EN]);
    assert_string_equal(entry.name, name);
    model_entry_free(&entry);
    free(path);
}

static void test_with_models(void **state)
{
    struct fixture *fixture = *state;
    add_model(fixture, "tiny-embed.gguf", "embed");
    add_model(fixture, "tiny-rerank.gguf", "rerank");
    add_model(fixture, "tiny-chat.gguf", "chat");
    put(fixture, "garden.md", garden);
    put(fixture, "casa.txt", house);
    struct ingest_summary summary = ingest(fixture);
    assert_int_equal(summary.added, 2);
    assert_int_equal(summary.embedded, summary.passages);
    assert_string_equal(summary.notice, "");
    assert_int_equal(ingest(fixture).embedded, 0);

    struct search_result found = search(fixture, "olive tree");
    assert_true(found.used_embedder);
    assert_true(found.reranked);
    assert_int_equal(found.reranked_count, found.rerank_asked);
    assert_string_equal(found.notice, "");
    assert_true(found.count >= 1);
    for (size_t i = 0; i < found.count; i++) {
        const struct search_hit *hit = &found.hits[i];
        assert_true(hit->dense >= -1.0001 && hit->dense <= 1.0001);
        assert_true(hit->reranked && hit->rerank >= 0 && hit->rerank <= 1);
        assert_true(hit->score >= 0 && hit->score <= 1.0001);
        assert_true(i == 0 || hit->score <= found.hits[i - 1].score);
    }

    struct chat_result result = ask(fixture, "Who planted the olive tree?");
    assert_int_equal(result.category, CHAT_OK);
    assert_string_equal(result.model, "chat");
    assert_true(result.usage.prompt_tokens > 0);
    assert_true(result.usage.completion_tokens <= 16);
    assert_quotes_hold(&result);
    assert_true(trace_ms(&fixture->trace, "generate") > 0);

    close_runtime(fixture);
    open_runtime(fixture);
    found = search(fixture, "olive tree");
    assert_true(found.used_embedder);
}

/* Pairs are computed once; a budget takes them in order and what it leaves is said. */
static void test_rerank_budget_and_cache(void **state)
{
    struct fixture *fixture = *state;
    add_model(fixture, "tiny-rerank.gguf", "rerank");
    enum { TEXTS = 40 };
    const char *texts[TEXTS];
    for (size_t i = 0; i < TEXTS; i++)
        texts[i] = arena_printf(fixture->request.arena, "the dog of house %zu eats meat", i);
    struct rerank_question question = {
        .query = "where is the dog?", .texts = texts, .count = TEXTS, .budget_ms = 1};
    struct rerank_answer some, all, again;
    struct err err;
    assert_true(rerank_run(fixture->runtime, &fixture->request, &question, &some, &err));
    assert_true(some.scored_count >= 1 && some.scored_count <= TEXTS);
    for (size_t i = 0; i < TEXTS; i++)
        assert_int_equal(some.scored[i], i < some.scored_count);
    assert_true(some.tokens > 0 && some.cached == 0);

    question.budget_ms = 0;
    assert_true(rerank_run(fixture->runtime, &fixture->request, &question, &all, &err));
    assert_int_equal(all.scored_count, TEXTS);
    assert_int_equal(all.cached, some.scored_count);

    question.budget_ms = 1;
    assert_true(rerank_run(fixture->runtime, &fixture->request, &question, &again, &err));
    assert_int_equal(again.cached, TEXTS);
    assert_int_equal(again.scored_count, TEXTS);
    assert_int_equal(again.tokens, 0);
    for (size_t i = 0; i < TEXTS; i++)
        assert_true(again.scores[i] == all.scores[i]);

    question.query = "another question";
    assert_true(rerank_run(fixture->runtime, &fixture->request, &question, &some, &err));
    assert_int_equal(some.cached, 0);
}

/* A Spanish question, English text, no word in common: the embedder finds the passage and the sentence in it. */
static void test_quotes_by_meaning_where_no_word_is_shared(void **state)
{
    struct fixture *fixture = *state;
    add_model(fixture, "tiny-embed.gguf", "embed");
    put(fixture, "home.txt",
        "The bridge over the river was closed in that year. The dog is in the garden of the house. "
        "The window of the kitchen looks to the street.");
    ingest(fixture);
    struct chat_result result = ask(fixture, "¿perros, jardín, casa?");
    assert_int_equal(result.category, CHAT_DEGRADED);
    assert_true(result.source_count >= 1);
    assert_string_equal(result.sources[0].quote, "The dog is in the garden of the house.");
    assert_true(trace_ms(&fixture->trace, "embed") > 0);
    assert_quotes_hold(&result);
}

static void test_a_broken_embedder_degrades(void **state)
{
    struct fixture *fixture = *state;
    char *bad = testing_file(fixture->paths.models, "bad.gguf", "GGUF nonsense", 13);
    struct model_entry entry = {
        .name = (char[]){"bad"},
        .path = bad,
        .role = ROLE_EMBEDDING,
        .slots = 1,
        .gpu_layers = -1,
        .query_prefix = (char[]){""},
        .passage_prefix = (char[]){""},
    };
    struct err err;
    assert_true(registry_add(runtime_registry(fixture->runtime), &entry, &err));
    put(fixture, "garden.md", garden);
    struct ingest_summary summary = ingest(fixture);
    assert_int_equal(summary.added, 1);
    assert_true(strlen(summary.notice) > 0);
    struct search_result found = search(fixture, "olive tree");
    assert_true(found.count >= 1);
    assert_false(found.used_embedder);
    assert_true(strlen(found.notice) > 0);
    free(bad);
}

static void test_stores_and_files(void **state)
{
    struct fixture *fixture = *state;
    struct request *request = &fixture->request;
    struct store_info store;
    struct file_info file;
    struct document_info document;
    struct err err;
    assert_true(stores_create(fixture->runtime, request, "recipes", "{\"a\":1}", &store, &err));
    assert_false(stores_create(fixture->runtime, request, "recipes", NULL, &store, &err));
    assert_int_equal(err.code, ERR_CONFLICT);
    assert_true(stores_get(fixture->runtime, request, "recipes", &store, &err));
    static const char text[] = "Gazpacho wants ripe tomatoes and a cucumber.";
    assert_true(files_create(fixture->runtime, request, "gazpacho.txt", "assistants", text,
                             strlen(text), &file, &err));
    if (!stores_attach(fixture->runtime, request, store.id, file.id, &document, &err))
        fail_msg("%s", err.message[LANG_EN]);
    assert_string_equal(document.id, file.id);
    assert_int_equal(document.passages, 1);

    const char *const names[] = {"recipes"};
    struct search_request query = {
        .query = "cucumber", .stores = names, .store_count = 1, .alpha = -1, .rerank = -1};
    struct search_result found;
    assert_true(search_run(fixture->runtime, request, &query, &found, &err));
    assert_int_equal(found.count, 1);
    assert_string_equal(found.hits[0].path, "gazpacho.txt");
    assert_int_equal(search(fixture, "cucumber").count, 0);

    assert_true(stores_detach(fixture->runtime, request, store.id, file.id, &err));
    assert_true(search_run(fixture->runtime, request, &query, &found, &err));
    assert_int_equal(found.count, 0);
    assert_true(stores_delete(fixture->runtime, request, store.id, &err));
    assert_false(search_run(fixture->runtime, request, &query, &found, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    assert_false(stores_delete(fixture->runtime, request, "default", &err));
    assert_int_equal(err.code, ERR_CONFLICT);
}

static void test_cancel_and_deadline(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, "garden.md", garden);
    const char *const paths[] = {fixture->documents};
    struct ingest_request request = {.paths = paths, .path_count = 1};
    struct ingest_summary summary;
    struct err err;
    struct cancel cancel;
    cancel_init(&cancel);
    cancel_fire(&cancel);
    fixture->request.cancel = &cancel;
    assert_false(ingest_run(fixture->runtime, &fixture->request, &request, &summary, &err));
    assert_int_equal(err.code, ERR_CANCELLED);
    fixture->request.cancel = NULL;
    fixture->request.until = deadline_in_ms(0);
    assert_false(ingest_run(fixture->runtime, &fixture->request, &request, &summary, &err));
    assert_int_equal(err.code, ERR_TIMEOUT);
    fixture->request.until = deadline_in_ms(60000);
    assert_int_equal(ingest(fixture).added, 1);
    cancel_destroy(&cancel);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_extractive_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nothing_found, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ingest_is_idempotent, setup, teardown),
        cmocka_unit_test_setup_teardown(test_survives_a_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_files_are_reported_and_skipped, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_changed_file_makes_its_quote_stale, setup, teardown),
        cmocka_unit_test_setup_teardown(test_with_models, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rerank_budget_and_cache, setup, teardown),
        cmocka_unit_test_setup_teardown(test_quotes_by_meaning_where_no_word_is_shared, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_broken_embedder_degrades, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stores_and_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cancel_and_deadline, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
