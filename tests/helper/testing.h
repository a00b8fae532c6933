/* testing.h - what many tests need: one seed, a folder of their own, real data when it is there.
 *
 * Owner: paths returned are the caller's (free()). Threads: one. Fails: by failing the test (abort with a message).
 */
#ifndef JARVIS_TESTS_TESTING_H
#define JARVIS_TESTS_TESTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A small generator (SplitMix64, Steele et al. 2014): equal seeds give equal numbers everywhere. */
struct testing_random {
    uint64_t state;
};

/* Seeds from JARVIS_TEST_SEED, else from a fixed default; prints the seed so that a failure can be repeated. */
void testing_seed(struct testing_random *random);
uint64_t testing_next(struct testing_random *random);
uint64_t testing_below(struct testing_random *random, uint64_t limit); /* 0..limit-1 */

/* A fresh directory below TMPDIR. */
char *testing_directory(void);

/* Removes a directory with all that is in it; only paths that testing_directory() made are accepted. */
void testing_remove(char *directory);

/* directory/name, and the same with content written to it. */
char *testing_path(const char *directory, const char *name);
char *testing_file(const char *directory, const char *name, const void *bytes, size_t length);

/* The path of a file of the shared test data (environment JARVIS_TEST_DATA, else ../shared/data beside the
 * source); NULL when it is not there: then skip(). */
char *testing_data(const char *name);

#endif
