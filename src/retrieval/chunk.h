/* chunk.h - cuts a document's text into passages.
 *
 * Purpose: passages that follow the document's structure (headings, paragraphs, list items, fenced
 *   code, sentences) and have about the aimed number of tokens. chunk.c tells how.
 * Promise: text[offset .. offset + length) is the passage; it begins and ends with a byte that is
 *   no white space; no UTF-8 character is split; passages ascend; every byte that is no white
 *   space lies in at least one. Time and calls to `count` are linear in the text.
 * Owner:   the list owns its arrays; chunk_list_free().
 * Threads: safe from any.
 * Fails:   whatever `count` reports, ERR_CANCELLED, ERR_TOO_LARGE (4 GiB of text, CHUNK_MAX
 *   passages), ERR_NO_MEMORY.
 */
#ifndef JARVIS_RETRIEVAL_CHUNK_H
#define JARVIS_RETRIEVAL_CHUNK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "base/thread.h"
#include "ipc/protocol.h"

enum {
    CHUNK_MAX = 1 << 22,
    CHUNK_BATCH_TEXTS = 2048,       /* at most so many texts in one call of `count` … */
    CHUNK_BATCH_BYTES = 512 * 1024, /* … of at most so many bytes together */
};

/* Stands for no heading. */
#define CHUNK_HEADING_NONE UINT32_MAX

/* Tokens of each of n NUL-terminated texts, special tokens not counted, into ret_tokens[0..n). */
typedef bool (*chunk_count_fn)(void *user, const char *const *texts, size_t n, uint32_t *ret_tokens,
                               struct err *err);

struct chunk_options {
    /* Aimed and largest; only a heading may come on top (a quarter at most), and a single character
     * may be larger. >= 1. */
    uint32_t target_tokens;
    /* Of the end of a passage, repeated in the next one: whole sentences where they fit, else
     * words. Not across headings. At most half of target_tokens is used. */
    uint32_t overlap_tokens;
    enum document_format format; /* which structure to look for; DOCUMENT_AUTO: as DOCUMENT_TEXT */
    chunk_count_fn count;        /* NULL: chunk_estimate_tokens() */
    void *user;
    struct cancel *cancel; /* may be NULL */
};

struct chunk {
    uint32_t offset; /* bytes in the text */
    uint32_t length;
    uint32_t line_start; /* in the text, 1-based */
    uint32_t line_end;   /* inclusive */
    uint32_t tokens;     /* sum over its sentences, so about what the whole has */
    uint32_t heading;    /* index of the heading it stands under, or CHUNK_HEADING_NONE */
};

struct chunk_heading {
    uint32_t offset; /* of the heading's words in the text */
    uint32_t length;
    uint32_t level;  /* 1.. */
    uint32_t parent; /* index, or CHUNK_HEADING_NONE */
};

struct chunk_list {
    struct chunk *chunks;
    size_t count;
    size_t capacity;
    struct chunk_heading *headings;
    size_t heading_count;
    size_t heading_capacity;
};

/* Cuts text[0..length). A text of white space only gives an empty list. */
bool chunk_text(const char *text, size_t length, const struct chunk_options *options,
                struct chunk_list *ret, struct err *err);
void chunk_list_free(struct chunk_list *list);

/* The headings above a passage, outermost first: "Manual > Installing > From source". Appends
 * nothing when there are none. */
void chunk_context(const struct chunk_list *list, const char *text, const struct chunk *chunk,
                   struct str *out);

/* Tokens of a text without a tokenizer: 1.3 for each word, where a word is a run of letters and
 * digits (a long one counts once for each 6 characters), and 1 for each other visible character. */
uint32_t chunk_estimate_tokens(const char *text, size_t length);

#endif
