/* BM25 against a second computation, written as the formula reads: no index, only lists of words.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/vec.h"
#include "retrieval/bm25.h"
#include "unit/retrieval/fixture.h"

/* ---------------------------------------------------------------- the second computation */

enum { WORDS_MAX = 400, PASSAGES = 300 };

struct words {
    char terms[WORDS_MAX][32];
    size_t count;
    enum lang lang;
};

static bool take(void *user, const struct text_token *token, struct err *err)
{
    (void)err;
    struct words *words = user;
    assert_true(words->count < WORDS_MAX && token->length < 32);
    memcpy(words->terms[words->count], token->term, token->length);
    words->terms[words->count++][token->length] = '\0';
    return true;
}

static size_t times(const struct words *words, const char *term)
{
    size_t n = 0;
    for (size_t i = 0; i < words->count; i++)
        n += strcmp(words->terms[i], term) == 0;
    return n;
}

/* `question` has the words of the question as read in the passage's language. */
static double reference(const struct words *passages, const bool *present, size_t count,
                        const struct words *question, size_t passage)
{
    size_t n = 0;
    double total = 0;
    for (size_t i = 0; i < count; i++)
        if (present[i]) {
            n++;
            total += (double)passages[i].count;
        }
    double score = 0;
    for (size_t q = 0; q < question->count; q++) { /* a word that is there twice counts twice */
        const char *term = question->terms[q];
        size_t df = 0;
        for (size_t i = 0; i < count; i++)
            df += present[i] && times(&passages[i], term) > 0;
        double tf = (double)times(&passages[passage], term);
        double idf = log(1 + ((double)n - (double)df + 0.5) / ((double)df + 0.5));
        double length = (double)passages[passage].count / (total / (double)n);
        score += idf * tf * 2.2 / (tf + 1.2 * (0.25 + 0.75 * length));
    }
    return score;
}

/* ---------------------------------------------------------------- fixtures */

struct corpus {
    struct bm25 *bm25;
    struct text_analyzer *analyzer;
    struct words *passages;
    bool *present;
    size_t count;
    struct testing_random random;
};

static int setup(void **state)
{
    struct corpus *corpus = calloc(1, sizeof(*corpus));
    struct err err;
    assert_ok(bm25_new(&corpus->bm25, &err), &err);
    bm25_set_tail(corpus->bm25, 16);
    assert_ok(text_analyzer_new(&corpus->analyzer, &err), &err);
    corpus->passages = calloc(PASSAGES * 2, sizeof(*corpus->passages));
    corpus->present = calloc(PASSAGES * 2, sizeof(*corpus->present));
    testing_seed(&corpus->random);
    *state = corpus;
    return 0;
}

static int teardown(void **state)
{
    struct corpus *corpus = *state;
    bm25_free(corpus->bm25);
    text_analyzer_free(corpus->analyzer);
    free(corpus->passages);
    free(corpus->present);
    free(corpus);
    return 0;
}

static void add(struct corpus *corpus, const char *text, enum lang lang)
{
    struct err err;
    struct words *words = &corpus->passages[corpus->count];
    words->lang = lang;
    words->count = 0;
    assert_ok(text_analyze(corpus->analyzer, text, strlen(text), lang, take, words, &err), &err);
    assert_ok(bm25_add(corpus->bm25, corpus->analyzer, text, strlen(text), lang, &err), &err);
    assert_ok(bm25_upkeep(corpus->bm25, &err), &err);
    corpus->present[corpus->count++] = true;
}

/* Words of a vocabulary in which few are frequent, as in language; all of them are nouns that stay
 * apart when stemmed. */
static const char *random_word(struct testing_random *random)
{
    static const char *const vocabulary[] = {"ship",   "harbour", "captain",  "storm",   "kernel",
                                             "memory", "licence", "copy",     "river",   "window",
                                             "barco",  "puerto",  "tormenta", "memoria", "RTX",
                                             "5070",   "niño",    "canción",  "x",       "cliff"};
    size_t a = testing_below(random, 20);
    size_t b = testing_below(random, 20);
    return vocabulary[a < b ? a : b];
}

