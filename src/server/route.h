/* route.h - finding the row of the route table that a request means.
 *
 * Purpose: rows have a method and a pattern of segments; `{id}` matches one segment, `{name*}` matches
 *   all that follows, slashes included, up to what the pattern ends with. The first row that matches wins. The table itself is in routes.h.
 * Owner:   matches point into the table and the arena. Threads: safe from any.
 * Fails:   ERR_NOT_FOUND naming the path; ERR_METHOD, with the methods that the path has in `allow`.
 */
#ifndef JARVIS_SERVER_ROUTE_H
#define JARVIS_SERVER_ROUTE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"

struct http_request;

/* Answers a request, as http.h describes it; false with *err becomes an error answer. */
typedef bool route_handler(struct http_request *request, struct err *err);

enum route_flag {
    ROUTE_LOCAL = 1,  /* over the Unix socket only */
    ROUTE_OPEN = 2,   /* needs no API key */
    ROUTE_UPLOAD = 4, /* the body is multipart/form-data */
    ROUTE_LONG = 8,   /* may take HTTP_LONG_S seconds, not server.request_timeout_s */
};

struct route {
    const char *method;
    const char *pattern;
    route_handler *handle;
    unsigned flags; /* of enum route_flag */
};

enum { ROUTE_PARAMS_MAX = 2, ROUTE_ALLOW_MAX = 64 };

struct route_match {
    const struct route *route;
    const char *params[ROUTE_PARAMS_MAX]; /* in the pattern's order */
    char allow[ROUTE_ALLOW_MAX];          /* after ERR_METHOD: "GET, HEAD, DELETE" */
};

/* HEAD finds the rows of GET. `ret->allow` is filled on ERR_METHOD as well. */
bool route_find(const struct route *table, size_t count, const char *method, const char *path,
                struct arena *arena, struct route_match *ret, struct err *err);

#endif
