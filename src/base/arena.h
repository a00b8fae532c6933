/* arena.h - memory that lives as long as one request and is freed at once.
 *
 * Owner:   the arena owns everything that it gave out; arena_free() ends it all.
 * Threads: one thread at a time.
 * Fails:   returns NULL when the limit or memory is reached; the failure is remembered in arena_ok().
 */
#ifndef JARVIS_BASE_ARENA_H
#define JARVIS_BASE_ARENA_H

#include <stdbool.h>
#include <stddef.h>

struct arena_block;

struct arena {
    struct arena_block *blocks; /* newest first */
    size_t used;                /* bytes given out */
    size_t max;                 /* the most bytes to give out */
    bool failed;
};

void arena_init(struct arena *arena, size_t max);
void arena_free(struct arena *arena);

/* `size` zeroed bytes, aligned for any type. */
void *arena_alloc(struct arena *arena, size_t size);

/* `count` zeroed items of `size` bytes; NULL also when the product overflows. */
void *arena_array(struct arena *arena, size_t count, size_t size);

/* Copies, NUL-terminated. */
char *arena_copy(struct arena *arena, const char *text);
char *arena_copy_n(struct arena *arena, const void *bytes, size_t length);
char *arena_printf(struct arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

bool arena_ok(const struct arena *arena);

#endif
