/* Where the models that came with the program are found: beside an installed program, beside a built one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "assistant/house.h"
#include "base/fs.h"
#include "helper/testing.h"

/* Makes directory/folder with the file "m.gguf" in it. */
static void place(const char *directory, const char *folder)
{
    struct err err;
    char *made = testing_path(directory, folder);
    assert_true(fs_make_dirs(made, &err));
    free(testing_file(made, "m.gguf", "x", 1));
    free(made);
}

static void expect_found(const char *directory, const char *program, const char *expected)
{
    char *binary = testing_path(directory, program);
    char *found = house_model(binary, "m.gguf");
    assert_non_null(found);
    size_t length = strlen(expected);
    assert_true(strlen(found) > length);
    assert_string_equal(found + strlen(found) - length, expected);
    free(found);
    free(binary);
}

static void test_installed_and_built(void **state)
{
    (void)state;
    char *directory = testing_directory();
    place(directory, "checkout/models");
    place(directory, "prefix/share/jarvis/models");
    place(directory, "prefix/models"); /* not ours when the right place exists */
    place(directory, "checkout/build");
    place(directory, "prefix/bin");
    expect_found(directory, "checkout/build/jarvis", "/checkout/models/m.gguf");
    expect_found(directory, "prefix/bin/jarvis", "/prefix/share/jarvis/models/m.gguf");
    testing_remove(directory);
}

static void test_none(void **state)
{
    (void)state;
    char *directory = testing_directory();
    char *binary = testing_path(directory, "jarvis");
    assert_null(house_model(binary, "no-such-model.gguf"));
    assert_null(house_model("jarvis", "no-such-model.gguf"));
    free(binary);
    testing_remove(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_installed_and_built),
        cmocka_unit_test(test_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
