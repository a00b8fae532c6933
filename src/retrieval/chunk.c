/* How text becomes passages:
 *
 *   1. block.c finds the outline, sentence.c splits its prose, chunk_pieces.c makes pieces of both
 *      that are no larger than the target and knows the tokens of each.
 *   2. Here pieces are packed in order into an open passage until the next one does not fit. Then
 *      the passage is cut where it hurts least: before a heading rather than between paragraphs,
 *      rather than between sentences, rather than in one; among equal places at the last, and as
 *      long as half of the target is used (a quarter before a heading). A heading is not parted
 *      from its text. When a new section begins, half a passage is enough to be closed.
 *   3. What stood after the cut, and before it as much as the overlap allows, opens the next
 *      passage.
 *
 * Only the open passage and one batch of pieces are in memory, so a text of any size takes little.
 */
#include "retrieval/chunk.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "base/vec.h"
#include "retrieval/chunk_pieces.h"

enum {
    TARGET_MAX = 1 << 20,
    OPEN_MAX = 1 << 20,  /* pieces of the open passage: a piece has at least one token */
    CONTEXT_DEPTH = 16,  /* headings of a context at most */
    WORD_CHARACTERS = 6, /* chunk_estimate_tokens(): of a long word that cost one word more */
    TENTHS_A_WORD = 13,
};

struct packer {
    const char *text;
    struct chunk_list *list;
    uint32_t target;
    uint32_t overlap;
    struct piece_list open; /* the passage in the making */
    size_t repeated;        /* how many of the first pieces only repeat the passage before */
    uint32_t tokens;        /* of all of them */
    uint32_t line;          /* of the byte line_at */
    size_t line_at;
};

static uint32_t count_lines(const char *text, size_t start, size_t end)
{
    uint32_t lines = 0;
    const char *at = text + start;
    while ((at = memchr(at, '\n', (size_t)(text + end - at)))) {
        lines++;
        at++;
    }
    return lines;
}

static uint32_t sum_tokens(const struct piece *pieces, size_t count)
{
    uint32_t tokens = 0;
    for (size_t i = 0; i < count; i++)
        tokens += pieces[i].tokens;
    return tokens;
}

/* Makes a passage of the first `count` open pieces. */
static bool write_chunk(struct packer *packer, size_t count, struct err *err)
{
    struct chunk_list *list = packer->list;
    const struct piece *first = &packer->open.items[0];
    const struct piece *last = &packer->open.items[count - 1];
    if (!vec_reserve(&list->chunks, &list->capacity, list->count + 1, sizeof(*list->chunks),
                     CHUNK_MAX, err))
        return false;
    packer->line += count_lines(packer->text, packer->line_at, first->start);
    packer->line_at = first->start;
    list->chunks[list->count++] = (struct chunk){
        .offset = first->start,
        .length = last->end - first->start,
        .line_start = packer->line,
        .line_end = packer->line + count_lines(packer->text, first->start, last->end),
        .tokens = sum_tokens(packer->open.items, count),
        .heading = packer->open.items[packer->repeated].heading,
    };
    return true;
}

/* The tail of a piece, from a word's beginning, that has about `tokens` tokens. */
static struct piece tail_of(const char *text, const struct piece *piece, uint32_t tokens)
{
    struct piece tail = *piece;
    size_t bytes = (size_t)(piece->end - piece->start) * tokens / piece->tokens;
    size_t start = cut_place(text, piece->start, piece->end, piece->end - bytes, false);
    while (start < piece->end && is_white(text[start]))
        start++;
    tail.start = (uint32_t)start;
    tail.tokens = tokens;
    tail.cut = CUT_WORD;
    return tail;
}

/* Which of the first `count` open pieces the next passage repeats: from the one returned on.
 * *ret_tail: only the tail of that one (start < end), because it is too large as a whole. */
