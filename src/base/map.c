#include "base/map.h"

#include <stdlib.h>
#include <string.h>

/* A key pointer that no allocation returns: marks a removed slot. */
static char *deleted_key(void)
{
    return (char *)UINTPTR_MAX;
}

/* FNV-1a (Fowler, Noll, Vo) with a final avalanche (the 64-bit finaliser of MurmurHash3). */
uint64_t map_hash(const void *bytes, size_t length)
{
    const unsigned char *in = bytes;
    uint64_t hash = 0xcbf29ce484222325ULL;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ in[i]) * 0x100000001b3ULL;
    hash ^= hash >> 33;
    hash *= 0xff51afd7ed558ccdULL;
    hash ^= hash >> 33;
    return hash;
}

void map_init(struct map *map, size_t max)
{
    *map = (struct map){.max = max};
}

void map_free(struct map *map)
{
    for (size_t i = 0; i < map->capacity; i++)
        if (map->slots[i].key != deleted_key())
            free(map->slots[i].key);
    free(map->slots);
    *map = (struct map){.max = map->max};
}

/* The slot of a key, or the free slot where it would go. The table is never full, so this ends. */
static struct map_slot *find(const struct map *map, const void *key, size_t length, uint64_t hash)
{
    size_t mask = map->capacity - 1;
    struct map_slot *reusable = NULL;
    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        struct map_slot *slot = &map->slots[i];
        if (!slot->key)
            return reusable ? reusable : slot;
        if (slot->key == deleted_key()) {
            if (!reusable)
                reusable = slot;
        } else if (slot->hash == hash && slot->length == length &&
                   memcmp(slot->key, key, length) == 0) {
            return slot;
        }
    }
}

static bool present(const struct map_slot *slot)
{
    return slot->key && slot->key != deleted_key();
}

bool map_get(const struct map *map, const void *key, size_t length, uint64_t *ret_value)
{
    if (map->count == 0)
        return false;
    const struct map_slot *slot = find(map, key, length, map_hash(key, length));
    if (!present(slot))
        return false;
    *ret_value = slot->value;
    return true;
}

static bool rebuild(struct map *map, size_t capacity, struct err *err)
{
    struct map_slot *slots = calloc(capacity, sizeof(*slots));
    if (!slots)
        return err_no_memory(err);
    struct map bigger = {.slots = slots,
                         .capacity = capacity,
                         .count = map->count,
                         .filled = map->count,
                         .max = map->max};
    for (size_t i = 0; i < map->capacity; i++) {
        struct map_slot *slot = &map->slots[i];
        if (present(slot))
            *find(&bigger, slot->key, slot->length, slot->hash) = *slot;
    }
    free(map->slots);
    *map = bigger;
    return true;
}

bool map_put(struct map *map, const void *key, size_t length, uint64_t value, struct err *err)
{
    if ((map->filled + 1) * 4 > map->capacity * 3) {
        size_t capacity = map->capacity < 16 ? 16 : map->capacity;
        if ((map->count + 1) * 2 > capacity)
            capacity *= 2;
        if (!rebuild(map, capacity, err))
            return false;
    }
    uint64_t hash = map_hash(key, length);
    struct map_slot *slot = find(map, key, length, hash);
    if (present(slot)) {
        slot->value = value;
        return true;
    }
    if (map->count >= map->max)
        return err_set(err, ERR_TOO_LARGE, "a table is full at its limit of %zu names", map->max);
    char *copy = malloc(length + 1);
    if (!copy)
        return err_no_memory(err);
    memcpy(copy, key, length);
    copy[length] = '\0';
    map->filled += slot->key == NULL;
    map->count++;
    *slot = (struct map_slot){copy, length, hash, value};
    return true;
}

bool map_remove(struct map *map, const void *key, size_t length)
{
    if (map->count == 0)
        return false;
    struct map_slot *slot = find(map, key, length, map_hash(key, length));
    if (!present(slot))
        return false;
    free(slot->key);
    slot->key = deleted_key();
    map->count--;
    return true;
}

bool map_next(const struct map *map, size_t *cursor, const char **ret_key, size_t *ret_length,
              uint64_t *ret_value)
{
    while (*cursor < map->capacity) {
        const struct map_slot *slot = &map->slots[(*cursor)++];
        if (present(slot)) {
            *ret_key = slot->key;
            *ret_length = slot->length;
            *ret_value = slot->value;
            return true;
        }
    }
    return false;
}
