/* What happens over time: words leave one by one, clients leave, the service starts, stops and refuses. */

#include "service.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fs.h"
#include "helper/testing.h"

#define STREAM \
    "{\"model\":\"tiny-chat\",\"stream\":true,\"max_tokens\":20,\"messages\":" MESSAGES "}"
#define WHOLE     "{\"model\":\"tiny-chat\",\"messages\":" MESSAGES "}"
#define MESSAGES  "[{\"role\":\"user\",\"content\":\"hello\"}]"
#define CHAT_PATH "/v1/chat/completions"

static int setup(void **state)
{
    struct service *service = calloc(1, sizeof(*service));
    assert_non_null(service);
    service_open(service);
    *state = service;
    return 0;
}

static int setup_started(void **state)
{
    setup(state);
    service_start(*state);
    return 0;
}

static int teardown(void **state)
{
    service_close(*state);
    free(*state);
    return 0;
}

static void send_request(int fd, const char *path, const char *body)
{
    char head[512];
    snprintf(head, sizeof(head),
             "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n", path,
             strlen(body));
    assert_true(raw_puts(fd, head) && raw_puts(fd, body));
}

static void expect_healthy(const struct service *service)
{
    yyjson_doc_free(service_json(service, "GET", "/healthz", NULL, 200));
}

/* ---------------------------------------------------------------- words */

enum { WORDS = 20 };

static int compare_times(const void *left, const void *right)
{
    double a = *(const double *)left;
    double b = *(const double *)right;
    return a < b ? -1 : a > b;
}

/* The next word is computed only after the one before has been read: nothing may be held back on the way. */
static void words_one_by_one(struct service *service, int fd)
{
    double times[WORDS];
    fake_hold(service->runtime);
    send_request(fd, CHAT_PATH, STREAM);
    size_t before = fake_words(service->runtime);
    for (unsigned i = 0; i < WORDS; i++) {
        char word[16];
        snprintf(word, sizeof(word), "\"w%u \"", i);
        int64_t start = clock_now_ns();
        fake_allow(service->runtime, 1);
        assert_true(raw_wait_for(fd, word));
        times[i] = clock_ms_since(start);
        assert_int_equal(fake_words(service->runtime), before + i + 1);
    }
    qsort(times, WORDS, sizeof(*times), compare_times);
    print_message("# %.2f ms from a word to its reader (median)\n", times[WORDS / 2]);
    /* Nagle's algorithm or a corked socket would cost 40 to 200 ms a word. */
    assert_true(times[WORDS / 2] < 30);
    assert_true(raw_wait_for(fd, "[DONE]"));
}

static void test_words_over_unix(void **state)
{
    int fd = service_unix(*state);
    words_one_by_one(*state, fd);
    close(fd);
}

static void test_words_over_tcp(void **state)
{
    int fd = service_tcp(*state);
    words_one_by_one(*state, fd);
    words_one_by_one(*state, fd); /* a connection that is used again is no slower */
    close(fd);
}

/* ---------------------------------------------------------------- clients that leave */

static void leave_in_stream(struct service *service, int fd)
{
    size_t before = fake_words(service->runtime);
    fake_hold(service->runtime);
    send_request(fd, CHAT_PATH, STREAM);
    fake_allow(service->runtime, 2);
    assert_true(raw_wait_for(fd, "w1 "));
    assert_true(fake_wait_held(service->runtime, 1));
    close(fd);
    assert_true(fake_wait_cancelled(service->runtime, 1));
    assert_int_equal(fake_words(service->runtime), before + 2);
    expect_healthy(service);
}

static void test_leave_in_stream_unix(void **state)
{
    leave_in_stream(*state, service_unix(*state));
}

static void test_leave_in_stream_tcp(void **state)
{
    leave_in_stream(*state, service_tcp(*state));
}