static size_t overlap_from(const struct packer *packer, size_t count, enum cut cut,
                           struct piece *ret_tail)
{
    const struct piece *pieces = packer->open.items;
    uint32_t tokens = 0;
    size_t from = count;
    ret_tail->start = ret_tail->end = 0;
    if (cut == CUT_HEADING)
        return from;
    /* Never all of the passage: the next one must begin after it. */
    while (from > 1 && tokens + pieces[from - 1].tokens <= packer->overlap &&
           pieces[from - 1].cut != CUT_HEADING) {
        from--;
        tokens += pieces[from].tokens;
    }
    if (from == count && packer->overlap > 0 && cut <= CUT_SENTENCE &&
        pieces[count - 1].tokens > packer->overlap) {
        *ret_tail = tail_of(packer->text, &pieces[count - 1], packer->overlap);
        if (ret_tail->start < ret_tail->end && ret_tail->start > pieces[0].start)
            from--;
        else
            ret_tail->start = ret_tail->end = 0;
    }
    return from;
}

/* Closes a passage with the first `count` open pieces. `cut` tells what kind of place this is. */
static bool close_passage(struct packer *packer, size_t count, enum cut cut, struct err *err)
{
    struct piece_list *open = &packer->open;
    if (!write_chunk(packer, count, err))
        return false;
    struct piece tail;
    size_t from = overlap_from(packer, count, cut, &tail);
    if (tail.start < tail.end)
        open->items[from] = tail;
    open->count -= from;
    memmove(open->items, open->items + from, open->count * sizeof(*open->items));
    packer->repeated = count - from;
    packer->tokens = sum_tokens(open->items, open->count);
    return true;
}

/* How good it is to close the open passage before a place of this kind, with so many tokens:
 * anything rather than to part a heading from its text, then well filled, then the better place. A
 * section may leave more of the passage empty, so that it does not share it with half of the next
 * one. */
static int cut_rank(const struct packer *packer, enum cut cut, uint32_t tokens)
{
    if (cut == CUT_GLUED)
        return 0;
    bool filled = tokens * (cut == CUT_HEADING ? 4 : 2) >= packer->target;
    return filled ? 1 + (int)cut : 1;
}

/* The best number of open pieces to close a passage with, when `next` does not fit any more. */
static size_t best_cut(const struct packer *packer, const struct piece *next, enum cut *ret_cut)
{
    const struct piece *pieces = packer->open.items;
    size_t best = packer->open.count;
    uint32_t tokens = packer->tokens;
    int best_rank = cut_rank(packer, next->cut, tokens);
    *ret_cut = next->cut;
    for (size_t i = packer->open.count - 1; i > packer->repeated; i--) {
        tokens -= pieces[i].tokens;
        int rank = cut_rank(packer, pieces[i].cut, tokens);
        if (rank > best_rank) {
            best = i;
            best_rank = rank;
            *ret_cut = pieces[i].cut;
        }
    }
    return best;
}

/* Only a heading (or several) is open, and its text does not fit beside it: then the passage may be
 * larger by it. */
static bool heading_may_stay(const struct packer *packer, const struct piece *next)
{
    if (next->cut != CUT_GLUED || packer->tokens > packer->target / 4)
        return false;
    for (size_t i = packer->repeated + 1; i < packer->open.count; i++)
        if (packer->open.items[i].cut != CUT_GLUED)
            return false;
    return packer->open.items[packer->repeated].cut == CUT_HEADING;
}

/* Forgets what only repeats the passage before. */
static void drop_repeated(struct packer *packer)
{
    struct piece_list *open = &packer->open;
    open->count -= packer->repeated;
    memmove(open->items, open->items + packer->repeated, open->count * sizeof(*open->items));
    packer->repeated = 0;
    packer->tokens = sum_tokens(open->items, open->count);
}

