/* Workers without a model: documents that kill, hang, and want charsets; inspecting; the sandbox tried. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>

#include "base/thread.h"
#include "fixture.h"

static bool parse(struct fixture *fixture, const char *text, const struct wait *wait,
                  struct msg_parsed *ret, struct err *err)
{
    const struct msg_parse request = {
        .name = "a.txt", .bytes = (const uint8_t *)text, .length = strlen(text)};
    return registry_parse(fixture->registry, &request, wait, &fixture->arena, ret, err);
}

static void parses(struct fixture *fixture, const char *text, const char *charset)
{
    const struct wait wait = fixture_wait(NULL);
    struct msg_parsed parsed;
    struct err err;
    assert_ok(parse(fixture, text, &wait, &parsed, &err), &err);
    assert_int_equal(parsed.text_length, strlen(text));
    assert_memory_equal(parsed.text, text, strlen(text));
    assert_string_equal(parsed.charset, charset);
}

static void refuses(struct fixture *fixture, const char *text, enum err_code code, const char *hint)
{
    const struct wait wait = fixture_wait(NULL);
    struct msg_parsed parsed;
    struct err err;
    assert_false(parse(fixture, text, &wait, &parsed, &err));
    if (err.code != code || !strstr(err.message[LANG_EN], hint))
        fail_msg("%s: %s", err_info(err.code)->name, err.message[LANG_EN]);
}

static void test_one_worker_serves_many_documents(void **state)
{
    struct fixture *fixture = *state;
    fixture_open(fixture, &(struct fixture_options){0});
    parses(fixture, "one", "UTF-8");
    pid_t pid = 0;
    assert_int_equal(fixture_children(&pid), 1);
    parses(fixture, "two", "UTF-8");
    refuses(fixture, "ERROR", ERR_DOCUMENT, "told to refuse");
    parses(fixture, "three", "UTF-8");
    pid_t same = 0;
    assert_int_equal(fixture_children(&same), 1);
    assert_int_equal(same, pid);
}

static void test_deadly_document(void **state)
{
    struct fixture *fixture = *state;
    fixture_open(fixture, &(struct fixture_options){.keep_spare = true});
    parses(fixture, "before", "UTF-8");
    refuses(fixture, "KILL", ERR_DOCUMENT, "a.txt");
    parses(fixture, "after", "UTF-8");
}

static void test_document_of_a_worker_killed_by_others(void **state)
{
    struct fixture *fixture = *state;
    char text[200];
    fixture_open(fixture, &(struct fixture_options){0});
    snprintf(text, sizeof(text), "KILLONCE %s\n", fixture_gate(fixture, "fuse"));
    parses(fixture, text, "UTF-8");
    pid_t pid = 0;
    assert_int_equal(fixture_children(&pid), 1);
    kill(pid, SIGKILL); /* while it is idle */
    parses(fixture, "after", "UTF-8");
}

static void test_endless_document(void **state)
{
    struct fixture *fixture = *state;
    fixture_open(fixture, &(struct fixture_options){.parse_ms = 1000});
    refuses(fixture, "HANG", ERR_DOCUMENT, "1000 ms");
    parses(fixture, "after", "UTF-8");

    const struct wait soon = {.until = deadline_in_ms(20)};
    struct msg_parsed parsed;
    struct err err;
    assert_false(parse(fixture, "HANG", &soon, &parsed, &err));
    assert_int_equal(err.code, ERR_TIMEOUT);

    struct cancel cancel;
    cancel_init(&cancel);
    cancel_fire(&cancel);
    const struct wait cancelled = fixture_wait(&cancel);
    assert_false(parse(fixture, "HANG", &cancelled, &parsed, &err));
    assert_int_equal(err.code, ERR_CANCELLED);
    cancel_destroy(&cancel);
    parses(fixture, "after", "UTF-8");
}

