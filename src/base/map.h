/* map.h - a hash map from byte strings to 64-bit values (numbers, or pointers cast through uintptr_t).
 *
 * Purpose: names to things. Open addressing with linear probing over XXH-like 64-bit mixing; keys are copied.
 * Owner:   the map owns its copies of the keys; what a value points to is the caller's.
 * Threads: one at a time. Fails: map_put() returns false on ERR_NO_MEMORY or past `max` keys; map unchanged.
 */
#ifndef JARVIS_BASE_MAP_H
#define JARVIS_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct map_slot {
    char *key; /* NULL: never used; MAP_DELETED in map.c: removed */
    size_t length;
    uint64_t hash;
    uint64_t value;
};

struct map {
    struct map_slot *slots;
    size_t capacity; /* a power of two */
    size_t count;    /* keys present */
    size_t filled;   /* slots ever used since the last rebuild */
    size_t max;      /* the most keys */
};

void map_init(struct map *map, size_t max);
void map_free(struct map *map);

/* The value of a key; false when it is absent. */
bool map_get(const struct map *map, const void *key, size_t length, uint64_t *ret_value);

/* Sets or replaces. */
bool map_put(struct map *map, const void *key, size_t length, uint64_t value, struct err *err);

/* Removes; false when it was absent. */
bool map_remove(struct map *map, const void *key, size_t length);

/* Walks all keys: start with *cursor = 0; false at the end. The map must not change meanwhile. */
bool map_next(const struct map *map, size_t *cursor, const char **ret_key, size_t *ret_length,
              uint64_t *ret_value);

/* The 64-bit hash the map uses: good enough for tables, never for identity. */
uint64_t map_hash(const void *bytes, size_t length);

#endif
