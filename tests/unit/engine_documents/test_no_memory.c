/* The document parser with each of its own allocations failing once (those inside of lexbor and md4c do not: a worker
 * that they break costs one document). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/parse.h"
#include "helper/failing.h"

enum { ARENA_MAX = 1 << 20, FRAME_MAX = 1 << 20 };

struct input {
    const char *name;
    const char *bytes;
    size_t length;
};

static bool parse(void *user, struct err *err)
{
    const struct input *input = user;
    struct arena arena;
    arena_init(&arena, ARENA_MAX);
    struct msg_parse request = {
        .name = input->name, .bytes = (const uint8_t *)input->bytes, .length = input->length};
    struct msg_parsed parsed = {.file_length = 99999};
    bool ok = parse_document(&request, NULL, &arena, &parsed, err);
    assert_int_equal(parsed.file_length, ok ? input->length : 99999);
    assert_true(!ok || parsed.text_length > 0);
    arena_free(&arena);
    return ok;
}

static bool answer_frame(void *user, struct err *err)
{
    const struct input *input = user;
    struct str payload;
    struct str answer;
    str_init(&payload, FRAME_MAX);
    str_init(&answer, FRAME_MAX);
    struct msg_parse request = {
        .name = input->name, .bytes = (const uint8_t *)input->bytes, .length = input->length};
    msg_put_parse(&payload, &request);
    bool ok = str_check(&payload, "the request", err) &&
              parse_frame(payload.data, payload.length, NULL, &answer, err);
    str_free(&payload);
    str_free(&answer);
    return ok;
}

static bool open_converter(void *user, struct err *err)
{
    (void)user;
    struct charset_converter *converter = NULL;
    bool ok = charset_open("koi8-r", &converter, err);
    assert_true(ok == (converter != NULL));
    charset_close(converter);
    return ok;
}

static void test_documents(void **state)
{
    (void)state;
    static const char html[] = "<title>T</title><h1>A</h1><p>caf&eacute; se\xf1or<ul><li>x</ul>";
    static const char markdown[] = "# Title\n\ntext\n";
    static const char wide[] = "\xff\xfe"
                               "a\0b\0c\0";
    struct input inputs[] = {
        {"a.html", html, sizeof(html) - 1},
        {"a.md", markdown, sizeof(markdown) - 1},
        {"a.txt", wide, sizeof(wide) - 1},
        {"a.txt", "se\xf1or", 5},
    };
    for (size_t i = 0; i < sizeof(inputs) / sizeof(*inputs); i++) {
        assert_true(failing_each(parse, &inputs[i]) >= 2);
        assert_true(failing_each(answer_frame, &inputs[i]) >= 3);
    }
    assert_int_equal(failing_each(open_converter, NULL), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_documents),
    };
    charset_find_modules();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
