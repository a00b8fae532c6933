#include "assistant/sources.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "assistant/citation.h"
#include "assistant/meaning.h"
#include "retrieval/sentence.h"

enum {
    EXTRACT_SENTENCES = 3, /* quoted in an answer without a language model */
    EXTRACT_HITS = 8,      /* passages they are chosen from */
    QUOTE_MAX = 600,       /* bytes of one quote; a longer sentence is cut at a space */
};

/* Whether the file on disk has other bytes there than when it was ingested. Only for files that are text as they
 * are; a name that is no path (an uploaded file) is never stale. */
static bool is_stale(const char *path, const struct place *place, const char *words)
{
    if (path[0] != '/' || !place->identical || place->length == 0)
        return false;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return true;
    bool same = true;
    for (size_t at = 0; same && at < place->length;) {
        char bytes[4096];
        size_t want = place->length - at < sizeof(bytes) ? place->length - at : sizeof(bytes);
        ssize_t got = pread(fd, bytes, want, (off_t)(place->offset + at));
        same = got > 0 && memcmp(bytes, words + at, (size_t)got) == 0;
        at += got > 0 ? (size_t)got : 0;
    }
    close(fd);
    return !same;
}

/* A shorter length of the quote: at most QUOTE_MAX bytes, ending before a space. */
static size_t cut_quote(const char *text, size_t length)
{
    if (length <= QUOTE_MAX)
        return length;
    size_t cut = QUOTE_MAX;
    while (cut > QUOTE_MAX / 2 && !isspace((unsigned char)text[cut]))
        cut--;
    while (cut > 0 &&
           (isspace((unsigned char)text[cut - 1]) || ((unsigned char)text[cut] & 0xc0) == 0x80))
        cut--;
    return cut;
}

bool sources_quote(struct runtime *runtime, struct request *request, const struct search_hit *hit,
                   size_t offset, size_t length, int number, struct chat_source *ret,
                   bool *ret_found, struct err *err)
{
    *ret_found = false;
    const char *text;
    size_t text_length;
    struct place_map places;
    if (!store_document_text(runtime->store, hit->document_number, request->arena, &text,
                             &text_length, &places, err))
        return err->code == ERR_NOT_FOUND;
    length = cut_quote(hit->text + offset, length);
    size_t at = hit->text_offset + offset;
    if (length == 0 || at > text_length || length > text_length - at ||
        memcmp(text + at, hit->text + offset, length) != 0)
        return true;
    struct place place = place_find(&places, text, at, length);
    char *quote = arena_copy_n(request->arena, text + at, length);
    if (!quote)
        return err_no_memory(err);
    *ret = (struct chat_source){
        .number = number,
        .hit = *hit,
        .quote = quote,
        .quote_offset = place.offset,
        .quote_length = place.length,
        .quote_line_start = place.line_start,
        .quote_line_end = place.line_end,
        .stale = is_stale(hit->path, &place, quote),
    };
    *ret_found = true;
    return true;
}

/* The span of a passage to quote for some claim: its best sentence, or its first when no word is shared. */
static bool best_span(struct request *request, const struct scope *scope, const char *claim,
                      const struct search_hit *hit, size_t *ret_offset, size_t *ret_length,
                      struct err *err)
{
    struct quotable passage = {hit->text, strlen(hit->text), hit->lang, 1};
    struct quote *quotes;
    size_t count;
    struct quote_query query = {claim, &passage, 1, 1};
    if (!index_best_sentences(scope->indexes, scope->count, &query, request->arena, &quotes, &count,
                              err))
        return false;
    if (count > 0) {
        *ret_offset = quotes[0].offset;
        *ret_length = quotes[0].length;
        return true;
    }
    size_t cursor = 0;
    size_t end = 0;
    *ret_offset = 0;
    if (sentence_next(hit->text, passage.length, &cursor, ret_offset, &end))
        *ret_length = end - *ret_offset;
    else
        *ret_length = passage.length;
    return true;
}

