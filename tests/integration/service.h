/* service.h - a server with a fake assistant behind it, on a Unix socket and a TCP port of its own.
 *
 *     struct service service; service_open(&service); … service_start(&service); … service_close(&service)
 *
 * Owner: the test. Threads: one. Fails: by failing the test.
 */
#ifndef JARVIS_TESTS_SERVICE_H
#define JARVIS_TESTS_SERVICE_H

#include <yyjson.h>

#include "helper/fake_assistant.h"
#include "helper/raw_http.h"
#include "server/server.h"

struct service {
    struct runtime *runtime;
    struct server *server;
    char *directory;
    char *socket;
    struct log
        *log; /* NULL unless the test opens one before service_start(); closed by service_close() */
    struct cancel asked_to_stop; /* set by POST /v1/jarvis/shutdown */
};

/* Makes the runtime; its configuration may be changed before service_start(). */
void service_open(struct service *service);
void service_start(struct service *service);
void service_close(struct service *service);

int service_unix(const struct service *service);
int service_tcp(const struct service *service);

/* One exchange on a Unix connection of its own; fails the test if the status is another. The body is parsed. */
yyjson_doc *service_json(const struct service *service, const char *method, const char *path,
                         const char *body, int status);

/* The string at a JSON pointer, "" when there is none; a number there. */
const char *service_text(yyjson_doc *doc, const char *pointer);
double service_number(yyjson_doc *doc, const char *pointer);

/* {"error":{"code":…}} of an answer is `code`; the document is freed. */
void service_expect_error(yyjson_doc *doc, const char *code);

#endif
