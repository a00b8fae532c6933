/* Words, terms and languages. */
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "retrieval/text.h"
#include "unit/retrieval/fixture.h"

struct seen {
    const char *text;
    struct str terms; /* separated by spaces */
    size_t end;       /* of the last token */
    size_t count;
    size_t stop_after;
};

static bool see(void *user, const struct text_token *token, struct err *err)
{
    (void)err;
    struct seen *seen = user;
    assert_true(token->extra ? token->offset + token->source_length <= seen->end
                             : token->offset >= seen->end);
    assert_true(token->source_length > 0 &&
                (token->extra || token->source_length <= TEXT_WORD_MAX));
    assert_true(token->length > 0 && token->length <= TEXT_TERM_MAX);
    assert_true(utf8_valid(token->term, token->length));
    if (!token->extra)
        seen->end = token->offset + token->source_length;
    seen->count++;
    str_printf(&seen->terms, "%s%s%.*s", seen->terms.length ? " " : "", token->extra ? "=" : "",
               (int)token->length, token->term);
    return seen->count != seen->stop_after;
}

static int setup(void **state)
{
    struct text_analyzer *analyzer;
    struct err err;
    assert_ok(text_analyzer_new(&analyzer, &err), &err);
    *state = analyzer;
    return 0;
}

static int teardown(void **state)
{
    text_analyzer_free(*state);
    return 0;
}

static void assert_terms(struct text_analyzer *analyzer, const char *text, enum lang lang,
                         const char *expected)
{
    struct seen seen = {.text = text};
    struct err err;
    str_init(&seen.terms, 1 << 16);
    for (int i = 0; i < 2; i++) { /* the second time from memory */
        str_truncate(&seen.terms, 0);
        seen.end = 0;
        assert_ok(text_analyze(analyzer, text, strlen(text), lang, see, &seen, &err), &err);
        assert_string_equal(str_text(&seen.terms), expected);
    }
    str_free(&seen.terms);
}

static void test_words(void **state)
{
    assert_terms(*state, "", LANG_EN, "");
    assert_terms(*state, " \n\t.,;-", LANG_EN, "");
    assert_terms(*state, "The RUNNING ships", LANG_EN, "the run ship");
    assert_terms(*state, "RTX-5070Ti, CVE-2024-1234; foo_bar()", LANG_EN,
                 "rtx 5070ti =5070 =ti =rtx-5070ti cve 2024 1234 =cve-2024-1234 foo bar =foo-bar");
    assert_terms(*state, "well-known and/or e.g. no names; x2 v1.2.3 H\xC3\xA9 10:30", LANG_EN,
                 "well known and or e g no name x2 v1 2 3 =v1-2-3 he 10 30 =10-30");
    assert_terms(*state, "src/a_b.c - 5 _x 1990s", LANG_EN, "src a b c =src-a-b-c 5 x 1990s =1990");
    assert_terms(*state, "the licence's text, don't, 'quoted' o'clock'", LANG_EN,
                 "the licenc text don't quot o'clock");
    assert_terms(*state, "don\xE2\x80\x99t", LANG_EN, "don't"); /* ’ */
    assert_terms(*state,
                 "a\xC2\xAD"
                 "b soft\xC2\xADhyphen",
                 LANG_EN, "ab softhyphen");
}

static void test_folding(void **state)
{
    assert_terms(*state, "\xEF\xAC\x81le \xEF\xBC\xA1\xEF\xBC\x92 \xC2\xB2", LANG_EN,
                 "file a2 2"); /* ﬁ, full-width A2, ² */
    assert_terms(*state,
                 "STRASSE stra\xC3\x9F"
                 "e",
                 LANG_EN, "strass strass");
    assert_terms(*state, "caf\xC3\xA9 cafe\xCC\x81 CAF\xC3\x89", LANG_EN, "cafe cafe cafe");
    assert_terms(*state, "jalape\xC3\xB1o", LANG_EN, "jalapeno");
}

static void test_spanish(void **state)
{
    assert_terms(*state,
                 "licencia Licenc\xC3\xAD"
                 "a LICENCIAS",
                 LANG_ES, "licenci licenci licenci");
    assert_terms(*state, "informaci\xC3\xB3n informacion", LANG_ES, "inform inform");
    assert_terms(*state, "a\xC3\xB1o an\xCC\x83o ano", LANG_ES, "a\xC3\xB1o a\xC3\xB1o ano");
}