bool sources_of_answer(struct runtime *runtime, struct request *request, const struct scope *scope,
                       const char *answer, const bool *used, const struct search_hit *hits,
                       size_t hit_count, struct source_list *ret, struct err *err)
{
    struct chat_source *sources = arena_array(request->arena, hit_count, sizeof(*sources));
    if (!sources)
        return err_no_memory(err);
    bool any = false;
    for (size_t i = 0; i < hit_count && i < CITATION_MAX; i++)
        any = any || used[i + 1];
    size_t count = 0;
    for (size_t i = 0; i < hit_count && i < CITATION_MAX; i++) {
        if (any ? !used[i + 1] : i >= SOURCES_UNCITED)
            continue;
        size_t start = 0;
        size_t length = strlen(answer);
        if (any)
            citation_claim(answer, (int)i + 1, &start, &length);
        char *claim = arena_copy_n(request->arena, answer + start, length);
        if (!claim)
            return err_no_memory(err);
        size_t quote_offset;
        size_t quote_length;
        bool found;
        if (!best_span(request, scope, claim, &hits[i], &quote_offset, &quote_length, err) ||
            !sources_quote(runtime, request, &hits[i], quote_offset, quote_length, (int)i + 1,
                           &sources[count], &found, err))
            return false;
        count += found;
    }
    *ret = (struct source_list){.items = sources, .count = count, .text = ""};
    return true;
}

/* Appends `quote` as it reads on one line: runs of white space become one space. */
static void append_folded(struct str *out, const char *quote)
{
    for (const char *at = quote; *at; at++) {
        if (!isspace((unsigned char)*at))
            str_putc(out, *at);
        else if (at > quote && !isspace((unsigned char)at[-1]))
            str_putc(out, ' ');
    }
}

/* Chooses the sentences: by their words; where no word is shared by their meaning; at last the best hit's first one. */
static bool choose(struct runtime *runtime, struct request *request, const struct scope *scope,
                   const char *question, const struct search_hit *hits, size_t hit_count,
                   struct quote **ret, size_t *ret_count, struct err *err)
{
    struct quotable *passages = arena_array(request->arena, hit_count, sizeof(*passages));
    if (!passages)
        return err_no_memory(err);
    for (size_t i = 0; i < hit_count; i++)
        passages[i] = (struct quotable){hits[i].text, strlen(hits[i].text), hits[i].lang,
                                        hits[i].fused > 0 ? hits[i].fused : 0};
    struct quote_query query = {question, passages, hit_count, EXTRACT_SENTENCES};
    if (!index_best_sentences(scope->indexes, scope->count, &query, request->arena, ret, ret_count,
                              err))
        return false;
    if (*ret_count == 0 && !meaning_best_sentences(runtime, request, question, hits, hit_count,
                                                   EXTRACT_SENTENCES, ret, ret_count, err))
        return false;
    if (*ret_count > 0)
        return true;
    struct quote *first = arena_alloc(request->arena, sizeof(*first));
    if (!first)
        return err_no_memory(err);
    *first = (struct quote){.passage = 0};
    if (!best_span(request, scope, question, &hits[0], &first->offset, &first->length, err))
        return false;
    *ret = first;
    *ret_count = 1;
    return true;
}

/* Writes one quote after another, each with its mark, and collects their sources. */
static bool write_quotes(struct runtime *runtime, struct request *request,
                         const struct search_hit *hits, const struct quote *quotes,
                         size_t quote_count, struct source_list *list, struct str *text,
                         struct err *err)
{
    for (size_t i = 0; i < quote_count; i++) {
        struct chat_source *source = &list->items[list->count];
        bool found;
        if (!sources_quote(runtime, request, &hits[quotes[i].passage], quotes[i].offset,
                           quotes[i].length, (int)list->count + 1, source, &found, err))
            return false;
        if (!found)
            continue;
        list->count++;
        str_puts(text, list->count > 1 ? "\n\n\xe2\x80\x9c" : "\xe2\x80\x9c");
        append_folded(text, source->quote);
        str_printf(text, "\xe2\x80\x9d [%zu]", list->count);
    }
    return str_check(text, "the answer", err);
}

bool sources_extract(struct runtime *runtime, struct request *request, const struct scope *scope,
                     const char *question, const struct search_hit *hits, size_t hit_count,
                     struct source_list *ret, struct err *err)
{
    if (hit_count > EXTRACT_HITS)
        hit_count = EXTRACT_HITS;
    struct source_list list = {.text = ""};
    if (hit_count == 0) {
        *ret = list;
        return true;
    }
    struct quote *quotes;
    size_t quote_count;
    if (!choose(runtime, request, scope, question, hits, hit_count, &quotes, &quote_count, err))
        return false;
    list.items = arena_array(request->arena, quote_count, sizeof(*list.items));
    if (!list.items)
        return err_no_memory(err);
    struct str text;
    str_init(&text, 64 * 1024);
    bool ok = write_quotes(runtime, request, hits, quotes, quote_count, &list, &text, err);
    list.text = ok ? arena_copy_n(request->arena, str_text(&text), text.length) : "";
    str_free(&text);
    if (!list.text)
        return err_no_memory(err);
    if (ok)
        *ret = list;
    return ok;
}