/* Also while nothing has been sent yet: a whole answer, vectors, an ingest. */
static void test_leave_while_waiting(void **state)
{
    static const struct {
        const char *path;
        const char *body;
    } requests[] = {
        {CHAT_PATH, WHOLE},
        {CHAT_PATH, STREAM},
        {"/v1/embeddings", "{\"input\":\"a\"}"},
        {"/v1/jarvis/ingest", "{\"paths\":[\"/docs\"]}"},
    };
    struct service *service = *state;
    fake_hold(service->runtime);
    for (size_t i = 0; i < sizeof(requests) / sizeof(*requests); i++) {
        int fd = service_unix(service);
        send_request(fd, requests[i].path, requests[i].body);
        assert_true(fake_wait_held(service->runtime, 1));
        close(fd);
        assert_true(fake_wait_cancelled(service->runtime, i + 1));
    }
    assert_int_equal(fake_words(service->runtime), 0);
    expect_healthy(service);
}

/* The client is gone before its request is even looked at. */
static void test_leave_at_once(void **state)
{
    struct service *service = *state;
    fake_hold(service->runtime);
    for (size_t i = 0; i < 20; i++) {
        int fd = service_tcp(service);
        send_request(fd, CHAT_PATH, WHOLE);
        close(fd);
    }
    assert_true(fake_wait_cancelled(service->runtime, 20));
    assert_int_equal(fake_words(service->runtime), 0);
}

/* ---------------------------------------------------------------- many at once */

static void test_parallel(void **state)
{
    enum { CLIENTS = 50 };
    struct service *service = *state;
    int fds[CLIENTS];
    fake_hold(service->runtime);
    for (int i = 0; i < CLIENTS; i++) {
        fds[i] = i % 2 ? service_tcp(service) : service_unix(service);
        send_request(fds[i], CHAT_PATH, i % 3 ? WHOLE : STREAM);
    }
    assert_true(fake_wait_held(service->runtime, CLIENTS));
    assert_int_equal(server_idle_ms(service->server), 0);
    fake_allow(service->runtime, CLIENTS * 20);
    for (int i = 0; i < CLIENTS; i++) {
        struct raw_answer answer = raw_read(fds[i]);
        assert_int_equal(answer.status, 200);
        assert_false(answer.closed);
        assert_non_null(strstr(answer.body, i % 3 ? "w0 w1 w2 w3 w4 " : "[DONE]"));
        raw_free(&answer);
        close(fds[i]);
    }
}

static void test_idle_clock(void **state)
{
    struct service *service = *state;
    int fd = service_unix(service);
    fake_hold(service->runtime);
    send_request(fd, CHAT_PATH, WHOLE);
    assert_true(fake_wait_held(service->runtime, 1));
    assert_int_equal(server_idle_ms(service->server), 0);
    fake_allow(service->runtime, 5);
    struct raw_answer answer = raw_read(fd);
    raw_free(&answer);
    close(fd);
    deadline until = deadline_in_ms(RAW_WAIT_MS);
    while (server_idle_ms(service->server) == 0 && !deadline_passed(until))
        expect_healthy(service);
    assert_true(server_idle_ms(service->server) >= 0);
}

/* ---------------------------------------------------------------- stopping */

/* server_stop() on a thread of its own, so that the test can look at what happens meanwhile. */
struct stopper {
    struct service *service;
    int grace_ms;
    pthread_t thread;
};

static void *run_stop(void *argument)
{
    struct stopper *stopper = argument;
    server_stop(stopper->service->server, stopper->grace_ms);
    return NULL;
}

static void begin_stop(struct stopper *stopper)
{
    struct err err;
    assert_true(thread_start(&stopper->thread, "stopper", run_stop, stopper, &err));
    struct stat found;
    deadline until = deadline_in_ms(RAW_WAIT_MS);
    while (stat(stopper->service->socket, &found) == 0)
        assert_false(deadline_passed(until));
}

static void end_stop(struct stopper *stopper)
{
    pthread_join(stopper->thread, NULL);
    stopper->service->server = NULL;
}

static void test_stop_waits(void **state)
{
    struct service *service = *state;
    struct stopper stopper = {.service = service, .grace_ms = RAW_WAIT_MS};
    int fd = service_unix(service);
    int idle = service_unix(service);
    struct raw_answer answer = raw_request(idle, "GET", "/healthz", NULL);
    raw_free(&answer);
    fake_hold(service->runtime);
    send_request(fd, CHAT_PATH, WHOLE);
    assert_true(fake_wait_held(service->runtime, 1));
    begin_stop(&stopper);

    answer = raw_request(idle, "GET", "/healthz", NULL);
    assert_int_equal(answer.status, 503);
    assert_non_null(strstr(answer.body, "stopping"));
    raw_free(&answer);

    fake_allow(service->runtime, 5);
    answer = raw_read(fd);
    assert_int_equal(answer.status, 200);
    raw_free(&answer);
    end_stop(&stopper);
    close(fd);
    close(idle);
}