static bool pack(struct packer *packer, const struct piece *piece, struct err *err)
{
    struct piece_list *open = &packer->open;
    if (piece->cut == CUT_HEADING && open->count > packer->repeated &&
        packer->tokens * 2 >= packer->target &&
        !close_passage(packer, open->count, CUT_HEADING, err))
        return false;
    while (open->count > 0 && packer->tokens + piece->tokens > packer->target) {
        if (open->count == packer->repeated) {
            drop_repeated(packer); /* rather no overlap than a cut because of it */
            continue;
        }
        if (heading_may_stay(packer, piece))
            break;
        enum cut cut;
        size_t count = best_cut(packer, piece, &cut);
        if (!close_passage(packer, count, cut, err))
            return false;
    }
    if (!vec_reserve(&open->items, &open->capacity, open->count + 1, sizeof(*open->items), OPEN_MAX,
                     err))
        return false;
    open->items[open->count++] = *piece;
    packer->tokens += piece->tokens;
    return true;
}

static bool pack_all(struct packer *packer, struct cutter *cutter, struct err *err)
{
    do {
        if (!cutter_next(cutter, err))
            return false;
        for (size_t i = 0; i < cutter->batch.count; i++)
            if (!pack(packer, &cutter->batch.items[i], err))
                return false;
    } while (cutter->batch.count > 0);
    return packer->open.count == packer->repeated || write_chunk(packer, packer->open.count, err);
}

bool chunk_text(const char *text, size_t length, const struct chunk_options *options,
                struct chunk_list *ret, struct err *err)
{
    if (length > UINT32_MAX)
        return err_set(err, ERR_TOO_LARGE, "a text of %zu bytes is over the limit of 4 GiB",
                       length);
    struct chunk_options own = *options;
    if (own.target_tokens == 0)
        own.target_tokens = 1;
    if (own.target_tokens > TARGET_MAX)
        own.target_tokens = TARGET_MAX;
    struct chunk_list list = {0};
    struct cutter cutter;
    struct packer packer = {.text = text,
                            .list = &list,
                            .target = own.target_tokens,
                            .overlap = own.overlap_tokens,
                            .line = 1};
    if (packer.overlap > packer.target / 2)
        packer.overlap = packer.target / 2;
    bool ok =
        cutter_init(&cutter, text, length, &own, &list, err) && pack_all(&packer, &cutter, err);
    cutter_free(&cutter);
    free(packer.open.items);
    if (!ok) {
        chunk_list_free(&list);
        return false;
    }
    *ret = list;
    return true;
}

void chunk_list_free(struct chunk_list *list)
{
    free(list->chunks);
    free(list->headings);
    *list = (struct chunk_list){0};
}

void chunk_context(const struct chunk_list *list, const char *text, const struct chunk *chunk,
                   struct str *out)
{
    uint32_t path[CONTEXT_DEPTH];
    size_t depth = 0;
    for (uint32_t at = chunk->heading; at != CHUNK_HEADING_NONE && depth < CONTEXT_DEPTH;
         at = list->headings[at].parent)
        path[depth++] = at;
    while (depth > 0) {
        const struct chunk_heading *heading = &list->headings[path[--depth]];
        str_append(out, text + heading->offset, heading->length);
        if (depth > 0)
            str_puts(out, " > ");
    }
}

uint32_t chunk_estimate_tokens(const char *text, size_t length)
{
    uint64_t tenths = 0;
    size_t at = 0;
    size_t word = 0; /* characters of the word at hand */
    while (at < length) {
        uint32_t point = 0;
        int size = utf8_decode(text + at, length - at, &point);
        at += size > 0 ? (size_t)size : 1;
        bool letter =
            (point | 0x20) - 'a' < 26 || point - '0' < 10 || (point >= 0xAA && point < 0x2000);
        if (letter) {
            if (word % WORD_CHARACTERS == 0)
                tenths += word == 0 ? TENTHS_A_WORD : 10;
            word++;
            continue;
        }
        word = 0;
        if (point != ' ' && !(point >= '\t' && point <= '\r'))
            tenths += 10;
    }
    tenths = (tenths + 9) / 10;
    return tenths < UINT32_MAX ? (uint32_t)tenths : UINT32_MAX;
}
