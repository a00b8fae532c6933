/* chunk_pieces.h - the pieces that passages are packed from; private to chunk*.c.
 *
 * Purpose: blocks and sentences of a text, each small enough, each with its number of tokens. They
 *   come in batches, so that a tokenizer in another process is asked seldom.
 * Owner:   the cutter owns its buffers; the pieces of a batch are valid until the next one.
 * Threads: one.
 * Fails:   see chunk.h.
 */
#ifndef JARVIS_RETRIEVAL_CHUNK_PIECES_H
#define JARVIS_RETRIEVAL_CHUNK_PIECES_H

#include "retrieval/block.h"
#include "retrieval/chunk.h"

/* How good a place for a cut the beginning of a piece is, best last. */
enum cut {
    CUT_GLUED, /* directly after a heading */
    CUT_WORD,  /* inside a sentence or fence that was too large */
    CUT_SENTENCE,
    CUT_ITEM,
    CUT_PARAGRAPH,
    CUT_HEADING,
};

struct piece {
    uint32_t start; /* first and one past the last byte, neither white space */
    uint32_t end;
    uint32_t tokens; /* >= 1 */
    uint32_t heading;
    enum cut cut;
    bool by_lines; /* code: rather cut between lines than between words */
};

struct piece_list {
    struct piece *items;
    size_t count;
    size_t capacity;
};

struct cutter {
    const char *text;
    size_t length;
    const struct chunk_options *options;
    struct chunk_list *list; /* headings go there */
    struct block_scanner scanner;
    struct block block; /* the one at hand */
    bool in_prose;      /* its sentences are being read, … */
    size_t prose_at;    /* … from here on, counted from its start */
    size_t span_at;     /* of the sentence or block at hand: what has yet to become pieces */
    size_t span_end;
    enum cut span_cut; /* of its next piece */
    bool after_heading;
    uint32_t heading;        /* the one that holds now */
    size_t batch_bytes;      /* of the texts gathered */
    struct piece_list batch; /* gathered, then counted and cut to size */
    struct piece_list spare; /* what the next round of cutting writes to */
    struct str copies;       /* NUL-terminated texts for `count` */
    const char **texts;      /* CHUNK_BATCH_TEXTS */
    uint32_t *tokens;        /* CHUNK_BATCH_TEXTS */
    uint32_t *picked;        /* CHUNK_BATCH_TEXTS: numbers of the pieces being counted */
};

bool cutter_init(struct cutter *cutter, const char *text, size_t length,
                 const struct chunk_options *options, struct chunk_list *list, struct err *err);
void cutter_free(struct cutter *cutter);

/* The next pieces into cutter->batch; count 0 at the end. Only pieces of one character may be
 * larger than the target. */
bool cutter_next(struct cutter *cutter, struct err *err);

/* The largest place <= at to cut text[start..end) at, at > start: between lines when `by_lines`,
 * else between words, else between characters. The result is > start. */
size_t cut_place(const char *text, size_t start, size_t end, size_t at, bool by_lines);

bool is_white(char c);

#endif