static void test_charsets(void **state)
{
    struct fixture *fixture = *state;
    fixture_open(fixture, &(struct fixture_options){0});
    parses(fixture, "NEED ISO-8859-1\nx", "ISO-8859-1");
    parses(fixture, "plain", "UTF-8");
    parses(fixture, "NEED KOI8-R\nx", "KOI8-R");
    assert_int_equal(fixture_children(NULL), 3); /* one for each, and one for none */
    parses(fixture, "NEED CP1252\nx", "CP1252");
    parses(fixture, "NEED CP1251\nx", "CP1251"); /* takes the place of another */
    parses(fixture, "NEED ISO-8859-1\nx", "ISO-8859-1");
    assert_int_equal(fixture_children(NULL), 4);
    refuses(fixture, "NEED ../../evil\nx", ERR_DOCUMENT, "character set");
    refuses(fixture, "NEED UNKNOWN\nx", ERR_UNSUPPORTED, "unknown charset");
    parses(fixture, "after", "UTF-8");
}

enum { READERS = 8, DOCUMENTS_EACH = 20 };

static void *read_documents(void *argument)
{
    static const char *const texts[] = {"plain", "KILL", "NEED KOI8-R\n", "ERROR"};
    struct fixture *fixture = argument;
    for (int i = 0; i < DOCUMENTS_EACH; i++) {
        const char *text = texts[i % 4];
        const struct msg_parse request = {
            .name = "a.txt", .bytes = (const uint8_t *)text, .length = strlen(text)};
        const struct wait wait = fixture_wait(NULL);
        struct arena arena;
        struct msg_parsed parsed;
        struct err err = {0};
        arena_init(&arena, 1 << 20);
        bool ok = registry_parse(fixture->registry, &request, &wait, &arena, &parsed, &err);
        bool wrong = ok ? i % 2 == 1 || strcmp(parsed.text, text) != 0
                        : i % 2 == 0 || err.code != ERR_DOCUMENT;
        arena_free(&arena);
        if (wrong)
            return argument;
    }
    return NULL;
}

/* Innocent documents are never blamed for what a deadly one beside them does. */
static void test_documents_at_once(void **state)
{
    struct fixture *fixture = *state;
    fixture_open(fixture, &(struct fixture_options){.keep_spare = true});
    pthread_t threads[READERS];
    for (int i = 0; i < READERS; i++)
        assert_true(thread_start(&threads[i], "reader", read_documents, fixture, NULL));
    for (int i = 0; i < READERS; i++) {
        void *wrong;
        pthread_join(threads[i], &wrong);
        assert_null(wrong);
    }
}

static void test_inspect(void **state)
{
    struct fixture *fixture = *state;
    fixture_open(fixture, &(struct fixture_options){0});
    fixture_model(fixture, "good", ROLE_CHAT, 1, "");
    fixture_model(fixture, "bad", ROLE_CHAT, 1, "fail-load");
    fixture_model(fixture, "crash", ROLE_CHAT, 1, "crash");
    static const struct {
        const char *name;
        enum err_code code;
    } files[] = {{"good", ERR_NONE}, {"bad", ERR_MODEL_INVALID}, {"crash", ERR_MODEL_INVALID}};
    for (size_t i = 0; i < 3; i++) {
        const struct wait wait = fixture_wait(NULL);
        char *path = testing_path(fixture->folder, files[i].name);
        struct msg_inspected inspected;
        struct err err;
        err_clear(&err);
        bool ok =
            registry_inspect(fixture->registry, path, &wait, &fixture->arena, &inspected, &err);
        assert_int_equal(err.code, files[i].code);
        assert_int_equal(ok, files[i].code == ERR_NONE);
        if (ok)
            assert_string_equal(inspected.architecture, "fake");
        free(path);
    }
    assert_int_equal(fixture_children(NULL), 0); /* none of these workers is kept */
}

static void test_probe(void **state)
{
    struct fixture *fixture = *state;
    fixture_open(fixture, &(struct fixture_options){0});
    const struct wait wait = fixture_wait(NULL);
    struct msg_probed probed;
    struct err err;
    assert_ok(registry_probe(fixture->registry, &wait, &probed, &err), &err);
    assert_int_equal(probed.open_errno, EPERM);
    assert_int_equal(probed.socket_errno, EPERM);
    assert_true(probed.no_new_privileges);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
        TEST(test_one_worker_serves_many_documents),
        TEST(test_deadly_document),
        TEST(test_document_of_a_worker_killed_by_others),
        TEST(test_endless_document),
        TEST(test_charsets),
        TEST(test_documents_at_once),
        TEST(test_inspect),
        TEST(test_probe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
