/* What no proper client sends. After each of them the service must still answer, and nothing may have leaked. */

#include "service.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "helper/testing.h"

#define CHAT "{\"model\":\"tiny-chat\",\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]}"

static int setup(void **state)
{
    struct service *service = calloc(1, sizeof(*service));
    assert_non_null(service);
    service_open(service);
    struct config *config = fake_config(service->runtime);
    config->server_idle_timeout_s = 1;
    config->server_request_timeout_s = 3;
    config->server_max_body_mib = 1;
    config->server_max_connections = 8;
    service_start(service);
    *state = service;
    return 0;
}

static int teardown(void **state)
{
    service_close(*state);
    free(*state);
    return 0;
}

static void expect_healthy(const struct service *service)
{
    yyjson_doc_free(service_json(service, "GET", "/healthz", NULL, 200));
}

/* ---------------------------------------------------------------- malformed requests */

#define GET     "GET /healthz HTTP/1.1\r\n"
#define POST    "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n"
#define CHUNKED POST "Transfer-Encoding: chunked\r\n"
#define CLOSED  0 /* the connection is closed without an answer */

static const struct {
    const char *name;
    const char *bytes;
    int statuses[3]; /* allowed; CLOSED as well when listed */
} malformed[] = {
    {"noise", "\x16\x03\x01\x02\x01\x01\xfc\x03\x03 noise\r\n\r\n", {400, CLOSED, CLOSED}},
    {"no version", "GET /healthz\r\n\r\n", {400, 505, CLOSED}},
    {"version 9", "GET /healthz HTTP/9.9\r\nHost: x\r\n\r\n", {400, 505, 505}},
    {"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {400, 505, 505}},
    {"no host", GET "\r\n", {400, 400, 400}},
    {"two hosts", GET "Host: a\r\nHost: b\r\n\r\n", {400, 400, 400}},
    {"no colon", GET "Host: x\r\nnonsense\r\n\r\n", {400, 400, 400}},
    {"space before colon", GET "Host : x\r\n\r\n", {400, 400, 400}},
    {"empty name", GET "Host: x\r\n: y\r\n\r\n", {400, 400, 400}},
    {"folded header", GET "Host: x\r\nA: b\r\n c\r\n\r\n", {400, 200, 200}},
    {"bare line feeds", "GET /healthz HTTP/1.1\nHost: x\n\n", {400, 200, 200}},
    {"NUL in path", "GET /healthz%00/x HTTP/1.1\r\nHost: x\r\n\r\n", {400, 404, 404}},
    {"unknown method", "BREW /healthz HTTP/1.1\r\nHost: x\r\n\r\n", {405, 400, 501}},
    {"absolute URI", "GET http://x/healthz HTTP/1.1\r\nHost: x\r\n\r\n", {200, 404, 400}},
    {"dots", "GET /v1/../healthz HTTP/1.1\r\nHost: x\r\n\r\n", {404, 400, 400}},
    {"negative length", POST "Content-Length: -1\r\n\r\n", {400, 413, 413}},
    {"no number", POST "Content-Length: ten\r\n\r\n", {400, 400, 400}},
    {"plus sign", POST "Content-Length: +4\r\n\r\nabcd", {400, 400, 400}},
    {"enormous length", POST "Content-Length: 99999999999999999999999\r\n\r\n", {400, 413, 413}},
    {"large length", POST "Content-Length: 9223372036854775807\r\n\r\n", {413, 413, 413}},
    {"two lengths", POST "Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde", {400, 400, 400}},
    {"list of lengths", POST "Content-Length: 4, 4\r\n\r\nabcd", {400, 400, 400}},
    {"length and chunks", CHUNKED "Content-Length: 4\r\n\r\n0\r\n\r\n", {400, 400, 400}},
    {"chunks and length",
     POST "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     {400, 400, 400}},
    {"unknown coding", POST "Transfer-Encoding: gzip\r\n\r\n0\r\n\r\n", {400, 501, CLOSED}},
    {"coding twice",
     POST "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
     {400, 501, CLOSED}},
    {"hidden coding", POST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", {400, 501, CLOSED}},
    {"chunk without size", CHUNKED "\r\nxyz\r\nabc\r\n", {400, CLOSED, CLOSED}},
    {"huge chunk", CHUNKED "\r\nffffffffffffffff\r\nabc\r\n", {400, 413, CLOSED}},
    {"chunk too short", CHUNKED "\r\n5\r\nab\r\n0\r\n\r\n", {400, CLOSED, CLOSED}},
    {"no body", POST "Content-Length: 0\r\n\r\n", {400, 400, 400}},
    {"empty chunks", CHUNKED "\r\n0\r\n\r\n", {400, 400, 400}},
    {"body is no JSON", POST "Content-Length: 5\r\n\r\nhello", {400, 400, 400}},
    {"body ends too soon", POST "Content-Length: 50\r\n\r\n{\"messages\":", {CLOSED, 408, 400}},
};

static void test_malformed(void **state)
{
    for (size_t i = 0; i < sizeof(malformed) / sizeof(*malformed); i++) {
        int fd = service_unix(*state);
        raw_puts(fd, malformed[i].bytes);
        struct raw_answer answer = raw_read(fd);
        const int *allowed = malformed[i].statuses;
        if (answer.status != allowed[0] && answer.status != allowed[1] &&
            answer.status != allowed[2])
            fail_msg("%s: status %d: %s", malformed[i].name, answer.status, answer.body);
        assert_null(strstr(answer.body, "w0 "));
        raw_free(&answer);
        close(fd);
        expect_healthy(*state);
    }
}

/* A second request hidden in the body of the first must never be answered. */
static void test_smuggling(void **state)
{
    static const char *const attempts[] = {
        "POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: "
        "chunked\r\n\r\n0\r\n\r\nGET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: "
        "100\r\n\r\n0\r\n\r\nGET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: "
        "44\r\n\r\nGET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\x0b"
        "chunked\r\n"
        "Content-Length: 5\r\n\r\n0\r\n\r\nGET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof(attempts) / sizeof(*attempts); i++) {
        int fd = service_unix(*state);
        char all[64 * 1024];
        size_t length = 0;
        ssize_t got = 0;
        raw_puts(fd, attempts[i]);
        while ((got = recv(fd, all + length, sizeof(all) - 1 - length, 0)) > 0)
            length += (size_t)got;
        all[length] = '\0';
        if (strncmp(all, "HTTP/1.1 ", 9) != 0 || strstr(all, " 200 ") || strstr(all, "tiny-chat"))
            fail_msg("attempt %zu: %s", i, all);
        close(fd);
    }
    expect_healthy(*state);
}

static void test_pipelining(void **state)
{
    int fd = service_unix(*state);
    char text[1024];
    snprintf(text, sizeof(text),
             "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
             "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n%s"
             "GET /v2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
             strlen(CHAT), CHAT);
    raw_puts(fd, text);
    char all[16 * 1024];
    size_t length = 0;
    ssize_t got = 0;
    while ((got = recv(fd, all + length, sizeof(all) - 1 - length, 0)) > 0)
        length += (size_t)got;
    all[length] = '\0';
    const char *health = strstr(all, "{\"status\":\"ok\"}");
    const char *chat = strstr(all, "w0 w1 w2 w3 w4 ");
    const char *none = strstr(all, "/v2");
    assert_true(health && chat && none && health < chat && chat < none);
    close(fd);
}

/* ---------------------------------------------------------------- sizes */

static int status_with_header(const struct service *service, size_t length)
{
    char *text = malloc(length + 128);
    assert_non_null(text);
    int used = snprintf(text, 128, "GET /v1/models HTTP/1.1\r\nHost: x\r\nX-Long: ");
    memset(text + used, 'a', length);
    memcpy(text + (size_t)used + length, "\r\n\r\n", 5);
    int fd = service_unix(service);
    raw_puts(fd, text);
    struct raw_answer answer = raw_read(fd);
    int status = answer.status;
    raw_free(&answer);
    close(fd);
    free(text);
    return status;
}

static void test_long_headers(void **state)
{
    assert_int_equal(status_with_header(*state, 8 * 1024), 200);
    assert_int_equal(status_with_header(*state, 40 * 1024), 431);
    assert_int_equal(status_with_header(*state, 2 * 1024 * 1024), 431);
    expect_healthy(*state);
}

static void test_long_path(void **state)
{
    enum { LENGTH = 300 * 1024 };
    char *text = malloc(LENGTH + 64);
    assert_non_null(text);
    memcpy(text, "GET /", 5);
    memset(text + 5, 'a', LENGTH);
    memcpy(text + 5 + LENGTH, " HTTP/1.1\r\nHost: x\r\n\r\n", 23);
    int fd = service_unix(*state);
    raw_puts(fd, text);
    struct raw_answer answer = raw_read(fd);
    assert_true(answer.status == 414 || answer.status == 431);
    raw_free(&answer);
    close(fd);
    free(text);
    expect_healthy(*state);
}

/* The announced length is enough to be refused: the body is not waited for. */
static void test_large_body_announced(void **state)
{
    int fd = service_unix(*state);
    raw_puts(fd, POST "Content-Length: 1048577\r\n\r\n");
    struct raw_answer answer = raw_read(fd);
    assert_int_equal(answer.status, 413);
    service_expect_error(yyjson_read(answer.body, answer.length, 0), "too_large");
    raw_free(&answer);
    close(fd);

    fd = service_unix(*state);
    raw_puts(fd, POST "Content-Length: 2000000\r\nExpect: 100-continue\r\n\r\n");
    answer = raw_read(fd);
    assert_int_equal(answer.status, 413);
    raw_free(&answer);
    close(fd);
}

static void send_chunks(int fd, size_t count)
{
    char chunk[4096 + 16];
    memcpy(chunk, "1000\r\n", 6);
    memset(chunk + 6, ' ', 4096);
    memcpy(chunk + 6 + 4096, "\r\n", 2);
    for (size_t i = 0; i < count; i++)
        if (!raw_send(fd, chunk, 6 + 4096 + 2))
            return;
}

/* Without an announced length it is counted as it comes. A little too much is read and answered; a flood is cut. */
static void test_large_body_in_chunks(void **state)
{
    int fd = service_unix(*state);
    raw_puts(fd, CHUNKED "\r\n");
    send_chunks(fd, 300);
    raw_puts(fd, "0\r\n\r\n");
    struct raw_answer answer = raw_read(fd);
    assert_int_equal(answer.status, 413);
    raw_free(&answer);
    close(fd);

    fd = service_unix(*state);
    raw_puts(fd, CHUNKED "\r\n");
    send_chunks(fd, 100000);
    assert_true(raw_wait_closed(fd));
    close(fd);
    expect_healthy(*state);
}

/* An upload is counted as a whole, not by the file in it. */
static void test_large_upload(void **state)
{
    int fd = service_unix(*state);
    raw_puts(fd,
             "POST /v1/files HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Type: "
             "multipart/form-data; boundary=xyz\r\n\r\n");
    send_chunks(fd, 300);
    raw_puts(fd, "0\r\n\r\n");
    struct raw_answer answer = raw_read(fd);
    assert_int_equal(answer.status, 413);
    raw_free(&answer);
    close(fd);
}

static int setup_patient(void **state)
{
    struct service *service = calloc(1, sizeof(*service));
    assert_non_null(service);
    service_open(service);
    fake_config(service->runtime)->server_max_body_mib = 1;
    service_start(service);
    *state = service;
    return 0;
}

/* What the bodies in work weigh: JSON counts eightfold. */
static double weight_of_bodies(const struct service *service)
{
    yyjson_doc *doc = service_json(service, "GET", "/v1/jarvis/status", NULL, 200);
    double weight = service_number(doc, "/requests/body_bytes");
    yyjson_doc_free(doc);
    return weight;
}

/* Two large bodies that never end leave no room for a third: the memory for all of them has a limit. */
static void test_memory_of_bodies(void **state)
{
    enum { LENGTH = 1000 * 1000 };
    char *body = malloc(LENGTH + 1);
    char head[128];
    int fds[2];
    assert_non_null(body);
    memset(body, 'x', LENGTH);
    body[LENGTH] = '\0';
    snprintf(head, sizeof(head), POST "Content-Length: %d\r\n\r\n", LENGTH);
    for (int i = 0; i < 2; i++) {
        fds[i] = service_unix(*state);
        raw_puts(fds[i], head);
        raw_send(fds[i], body, LENGTH - 1);
    }
    deadline until = deadline_in_ms(RAW_WAIT_MS);
    while (weight_of_bodies(*state) < 2 * 8 * (LENGTH - 1))
        assert_false(deadline_passed(until));
    service_expect_error(service_json(*state, "POST", "/v1/embeddings", body, 503), "busy");

    for (int i = 0; i < 2; i++) {
        raw_puts(fds[i], "x");
        struct raw_answer answer = raw_read(fds[i]);
        assert_int_equal(answer.status, 400);
        raw_free(&answer);
        close(fds[i]);
    }
    while (weight_of_bodies(*state) > 0)
        assert_false(deadline_passed(until));
    yyjson_doc_free(service_json(*state, "POST", "/v1/embeddings", body, 400));
    free(body);
}

/* A refused request with a short body is read to its end: the connection stays usable. */
static void test_refused_body_is_drained(void **state)
{
    enum { LENGTH = 500 * 1024 };
    char *body = malloc(LENGTH + 1);
    assert_non_null(body);
    memset(body, 'x', LENGTH);
    body[LENGTH] = '\0';
    int fd = service_unix(*state);
    struct raw_answer answer = raw_request(fd, "POST", "/v2/nothing", body);
    assert_int_equal(answer.status, 404);
    raw_free(&answer);
    answer = raw_request(fd, "GET", "/healthz", NULL);
    assert_int_equal(answer.status, 200);
    raw_free(&answer);
    close(fd);
    free(body);
}

static void test_deep_json(void **state)
{
    enum { DEPTH = 100000 };
    char *body = malloc(DEPTH + 1);
    assert_non_null(body);
    memset(body, '[', DEPTH);
    body[DEPTH] = '\0';
    service_expect_error(service_json(*state, "POST", "/v1/embeddings", body, 400), "invalid_json");
    free(body);
    yyjson_doc *doc =
        service_json(*state, "POST", "/v1/embeddings", "{\n  \"input\": \"a\",\n}", 400);
    const char *message = service_text(doc, "/error/message");
    if (!strstr(message, "line 2, column 15"))
        fail_msg("%s", message);
    service_expect_error(doc, "invalid_json");
}

static void test_bad_uploads(void **state)
{
    static const char *const bodies[] = {
        "--xyz\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nx\r\n--xyz--\r\n",
        "--xyz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nno end",
        "no boundary at all",
        "--xyz\r\nContent-Disposition: form-data; name=\"file\"; "
        "filename=\"a\"\r\n\r\na\r\n--xyz\r\n"
        "Content-Disposition: form-data; name=\"file\"; filename=\"b\"\r\n\r\nb\r\n--xyz--\r\n",
    };
    for (size_t i = 0; i < sizeof(bodies) / sizeof(*bodies); i++) {
        char head[512];
        snprintf(head, sizeof(head),
                 "POST /v1/files HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n"
                 "Content-Type: multipart/form-data; boundary=xyz\r\n\r\n",
                 strlen(bodies[i]));
        int fd = service_unix(*state);
        raw_puts(fd, head);
        raw_puts(fd, bodies[i]);
        struct raw_answer answer = raw_read(fd);
        if (answer.status != 400)
            fail_msg("upload %zu: status %d: %s", i, answer.status, answer.body);
        raw_free(&answer);
        close(fd);
    }
    service_expect_error(service_json(*state, "POST", "/v1/files", "{}", 400), "invalid_request");
}

/* ---------------------------------------------------------------- time */

/* Sends one byte each 100 ms until the peer closes; false when it does not within RAW_WAIT_MS. */
static bool drip(int fd, const char *begin)
{
    deadline until = deadline_in_ms(RAW_WAIT_MS);
    struct pollfd waiting = {.fd = fd, .events = POLLIN};
    raw_puts(fd, begin);
    while (!deadline_passed(until)) {
        if (poll(&waiting, 1, 100) == 1)
            return raw_wait_closed(fd);
        if (!raw_send(fd, "a", 1))
            return true;
    }
    return false;
}

/* The silence limit alone would let such clients stay for ever. */
static void test_dripping_headers(void **state)
{
    int fd = service_unix(*state);
    int64_t start = clock_now_ns();
    assert_true(drip(fd, "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: "));
    assert_true(clock_ms_since(start) < 10000);
    close(fd);
    expect_healthy(*state);
}

static void test_dripping_body(void **state)
{
    int fd = service_unix(*state);
    assert_true(drip(fd, POST "Content-Length: 1000000\r\n\r\n{"));
    close(fd);
    expect_healthy(*state);
}

static void test_silence(void **state)
{
    static const char *const beginnings[] = {"", "GET /hea", POST "Content-Length: 10\r\n\r\n{"};
    for (size_t i = 0; i < 3; i++) {
        int fd = service_tcp(*state);
        raw_puts(fd, beginnings[i]);
        assert_true(raw_wait_closed(fd));
        close(fd);
    }
}

/* A handler may compute for longer than the silence limit; the request's own limit ends it. */
static void test_slow_answer(void **state)
{
    struct service *service = *state;
    int fd = service_unix(service);
    fake_hold(service->runtime);
    struct raw_answer answer = raw_request(fd, "POST", "/v1/chat/completions", CHAT);
    assert_int_equal(answer.status, 504);
    raw_free(&answer);
    fake_allow(service->runtime, 1000);
    answer = raw_request(fd, "POST", "/v1/chat/completions", CHAT);
    assert_int_equal(answer.status, 200);
    raw_free(&answer);
    close(fd);
}

/* A client that does not read its answer holds neither the request nor the service for ever. */
static void test_client_that_does_not_read(void **state)
{
    struct service *service = *state;
    static const char body[] = "{\"model\":\"tiny-chat\",\"stream\":true,\"max_tokens\":16000000,"
                               "\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}";
    int fd = service_unix(service);
    char head[256];
    snprintf(head, sizeof(head), POST "Content-Length: %zu\r\n\r\n", strlen(body));
    raw_puts(fd, head);
    raw_puts(fd, body);
    deadline until = deadline_in_ms(RAW_WAIT_MS);
    while (server_idle_ms(service->server) == 0 && !deadline_passed(until)) {
        struct pollfd nothing = {.fd = -1};
        poll(&nothing, 1, 20);
    }
    assert_false(deadline_passed(until));
    close(fd);
    expect_healthy(*state);
}

/* ---------------------------------------------------------------- number */

static void test_too_many_connections(void **state)
{
    enum { LIMIT = 8 };
    struct service *service = *state;
    int fds[LIMIT];
    for (int i = 0; i < LIMIT; i++) {
        fds[i] = service_tcp(service);
        struct raw_answer answer = raw_request(fds[i], "GET", "/healthz", NULL);
        assert_int_equal(answer.status, 200);
        raw_free(&answer);
    }
    int fd = service_tcp(service);
    struct raw_answer answer = raw_request(fd, "GET", "/healthz", NULL);
    assert_int_equal(answer.status, 503);
    service_expect_error(yyjson_read(answer.body, answer.length, 0), "busy");
    raw_free(&answer);
    assert_true(raw_wait_closed(fd));
    close(fd);

    /* The Unix socket has its own count: this user's commands still work. */
    expect_healthy(service);
    for (int i = 0; i < LIMIT; i++)
        close(fds[i]);
    int status = 0;
    deadline until = deadline_in_ms(RAW_WAIT_MS);
    while (status != 200 && !deadline_passed(until)) {
        fd = service_tcp(service);
        answer = raw_request(fd, "GET", "/healthz", NULL);
        status = answer.status;
        raw_free(&answer);
        close(fd);
    }
    assert_int_equal(status, 200);
}

/* ---------------------------------------------------------------- chance */

/* Real requests with bytes changed, cut out and doubled. Whatever comes back, the service goes on. */
static void test_mutations(void **state)
{
    static const char *const seeds[] = {
        "GET /v1/models/tiny-chat?x=1 HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n",
        POST "Content-Type: application/json\r\nContent-Length: 73\r\n\r\n" CHAT,
        CHUNKED "\r\n49\r\n" CHAT "\r\n0\r\n\r\n",
        "POST /v1/files HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\nContent-Type: "
        "multipart/form-data; boundary=xyz\r\n\r\n--xyz\r\nContent-Disposition: form-data; "
        "name=\"file\"; filename=\"a.txt\"\r\n\r\nhello\r\n--xyz--\r\n",
    };
    struct testing_random random;
    testing_seed(&random);
    for (int round = 0; round < 400; round++) {
        char text[2048];
        const char *seed = seeds[testing_below(&random, 4)];
        size_t length = strlen(seed);
        memcpy(text, seed, length);
        for (uint64_t change = testing_below(&random, 4) + 1; change > 0; change--) {
            size_t at = testing_below(&random, length);
            uint64_t kind = testing_below(&random, 3);
            if (kind == 0)
                text[at] = (char)testing_next(&random);
            else if (kind == 1)
                memmove(text + at, text + at + 1, --length - at);
            else
                memmove(text + at + 1, text + at, length++ - at);
        }
        int fd = service_unix(*state);
        raw_send(fd, text, length);
        shutdown(fd, SHUT_WR);
        assert_true(raw_wait_closed(fd));
        close(fd);
    }
    expect_healthy(*state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_malformed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_smuggling, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pipelining, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_headers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_path, setup, teardown),
        cmocka_unit_test_setup_teardown(test_large_body_announced, setup, teardown),
        cmocka_unit_test_setup_teardown(test_large_body_in_chunks, setup, teardown),
        cmocka_unit_test_setup_teardown(test_large_upload, setup, teardown),
        cmocka_unit_test_setup_teardown(test_memory_of_bodies, setup_patient, teardown),
        cmocka_unit_test_setup_teardown(test_refused_body_is_drained, setup, teardown),
        cmocka_unit_test_setup_teardown(test_deep_json, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_uploads, setup, teardown),
        cmocka_unit_test_setup_teardown(test_dripping_headers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_dripping_body, setup, teardown),
        cmocka_unit_test_setup_teardown(test_silence, setup, teardown),
        cmocka_unit_test_setup_teardown(test_slow_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_client_that_does_not_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_too_many_connections, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mutations, setup, teardown),
    };
    return cmocka_run_group_tests_name("server_hostile", tests, NULL, NULL);
}
