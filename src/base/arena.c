#include "base/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ARENA_BLOCK = 16 * 1024 };

struct arena_block {
    struct arena_block *next;
    size_t size;
    size_t used;
    alignas(max_align_t) unsigned char bytes[];
};

void arena_init(struct arena *arena, size_t max)
{
    *arena = (struct arena){.max = max};
}

void arena_free(struct arena *arena)
{
    struct arena_block *block = arena->blocks;
    while (block) {
        struct arena_block *next = block->next;
        free(block);
        block = next;
    }
    *arena = (struct arena){.max = arena->max};
}

static struct arena_block *add_block(struct arena *arena, size_t size)
{
    size_t room = size > ARENA_BLOCK ? size : ARENA_BLOCK;
    struct arena_block *block = malloc(sizeof(*block) + room);
    if (!block)
        return NULL;
    *block = (struct arena_block){.next = arena->blocks, .size = room};
    arena->blocks = block;
    return block;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    size_t aligned = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
    if (arena->failed || aligned < size || aligned > arena->max - arena->used) {
        arena->failed = true;
        return NULL;
    }
    struct arena_block *block = arena->blocks;
    if (!block || aligned > block->size - block->used)
        block = add_block(arena, aligned);
    if (!block) {
        arena->failed = true;
        return NULL;
    }
    void *out = block->bytes + block->used;
    block->used += aligned;
    arena->used += aligned;
    return memset(out, 0, size);
}

void *arena_array(struct arena *arena, size_t count, size_t size)
{
    if (size != 0 && count > SIZE_MAX / size) {
        arena->failed = true;
        return NULL;
    }
    return arena_alloc(arena, count * size);
}

char *arena_copy_n(struct arena *arena, const void *bytes, size_t length)
{
    if (length == SIZE_MAX) {
        arena->failed = true;
        return NULL;
    }
    char *out = arena_alloc(arena, length + 1);
    if (out && length > 0)
        memcpy(out, bytes, length);
    return out;
}

char *arena_copy(struct arena *arena, const char *text)
{
    return arena_copy_n(arena, text, strlen(text));
}

char *arena_printf(struct arena *arena, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    char *out = length < 0 ? NULL : arena_alloc(arena, (size_t)length + 1);
    if (out) {
        va_start(arguments, format);
        vsnprintf(out, (size_t)length + 1, format, arguments);
        va_end(arguments);
    }
    return out;
}

bool arena_ok(const struct arena *arena)
{
    return !arena->failed;
}
