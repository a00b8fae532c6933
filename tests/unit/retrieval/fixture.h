/* fixture.h - a store in a folder of its own, and documents made of texts.
 *
 * Owner: fixture_close() ends what fixture_open() made. Threads: the functions may be called from
 * many. Fails: by failing the test.
 */
#ifndef JARVIS_TESTS_RETRIEVAL_FIXTURE_H
#define JARVIS_TESTS_RETRIEVAL_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "helper/testing.h"
#include "retrieval/store.h"

struct fixture {
    char *directory;
    char *path; /* of the database */
    struct store *store;
    struct arena arena;
    struct collection collection; /* "tests" */
    struct err err;
};

/* cmocka setup and teardown: *state is the struct fixture. */
int fixture_setup(void **state);
int fixture_teardown(void **state);

/* Closes the store and opens it again. */
void fixture_reopen(struct fixture *fixture);

/* Chunks a text (about 40 tokens a passage, plain text) and writes it at `path` in the collection.
 */
bool fixture_write(struct store *store, const char *collection, const char *path, const char *text,
                   enum lang lang, struct document_written *ret, struct err *err);

/* The same, which must succeed. */
struct document_written fixture_put(struct fixture *fixture, const char *path, const char *text,
                                    enum lang lang);

/* assert_true(condition), printing the error's message when it does not hold. */
#define assert_ok(condition, err)              \
    do {                                       \
        if (!(condition))                      \
            fail_msg("%s", (err)->message[0]); \
    } while (0)

#endif
