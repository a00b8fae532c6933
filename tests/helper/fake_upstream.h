/* fake_upstream.h - a server that speaks enough of OpenAI's API to be an upstream, and fails as it is told.
 *
 * Purpose: each POST takes the next plan that fake_upstream_plan() queued; with none left it answers well. What it saw
 *   (requests, the last body, the key, clients that left early) can be asked for. Answers that a test can check: a chat
 *   is "t0 t1 t2 "; a vector is (3, 4, 0, 0) times the text's length; the score of a document is its length / 100.
 * Owner:   the caller. Threads: one a connection; all functions from any. Fails: by failing the test.
 */
#ifndef JARVIS_TESTS_FAKE_UPSTREAM_H
#define JARVIS_TESTS_FAKE_UPSTREAM_H

#include <stdbool.h>
#include <stddef.h>

enum fake_fault {
    FAKE_WELL,
    FAKE_STATUS,      /* an error object with `status` */
    FAKE_CUT_AT_ONCE, /* the connection is closed instead of an answer */
    FAKE_HANG,        /* nothing, until the client leaves */
    FAKE_CUT,         /* after `tokens` events */
    FAKE_HANG_LATER,  /* after `tokens` events */
    FAKE_DRIP,        /* a comment every few ms, never an event, until the client leaves */
    FAKE_NO_JSON,     /* status 200, and no JSON, or no JSON in an event after `tokens` */
    FAKE_HUGE_LINE,   /* a line without end */
    FAKE_ERROR_EVENT, /* an error object as an event after `tokens` */
    FAKE_NO_DONE,     /* ends after finish_reason, without "[DONE]" */
};

struct fake_plan {
    enum fake_fault fault;
    int status;              /* FAKE_STATUS */
    const char *retry_after; /* its header; NULL: none */
    const char *code;        /* of the error object; NULL: none */
    int tokens;
};

struct fake_upstream;

struct fake_upstream *fake_upstream_start(void);
void fake_upstream_stop(struct fake_upstream *fake);

/* "http://127.0.0.1:PORT/v1", valid until the end. */
const char *fake_upstream_url(const struct fake_upstream *fake);

/* At most 64 that wait. */
void fake_upstream_plan(struct fake_upstream *fake, const struct fake_plan *plan);

/* Nothing listens any more, or again; the port stays the same. */
void fake_upstream_refuse(struct fake_upstream *fake, bool refuse);

int fake_upstream_posts(struct fake_upstream *fake);
int fake_upstream_checks(struct fake_upstream *fake); /* GET …/models */
int fake_upstream_left(
    struct fake_upstream *fake); /* clients that closed before their answer was complete */
int fake_upstream_connections(struct fake_upstream *fake);

/* Waits until a client has left early, `count` in all; fails the test after a minute. */
void fake_upstream_await_left(struct fake_upstream *fake, int count);

/* The last POST's body and Authorization, copied. */
void fake_upstream_last(struct fake_upstream *fake, char *body, size_t body_size, char *key,
                        size_t key_size);

#endif
