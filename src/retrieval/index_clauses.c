#include "retrieval/index_clauses.h"

#include <stdlib.h>
#include <string.h>

#include <roaring/roaring.h>

#include "base/vec.h"

enum {
    WORDS_MAX = 64,      /* of a clause */
    EXPANSIONS_MAX = 64, /* words that a prefix adds to rank by */
    PHRASE_TEXT_MAX = 1 << 20,
};

/* One word of a clause. */
struct word {
    char key[BM25_KEY_MAX]; /* of its term, or the prefix's */
    size_t length;
    char plain[TEXT_TERM_MAX]; /* folded, not stemmed */
    size_t plain_length;
};

/* A clause read as one language: all its words are demanded. */
struct reading {
    struct word *words;
    size_t count;
    size_t capacity;
};

struct clause {
    enum query_clause_kind kind;
    bool excluded;
    struct reading as[LANG_COUNT];
};

struct clauses {
    struct clause items[QUERY_CLAUSES_MAX];
    size_t count;
};

/* ---------------------------------------------------------------- reading */

struct word_reader {
    struct reading *reading;
    enum lang lang;
    bool prefix;
};

static bool take_word(void *user, const struct text_token *token, struct err *err)
{
    struct word_reader *reader = user;
    struct reading *reading = reader->reading;
    if (token->extra || reading->count == WORDS_MAX)
        return true;
    if (!vec_reserve(&reading->words, &reading->capacity, reading->count + 1,
                     sizeof(*reading->words), WORDS_MAX, err))
        return false;
    struct word *word = &reading->words[reading->count++];
    const char *term = reader->prefix ? token->word : token->term;
    size_t length = reader->prefix ? token->word_length : token->length;
    word->length = bm25_key(reader->lang, term, length, word->key);
    memcpy(word->plain, token->word, token->word_length);
    word->plain_length = token->word_length;
    return true;
}

static bool read_clause(const struct query_clause *from, struct text_analyzer *analyzer,
                        struct clause *ret, struct err *err)
{
    ret->kind = from->kind;
    ret->excluded = from->excluded;
    for (int lang = 0; lang < LANG_COUNT; lang++) {
        struct word_reader reader = {.reading = &ret->as[lang],
                                     .lang = (enum lang)lang,
                                     .prefix = from->kind == CLAUSE_PREFIX};
        if (!text_analyze(analyzer, from->text, from->length, reader.lang, take_word, &reader, err))
            return false;
    }
    return true;
}

bool clauses_new(const struct query_clause *clauses, size_t count, struct text_analyzer *analyzer,
                 struct clauses **ret, struct err *err)
{
    *ret = NULL;
    if (count == 0)
        return true;
    struct clauses *made = calloc(1, sizeof(*made));
    if (!made)
        return err_no_memory(err);
    for (size_t i = 0; i < count && i < QUERY_CLAUSES_MAX; i++) {
        made->count++;
        if (!read_clause(&clauses[i], analyzer, &made->items[i], err)) {
            clauses_free(made);
            return false;
        }
    }
    *ret = made;
    return true;
}

void clauses_free(struct clauses *clauses)
{
    if (!clauses)
        return;
    for (size_t i = 0; i < clauses->count; i++)
        for (int lang = 0; lang < LANG_COUNT; lang++)
            free(clauses->items[i].as[lang].words);
    free(clauses);
}

/* ---------------------------------------------------------------- sets of slots */

static bool add_slot(void *user, uint32_t slot)
{
    roaring_bitmap_add(user, slot);
    return true;
}

/* The slots that have all words of a reading; an empty set for no words. */
static bool reading_slots(const struct clause *clause, const struct reading *reading,
                          const struct bm25 *bm25, roaring_bitmap_t **ret, struct err *err)
{
    roaring_bitmap_t *all = NULL;
    for (size_t i = 0; i < reading->count; i++) {
        const struct word *word = &reading->words[i];
        roaring_bitmap_t *own = roaring_bitmap_create();
        if (!own) {
            roaring_bitmap_free(all);
            return err_no_memory(err);
        }
        /* Only the last word of a prefix clause is open: "foo_ba*" means the word foo, then ba… */
        bool prefix = clause->kind == CLAUSE_PREFIX && i + 1 == reading->count;
        bm25_each_slot(bm25, word->key, word->length, prefix, add_slot, own);
        if (all) {
            roaring_bitmap_and_inplace(all, own);
            roaring_bitmap_free(own);
        } else {
            all = own;
        }
    }
    if (!all)
        all = roaring_bitmap_create();
    if (!all)
        return err_no_memory(err);
    *ret = all;
    return true;
}

/* The slots that satisfy a clause, whatever their language. */
static bool clause_slots(const struct clause *clause, const struct bm25 *bm25,
                         roaring_bitmap_t **ret, struct err *err)
{
    roaring_bitmap_t *all;
    if (!reading_slots(clause, &clause->as[0], bm25, &all, err))
        return false;
    for (int lang = 1; lang < LANG_COUNT; lang++) {
        roaring_bitmap_t *own;
        if (!reading_slots(clause, &clause->as[lang], bm25, &own, err)) {
            roaring_bitmap_free(all);
            return false;
        }
        roaring_bitmap_or_inplace(all, own);
        roaring_bitmap_free(own);
    }
    *ret = all;
    return true;
}

