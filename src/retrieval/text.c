/* How text becomes terms: text_words.c finds and folds the words and drops their accents, then
 * Snowball stems them. In this order "cancion" and "canción" are one word wherever they stand.
 * Stemming first would read some endings better ("comía") and find less for those who type without
 * accents (XQuAD in Spanish, nDCG@10: .968 with accents, .965 without; this way .967 for both).
 * Stems of frequent words are remembered: a text repeats its words, and stemming is the dearest
 * step. */
#include "retrieval/text.h"

#include <stdlib.h>
#include <string.h>

#include <libstemmer.h>

#include "base/map.h"
#include "retrieval/text_words.h"

enum {
    MEMO_SLOTS = 8192, /* a power of two */
    MEMO_BYTES = 26,   /* words and stems up to this length are remembered */
    DETECT_BYTES = 64 * 1024,
};

/* What a folded word became; an empty slot has word_length 0. */
struct memo {
    uint64_t hash;
    uint8_t word_length;
    uint8_t term_length;
    char word[MEMO_BYTES];
    char term[MEMO_BYTES];
};

struct text_analyzer {
    struct sb_stemmer *stemmers[LANG_COUNT];
    struct memo *memo[LANG_COUNT]; /* MEMO_SLOTS each, by hash; a newer word takes the place */
    char term[TEXT_TERM_MAX];      /* of the word at hand, when it is too long to be remembered */
};

bool text_analyzer_new(struct text_analyzer **ret, struct err *err)
{
    static const char *const algorithms[LANG_COUNT] = {"english", "spanish"};
    struct text_analyzer *analyzer = calloc(1, sizeof(*analyzer));
    if (!analyzer)
        return err_no_memory(err);
    for (int lang = 0; lang < LANG_COUNT; lang++) {
        analyzer->stemmers[lang] = sb_stemmer_new(algorithms[lang], NULL);
        analyzer->memo[lang] = calloc(MEMO_SLOTS, sizeof(**analyzer->memo));
        if (!analyzer->stemmers[lang] || !analyzer->memo[lang]) {
            text_analyzer_free(analyzer);
            return err_no_memory(err);
        }
    }
    *ret = analyzer;
    return true;
}

void text_analyzer_free(struct text_analyzer *analyzer)
{
    if (!analyzer)
        return;
    for (int lang = 0; lang < LANG_COUNT; lang++) {
        sb_stemmer_delete(analyzer->stemmers[lang]);
        free(analyzer->memo[lang]);
    }
    free(analyzer);
}

/* The term of a folded word into out; its length. */
static bool make_term(struct text_analyzer *analyzer, const char *word, size_t length,
                      enum lang lang, char out[TEXT_TERM_MAX], size_t *ret_length, struct err *err)
{
    struct sb_stemmer *stemmer = analyzer->stemmers[lang];
    const sb_symbol *stem = sb_stemmer_stem(stemmer, (const sb_symbol *)word, (int)length);
    if (!stem)
        return err_no_memory(err);
    size_t stem_length = (size_t)sb_stemmer_length(stemmer);
    if (stem_length == 0 || stem_length > TEXT_TERM_MAX) {
        stem = (const sb_symbol *)word;
        stem_length = length;
    }
    memcpy(out, stem, stem_length);
    *ret_length = stem_length;
    return true;
}

/* Fills token->term for token->word, from memory when it is there. */
static bool find_term(struct text_analyzer *analyzer, enum lang lang, struct text_token *token,
                      struct err *err)
{
    uint64_t hash = map_hash(token->word, token->word_length);
    struct memo *memo = &analyzer->memo[lang][hash & (MEMO_SLOTS - 1)];
    if (memo->hash != hash || memo->word_length != token->word_length ||
        memcmp(memo->word, token->word, token->word_length) != 0) {
        if (!make_term(analyzer, token->word, token->word_length, lang, analyzer->term,
                       &token->length, err))
            return false;
        token->term = analyzer->term;
        if (token->word_length > MEMO_BYTES || token->length > MEMO_BYTES)
            return true;
        memo->hash = hash;
        memo->word_length = (uint8_t)token->word_length;
        memo->term_length = (uint8_t)token->length;
        memcpy(memo->word, token->word, token->word_length);
        memcpy(memo->term, token->term, token->length);
    }
    token->term = memo->term;
    token->length = memo->term_length;
    return true;
}