static void random_text(struct testing_random *random, size_t words, struct str *text)
{
    str_truncate(text, 0);
    for (size_t i = 0; i < words; i++)
        str_printf(text, "%s%s", i ? " " : "", random_word(random));
}

static bool allows_even(const void *user, uint32_t slot)
{
    (void)user;
    return slot % 2 == 0;
}

/* The pruned search finds what the plain one puts first, to the last bit. */
static void check_top(struct corpus *corpus, const struct bm25_query *query, const float *scores,
                      const struct slot_filter *filter)
{
    struct err err;
    struct top_item expected[50];
    struct top_item found[50];
    size_t want = 1 + testing_below(&corpus->random, 50);
    struct top truth = {.items = expected, .want = want};
    struct top top = {.items = found, .want = want};
    struct bm25_work work;
    uint32_t slots = bm25_slots(corpus->bm25);
    for (uint32_t slot = 0; slot < slots; slot++)
        if (scores[slot] > 0 && (!filter || filter->allows(filter->user, slot)))
            top_offer(&truth, (struct top_item){scores[slot], slot});
    top_sort(&truth);
    assert_ok(bm25_top(corpus->bm25, query, filter, &top, &work, &err), &err);
    assert_int_equal(top.count, truth.count);
    assert_true(work.postings <= work.listed);
    uint32_t numbers[50];
    float again[50];
    for (size_t i = 0; i < top.count; i++) {
        assert_int_equal(found[i].number, expected[i].number);
        assert_true(found[i].score == expected[i].score);
    }
    size_t some = 0;
    for (uint32_t slot = 0; slot < slots && some < 50; slot += 1 + slots / 40)
        if (scores[slot] > 0)
            numbers[some++] = slot;
    assert_ok(bm25_scores(corpus->bm25, query, numbers, some, again, &err), &err);
    for (size_t i = 0; i < some; i++)
        assert_true(again[i] == scores[numbers[i]]);
}

/* Every passage's score for a question of words without stop words equals the second computation.
 */
static void check_scores(struct corpus *corpus, const char *text)
{
    struct err err;
    struct bm25_query query;
    assert_ok(bm25_query_make(corpus->analyzer, text, strlen(text), &query, &err), &err);
    struct words question[LANG_COUNT] = {{.count = 0}};
    for (int lang = 0; lang < LANG_COUNT; lang++)
        assert_ok(text_analyze(corpus->analyzer, text, strlen(text), (enum lang)lang, take,
                               &question[lang], &err),
                  &err);
    float *scores = calloc(corpus->count + 1, sizeof(*scores));
    assert_ok(bm25_score(corpus->bm25, &query, scores, &err), &err);
    size_t slot = 0;
    for (size_t i = 0; i < corpus->count; i++, slot++) {
        double expected = corpus->present[i]
                              ? reference(corpus->passages, corpus->present, corpus->count,
                                          &question[corpus->passages[i].lang], i)
                              : 0;
        if (fabs(scores[slot] - expected) > 1e-4 * (1 + expected))
            fail_msg("passage %zu of \"%s\": %.7g, should be %.7g", i, text, (double)scores[slot],
                     expected);
    }
    const struct slot_filter even = {.allows = allows_even};
    check_top(corpus, &query, scores, NULL);
    check_top(corpus, &query, scores, &even);
    bm25_query_free(&query);
    free(scores);
}

static void fill(struct corpus *corpus, size_t count)
{
    struct str text;
    str_init(&text, 1 << 16);
    for (size_t i = 0; i < count; i++) {
        random_text(&corpus->random, 1 + testing_below(&corpus->random, 60), &text);
        add(corpus, str_text(&text), testing_below(&corpus->random, 2) ? LANG_EN : LANG_ES);
    }
    str_free(&text);
}

static void check_random_questions(struct corpus *corpus, size_t count)
{
    struct str text;
    str_init(&text, 1 << 16);
    for (size_t i = 0; i < count; i++) {
        random_text(&corpus->random, 1 + testing_below(&corpus->random, 5), &text);
        check_scores(corpus, str_text(&text));
    }
    str_free(&text);
}

/* ---------------------------------------------------------------- many passages */

