#include "engine/parse_map.h"

#include <stdlib.h>

#include "base/vec.h"

void text_map_init(struct text_map *map, size_t max)
{
    *map = (struct text_map){.max = max, .shortest = 4};
}

void text_map_free(struct text_map *map)
{
    free(map->runs);
    *map = (struct text_map){.max = map->max, .shortest = 4};
}

/* Whether a run that begins at these offsets only goes on with `last`. */
static bool continues(const struct text_run *last, size_t text_offset, size_t file_offset,
                      bool identical)
{
    if (identical != last->identical)
        return false;
    if (!identical)
        return file_offset == last->file_offset;
    return text_offset - last->text_offset == file_offset - last->file_offset;
}

/* Merges each run below `shortest` bytes with a neighbour that is as short. The last run still grows and stays. */
static void merge_short(struct text_map *map)
{
    size_t kept = 0;
    for (size_t i = 1; i + 1 < map->count; i++) {
        uint32_t before = map->runs[i].text_offset - map->runs[kept].text_offset;
        uint32_t length = map->runs[i + 1].text_offset - map->runs[i].text_offset;
        if (before < map->shortest && length < map->shortest)
            map->runs[kept].identical = false;
        else
            map->runs[++kept] = map->runs[i];
    }
    map->runs[++kept] = map->runs[map->count - 1];
    map->count = kept + 1;
}

/* Halves the number of runs. It ends: no two neighbours are both below `shortest`, so that their number is at most
 * twice the text's length divided by it. */
static void make_room(struct text_map *map)
{
    while (map->count > map->max / 2 && map->count > 2) {
        merge_short(map);
        if (map->count > map->max / 2)
            map->shortest *= 2;
    }
}

void text_map_add(struct text_map *map, size_t text_offset, size_t file_offset, bool identical)
{
    if (map->failed)
        return;
    if (map->count > 0 && map->runs[map->count - 1].text_offset == text_offset)
        map->count--; /* nothing came from the run before */
    if (map->count > 0 &&
        continues(&map->runs[map->count - 1], text_offset, file_offset, identical))
        return;
    if (map->count >= map->max)
        make_room(map);
    struct err ignored; /* the one reason left is memory */
    if (!vec_reserve(&map->runs, &map->capacity, map->count + 1, sizeof(*map->runs), map->max,
                     &ignored)) {
        map->failed = true;
        return;
    }
    map->runs[map->count++] = (struct text_run){.text_offset = (uint32_t)text_offset,
                                                .file_offset = (uint32_t)file_offset,
                                                .identical = identical};
}

/* The offset in the file of a point of the middle that lies in a run. */
static size_t file_point(const struct text_run *run, size_t middle)
{
    return run->identical ? run->file_offset + (middle - run->text_offset) : run->file_offset;
}

void text_map_join(const struct text_map *outer, size_t text_length, const struct text_map *inner,
                   struct text_map *ret)
{
    size_t at = 0; /* the run of `inner` that holds the point looked at */
    for (size_t i = 0; i < outer->count && inner->count > 0; i++) {
        const struct text_run *run = &outer->runs[i];
        size_t end = i + 1 < outer->count ? outer->runs[i + 1].text_offset : text_length;
        size_t text = run->text_offset;
        size_t middle = run->file_offset;
        while (text < end) {
            while (at + 1 < inner->count && inner->runs[at + 1].text_offset <= middle)
                at++;
            const struct text_run *source = &inner->runs[at];
            text_map_add(ret, text, file_point(source, middle),
                         run->identical && source->identical);
            if (!run->identical || at + 1 == inner->count)
                break;
            size_t step = inner->runs[at + 1].text_offset - middle;
            text += step;
            middle += step;
        }
    }
    ret->failed |= outer->failed || inner->failed;
}
