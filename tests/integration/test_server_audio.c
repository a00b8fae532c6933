/* The audio routes over real sockets: forms, formats, streams, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "helper/raw_http.h"
#include "helper/testing.h"
#include "service.h"

static int set_up(void **state)
{
    struct service *service = calloc(1, sizeof(*service));
    service_open(service);
    service_start(service);
    *state = service;
    return 0;
}

static int tear_down(void **state)
{
    service_close(*state);
    free(*state);
    return 0;
}

/* Posts a file and fields ("name=value", NULL at the end) as multipart/form-data. */
static struct raw_answer post(const struct service *service, const char *path, const char *content,
                              const char *const *fields)
{
    char body[8192], head[512];
    int used = 0;
    for (; fields && *fields; fields++) {
        const char *equals = strchr(*fields, '=');
        used += snprintf(body + used, sizeof(body) - (size_t)used,
                         "--xyz\r\nContent-Disposition: form-data; name=\"%.*s\"\r\n\r\n%s\r\n",
                         (int)(equals - *fields), *fields, equals + 1);
    }
    if (content)
        used += snprintf(body + used, sizeof(body) - (size_t)used,
                         "--xyz\r\nContent-Disposition: form-data; name=\"file\"; "
                         "filename=\"a.wav\"\r\n\r\n%s\r\n",
                         content);
    used += snprintf(body + used, sizeof(body) - (size_t)used, "--xyz--\r\n");
    snprintf(head, sizeof(head),
             "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n"
             "Content-Type: multipart/form-data; boundary=xyz\r\n\r\n",
             path, used);
    int fd = service_unix(service);
    assert_true(raw_puts(fd, head) && raw_send(fd, body, (size_t)used));
    struct raw_answer answer = raw_read(fd);
    close(fd);
    return answer;
}

static void expect_body(const struct service *service, const char *const *fields, const char *type,
                        const char *body)
{
    char found[64];
    struct raw_answer answer = post(service, "/v1/audio/transcriptions", "RIFF", fields);
    assert_int_equal(answer.status, 200);
    raw_header(&answer, "Content-Type", found, sizeof(found));
    assert_string_equal(found, type);
    assert_string_equal(answer.body, body);
    raw_free(&answer);
}

static void test_formats(void **state)
{
    const char *const plain[] = {"model=whisper-1", "language=es", "prompt=Jarvis", NULL};
    const char *const text[] = {"response_format=text", NULL};
    const char *const srt[] = {"response_format=srt", NULL};
    const char *const vtt[] = {"response_format=vtt", NULL};
    expect_body(*state, plain, "application/json",
                "{\"text\":\"hola mundo. a.wav|es|Jarvis|0\","
                "\"usage\":{\"type\":\"duration\",\"seconds\":4}}");
    expect_body(*state, text, "text/plain; charset=utf-8", "hola mundo.\na.wav|||0\n");
    expect_body(*state, srt, "text/plain; charset=utf-8",
                "1\n00:00:01,000 --> 00:00:02,000\nhola mundo.\n\n"
                "2\n00:00:02,500 --> 00:00:03,250\na.wav|||0\n\n");
    expect_body(*state, vtt, "text/vtt; charset=utf-8",
                "WEBVTT\n\n00:00:01.000 --> 00:00:02.000\nhola mundo.\n\n"
                "00:00:02.500 --> 00:00:03.250\na.wav|||0\n\n");
}

static void test_verbose(void **state)
{
    const char *const fields[] = {"response_format=verbose_json", "timestamp_granularities[]=word",
                                  "timestamp_granularities[]=segment", "temperature=0.2", NULL};
    struct raw_answer answer = post(*state, "/v1/audio/transcriptions", "RIFF", fields);
    assert_int_equal(answer.status, 200);
    yyjson_doc *doc = yyjson_read(answer.body, answer.length, 0);
    assert_string_equal(service_text(doc, "/task"), "transcribe");
    assert_string_equal(service_text(doc, "/language"), "es");
    assert_true(service_number(doc, "/duration") == 3.5);
    assert_string_equal(service_text(doc, "/segments/0/text"), "hola mundo.");
    assert_true(service_number(doc, "/segments/1/start") == 2.5);
    assert_string_equal(service_text(doc, "/words/1/word"), "mundo.");
    assert_true(service_number(doc, "/words/1/end") == 2);
    assert_true(service_number(doc, "/jarvis/given_seconds") == 2.6);
    yyjson_doc_free(doc);
    raw_free(&answer);
}

