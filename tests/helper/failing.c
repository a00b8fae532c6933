/* The linker sends every malloc of the program to __wrap_malloc, and __real_malloc to libc's. */
#include "failing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ALLOCATIONS_MAX = 100000 };

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
char *__real_strdup(const char *text);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
char *__wrap_strdup(const char *text);

/* Allocations until the one that fails; 0: none does. The one mutable global of the tests: malloc has no argument
 * that it could come by. */
static unsigned until_failure;

static bool fails(void)
{
    return until_failure > 0 && --until_failure == 0;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return fails() ? NULL : __real_realloc(old, size);
}

char *__wrap_strdup(const char *text)
{
    return fails() ? NULL : __real_strdup(text);
}

unsigned failing_each(failing_body *body, void *user)
{
    for (unsigned n = 1; n < ALLOCATIONS_MAX; n++) {
        struct err err = {0};
        until_failure = n;
        bool worked = body(user, &err);
        bool failed = until_failure == 0;
        until_failure = 0;
        if (!worked && err.code != ERR_NO_MEMORY)
            fail_msg("allocation %u failed and was told as: %s", n, err_message(&err, LANG_EN));
        if (!failed) {
            assert_true(worked);
            return n - 1;
        }
    }
    fail_msg("there is no end of allocations");
    return 0;
}
