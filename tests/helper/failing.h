/* failing.h - allocations that fail when the test says so.
 *
 * Purpose: try a function again and again, each time with another of its allocations failing, until none is left to
 *   fail. Whoever links failing_dep gets its malloc, calloc, realloc and strdup through here (the linker's --wrap);
 *   allocations inside of shared libraries are not touched.
 * Owner:   nothing. Threads: one. Fails: by failing the test.
 */
#ifndef JARVIS_TESTS_FAILING_H
#define JARVIS_TESTS_FAILING_H

#include <stdbool.h>

#include "base/err.h"

/* Does one thing from the beginning to the end, frees all it got, and returns whether it worked; *err when not. */
typedef bool failing_body(void *user, struct err *err);

/* Calls body with its first allocation failing, then its second, …, until it needs none that fails: that last run must
 * work. Every other one must either report ERR_NO_MEMORY or work without what it lacked. Returns how many allocations
 * were made to fail. Leaks on the way are found by the sanitizer's leak check. */
unsigned failing_each(failing_body *body, void *user);

#endif