static void test_translation(void **state)
{
    struct raw_answer answer = post(*state, "/v1/audio/translations", "RIFF", NULL);
    assert_int_equal(answer.status, 200);
    assert_non_null(strstr(answer.body, "a.wav|||1"));
    raw_free(&answer);
}

static void test_stream(void **state)
{
    const char *const fields[] = {"stream=true", NULL};
    struct raw_answer answer = post(*state, "/v1/audio/transcriptions", "RIFF", fields);
    assert_int_equal(answer.status, 200);
    const char *first = strstr(answer.body, "{\"type\":\"transcript.text.delta\","
                                            "\"delta\":\"hola mundo.\"}");
    assert_non_null(first);
    const char *second = strstr(first, "\"delta\":\" a.wav|||0\"");
    assert_non_null(second);
    assert_non_null(strstr(second, "{\"type\":\"transcript.text.done\","
                                   "\"text\":\"hola mundo. a.wav|||0\""));
    raw_free(&answer);
    answer = post(*state, "/v1/audio/transcriptions", "DIES", fields);
    assert_int_equal(answer.status, 200);
    assert_non_null(strstr(answer.body, "\"code\":\"worker_died\""));
    raw_free(&answer);
}

static void expect_refused(const struct service *service, const char *content,
                           const char *const *fields, int status, const char *code)
{
    struct raw_answer answer = post(service, "/v1/audio/transcriptions", content, fields);
    assert_int_equal(answer.status, status);
    yyjson_doc *doc = yyjson_read(answer.body, answer.length, 0);
    assert_string_equal(service_text(doc, "/error/code"), code);
    yyjson_doc_free(doc);
    raw_free(&answer);
}

static void test_refusals(void **state)
{
    static const char *const wrong[] = {"response_format=xml", "language=a language",
                                        "temperature=warm", "temperature=2",
                                        "timestamp_granularities[]=letter"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        const char *const fields[] = {wrong[i], NULL};
        expect_refused(*state, "RIFF", fields, 400, "invalid_request");
    }
    expect_refused(*state, NULL, NULL, 400, "invalid_request");
    expect_refused(*state, "BAD", NULL, 400, "unsupported");
    expect_refused(*state, "DIES", NULL, 503, "worker_died");
}

static void test_paths(void **state)
{
    char *directory = testing_directory();
    char *path = testing_file(directory, "b.wav", "RIFF", 4);
    char body[512];
    snprintf(body, sizeof(body), "{\"path\":\"%s\",\"response_format\":\"text\"}", path);
    struct raw_answer answer =
        raw_request(service_unix(*state), "POST", "/v1/jarvis/transcribe", body);
    assert_int_equal(answer.status, 200);
    assert_non_null(strstr(answer.body, "event: progress"));
    assert_non_null(strstr(answer.body, "{\"text\":\"hola mundo.\\n\"}"));
    assert_non_null(strstr(answer.body, "event: done"));
    raw_free(&answer);
    service_expect_error(
        service_json(*state, "POST", "/v1/jarvis/transcribe", "{\"path\":\"b.wav\"}", 400),
        "invalid_request");
    service_expect_error(
        service_json(*state, "POST", "/v1/jarvis/transcribe", "{\"path\":\"/\"}", 400),
        "invalid_request");
    service_expect_error(service_json(*state, "POST", "/v1/jarvis/transcribe",
                                      "{\"path\":\"/nonexistent.wav\"}", 404),
                         "not_found");
    free(path);
    testing_remove(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_formats, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_verbose, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_translation, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_stream, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refusals, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_paths, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