static void test_other_scripts(void **state)
{
    assert_terms(*state, "\xE6\x9D\xB1\xE4\xBA\xAC tower", LANG_EN,
                 "\xE6\x9D\xB1 \xE4\xBA\xAC tower"); /* 東京: a word each */
    assert_terms(*state, "\xD0\x9C\xD0\x98\xD0\xA0 \xCE\x91\xCE\xB8\xCE\xAE\xCE\xBD\xCE\xB1",
                 LANG_EN, "\xD0\xBC\xD0\xB8\xD1\x80 \xCE\xB1\xCE\xB8\xCE\xB7\xCE\xBD\xCE\xB1");
}

static void test_broken_text(void **state)
{
    assert_terms(*state,
                 "good\xFF"
                 "bad\xC3 end\xE2\x82",
                 LANG_EN, "good bad end");
    struct testing_random random;
    testing_seed(&random);
    struct err err;
    for (int round = 0; round < 300; round++) {
        char bytes[512];
        size_t length = testing_below(&random, sizeof(bytes));
        for (size_t i = 0; i < length; i++)
            bytes[i] = (char)testing_next(&random);
        struct seen seen = {.text = bytes};
        str_init(&seen.terms, 1 << 16);
        assert_ok(
            text_analyze(*state, bytes, length, round % 2 ? LANG_ES : LANG_EN, see, &seen, &err),
            &err);
        assert_true(seen.end <= length);
        str_free(&seen.terms);
    }
}

/* A word without end is taken in pieces, and expansions (one character, 18 letters) are bounded. */
static void test_long_words(void **state)
{
    struct seen seen = {.text = NULL};
    struct err err;
    str_init(&seen.terms, 1 << 21);
    char *text = malloc(1000000);
    memset(text, 'a', 1000000);
    assert_ok(text_analyze(*state, text, 1000000, LANG_EN, see, &seen, &err), &err);
    assert_int_equal(seen.count, (1000000 + TEXT_WORD_MAX - 1) / TEXT_WORD_MAX);
    for (size_t i = 0; i + 3 <= 300000; i += 3)
        memcpy(text + i, "\xEF\xB7\xBA", 3);
    seen.end = 0;
    assert_ok(text_analyze(*state, text, 300000, LANG_ES, see, &seen, &err), &err);
    free(text);
    str_free(&seen.terms);
}

static void test_visitor_stops(void **state)
{
    struct seen seen = {.stop_after = 2};
    str_init(&seen.terms, 100);
    struct err err;
    assert_false(text_analyze(*state, "one two three", 13, LANG_EN, see, &seen, &err));
    assert_int_equal(seen.count, 2);
    str_free(&seen.terms);
}

static enum lang detect(const char *text, enum lang fallback)
{
    return text_detect(text, strlen(text), fallback);
}

static void test_detection(void **state)
{
    (void)state;
    static const char *const english[] = {"what is the licence of this program", "installing",
                                          "How do I build it?", "who are you",
                                          "kernel memory management when the disk is full"};
    static const char *const spanish[] = {"qué licencia tiene este programa",
                                          "instalación",
                                          "¿Cómo se compila?",
                                          "como se compila el programa",
                                          "gestion de la memoria del nucleo",
                                          "año"};
    for (size_t i = 0; i < sizeof(english) / sizeof(*english); i++)
        assert_int_equal(detect(english[i], LANG_ES), LANG_EN);
    for (size_t i = 0; i < sizeof(spanish) / sizeof(*spanish); i++)
        assert_int_equal(detect(spanish[i], LANG_EN), LANG_ES);
    for (int lang = 0; lang < LANG_COUNT; lang++) {
        assert_int_equal(detect("", (enum lang)lang), lang);
        assert_int_equal(detect("kernel 5.4", (enum lang)lang), lang);
        assert_int_equal(detect("RTX-5070", (enum lang)lang), lang);
    }
}

static void test_stop_words(void **state)
{
    (void)state;
    static const char *const english[] = {"a", "about", "the", "your", "you're", "which"};
    static const char *const spanish[] = {"a", "al", "el", "que", "yo", "tambien"};
    for (size_t i = 0; i < 6; i++) {
        assert_true(text_is_stop_word(english[i], strlen(english[i]), LANG_EN));
        assert_true(text_is_stop_word(spanish[i], strlen(spanish[i]), LANG_ES));
        assert_false(text_is_stop_word("zzz", 3, (enum lang)(i % 2)));
    }
    assert_false(text_is_stop_word("th", 2, LANG_EN));
    assert_false(text_is_stop_word("thesis", 6, LANG_EN));
    assert_false(text_is_stop_word("", 0, LANG_EN));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_words),         CASE(test_folding),     CASE(test_spanish),
        CASE(test_other_scripts), CASE(test_broken_text), CASE(test_long_words),
        CASE(test_visitor_stops), CASE(test_detection),   CASE(test_stop_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
