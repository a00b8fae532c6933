/* Models over HTTP, with the real assistant and workers that do as they are told: a load that is held for as long as the
 * test likes holds up nobody else; it tells how far it is; it ends when its client leaves; whoever listens hears of it. */
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "assistant/runtime.h"
#include "helper/raw_http.h"
#include "helper/testing.h"
#include "server/server.h"

enum { WAIT_MS = 60000, ROUNDS = 10, STEP_MS = 2, STOP_MS = 20000 };

struct house {
    char *home;
    char *gate; /* as long as this file is there, "slow" is not loaded */
    struct fs_paths paths;
    struct config *config;
    struct runtime *runtime;
    struct server *server;
};

static void write_model(struct house *house, const char *name, const char *behaviour)
{
    char line[4096];
    int length = snprintf(line, sizeof(line), "fake %s\n", behaviour);
    free(testing_file(house->home, name, line, (size_t)length));
}

static void shut_gate(struct house *house)
{
    free(testing_file(house->home, "gate", "", 0));
}

static int setup(void **state)
{
    struct house *house = calloc(1, sizeof(*house));
    struct err err;
    char text[8192];
    char slow[4200];
    assert_non_null(house);
    house->home = testing_directory();
    house->gate = testing_path(house->home, "gate");
    shut_gate(house);
    snprintf(slow, sizeof(slow), "gate=%s,load-ms=20", house->gate);
    write_model(house, "slow.gguf", slow);
    write_model(house, "quick.gguf", "");
    write_model(house, "embed.gguf", "");
    snprintf(text, sizeof(text),
             "{\"memory.reserve_mib\": 0, \"worker.threads\": 1, \"models\": ["
             "{\"name\": \"quick\", \"path\": \"%s/quick.gguf\", \"role\": \"chat\"},"
             "{\"name\": \"org/slow\", \"path\": \"%s/slow.gguf\", \"role\": \"chat\"},"
             "{\"name\": \"embed\", \"path\": \"%s/embed.gguf\", \"role\": \"embedding\"}]}",
             house->home, house->home, house->home);
    setenv("JARVIS_HOME", house->home, 1); /* allow(setenv): no thread is there */
    if (!fs_paths_find(&house->paths, &err) ||
        !config_parse(text, strlen(text), "test", &house->config, &err))
        fail_msg("%s", err.message[LANG_EN]);
    const struct runtime_options runtime = {.paths = &house->paths,
                                            .config = house->config,
                                            .program = getenv("JARVIS_TEST_FAKE_WORKER")};
    if (!runtime_open(&runtime, &house->runtime, &err))
        fail_msg("%s", err.message[LANG_EN]);
    const struct server_options server = {
        .runtime = house->runtime, .socket_path = house->paths.socket, .listen = ""};
    if (!server_start(&server, &house->server, &err))
        fail_msg("%s", err.message[LANG_EN]);
    *state = house;
    return 0;
}

static int teardown(void **state)
{
    struct house *house = *state;
    server_stop(house->server, STOP_MS);
    runtime_close(house->runtime);
    config_free(house->config);
    fs_paths_free(&house->paths);
    free(house->gate);
    testing_remove(house->home);
    free(house);
    return 0;
}

static int dial(const struct house *house)
{
    return raw_unix(house->paths.socket);
}

/* One exchange that must go well; whether its answer holds `part`. */
static bool answers(const struct house *house, const char *method, const char *path,
                    const char *body, const char *part)
{
    struct raw_answer answer = raw_request(dial(house), method, path, body);
    if (answer.status != 200)
        fail_msg("%s %s: %d %s", method, path, answer.status, answer.body);
    bool has = strstr(answer.body, part) != NULL;
    raw_free(&answer);
    return has;
}

static void await(const struct house *house, const char *path, const char *part)
{
    for (int waited = 0; !answers(house, "GET", path, NULL, part); waited += STEP_MS) {
        if (waited > WAIT_MS)
            fail_msg("waited in vain for %s in %s", part, path);
        poll(NULL, 0, STEP_MS);
    }
}

/* Begins to load the slow model as a stream and returns the connection. */
static int begin_load(const struct house *house)
{
    static const char request[] = "POST /v1/models/org/slow/load HTTP/1.1\r\nHost: localhost\r\n"
                                  "Content-Type: application/json\r\nContent-Length: 16\r\n\r\n"
                                  "{\"stream\": true}";
    int fd = dial(house);
    assert_true(raw_puts(fd, request));
    await(house, "/v1/models/org/slow", "\"state\":\"loading\"");
    return fd;
}