enum { MANY = 20000, RARE_WORDS = 3000, MANY_QUESTIONS = 60 };

/* Words whose frequency falls as in language, so that some lists are long and most are short. */
static void common_and_rare(struct testing_random *random, size_t words, struct str *text)
{
    str_truncate(text, 0);
    for (size_t i = 0; i < words; i++) {
        uint64_t word = testing_below(random, RARE_WORDS);
        word = testing_below(random, word + 1);
        str_printf(text, "%sq%llux", i ? " " : "",
                   (unsigned long long)testing_below(random, word + 1));
    }
}

static void add_many(struct corpus *corpus, size_t count, struct str *text)
{
    struct err err;
    for (size_t i = 0; i < count; i++) {
        common_and_rare(&corpus->random, 5 + testing_below(&corpus->random, 400), text);
        assert_ok(bm25_add(corpus->bm25, corpus->analyzer, str_text(text), text->length,
                           testing_below(&corpus->random, 4) ? LANG_EN : LANG_ES, &err),
                  &err);
        assert_ok(bm25_upkeep(corpus->bm25, &err), &err);
    }
}

static void ask_many(struct corpus *corpus, struct str *text)
{
    uint32_t slots = bm25_slots(corpus->bm25);
    float *scores = calloc(slots + 1, sizeof(*scores));
    assert_non_null(scores);
    for (size_t i = 0; i < MANY_QUESTIONS; i++) {
        struct err err;
        struct bm25_query query;
        common_and_rare(&corpus->random, 1 + testing_below(&corpus->random, 12), text);
        assert_ok(bm25_query_make(corpus->analyzer, str_text(text), text->length, &query, &err),
                  &err);
        assert_ok(bm25_score(corpus->bm25, &query, scores, &err), &err);
        check_top(corpus, &query, scores, NULL);
        bm25_query_free(&query);
    }
    free(scores);
}

/* ---------------------------------------------------------------- tests */

static void test_pruning_changes_nothing(void **state)
{
    struct corpus *corpus = *state;
    struct err err;
    struct str text;
    str_init(&text, 1 << 16);
    bm25_set_tail(corpus->bm25, 500);
    add_many(corpus, MANY, &text);
    ask_many(corpus, &text);
    for (uint32_t slot = 0; slot < MANY; slot++)
        if (testing_below(&corpus->random, 5) == 0)
            assert_ok(bm25_remove(corpus->bm25, slot, &err), &err);
    ask_many(corpus, &text);
    add_many(corpus, 3000, &text); /* joins segments that have gaps */
    ask_many(corpus, &text);
    assert_ok(bm25_compact(corpus->bm25, &err), &err);
    assert_int_equal(bm25_slots(corpus->bm25), bm25_count(corpus->bm25));
    ask_many(corpus, &text);
    str_free(&text);
}

static void test_by_hand(void **state)
{
    struct corpus *corpus = *state;
    add(corpus, "red ship", LANG_EN);
    add(corpus, "blue ship ship sails", LANG_EN);
    struct err err;
    struct bm25_query query;
    assert_ok(bm25_query_make(corpus->analyzer, "ship", 4, &query, &err), &err);
    float scores[2];
    assert_ok(bm25_score(corpus->bm25, &query, scores, &err), &err);
    /* N 2, df 2: idf = ln(1 + 0.5 / 2.5) = 0.18232156; average length 3.
     * tf 1, length 2: 0.18232156 · 2.2 / (1 + 1.2 · 0.75) = 0.21110917
     * tf 2, length 4: 0.18232156 · 4.4 / (2 + 1.2 · 1.25) = 0.22920425 */
    assert_true(fabs(scores[0] - 0.21110917) < 1e-6);
    assert_true(fabs(scores[1] - 0.22920425) < 1e-6);
    assert_true(fabs(bm25_idf(2, 2) - 0.18232156) < 1e-8);
    assert_int_equal(bm25_frequency(corpus->bm25, "ship", 4), 2);
    assert_int_equal(bm25_frequency(corpus->bm25, "none", 4), 0);
    bm25_query_free(&query);
}

static void test_equals_reference(void **state)
{
    struct corpus *corpus = *state;
    fill(corpus, PASSAGES);
    check_random_questions(corpus, 40);
}

