/* From blocks to pieces. A paragraph or item gives its sentences, a heading or fence is one piece,
 * code gives blocks of lines. A piece of more bytes than target tokens can plausibly hold is cut
 * before it is counted, so no text of a batch is huge; what turns out to have too many tokens is
 * cut into equal parts and counted again, which halves it at least. */
#include "retrieval/chunk_pieces.h"

#include <stdlib.h>
#include <string.h>

#include "base/vec.h"
#include "retrieval/sentence.h"

enum {
    BYTES_A_TOKEN = 8, /* prose has 3 to 5; more than this means many tokens for sure */
    PIECE_BYTES_MIN = 64,
    PIECE_BYTES_MAX = 32 * 1024, /* also of a target that is very large */
    PIECES_MAX = 1 << 22,        /* of one batch */
    HEADINGS_MAX = 1 << 20,
    LOOK_BACK = 512, /* bytes looked at for a place to cut */
};

bool is_white(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

static bool push(struct piece_list *list, const struct piece *piece, struct err *err)
{
    if (!vec_reserve(&list->items, &list->capacity, list->count + 1, sizeof(*list->items),
                     PIECES_MAX, err))
        return false;
    list->items[list->count++] = *piece;
    return true;
}

/* The beginning of the character that `at` stands in; `at` itself in bytes that are no UTF-8. */
static size_t floor_of_character(const char *text, size_t start, size_t at)
{
    size_t floor = at;
    while (floor > start && at - floor < 3 && ((unsigned char)text[floor] & 0xC0) == 0x80)
        floor--;
    return ((unsigned char)text[floor] & 0xC0) == 0x80 ? at : floor;
}

size_t cut_place(const char *text, size_t start, size_t end, size_t at, bool by_lines)
{
    if (at >= end)
        return end;
    size_t lowest = at - start > LOOK_BACK ? at - LOOK_BACK : start;
    size_t middle = start + (at - start) / 2;
    if (lowest < middle)
        lowest = middle;
    if (by_lines)
        for (size_t i = at; i > lowest; i--)
            if (text[i - 1] == '\n')
                return i;
    for (size_t i = at; i > lowest; i--)
        if (is_white(text[i - 1]) || is_white(text[i]))
            return i;
    size_t place = floor_of_character(text, start, at);
    if (place > start)
        return place;
    /* `at` stands in the first character: take the whole of it. */
    for (place = at; place < end && ((unsigned char)text[place] & 0xC0) == 0x80;)
        place++;
    return place;
}

/* The next part of [*at, end): at most `bytes` bytes of it (or one character), white space at both
 * ends left out. False at the end. */
static bool next_part(const char *text, size_t *at, size_t end, size_t bytes, bool by_lines,
                      struct piece *part)
{
    while (*at < end && is_white(text[*at]))
        (*at)++;
    if (*at >= end)
        return false;
    size_t cut = cut_place(text, *at, end, *at + bytes, by_lines);
    part->start = (uint32_t)*at;
    *at = cut;
    while (is_white(text[cut - 1]))
        cut--;
    part->end = (uint32_t)cut;
    return true;
}

/* The most bytes of a piece that is worth counting. */
static size_t piece_bytes(const struct chunk_options *options)
{
    size_t bytes = (size_t)options->target_tokens * BYTES_A_TOKEN;
    if (bytes < PIECE_BYTES_MIN)
        return PIECE_BYTES_MIN;
    return bytes < PIECE_BYTES_MAX ? bytes : PIECE_BYTES_MAX;
}

/* ---------------------------------------------------------------- gathering */

static bool add_heading(struct cutter *cutter, struct err *err)
{
    struct chunk_list *list = cutter->list;
    const struct block *block = &cutter->block;
    if (!vec_reserve(&list->headings, &list->heading_capacity, list->heading_count + 1,
                     sizeof(*list->headings), HEADINGS_MAX, err))
        return false;
    uint32_t parent = cutter->heading;
    while (parent != CHUNK_HEADING_NONE && list->headings[parent].level >= (uint32_t)block->level)
        parent = list->headings[parent].parent;
    cutter->heading = (uint32_t)list->heading_count;
    list->headings[list->heading_count++] =
        (struct chunk_heading){.offset = (uint32_t)block->words_start,
                               .length = (uint32_t)(block->words_end - block->words_start),
                               .level = (uint32_t)block->level,
                               .parent = parent};
    return true;
}

/* How good it is to cut before the block. */
static enum cut cut_before(const struct block *block)
{
    switch (block->kind) {
    case BLOCK_HEADING: return CUT_HEADING;
    case BLOCK_ITEM: return CUT_ITEM;
    case BLOCK_CODE: return block->top ? CUT_PARAGRAPH : CUT_ITEM;
    case BLOCK_PARAGRAPH:
    case BLOCK_TABLE:
    case BLOCK_FENCE: break;
    }
    return CUT_PARAGRAPH;
}

/* Makes [start, end) of the block what the next pieces are taken from. */
static void open_span(struct cutter *cutter, size_t start, size_t end, enum cut cut)
{
    cutter->span_at = start;
    cutter->span_end = end;
    cutter->span_cut = cutter->after_heading ? CUT_GLUED : cut;
    cutter->after_heading = cutter->block.kind == BLOCK_HEADING;
}

/* The next sentence of the prose at hand. */
static void open_sentence(struct cutter *cutter)
{
    const struct block *block = &cutter->block;
    bool first = cutter->prose_at == 0;
    size_t start;
    size_t end;
    if (!sentence_next(cutter->text + block->start, block->end - block->start, &cutter->prose_at,
                       &start, &end)) {
        cutter->in_prose = false;
        return;
    }
    open_span(cutter, block->start + start, block->start + end,
              first ? cut_before(block) : CUT_SENTENCE);
}

/* The next block; *ret_end at the end of the text. */
static bool open_block(struct cutter *cutter, bool *ret_end, struct err *err)
{
    struct block *block = &cutter->block;
    if (!block_next(&cutter->scanner, block)) {
        *ret_end = true;
        return true;
    }
    if (block->kind == BLOCK_PARAGRAPH || block->kind == BLOCK_ITEM) {
        cutter->in_prose = true;
        cutter->prose_at = 0;
        return true;
    }
    if (block->kind == BLOCK_HEADING && !add_heading(cutter, err))
        return false;
    open_span(cutter, block->start, block->end, cut_before(block));
    return true;
}

/* Puts the next part of the open span into the batch; false when the span is used up. */
static bool gather_part(struct cutter *cutter, struct err *err, bool *ret_ok)
{
    struct piece piece = {.heading = cutter->heading,
                          .cut = cutter->span_cut,
                          .by_lines = cutter->block.kind >= BLOCK_FENCE};
    if (!next_part(cutter->text, &cutter->span_at, cutter->span_end, piece_bytes(cutter->options),
                   piece.by_lines, &piece))
        return false;
    cutter->span_cut = CUT_WORD;
    cutter->batch_bytes += piece.end - piece.start;
    *ret_ok = push(&cutter->batch, &piece, err);
    return true;
}

static bool gather_batch(struct cutter *cutter, struct err *err)
{
    bool end = false;
    bool ok = true;
    while (ok && !end && cutter->batch.count < CHUNK_BATCH_TEXTS &&
           cutter->batch_bytes < CHUNK_BATCH_BYTES) {
        if (gather_part(cutter, err, &ok))
            continue;
        if (cutter->in_prose)
            open_sentence(cutter);
        else
            ok = open_block(cutter, &end, err);
    }
    return ok;
}

/* ---------------------------------------------------------------- counting */

static bool estimate(void *user, const char *const *texts, size_t n, uint32_t *ret_tokens,
                     struct err *err)
{
    (void)user;
    (void)err;
    for (size_t i = 0; i < n; i++)
        ret_tokens[i] = chunk_estimate_tokens(texts[i], strlen(texts[i]));
    return true;
}

/* Appends a NUL-terminated copy of the piece's text. */
static void copy_text(struct cutter *cutter, const struct piece *piece)
{
    size_t length = piece->end - piece->start;
    size_t at = cutter->copies.length;
    str_append(&cutter->copies, cutter->text + piece->start, length);
    str_putc(&cutter->copies, '\0');
    if (!str_ok(&cutter->copies))
        return;
    char *copy = cutter->copies.data + at;
    for (char *nul = copy; (nul = memchr(nul, '\0', length - (size_t)(nul - copy)));)
        *nul = ' ';
}

/* Asks for the tokens of the pieces whose numbers stand in cutter->picked[0..n) and whose texts
 * have been copied. */
static bool count_picked(struct cutter *cutter, size_t n, struct err *err)
{
    if (n == 0)
        return true;
    if (!str_ok(&cutter->copies))
        return err_no_memory(err);
    if (cancel_is_set(cutter->options->cancel))
        return cancel_error(err);
    struct piece *pieces = cutter->batch.items;
    const char *at = cutter->copies.data;
    for (size_t i = 0; i < n; i++) {
        cutter->texts[i] = at;
        at += pieces[cutter->picked[i]].end - pieces[cutter->picked[i]].start + 1;
    }
    chunk_count_fn count = cutter->options->count ? cutter->options->count : estimate;
    if (!count(cutter->options->user, cutter->texts, n, cutter->tokens, err))
        return false;
    for (size_t i = 0; i < n; i++)
        pieces[cutter->picked[i]].tokens = cutter->tokens[i] > 0 ? cutter->tokens[i] : 1;
    str_truncate(&cutter->copies, 0);
    return true;
}

/* Counts the pieces of the batch that have no tokens yet, many in a call. */
static bool count_batch(struct cutter *cutter, struct err *err)
{
    size_t n = 0;
    for (size_t i = 0; i < cutter->batch.count; i++) {
        const struct piece *piece = &cutter->batch.items[i];
        if (piece->tokens > 0)
            continue;
        size_t bytes = cutter->copies.length + (piece->end - piece->start) + 1;
        if (n == CHUNK_BATCH_TEXTS || (n > 0 && bytes > CHUNK_BATCH_BYTES)) {
            if (!count_picked(cutter, n, err))
                return false;
            n = 0;
        }
        copy_text(cutter, piece);
        cutter->picked[n++] = (uint32_t)i;
    }
    return count_picked(cutter, n, err);
}

/* Cuts a piece with too many tokens into about equal parts that have yet to be counted. */
static bool push_parts(struct cutter *cutter, const struct piece *piece, struct err *err)
{
    size_t parts = piece->tokens / cutter->options->target_tokens + 1;
    size_t bytes = (piece->end - piece->start) / parts;
    struct piece part = *piece;
    part.tokens = 0;
    size_t at = piece->start;
    while (
        next_part(cutter->text, &at, piece->end, bytes > 0 ? bytes : 1, piece->by_lines, &part)) {
        if (!push(&cutter->spare, &part, err))
            return false;
        part.cut = CUT_WORD;
    }
    return true;
}

/* Makes the batch anew with its too large pieces cut. *ret_cut: there were some. */
static bool shrink_batch(struct cutter *cutter, bool *ret_cut, struct err *err)
{
    struct piece_list *from = &cutter->batch;
    struct piece_list *to = &cutter->spare;
    to->count = 0;
    *ret_cut = false;
    for (size_t i = 0; i < from->count; i++) {
        const struct piece *piece = &from->items[i];
        bool large =
            piece->tokens > cutter->options->target_tokens &&
            cut_place(cutter->text, piece->start, piece->end, piece->start + 1, false) < piece->end;
        if (large ? !push_parts(cutter, piece, err) : !push(to, piece, err))
            return false;
        *ret_cut |= large;
    }
    struct piece_list swap = *from;
    *from = *to;
    *to = swap;
    return true;
}

bool cutter_next(struct cutter *cutter, struct err *err)
{
    cutter->batch.count = 0;
    cutter->batch_bytes = 0;
    if (!gather_batch(cutter, err))
        return false;
    bool cut;
    do { /* ends: a part has at most half the bytes of what it was cut from */
        if (!count_batch(cutter, err) || !shrink_batch(cutter, &cut, err))
            return false;
    } while (cut);
    return true;
}

bool cutter_init(struct cutter *cutter, const char *text, size_t length,
                 const struct chunk_options *options, struct chunk_list *list, struct err *err)
{
    *cutter = (struct cutter){.text = text,
                              .length = length,
                              .options = options,
                              .list = list,
                              .heading = CHUNK_HEADING_NONE};
    block_scanner_init(&cutter->scanner, text, length, options->format);
    str_init(&cutter->copies, CHUNK_BATCH_BYTES + PIECE_BYTES_MAX + CHUNK_BATCH_TEXTS);
    cutter->texts = calloc(CHUNK_BATCH_TEXTS, sizeof(*cutter->texts));
    cutter->tokens = calloc(CHUNK_BATCH_TEXTS, sizeof(*cutter->tokens));
    cutter->picked = calloc(CHUNK_BATCH_TEXTS, sizeof(*cutter->picked));
    return (cutter->texts && cutter->tokens && cutter->picked) || err_no_memory(err);
}

void cutter_free(struct cutter *cutter)
{
    free(cutter->batch.items);
    free(cutter->spare.items);
    free(cutter->texts);
    free(cutter->tokens);
    free(cutter->picked);
    str_free(&cutter->copies);
}
