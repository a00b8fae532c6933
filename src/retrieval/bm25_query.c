/* How a question becomes terms: it is read as each language, for a passage is scored with what its own language makes
 * of the question's words. */
#include <stdlib.h>
#include <string.h>

#include "base/vec.h"
#include "retrieval/bm25.h"

/* Reads a question as one language. */
struct query_reader {
    struct bm25_query *query;
    enum lang lang;     /* that it is read as */
    enum lang detected; /* that it seems to be in */
    bool want_stops;    /* take the stop words too: there is nothing else */
    size_t words;       /* taken */
};

static struct bm25_term *find_term(struct bm25_query *query, const char *term, size_t length)
{
    for (size_t i = 0; i < query->count; i++)
        if (query->terms[i].length == length && memcmp(query->terms[i].term, term, length) == 0)
            return &query->terms[i];
    return NULL;
}

/* The question's entry for a term, made when there is none; NULL when there is no room for more. */
static bool term_of(struct bm25_query *query, const char *term, size_t length,
                    struct bm25_term **ret, struct err *err)
{
    *ret = find_term(query, term, length);
    if (*ret || query->count == BM25_QUERY_TERMS_MAX)
        return true;
    if (!vec_reserve(&query->terms, &query->capacity, query->count + 1, sizeof(*query->terms),
                     BM25_QUERY_TERMS_MAX, err))
        return false;
    *ret = &query->terms[query->count++];
    **ret = (struct bm25_term){.length = length};
    memcpy((*ret)->term, term, length);
    return true;
}

static bool take_word(void *user, const struct text_token *token, struct err *err)
{
    struct query_reader *reader = user;
    struct bm25_query *query = reader->query;
    bool stop = text_is_stop_word(token->word, token->word_length, reader->lang) ||
                text_is_stop_word(token->word, token->word_length, reader->detected);
    if (stop && !reader->want_stops)
        return true;
    reader->words++;
    struct bm25_term *term;
    if (!term_of(query, token->term, token->length, &term, err))
        return false;
    if (term)
        term->count[reader->lang]++;
    return true;
}

bool bm25_query_make(struct text_analyzer *analyzer, const char *text, size_t length,
                     struct bm25_query *ret, struct err *err)
{
    struct bm25_query query = {.terms = NULL};
    for (int lang = 0; lang < LANG_COUNT; lang++) {
        struct query_reader reader = {.query = &query,
                                      .lang = (enum lang)lang,
                                      .detected = text_detect(text, length, (enum lang)lang)};
        bool ok = text_analyze(analyzer, text, length, reader.lang, take_word, &reader, err);
        if (ok && reader.words == 0) {
            reader.want_stops = true;
            ok = text_analyze(analyzer, text, length, reader.lang, take_word, &reader, err);
        }
        if (!ok) {
            bm25_query_free(&query);
            return false;
        }
    }
    *ret = query;
    return true;
}

void bm25_query_free(struct bm25_query *query)
{
    free(query->terms);
    *query = (struct bm25_query){.terms = NULL};
}

bool bm25_query_add(struct bm25_query *query, const char *term, size_t length, enum lang lang,
                    struct err *err)
{
    if (length > TEXT_TERM_MAX)
        return true;
    struct bm25_term *own;
    if (!term_of(query, term, length, &own, err))
        return false;
    if (own && own->count[lang] == 0)
        own->count[lang] = 1;
    return true;
}