static void test_stop_cancels(void **state)
{
    struct service *service = *state;
    struct stopper stopper = {.service = service, .grace_ms = 0};
    int whole = service_unix(service);
    int stream = service_tcp(service);
    fake_hold(service->runtime);
    send_request(stream, CHAT_PATH, STREAM);
    fake_allow(service->runtime, 1);
    assert_true(raw_wait_for(stream, "w0 "));
    send_request(whole, CHAT_PATH, WHOLE);
    assert_true(fake_wait_held(service->runtime, 2));
    begin_stop(&stopper);
    end_stop(&stopper);
    assert_true(fake_wait_cancelled(service->runtime, 2));
    struct raw_answer answer = raw_read(whole);
    assert_int_equal(answer.status, 503);
    assert_non_null(strstr(answer.body, "stopping"));
    raw_free(&answer);
    assert_true(raw_wait_for(stream, "data: {\"error\":"));
    assert_true(raw_wait_closed(stream));
    close(whole);
    close(stream);
}

static void test_shutdown_request(void **state)
{
    struct service *service = *state;
    int fd = service_tcp(service);
    struct raw_answer answer = raw_request(fd, "POST", "/v1/jarvis/shutdown", NULL);
    assert_int_equal(answer.status, 403);
    raw_free(&answer);
    close(fd);
    assert_false(cancel_is_set(&service->asked_to_stop));

    fd = service_unix(service);
    answer = raw_request(fd, "POST", "/v1/jarvis/shutdown", NULL);
    assert_int_equal(answer.status, 200);
    raw_free(&answer);
    assert_true(raw_wait_closed(fd));
    close(fd);
    deadline until = deadline_in_ms(RAW_WAIT_MS);
    while (!cancel_is_set(&service->asked_to_stop))
        assert_false(deadline_passed(until));
}

/* ---------------------------------------------------------------- starting */

static bool try_start(struct service *service, const char *listen, struct err *err)
{
    const struct server_options options = {
        .runtime = service->runtime, .socket_path = service->socket, .listen = listen};
    return server_start(&options, &service->server, err);
}

static void test_start_twice(void **state)
{
    struct service *service = *state;
    struct err err;
    struct server *second = NULL;
    const struct server_options options = {
        .runtime = service->runtime, .socket_path = service->socket, .listen = ""};
    service_start(service);
    assert_false(server_start(&options, &second, &err));
    assert_int_equal(err.code, ERR_CONFLICT);
    expect_healthy(service);

    const struct server_options same_port = {.runtime = service->runtime,
                                             .listen = server_address(service->server)};
    assert_false(server_start(&same_port, &second, &err));
    assert_int_equal(err.code, ERR_CONFLICT);
    assert_null(second);
}

static int bind_socket(const char *path, bool listening)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
    if (listening)
        assert_true(listen(fd, 1) == 0);
    return fd;
}

static void test_stale_socket(void **state)
{
    struct service *service = *state;
    struct stat found;
    struct err err;
    close(bind_socket(service->socket, true));
    assert_true(try_start(service, "", &err));
    expect_healthy(service);
    assert_string_equal(server_address(service->server), "");
    assert_true(stat(service->socket, &found) == 0 && (found.st_mode & 0777) == 0600);
}

static void test_socket_of_others(void **state)
{
    struct service *service = *state;
    struct err err;
    int fd = bind_socket(service->socket, true);
    assert_false(try_start(service, "", &err));
    assert_int_equal(err.code, ERR_CONFLICT);
    close(fd);
    unlink(service->socket);

    free(testing_file(service->directory, "jarvis.sock", "precious", 8));
    assert_false(try_start(service, "", &err));
    assert_int_equal(err.code, ERR_CONFLICT);
    struct stat found;
    assert_true(stat(service->socket, &found) == 0 && found.st_size == 8);
    unlink(service->socket);
    assert_true(try_start(service, "", &err));
}