/* One walk through a text. */
struct walk {
    struct text_analyzer *analyzer;
    const char *text;
    size_t length;
    enum lang lang;
    enum accents accents;
    bool (*visit)(void *user, const struct text_token *token, struct err *err);
    void *user;
    /* The name that the words at hand may be part of: folded, joined by hyphens. */
    char name[TEXT_TERM_MAX];
    size_t name_length;
    size_t name_start; /* in the text */
    size_t name_end;
    size_t name_words;
    bool name_special; /* has a digit or an underscore */
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* A token beside those of the text's words. */
static bool visit_extra(struct walk *walk, const char *term, size_t length, size_t start,
                        size_t end, struct err *err)
{
    struct text_token token = {.term = term,
                               .length = length,
                               .word = term,
                               .word_length = length,
                               .offset = start,
                               .source_length = end - start,
                               .extra = true};
    return walk->visit(walk->user, &token, err);
}

/* The runs of letters and of digits of a word that has both, when they are longer than one. */
static bool visit_parts(struct walk *walk, const char *word, size_t length, size_t start,
                        size_t end, struct err *err)
{
    size_t from = 0;
    for (size_t at = 1; at <= length; at++) {
        if (at < length && is_digit(word[at]) == is_digit(word[from]))
            continue;
        if (from == 0 && at == length)
            return true; /* all of one kind */
        if (at - from > 1 && !visit_extra(walk, word + from, at - from, start, end, err))
            return false;
        from = at;
    }
    return true;
}

/* Ends the name at hand: several words with a digit or an underscore are one more token. */
static bool end_name(struct walk *walk, struct err *err)
{
    bool whole = walk->name_words > 1 && walk->name_special;
    walk->name_words = 0;
    return !whole ||
           visit_extra(walk, walk->name, walk->name_length, walk->name_start, walk->name_end, err);
}

/* Whether a word goes on with the name at hand. */
static bool joins(const struct walk *walk, const struct text_token *token)
{
    return walk->name_words > 0 && token->offset == walk->name_end + 1 &&
           memchr("-_./:", walk->text[walk->name_end], 5) != NULL &&
           walk->name_length + 1 + token->word_length <= TEXT_TERM_MAX;
}

/* Makes a word part of the name at hand, or the beginning of another. */
static void follow_name(struct walk *walk, const struct text_token *token, bool joined)
{
    if (joined) {
        walk->name_special |= walk->text[walk->name_end] == '_';
        walk->name[walk->name_length++] = '-';
    } else {
        walk->name_length = 0;
        walk->name_start = token->offset;
        walk->name_special = false;
    }
    memcpy(walk->name + walk->name_length, token->word, token->word_length);
    walk->name_length += token->word_length;
    walk->name_end = token->offset + token->source_length;
    walk->name_words++;
    for (size_t i = 0; i < token->word_length && !walk->name_special; i++)
        walk->name_special = is_digit(token->word[i]);
}

static bool visit_word(struct walk *walk, size_t start, size_t end, bool ascii, struct err *err)
{
    char word[TEXT_TERM_MAX];
    struct text_token token = {.word = word, .offset = start, .source_length = end - start};
    token.word_length = text_fold(walk->text + start, end - start, ascii, walk->accents, word);
    if (token.word_length == 0)
        return true;
    if (!find_term(walk->analyzer, walk->lang, &token, err))
        return false;
    bool joined = joins(walk, &token);
    if ((!joined && !end_name(walk, err)) ||
        (token.length > 0 && !walk->visit(walk->user, &token, err)) ||
        (ascii && !visit_parts(walk, word, token.word_length, start, end, err)))
        return false;
    follow_name(walk, &token, joined);
    return true;
}

bool text_analyze(struct text_analyzer *analyzer, const char *text, size_t length, enum lang lang,
                  bool (*visit)(void *user, const struct text_token *token, struct err *err),
                  void *user, struct err *err)
{
    struct walk walk = {
        .analyzer = analyzer,
        .text = text,
        .length = length,
        .lang = lang,
        .accents = lang == LANG_ES ? ACCENTS_DROP_SAVE_TILDE : ACCENTS_DROP,
        .visit = visit,
        .user = user,
    };
    size_t cursor = 0;
    size_t start;
    size_t end;
    bool ascii;
    while (text_next_word(text, length, &cursor, &start, &end, &ascii))
        if (!visit_word(&walk, start, end, ascii, err))
            return false;
    return end_name(&walk, err);
}

/* ---------------------------------------------------------------- which language */

static bool ends_with(const char *word, size_t length, const char *ending)
{
    size_t size = strlen(ending);
    return length > size + 1 && memcmp(word + length - size, ending, size) == 0;
}

static bool ends_with_any(const char *word, size_t length, const char *const *endings)
{
    for (; *endings; endings++)
        if (ends_with(word, length, *endings))
            return true;
    return false;
}

static bool contains(const char *word, size_t length, const char *part)
{
    return memmem(word, length, part, strlen(part)) != NULL;
}

/* How much a folded word speaks for each language: a stop word of only one of them weighs 4, a
 * letter that only Spanish has 3, an ending or letters that are common in one of them 1. */
static void weigh_word(const char *word, size_t length, unsigned weight[LANG_COUNT])
{
    static const char *const english[] = {"ing", "tion", "ed", "ly", "ness", "ck", "sh", NULL};
    static const char *const spanish[] = {"cion",  "ción", "ciones", "mente", "dad",
                                          "ado",   "ada",  "ados",   "adas",  "encia",
                                          "ancia", "illo", "illa",   "aje",   NULL};
    char plain[TEXT_TERM_MAX];
    size_t plain_length = text_fold(word, length, false, ACCENTS_DROP_SAVE_TILDE, plain);
    bool stop_en = text_is_stop_word(plain, plain_length, LANG_EN);
    bool stop_es = text_is_stop_word(plain, plain_length, LANG_ES);
    if (stop_en != stop_es)
        weight[stop_en ? LANG_EN : LANG_ES] += 4;
    if (stop_en || stop_es)
        return;
    if (contains(word, length, "\xC3\xB1")) /* ñ */
        weight[LANG_ES] += 3;
    else if (contains(word, length, "\xC3\xA1") || contains(word, length, "\xC3\xAD") ||
             contains(word, length, "\xC3\xB3") || contains(word, length, "\xC3\xBA"))
        weight[LANG_ES] += 2; /* á í ó ú */
    weight[LANG_EN] += ends_with_any(word, length, english);
    weight[LANG_EN] += length > 2 && (memcmp(word, "th", 2) == 0 || memcmp(word, "wh", 2) == 0);
    weight[LANG_ES] += ends_with_any(word, length, spanish);
}

enum lang text_detect(const char *text, size_t length, enum lang fallback)
{
    if (length > DETECT_BYTES)
        length = DETECT_BYTES;
    unsigned weight[LANG_COUNT] = {0};
    if (memmem(text, length, "\xC2\xBF", 2) || memmem(text, length, "\xC2\xA1", 2)) /* ¿ ¡ */
        weight[LANG_ES] += 4;
    char word[TEXT_TERM_MAX];
    size_t cursor = 0;
    size_t start;
    size_t end;
    bool ascii;
    while (text_next_word(text, length, &cursor, &start, &end, &ascii))
        weigh_word(word, text_fold(text + start, end - start, ascii, ACCENTS_KEEP, word), weight);
    if (weight[LANG_EN] == weight[LANG_ES])
        return fallback;
    return weight[LANG_EN] > weight[LANG_ES] ? LANG_EN : LANG_ES;
}
