/* Names that may reach iconv: a parser worker gets them from a document. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "orchestrator/internal.h"

static void test_charset_names(void **state)
{
    (void)state;
    static const char *const good[] = {
        "UTF-8",        "ISO-8859-1", "ISO_8859-1:1987",
        "windows-1252", "x",          "A123456789B123456789C123456789D123456789"};
    static const char *const bad[] = {
        "",  "../x", "UTF-8//TRANSLIT", "a b",
        "ü", "a\n",  "x;rm -rf",        "A123456789B123456789C123456789D1234567890"};
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
        if (!parser_charset_valid(good[i]))
            fail_msg("\"%s\" is refused", good[i]);
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        if (parser_charset_valid(bad[i]))
            fail_msg("\"%s\" is accepted", bad[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_charset_names)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
