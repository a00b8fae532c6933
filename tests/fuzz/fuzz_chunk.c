/* Fuzzes what every document goes through: chunker, sentences, text analysis, language detection.
 *
 * The first bytes of the input choose the format, target and overlap; the rest is the text. The
 * chunker's promises (src/retrieval/chunk.h) must hold for whatever bytes, those about characters
 * for valid UTF-8. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "retrieval/bm25.h"
#include "retrieval/chunk.h"
#include "retrieval/sentence.h"
#include "retrieval/text.h"

enum { HEAD_BYTES = 3 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Aborts, which is what the fuzzer looks for. */
static void must(bool condition)
{
    if (!condition)
        abort();
}

static bool is_white(char c)
{
    return memchr(" \t\n\v\f\r", c, 6) != NULL;
}

static void must_be_white(const char *text, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        must(is_white(text[i]));
}

static bool inside_character(const char *text, size_t length, size_t at)
{
    return at < length && ((unsigned char)text[at] & 0xC0) == 0x80;
}

/* A tokenizer that counts a token for each third byte, and says so when a batch breaks its limits.
 */
static bool count(void *user, const char *const *texts, size_t n, uint32_t *ret_tokens,
                  struct err *err)
{
    (void)user;
    (void)err;
    must(n > 0 && n <= CHUNK_BATCH_TEXTS);
    for (size_t i = 0; i < n; i++) {
        must(*texts[i] != '\0');
        ret_tokens[i] = (uint32_t)((strlen(texts[i]) + 2) / 3);
    }
    return true;
}

static void try_chunks(const char *text, size_t length, const struct chunk_options *options)
{
    struct chunk_list list;
    must(chunk_text(text, length, options, &list, NULL));
    bool valid = utf8_valid(text, length);
    size_t covered = 0;
    for (size_t i = 0; i < list.count; i++) {
        const struct chunk *chunk = &list.chunks[i];
        size_t end = (size_t)chunk->offset + chunk->length;
        must(chunk->length > 0 && end <= length && end > covered);
        must(i == 0 || chunk->offset > list.chunks[i - 1].offset);
        must(!is_white(text[chunk->offset]) && !is_white(text[end - 1]));
        must(!valid || (!inside_character(text, length, chunk->offset) &&
                        !inside_character(text, length, end)));
        must(chunk->line_start >= 1 && chunk->line_end >= chunk->line_start);
        must(chunk->heading == CHUNK_HEADING_NONE || chunk->heading < list.heading_count);
        if (chunk->offset > covered)
            must_be_white(text, covered, chunk->offset);
        covered = end;
    }
    must_be_white(text, covered, length);
    for (size_t i = 0; i < list.heading_count; i++) {
        const struct chunk_heading *heading = &list.headings[i];
        must((size_t)heading->offset + heading->length <= length);
        must(heading->parent == CHUNK_HEADING_NONE || heading->parent < i);
    }
    chunk_list_free(&list);
}

static void try_sentences(const char *text, size_t length)
{
    size_t cursor = 0;
    size_t before = 0;
    size_t start;
    size_t end;
    while (sentence_next(text, length, &cursor, &start, &end)) {
        must(start >= before && end > start && end <= length);
        must_be_white(text, before, start);
        before = end;
    }
    must_be_white(text, before, length);
}

static bool check_token(void *user, const struct text_token *token, struct err *err)
{
    (void)err;
    size_t *end = user;
    must(token->source_length > 0);
    must(token->extra ? token->offset + token->source_length <= *end : token->offset >= *end);
    must(token->length > 0 && token->length <= TEXT_TERM_MAX);
    must(utf8_valid(token->term, token->length));
    if (!token->extra)
        *end = token->offset + token->source_length;
    return true;
}

static void try_analysis(const char *text, size_t length, enum lang lang)
{
    struct text_analyzer *analyzer;
    struct bm25_query query;
    size_t end = 0;
    must(text_analyzer_new(&analyzer, NULL));
    must(text_analyze(analyzer, text, length, lang, check_token, &end, NULL));
    must(end <= length);
    text_detect(text, length, lang);
    must(bm25_query_make(analyzer, text, length, &query, NULL));
    must(query.count <= BM25_QUERY_TERMS_MAX);
    bm25_query_free(&query);
    text_analyzer_free(analyzer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < HEAD_BYTES)
        return 0;
    const char *text = (const char *)data + HEAD_BYTES;
    size_t length = size - HEAD_BYTES;
    struct chunk_options options = {
        .format = (enum document_format)(data[0] % DOCUMENT_FORMATS),
        .target_tokens = data[1],
        .overlap_tokens = data[2],
        .count = data[0] & 0x80 ? count : NULL,
    };
    try_chunks(text, length, &options);
    try_sentences(text, length);
    try_analysis(text, length, data[0] & 0x40 ? LANG_ES : LANG_EN);
    return 0;
}