static void test_removal_and_compaction(void **state)
{
    struct corpus *corpus = *state;
    struct err err;
    fill(corpus, PASSAGES / 2);
    for (size_t i = 0; i < corpus->count; i++)
        if (testing_below(&corpus->random, 3) == 0) {
            assert_ok(bm25_remove(corpus->bm25, (uint32_t)i, &err), &err);
            assert_ok(bm25_remove(corpus->bm25, (uint32_t)i, &err), &err);
            corpus->present[i] = false;
        }
    check_random_questions(corpus, 10);
    fill(corpus, 20);
    check_random_questions(corpus, 10);

    assert_ok(bm25_compact(corpus->bm25, &err), &err);
    size_t kept = 0;
    for (size_t i = 0; i < corpus->count; i++)
        if (corpus->present[i]) {
            corpus->passages[kept] = corpus->passages[i];
            corpus->present[kept++] = true;
        }
    corpus->count = kept;
    assert_int_equal(bm25_slots(corpus->bm25), kept);
    assert_int_equal(bm25_count(corpus->bm25), kept);
    check_random_questions(corpus, 10);
    fill(corpus, 20);
    check_random_questions(corpus, 10);
}

static void test_empty(void **state)
{
    struct corpus *corpus = *state;
    float score = 1;
    struct err err;
    struct bm25_query query;
    assert_ok(bm25_query_make(corpus->analyzer, "", 0, &query, &err), &err);
    assert_int_equal(query.count, 0);
    bm25_query_free(&query);
    assert_ok(bm25_query_make(corpus->analyzer, "ship", 4, &query, &err), &err);
    assert_ok(bm25_score(corpus->bm25, &query, &score, &err), &err);
    add(corpus, "", LANG_EN);
    assert_ok(bm25_score(corpus->bm25, &query, &score, &err), &err);
    assert_true(score == 0);
    assert_ok(bm25_remove(corpus->bm25, 0, &err), &err);
    assert_ok(bm25_compact(corpus->bm25, &err), &err);
    assert_int_equal(bm25_slots(corpus->bm25), 0);
    bm25_query_free(&query);
}

static bool has_term(const struct bm25_query *query, const char *term, enum lang lang)
{
    for (size_t i = 0; i < query->count; i++)
        if (query->terms[i].length == strlen(term) && query->terms[i].count[lang] > 0 &&
            memcmp(query->terms[i].term, term, strlen(term)) == 0)
            return true;
    return false;
}

static void test_stop_words_of_questions(void **state)
{
    struct corpus *corpus = *state;
    struct err err;
    struct bm25_query query;
    const char *text = "What is the licence of the kernel?";
    assert_ok(bm25_query_make(corpus->analyzer, text, strlen(text), &query, &err), &err);
    assert_true(has_term(&query, "licenc", LANG_EN));
    assert_true(has_term(&query, "kernel", LANG_ES));
    assert_false(has_term(&query, "the", LANG_EN));
    /* An English question's "the" is not asked of Spanish passages either, where it would be rare.
     */
    assert_false(has_term(&query, "the", LANG_ES));
    bm25_query_free(&query);
    /* Nothing else is left: then they are asked for. */
    assert_ok(bm25_query_make(corpus->analyzer, "who am I", 8, &query, &err), &err);
    assert_true(query.count > 0);
    bm25_query_free(&query);
}

static void test_many_terms(void **state)
{
    struct corpus *corpus = *state;
    struct str text;
    str_init(&text, 1 << 16);
    for (int i = 0; i < 3000; i++)
        str_printf(&text, "w%d ", i);
    struct err err;
    struct bm25_query query;
    assert_ok(bm25_query_make(corpus->analyzer, str_text(&text), text.length, &query, &err), &err);
    assert_int_equal(query.count, BM25_QUERY_TERMS_MAX);
    bm25_query_free(&query);
    str_free(&text);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_by_hand),
        CASE(test_equals_reference),
        CASE(test_removal_and_compaction),
        CASE(test_pruning_changes_nothing),
        CASE(test_empty),
        CASE(test_stop_words_of_questions),
        CASE(test_many_terms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
