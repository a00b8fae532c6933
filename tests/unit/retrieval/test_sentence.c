/* Where sentences end. */
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "retrieval/sentence.h"
#include "unit/retrieval/fixture.h"

/* `expected`: the sentences, separated by "|". */
static void assert_sentences(const char *text, const char *expected)
{
    struct str found;
    str_init(&found, 1 << 16);
    size_t cursor = 0;
    size_t start;
    size_t end;
    while (sentence_next(text, strlen(text), &cursor, &start, &end))
        str_printf(&found, "%s%.*s", found.length ? "|" : "", (int)(end - start), text + start);
    assert_string_equal(str_text(&found), expected);
    str_free(&found);
}

static void test_english(void **state)
{
    (void)state;
    assert_sentences("", "");
    assert_sentences(" \n ", "");
    assert_sentences("One. Two! Three? Four", "One.|Two!|Three?|Four");
    assert_sentences("Mr. Smith met Dr. Jones. They talked.",
                     "Mr. Smith met Dr. Jones.|They talked.");
    assert_sentences("See e.g. the manual, i.e. Chapter 2. Done.",
                     "See e.g. the manual, i.e. Chapter 2.|Done.");
    assert_sentences("J. R. Smith wrote it. So did I. We agree.",
                     "J. R. Smith wrote it.|So did I.|We agree.");
    assert_sentences("See No. 5 and Fig. 3. He said no. Then he left.",
                     "See No. 5 and Fig. 3.|He said no.|Then he left.");
    assert_sentences("Version 3.5 is out. It is 2.5x faster.",
                     "Version 3.5 is out.|It is 2.5x faster.");
    assert_sentences("He said \"Stop.\" Then (as always.) She left.",
                     "He said \"Stop.\"|Then (as always.)|She left.");
    assert_sentences("Wait... what? Yes.", "Wait... what?|Yes.");
    assert_sentences("a tokenised text . it goes on .", "a tokenised text .|it goes on .");
}

static void test_spanish(void **state)
{
    (void)state;
    assert_sentences("El Sr. Pérez vive en la Avda. Mayor. ¿Dónde? ¡Aquí!",
                     "El Sr. Pérez vive en la Avda. Mayor.|¿Dónde?|¡Aquí!");
    assert_sentences("Véase la pág. 12, núm. 3. Fin.", "Véase la pág. 12, núm. 3.|Fin.");
    assert_sentences("Frutas, p. ej. peras. Nada más.", "Frutas, p. ej. peras.|Nada más.");
    assert_sentences("Dijo: «Basta». Se fue.", "Dijo: «Basta».|Se fue.");
    assert_sentences("Fin de la frase. Ávila es otra. Últimas.",
                     "Fin de la frase.|Ávila es otra.|Últimas.");
}

static void test_structure(void **state)
{
    (void)state;
    assert_sentences("A title\n\nIts text\ngoes on. End.", "A title|Its text\ngoes on.|End.");
    assert_sentences("List:\n- one\n- two\n* three\n", "List:|- one|- two|* three");
    assert_sentences("1. First of all. 2. Then.\n3. Last", "1. First of all.|2. Then.|3. Last");
    assert_sentences("one \r\n\r\n two", "one|two");
}

/* Whatever the text: sentences ascend and leave nothing out but white space. */
static void test_covers_everything(void **state)
{
    (void)state;
    static const char alphabet[] = "ab. \n!?-1)\"A\xC3\xB3\xE2\x80\xA6\xE3\x80\x82";
    struct testing_random random;
    testing_seed(&random);
    for (int round = 0; round < 2000; round++) {
        char text[200] = {0};
        size_t length = testing_below(&random, sizeof(text));
        for (size_t i = 0; i < length; i++)
            text[i] = alphabet[testing_below(&random, sizeof(alphabet) - 1)];
        size_t cursor = 0;
        size_t before = 0;
        size_t start;
        size_t end;
        while (sentence_next(text, length, &cursor, &start, &end)) {
            assert_true(start >= before && end > start && end <= length && cursor >= end);
            for (size_t i = before; i < start; i++)
                assert_non_null(strchr(" \n", text[i]));
            assert_null(strchr(" \n", text[start]));
            assert_null(strchr(" \n", text[end - 1]));
            before = end;
        }
        for (size_t i = before; i < length; i++)
            assert_non_null(strchr(" \n", text[i]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_english),
        cmocka_unit_test(test_spanish),
        cmocka_unit_test(test_structure),
        cmocka_unit_test(test_covers_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
