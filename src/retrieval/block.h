/* block.h - the outline of a text: headings, paragraphs, list items, tables, code; private to the
 * chunker.
 *
 * Owner:   works on the caller's text.
 * Threads: a scanner is one thread's.
 * Fails:   never; text without structure is one paragraph.
 */
#ifndef JARVIS_RETRIEVAL_BLOCK_H
#define JARVIS_RETRIEVAL_BLOCK_H

#include <stdbool.h>
#include <stddef.h>

#include "ipc/protocol.h"

enum block_kind {
    BLOCK_HEADING,
    BLOCK_PARAGRAPH,
    BLOCK_ITEM,
    BLOCK_FENCE, /* code between ``` or ~~~, these lines included */
    BLOCK_TABLE, /* rows of cells between | */
    BLOCK_CODE,  /* lines of a source file up to an empty one */
};

struct block {
    enum block_kind kind;
    size_t start;       /* first byte that is no white space */
    size_t end;         /* one past the last such byte */
    int level;          /* BLOCK_HEADING: 1..6 */
    size_t words_start; /* BLOCK_HEADING: without its marks */
    size_t words_end;
    bool top; /* BLOCK_CODE: begins at the left edge, as definitions do */
};

struct block_scanner {
    const char *text;
    size_t length;
    enum document_format format;
    size_t at; /* always the beginning of a line, or length */
};

void block_scanner_init(struct block_scanner *scanner, const char *text, size_t length,
                        enum document_format format);

/* The next block; false at the end. Every byte that is no white space is in exactly one block. */
bool block_next(struct block_scanner *scanner, struct block *ret);

#endif
