#include "service.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "helper/testing.h"

void service_open(struct service *service)
{
    *service = (struct service){.runtime = fake_open(), .directory = testing_directory()};
    service->socket = testing_path(service->directory, "jarvis.sock");
    cancel_init(&service->asked_to_stop);
}

static void on_shutdown(void *user)
{
    struct service *service = user;
    cancel_fire(&service->asked_to_stop);
}

void service_start(struct service *service)
{
    struct err err;
    const struct server_options options = {.runtime = service->runtime,
                                           .socket_path = service->socket,
                                           .listen = "127.0.0.1:0",
                                           .log = service->log,
                                           .on_shutdown = on_shutdown,
                                           .user = service};
    if (!server_start(&options, &service->server, &err))
        fail_msg("server_start: %s", err_message(&err, LANG_EN));
}

void service_close(struct service *service)
{
    server_stop(service->server, 5000);
    fake_close(service->runtime);
    log_close(service->log);
    cancel_destroy(&service->asked_to_stop);
    free(service->socket);
    testing_remove(service->directory);
}

int service_unix(const struct service *service)
{
    return raw_unix(service->socket);
}

int service_tcp(const struct service *service)
{
    return raw_tcp(server_address(service->server));
}

yyjson_doc *service_json(const struct service *service, const char *method, const char *path,
                         const char *body, int status)
{
    int fd = service_unix(service);
    struct raw_answer answer = raw_request(fd, method, path, body);
    close(fd);
    if (answer.status != status)
        fail_msg("%s %s: %d, not %d: %s", method, path, answer.status, status, answer.body);
    yyjson_doc *doc = yyjson_read(answer.body, answer.length, 0);
    if (!doc)
        fail_msg("%s %s: not JSON: %s", method, path, answer.body);
    raw_free(&answer);
    return doc;
}

const char *service_text(yyjson_doc *doc, const char *pointer)
{
    const char *text = yyjson_get_str(yyjson_doc_ptr_get(doc, pointer));
    return text ? text : "";
}

double service_number(yyjson_doc *doc, const char *pointer)
{
    yyjson_val *value = yyjson_doc_ptr_get(doc, pointer);
    if (!yyjson_is_num(value))
        fail_msg("%s is not a number", pointer);
    return yyjson_get_num(value);
}

void service_expect_error(yyjson_doc *doc, const char *code)
{
    assert_string_equal(service_text(doc, "/error/code"), code);
    assert_true(*service_text(doc, "/error/message"));
    assert_true(*service_text(doc, "/error/type"));
    assert_true(*service_text(doc, "/error/category"));
    yyjson_doc_free(doc);
}
