/* raw_http.h - an HTTP client that sends any bytes, for tests of the server: also what no proper client would send.
 *
 * Owner:   descriptors and answers are the caller's (close(), raw_free()). Threads: each call is one thread's.
 * Fails:   reading gives status 0 when the peer closes without an answer, and fails the test (abort with a message)
 *          when nothing comes for RAW_WAIT_MS.
 */
#ifndef JARVIS_TESTS_RAW_HTTP_H
#define JARVIS_TESTS_RAW_HTTP_H

#include <stdbool.h>
#include <stddef.h>

enum { RAW_WAIT_MS = 20000, RAW_MAX = 8 * 1024 * 1024 };

struct raw_answer {
    int status;    /* 0: the connection was closed without one */
    char *headers; /* status line and headers */
    char *body;    /* NUL-terminated, chunks joined */
    size_t length;
    bool closed; /* the peer closed before the body was complete */
};

int raw_unix(const char *path);
int raw_tcp(const char *address); /* "127.0.0.1:1234" */

/* Sends all of it; false when the peer has closed. */
bool raw_send(int fd, const void *bytes, size_t length);
bool raw_puts(int fd, const char *text);

/* Reads one answer: by Content-Length, chunks, or to the end. `head`: the answer to a HEAD request has no body. */
struct raw_answer raw_read(int fd);
struct raw_answer raw_read_head(int fd);
void raw_free(struct raw_answer *answer);

/* The value of a header, copied to out; "" when absent. */
void raw_header(const struct raw_answer *answer, const char *name, char *out, size_t size);

/* Reads until `text` has been seen; false when the peer closes first. What came before is dropped. */
bool raw_wait_for(int fd, const char *text);

/* Waits until the peer has closed; false after RAW_WAIT_MS. What comes before is dropped. */
bool raw_wait_closed(int fd);

/* A whole exchange on a connection of its own. body NULL: none. */
struct raw_answer raw_request(int fd, const char *method, const char *path, const char *body);

#endif
