/* LocalAgreement-2 on runs that the test makes up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "helper/testing.h"
#include "voice/agreement.h"

enum { WORD_MS = 300, WORDS_MAX = 64 };

struct heard {
    struct agreement *agreement;
    char final[4096]; /* all confirmed words so far */
    char partial[4096];
};

static void begin(struct heard *heard)
{
    struct err err;
    memset(heard, 0, sizeof(*heard));
    assert_true(agreement_open(&heard->agreement, &err));
}

static void put(char *out, size_t size, const struct agreement_word *word)
{
    size_t used = strlen(out);
    snprintf(out + used, size - used, "%s%s", used ? " " : "", word->text);
}

/* A run hears `text`, its first word at from_ms, each of WORD_MS; the stream is at now_ms. */
static void run(struct heard *heard, const char *text, int64_t from_ms, int64_t now_ms,
                bool is_last)
{
    struct agreement_word words[WORDS_MAX];
    struct agreement_update update;
    struct err err;
    char copy[1024], *rest = copy, *word;
    size_t count = 0;
    snprintf(copy, sizeof(copy), "%s", text);
    while ((word = strsep(&rest, " ")) && *word) {
        words[count] = (struct agreement_word){word, from_ms + (int64_t)count * WORD_MS,
                                               from_ms + (int64_t)(count + 1) * WORD_MS};
        count++;
    }
    assert_true(agreement_update(heard->agreement, words, count, now_ms, is_last, &update, &err));
    memset(copy, 'x', sizeof(copy) - 1); /* the words were copied */
    heard->partial[0] = '\0';
    for (size_t i = 0; i < update.final_count; i++)
        put(heard->final, sizeof(heard->final), &update.final[i]);
    for (size_t i = 0; i < update.partial_count; i++)
        put(heard->partial, sizeof(heard->partial), &update.partial[i]);
}

static void expect(const struct heard *heard, const char *final, const char *partial)
{
    assert_string_equal(heard->final, final);
    assert_string_equal(heard->partial, partial);
}

static void two_runs_confirm(void **state)
{
    (void)state;
    struct heard heard;
    begin(&heard);
    run(&heard, "ask not", 0, 2000, false);
    expect(&heard, "", "ask not");
    run(&heard, "Ask not, what your", 0, 3000, false);
    expect(&heard, "Ask not,", "what your");
    assert_int_equal(agreement_trim_ms(heard.agreement), 600);
    run(&heard, "what you country", 600, 4000, false);
    expect(&heard, "Ask not, what", "you country");
    run(&heard, "your country can", 900, 5000, false);
    expect(&heard, "Ask not, what", "your country can");
    run(&heard, "your country can do", 900, 5000, true);
    expect(&heard, "Ask not, what your country can do", "");
    agreement_close(heard.agreement);
}

static void the_end_of_the_sound_is_not_trusted(void **state)
{
    (void)state;
    struct heard heard;
    begin(&heard);
    run(&heard, "one two three", 0, 900, false);
    run(&heard, "one two three", 0, 1000, false); /* "two" ends 400 ms before the end */
    expect(&heard, "one", "two three");
    run(&heard, "one two three", 0, 2000, false); /* "one" is known already */
    expect(&heard, "one two three", "");
    run(&heard, "one two three", 0, 3000, true);
    expect(&heard, "one two three", "");
    agreement_close(heard.agreement);
}

static void nothing_heard_is_nothing_confirmed(void **state)
{
    (void)state;
    struct heard heard;
    begin(&heard);
    run(&heard, "", 0, 1000, false);
    run(&heard, "one", 0, 2000, false);
    run(&heard, "", 0, 3000, false);
    run(&heard, "one", 0, 4000, false);
    expect(&heard, "", "one"); /* the two runs are not in a row */
    run(&heard, "", 0, 5000, true);
    expect(&heard, "", "");
    agreement_close(heard.agreement);
}

static void too_many_words_are_refused(void **state)
{
    (void)state;
    static struct agreement_word words[AGREEMENT_WORDS_MAX + 1];
    struct heard heard;
    struct agreement_update update;
    struct err err;
    for (size_t i = 0; i <= AGREEMENT_WORDS_MAX; i++)
        words[i] = (struct agreement_word){"a", (int64_t)i, (int64_t)i + 1};
    begin(&heard);
    assert_true(
        agreement_update(heard.agreement, words, AGREEMENT_WORDS_MAX, 9999, false, &update, &err));
    assert_false(agreement_update(heard.agreement, words, AGREEMENT_WORDS_MAX + 1, 9999, false,
                                  &update, &err));
    assert_int_equal(err.code, ERR_TOO_LARGE);
    agreement_close(heard.agreement);
}

/* A recogniser that mishears words now and then, with times that waver: what is confirmed is a beginning of the
 * sentence as it was heard at some time, in order, without a word twice, and complete at the end. */
static void a_wavering_recogniser_repeats_nothing(void **state)
{
    (void)state;
    struct testing_random random;
    testing_seed(&random);
    for (int round = 0; round < 200; round++) {
        struct heard heard;
        begin(&heard);
        enum { WORDS = 30 };
        for (int now = 3; now <= WORDS + 3; now++) {
            struct agreement_word words[WORDS];
            char texts[WORDS][16];
            size_t count = 0;
            int known = now < WORDS ? now : WORDS;
            for (int i = (int)(agreement_trim_ms(heard.agreement) / WORD_MS); i < known; i++) {
                bool wrong = i > known - 3 && testing_below(&random, 2) == 0;
                int64_t waver = (int64_t)testing_below(&random, 100) - 50;
                snprintf(texts[count], sizeof(texts[count]), "%s%d", wrong ? "x" : "w", i);
                words[count] = (struct agreement_word){texts[count], i * WORD_MS + waver,
                                                       (i + 1) * WORD_MS + waver};
                count++;
            }
            struct agreement_update update;
            struct err err;
            assert_true(agreement_update(heard.agreement, words, count, (int64_t)now * WORD_MS,
                                         false, &update, &err));
            for (size_t i = 0; i < update.final_count; i++)
                put(heard.final, sizeof(heard.final), &update.final[i]);
        }
        int number = 0;
        for (const char *at = heard.final; *at; at += strcspn(at, " "), at += *at == ' ')
            assert_int_equal(strtol(at + 1, NULL, 10), number++);
        assert_true(number >= WORDS - 4);
        agreement_close(heard.agreement);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_runs_confirm),
        cmocka_unit_test(the_end_of_the_sound_is_not_trusted),
        cmocka_unit_test(nothing_heard_is_nothing_confirmed),
        cmocka_unit_test(too_many_words_are_refused),
        cmocka_unit_test(a_wavering_recogniser_repeats_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