static void test_addresses(void **state)
{
    static const char *const bad[] = {"8317",           "127.0.0.1", "127.0.0.1:x", "1.2.3.4:99999",
                                      "example.org:80", "::1:80",    "[::1]",       ":80",
                                      "127.0.0.1:-1"};
    struct service *service = *state;
    struct err err;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        assert_false(try_start(service, bad[i], &err));
        assert_int_equal(err.code, ERR_CONFIG);
    }
    assert_false(try_start(service, "0.0.0.0:0", &err));
    assert_int_equal(err.code, ERR_CONFIG);
    assert_non_null(strstr(err_message(&err, LANG_EN), "API key"));
    assert_true(try_start(service, "localhost:0", &err));
    assert_true(strncmp(server_address(service->server), "localhost:", 10) == 0);
}

/* ---------------------------------------------------------------- who may enter */

static struct raw_answer get_over_tcp(struct service *service, const char *path,
                                      const char *headers)
{
    char text[1024];
    int fd = service_tcp(service);
    snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\n%s\r\n", path, headers);
    raw_puts(fd, text);
    struct raw_answer answer = raw_read(fd);
    close(fd);
    return answer;
}

static void expect_status(struct service *service, const char *path, const char *headers,
                          int status)
{
    struct raw_answer answer = get_over_tcp(service, path, headers);
    if (answer.status != status)
        fail_msg("%s with %s: %d, not %d", path, headers, answer.status, status);
    raw_free(&answer);
}

static void test_host_and_origin(void **state)
{
    struct service *service = *state;
    char own[128];
    service_start(service);
    snprintf(own, sizeof(own), "Host: %s\r\n", server_address(service->server));
    expect_status(service, "/v1/models", own, 200);
    expect_status(service, "/v1/models", "Host: localhost:8317\r\n", 200);
    expect_status(service, "/v1/models", "Host: [::1]:8317\r\n", 200);
    expect_status(service, "/v1/models", "Host: evil.example\r\n", 403);
    expect_status(service, "/healthz", "Host: evil.example\r\n", 403);
    expect_status(service, "/v1/models", "Host: 127.0.0.1.evil.example\r\n", 403);
    expect_status(service, "/v1/models", "Host: localhost\r\nOrigin: http://localhost:3000\r\n",
                  200);
    expect_status(service, "/v1/models", "Host: localhost\r\nOrigin: https://evil.example\r\n",
                  403);
    expect_status(service, "/v1/models", "Host: localhost\r\nOrigin: null\r\n", 403);
    expect_status(service, "/v1/jarvis/config/log.level", "Host: localhost\r\n", 403);
}

static void test_api_key(void **state)
{
    struct service *service = *state;
    struct err err;
    char *file = testing_file(service->directory, "key", "0123456789abcdef\n", 17);
    fake_config(service->runtime)->server_api_key_file = file;
    assert_true(try_start(service, "0.0.0.0:0", &err));
    const char *port = strchr(server_address(service->server), ':');
    char address[64];
    snprintf(address, sizeof(address), "127.0.0.1%s", port);

    static const struct {
        const char *header;
        int status;
    } cases[] = {
        {"", 401},
        {"Authorization: Bearer \r\n", 401},
        {"Authorization: Bearer 0123456789abcdeg\r\n", 401},
        {"Authorization: Bearer 0123456789abcdef0\r\n", 401},
        {"Authorization: Basic 0123456789abcdef\r\n", 401},
        {"Authorization: Bearer 0123456789abcdef\r\n", 200},
        {"Authorization: bearer  0123456789abcdef\r\n", 200},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char text[512];
        int fd = raw_tcp(address);
        snprintf(text, sizeof(text), "GET /v1/models HTTP/1.1\r\nHost: any.name\r\n%s\r\n",
                 cases[i].header);
        raw_puts(fd, text);
        struct raw_answer answer = raw_read(fd);
        assert_int_equal(answer.status, cases[i].status);
        assert_null(strstr(answer.body, "0123456789abcdef"));
        raw_free(&answer);
        close(fd);
    }
    /* Probes and this user's own programs need none. */
    int fd = raw_tcp(address);
    struct raw_answer answer = raw_request(fd, "GET", "/healthz", NULL);
    assert_int_equal(answer.status, 200);
    raw_free(&answer);
    close(fd);
    yyjson_doc_free(service_json(service, "GET", "/v1/models", NULL, 200));
    free(file);
}

