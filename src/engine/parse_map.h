/* parse_map.h - where each byte of an extracted text came from.
 *
 * Purpose: builds the runs of struct msg_parsed while a text grows. What a finished map promises:
 *   - the first run begins at text offset 0; text offsets ascend strictly, file offsets never descend;
 *   - the bytes of an identical run are the same in text and file;
 *   - a run that is not identical came from the file's bytes between its file offset and the next run's (or the end
 *     of the file): one character or a group of them that were converted, or bytes that were put in (a line end
 *     between two paragraphs of HTML), which stand at the offset of what made them necessary.
 * Bound:   at most `max` runs. When more would be needed, short neighbours are merged into one that is not
 *   identical: places become coarser (by bytes, not by pages), never wrong.
 * Owner:   the map owns its runs; text_map_free(). Threads: one at a time.
 * Fails:   sticky, as struct str does: `failed` turns true when memory runs out.
 */
#ifndef JARVIS_ENGINE_PARSE_MAP_H
#define JARVIS_ENGINE_PARSE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ipc/protocol.h"

enum { TEXT_MAP_RUNS_MAX = 1000000 };

struct text_map {
    struct text_run *runs;
    size_t count;
    size_t capacity;
    size_t max;
    uint32_t shortest; /* runs below this many bytes of text may have been merged */
    bool failed;
};

void text_map_init(struct text_map *map, size_t max);
void text_map_free(struct text_map *map);

/* From text_offset on, up to what is added next, the text came from file_offset. Neither offset may be below the
 * one added before. What continues the last run makes no new one. */
void text_map_add(struct text_map *map, size_t text_offset, size_t file_offset, bool identical);

/* Two conversions one after the other: `outer` maps a text to the middle, `inner` maps the middle to the file. Adds
 * the runs from the text (of text_length bytes) to the file to *ret, which is initialised and empty. */
void text_map_join(const struct text_map *outer, size_t text_length, const struct text_map *inner,
                   struct text_map *ret);

#endif
