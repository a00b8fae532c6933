/* place.h - where a piece of a document's text stands in its file: bytes and lines.
 *
 * Purpose: search works on the extracted text, citations point into the file as it was ingested. A
 *   place map joins the parser's runs (text offset -> file offset) with the line of each run's
 *   beginning, so that any piece of text finds its place without the file at hand. It is made
 *   once, at ingest, and stored with the document.
 * Owner:   a map's runs live in the caller's arena.
 * Threads: a map does not change; read it from any.
 * Fails:   ERR_NO_MEMORY past the arena, ERR_DOCUMENT for runs that do not fit the text or the
 *   file, ERR_STORE for stored bytes that are no map.
 */
#ifndef JARVIS_RETRIEVAL_PLACE_H
#define JARVIS_RETRIEVAL_PLACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "ipc/protocol.h"

/* text[text_offset ..) up to the next run came from file[file_offset ..) up to the next run. */
struct place_run {
    uint32_t text_offset;
    uint32_t file_offset;
    uint32_t line;  /* of file_offset, 1-based */
    bool identical; /* byte for byte the same */
};

struct place_map {
    const struct place_run *runs; /* ascending; none: the text is the file, byte for byte */
    size_t run_count;
    size_t text_length;
    size_t file_length;
};

struct place {
    size_t offset; /* bytes in the file */
    size_t length; /* 0 only for an empty piece */
    size_t line_start;
    size_t line_end; /* inclusive */
    bool identical;  /* these bytes of the file are the piece of text */
};

/* What a map is made of. */
struct place_source {
    const struct text_run *runs; /* the parser's; none: the text is the file */
    size_t run_count;
    const char *text;
    size_t text_length;
    const void *file; /* NULL: lines are counted in the text, as if it were all of the file */
    size_t file_length;
    const char *charset; /* of the file, an iconv name: UTF-16 and UTF-32 have wider line ends */
};

/* Joins runs and lines. */
bool place_map_make(const struct place_source *source, struct arena *arena, struct place_map *ret,
                    struct err *err);

/* The place of text[offset .. offset + length); the text is needed to count lines inside of runs.
 * What lies beyond the text is cut off. A piece of a run that is not identical gets the whole run:
 * the place may be wider than the piece, never narrower. O(log runs + length of the run up to the
 * piece). */
struct place place_find(const struct place_map *map, const char *text, size_t offset,
                        size_t length);

/* To and from the bytes that the store keeps. */
void place_map_write(const struct place_map *map, struct str *out);
bool place_map_read(const void *bytes, size_t length, struct arena *arena, struct place_map *ret,
                    struct err *err);

#endif