static void test_bad_key_file(void **state)
{
    struct service *service = *state;
    struct err err;
    char *file = testing_file(service->directory, "key", "short\n", 6);
    fake_config(service->runtime)->server_api_key_file = file;
    assert_false(try_start(service, "", &err));
    assert_int_equal(err.code, ERR_CONFIG);
    assert_null(strstr(err_message(&err, LANG_EN), "\"short\""));
    unlink(file);
    assert_false(try_start(service, "", &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    free(file);
}

/* ---------------------------------------------------------------- the log */

/* Answers one question with the log open, and returns what was written. */
static char *log_of_a_question(struct service *service, bool with_text)
{
    struct err err;
    char *path = testing_path(service->directory, "log");
    char *text = NULL;
    size_t length = 0;
    fake_config(service->runtime)->log_query_text = with_text;
    assert_true(log_open(path, LOG_INFO, &service->log, &err));
    service_start(service);
    yyjson_doc_free(service_json(service, "POST", CHAT_PATH, WHOLE, 200));
    service_expect_error(
        service_json(service, "POST", CHAT_PATH, "{\"messages\":\"secret words\"}", 400),
        "invalid_request");
    server_stop(service->server, 1000);
    service->server = NULL;
    assert_true(fs_read(path, 1 << 20, &text, &length, &err));
    free(path);
    return text;
}

static void test_log_without_text(void **state)
{
    char *text = log_of_a_question(*state, false);
    /* BLAKE3 of "hello". */
    assert_non_null(strstr(text, "\"query_hash\":\"ea8f163db3868292\""));
    assert_non_null(strstr(text, "\"event_type\":\"query\""));
    assert_non_null(strstr(text, "\"model\":\"tiny-chat\""));
    assert_non_null(strstr(text, "\"tokens\":5"));
    assert_non_null(strstr(text, "\"success\":true"));
    assert_non_null(strstr(text, "\"latency_ms\":"));
    assert_null(strstr(text, "hello"));
    assert_null(strstr(text, "secret words"));
    free(text);
}

static void test_log_with_text(void **state)
{
    char *text = log_of_a_question(*state, true);
    assert_non_null(strstr(text, "\"query\":\"hello\""));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_words_over_unix, setup_started, teardown),
        cmocka_unit_test_setup_teardown(test_words_over_tcp, setup_started, teardown),
        cmocka_unit_test_setup_teardown(test_leave_in_stream_unix, setup_started, teardown),
        cmocka_unit_test_setup_teardown(test_leave_in_stream_tcp, setup_started, teardown),
        cmocka_unit_test_setup_teardown(test_leave_while_waiting, setup_started, teardown),
        cmocka_unit_test_setup_teardown(test_leave_at_once, setup_started, teardown),
        cmocka_unit_test_setup_teardown(test_parallel, setup_started, teardown),
        cmocka_unit_test_setup_teardown(test_idle_clock, setup_started, teardown),
        cmocka_unit_test_setup_teardown(test_stop_waits, setup_started, teardown),
        cmocka_unit_test_setup_teardown(test_stop_cancels, setup_started, teardown),
        cmocka_unit_test_setup_teardown(test_shutdown_request, setup_started, teardown),
        cmocka_unit_test_setup_teardown(test_start_twice, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stale_socket, setup, teardown),
        cmocka_unit_test_setup_teardown(test_socket_of_others, setup, teardown),
        cmocka_unit_test_setup_teardown(test_addresses, setup, teardown),
        cmocka_unit_test_setup_teardown(test_host_and_origin, setup, teardown),
        cmocka_unit_test_setup_teardown(test_api_key, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_key_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_log_without_text, setup, teardown),
        cmocka_unit_test_setup_teardown(test_log_with_text, setup, teardown),
    };
    return cmocka_run_group_tests_name("server_life", tests, NULL, NULL);
}