static void test_everything_answers_while_a_load_is_held(void **state)
{
    struct house *house = *state;
    int fd = begin_load(house);
    for (int i = 0; i < ROUNDS; i++) {
        assert_true(answers(house, "GET", "/healthz", NULL, "ok"));
        assert_true(answers(house, "POST", "/v1/chat/completions",
                            "{\"model\": \"quick\", \"messages\": [{\"role\": \"user\","
                            " \"content\": \"hello\"}]}",
                            "t0 t1"));
        assert_true(answers(house, "POST", "/v1/embeddings",
                            "{\"model\": \"embed\", \"input\": \"hello\"}", "embedding"));
        assert_true(answers(house, "POST", "/v1/jarvis/search", "{\"query\": \"hello\"}", "hits"));
        assert_true(answers(house, "GET", "/v1/models", NULL, "\"state\":\"loading\""));
        assert_true(answers(house, "GET", "/v1/jarvis/status", NULL, "\"memory\""));
    }
    assert_int_equal(unlink(house->gate), 0);
    struct raw_answer answer = raw_read(fd);
    assert_int_equal(answer.status, 200);
    assert_non_null(strstr(answer.body, "event: progress"));
    assert_non_null(strstr(answer.body, "\"bytes_total\":1000"));
    assert_non_null(strstr(answer.body, "event: done"));
    assert_non_null(strstr(answer.body, "\"state\":\"ready\""));
    raw_free(&answer);
    assert_true(answers(house, "POST", "/v1/models/org/slow/unload", NULL, "\"state\":\"cold\""));
}

static void test_a_client_that_leaves_calls_the_load_off(void **state)
{
    struct house *house = *state;
    int fd = begin_load(house);
    close(fd);
    await(house, "/v1/models/org/slow", "\"state\":\"cold\"");
    assert_true(answers(house, "GET", "/v1/models/org/slow/explain", NULL, "called_off"));
}

static void test_events_are_heard(void **state)
{
    struct house *house = *state;
    int fd = dial(house);
    assert_true(raw_puts(fd, "GET /v1/events?after=0 HTTP/1.1\r\nHost: localhost\r\n"
                             "Accept-Language: es\r\n\r\n"));
    assert_true(answers(house, "POST", "/v1/models/quick/load", NULL, "\"state\":\"ready\""));
    assert_true(raw_wait_for(fd, "\"code\":\"loaded\""));
    assert_true(answers(house, "POST", "/v1/models/quick/pin", NULL, "\"pinned\":true"));
    assert_true(raw_wait_for(fd, "fijado: no se descargará por sí solo"));
    assert_true(answers(house, "POST", "/v1/models/quick/unpin", NULL, "\"pinned\":false"));
    assert_true(answers(house, "POST", "/v1/models/quick/unload", NULL, "\"state\":\"cold\""));
    assert_true(raw_wait_for(fd, "\"code\":\"unloaded\""));
    server_stop(house->server, STOP_MS); /* although somebody listens */
    house->server = NULL;
    assert_true(raw_wait_closed(fd));
    close(fd);
}

static void refused(const struct house *house, const char *method, const char *path,
                    const char *body, int status, const char *code)
{
    struct raw_answer answer = raw_request(dial(house), method, path, body);
    if (answer.status != status || !strstr(answer.body, code))
        fail_msg("%s %s: %d %s", method, path, answer.status, answer.body);
    raw_free(&answer);
}

static void test_what_is_refused(void **state)
{
    struct house *house = *state;
    refused(house, "POST", "/v1/models/none/load", NULL, 404, "model_not_found");
    refused(house, "POST", "/v1/models/none/load", "{\"stream\": true}", 404, "model_not_found");
    refused(house, "POST", "/v1/models/quick/load", "{\"stream\": 1}", 400, "stream");
    refused(house, "POST", "/v1/models/none/unload", NULL, 404, "model_not_found");
    refused(house, "POST", "/v1/models/none/pin", NULL, 404, "model_not_found");
    refused(house, "GET", "/v1/models/none/explain", NULL, 404, "model_not_found");
    refused(house, "GET", "/v1/events?after=x", NULL, 400, "after");
    refused(house, "GET", "/v1/models/quick/load", NULL, 404, "model_not_found");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(test_everything_answers_while_a_load_is_held),
        TEST(test_a_client_that_leaves_calls_the_load_off),
        TEST(test_events_are_heard),
        TEST(test_what_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