/* Joins a clause's slots with those of the clauses before. */
static void join(roaring_bitmap_t **sum, roaring_bitmap_t *own, bool both)
{
    if (!*sum) {
        *sum = own;
        return;
    }
    if (both)
        roaring_bitmap_and_inplace(*sum, own);
    else
        roaring_bitmap_or_inplace(*sum, own);
    roaring_bitmap_free(own);
}

bool clause_set_make(const struct clauses *clauses, const struct content *content,
                     const struct document_filter *documents, struct clause_set *ret,
                     struct err *err)
{
    struct clause_set set = {.content = content, .documents = documents};
    for (size_t i = 0; clauses && i < clauses->count; i++) {
        const struct clause *clause = &clauses->items[i];
        roaring_bitmap_t *own;
        if (clause->excluded && clause->kind == CLAUSE_PHRASE)
            continue; /* to have its words is no sin */
        if (!clause_slots(clause, content->bm25, &own, err)) {
            clause_set_free(&set);
            return false;
        }
        join(clause->excluded ? &set.denied : &set.allowed, own, !clause->excluded);
    }
    *ret = set;
    return true;
}

void clause_set_free(struct clause_set *set)
{
    if (set->allowed)
        roaring_bitmap_free(set->allowed);
    if (set->denied)
        roaring_bitmap_free(set->denied);
    *set = (struct clause_set){.allowed = NULL};
}

bool clause_set_allows(const void *user, uint32_t slot)
{
    const struct clause_set *set = user;
    return (!set->allowed || roaring_bitmap_contains(set->allowed, slot)) &&
           (!set->denied || !roaring_bitmap_contains(set->denied, slot)) &&
           (!set->documents ||
            set->documents->allows(set->documents->user, set->content->keys[slot].document));
}

/* ---------------------------------------------------------------- phrases */

bool clauses_have_phrase(const struct clauses *clauses)
{
    for (size_t i = 0; clauses && i < clauses->count; i++)
        if (clauses->items[i].kind == CLAUSE_PHRASE)
            return true;
    return false;
}

/* Follows the phrases through a text, word by word: bit n of open[i] says that the last n + 1 words were the first ones
 * of phrase i (the shift-and of Baeza-Yates and Gonnet, 1992). */
struct phrase_reader {
    const struct clauses *clauses;
    enum lang lang;
    uint64_t open[QUERY_CLAUSES_MAX];
    bool found[QUERY_CLAUSES_MAX];
};

static uint64_t places(const struct reading *phrase, const struct text_token *token)
{
    uint64_t bits = 0;
    for (size_t i = 0; i < phrase->count; i++)
        if (phrase->words[i].plain_length == token->word_length &&
            memcmp(phrase->words[i].plain, token->word, token->word_length) == 0)
            bits |= UINT64_C(1) << i;
    return bits;
}

static bool follow(void *user, const struct text_token *token, struct err *err)
{
    (void)err;
    struct phrase_reader *reader = user;
    if (token->extra)
        return true;
    for (size_t i = 0; i < reader->clauses->count; i++) {
        const struct clause *clause = &reader->clauses->items[i];
        const struct reading *phrase = &clause->as[reader->lang];
        if (clause->kind != CLAUSE_PHRASE || phrase->count == 0)
            continue;
        reader->open[i] = (reader->open[i] << 1 | 1) & places(phrase, token);
        if (reader->open[i] >> (phrase->count - 1) & 1)
            reader->found[i] = true;
    }
    return true;
}

bool clauses_match(const struct clauses *clauses, struct text_analyzer *analyzer, const char *text,
                   size_t length, enum lang lang, bool *ret, struct err *err)
{
    struct phrase_reader reader = {.clauses = clauses, .lang = lang};
    if (length > PHRASE_TEXT_MAX)
        length = PHRASE_TEXT_MAX;
    if (!text_analyze(analyzer, text, length, lang, follow, &reader, err))
        return false;
    bool match = true;
    for (size_t i = 0; i < clauses->count; i++)
        if (clauses->items[i].kind == CLAUSE_PHRASE)
            match = match && reader.found[i] == !clauses->items[i].excluded;
    *ret = match;
    return true;
}

/* ---------------------------------------------------------------- prefixes */

struct expander {
    struct bm25_query *query;
    enum lang lang;
    size_t added;
    struct err *err;
    bool ok;
};

static bool add_expansion(void *user, const char *key, size_t length)
{
    struct expander *expander = user;
    if (expander->added == EXPANSIONS_MAX)
        return false;
    expander->added++;
    expander->ok =
        bm25_query_add(expander->query, key + 1, length - 1, expander->lang, expander->err);
    return expander->ok;
}

bool clauses_expand(const struct clauses *clauses, const struct content *content,
                    struct bm25_query *query, struct err *err)
{
    for (size_t i = 0; clauses && i < clauses->count; i++) {
        const struct clause *clause = &clauses->items[i];
        for (int lang = 0; clause->kind == CLAUSE_PREFIX && !clause->excluded && lang < LANG_COUNT;
             lang++) {
            const struct reading *reading = &clause->as[lang];
            struct expander expander = {
                .query = query, .lang = (enum lang)lang, .err = err, .ok = true};
            if (reading->count == 0)
                continue;
            const struct word *last = &reading->words[reading->count - 1];
            bm25_each_key(content->bm25, last->key, last->length, add_expansion, &expander);
            if (!expander.ok)
                return false;
        }
    }
    return true;
}
