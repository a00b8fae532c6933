/* The prompt fits the context whatever is put into it, and keeps what matters most. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "assistant/prompt.h"
#include "helper/testing.h"

/* One token a word. */
static bool count_words(void *user, const char *const *texts, size_t count, uint32_t *ret_tokens,
                        struct err *err)
{
    (void)user;
    (void)err;
    for (size_t i = 0; i < count; i++) {
        uint32_t words = 0;
        for (const char *at = texts[i]; *at; at++)
            words += (at == texts[i] || at[-1] == ' ') && *at != ' ';
        ret_tokens[i] = words;
    }
    return true;
}

static uint32_t total_words(const struct prompt *prompt)
{
    uint32_t total = 0;
    for (size_t i = 0; i < prompt->message_count; i++) {
        uint32_t words;
        struct err err;
        count_words(NULL, &prompt->messages[i].content, 1, &words, &err);
        total += words;
    }
    return total;
}

static struct search_hit hit(const char *text)
{
    return (struct search_hit){.path = "/docs/a.txt", .text = text};
}

static void test_everything_fits(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 1 << 20);
    const struct msg_chat_message messages[] = {
        {"user", "hello"}, {"assistant", "hi"}, {"user", "what is it"}};
    const struct search_hit hits[] = {hit("first passage"), hit("second passage")};
    struct prompt_input input = {messages, 3, hits, 2, 4096, 256, LANG_EN, count_words, NULL};
    struct prompt prompt;
    struct err err;
    assert_true(prompt_build(&input, &arena, &prompt, &err));
    assert_int_equal(prompt.passages, 2);
    assert_int_equal(prompt.message_count, 4);
    assert_string_equal(prompt.messages[0].role, "system");
    assert_non_null(strstr(prompt.messages[0].content, "[1] (a.txt)\nfirst passage"));
    assert_non_null(strstr(prompt.messages[0].content, "[2] (a.txt)\nsecond passage"));
    assert_string_equal(prompt.messages[3].content, "what is it");
    arena_free(&arena);
}

static void test_too_small_a_context(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 1 << 20);
    const struct msg_chat_message messages[] = {{"user", "what is it"}};
    struct prompt_input input = {messages, 1, NULL, 0, 64, 16, LANG_ES, count_words, NULL};
    struct prompt prompt;
    struct err err;
    assert_false(prompt_build(&input, &arena, &prompt, &err));
    assert_int_equal(err.code, ERR_CONTEXT_LENGTH);
    arena_free(&arena);
}

/* Property: for any sizes the prompt and its answer fit, and the question is always the last message. */
static void test_random_sizes(void **state)
{
    (void)state;
    struct testing_random random;
    testing_seed(&random);
    char long_text[4001];
    for (size_t i = 0; i < 4000; i++)
        long_text[i] = i % 2 ? ' ' : 'w';
    long_text[4000] = '\0';
    for (int round = 0; round < 500; round++) {
        struct arena arena;
        arena_init(&arena, 1 << 22);
        struct msg_chat_message messages[6];
        struct search_hit hits[10];
        size_t message_count = 1 + (size_t)testing_below(&random, 6);
        size_t hit_count = (size_t)testing_below(&random, 11);
        for (size_t i = 0; i < message_count; i++)
            messages[i] =
                (struct msg_chat_message){"user", long_text + 2 * testing_below(&random, 2000)};
        messages[message_count - 1].content = "the question";
        for (size_t i = 0; i < hit_count; i++)
            hits[i] = hit(long_text + 2 * testing_below(&random, 2000));
        uint32_t context = 256 + (uint32_t)testing_below(&random, 4096);
        struct prompt_input input = {messages, message_count, hits,        hit_count, context,
                                     64,       LANG_EN,       count_words, NULL};
        struct prompt prompt;
        struct err err;
        assert_true(prompt_build(&input, &arena, &prompt, &err));
        assert_true(total_words(&prompt) + 64 <= context);
        assert_string_equal(prompt.messages[prompt.message_count - 1].content, "the question");
        assert_true(prompt.passages <= hit_count);
        arena_free(&arena);
    }
}

static void test_question(void **state)
{
    (void)state;
    const struct msg_chat_message messages[] = {
        {"user", "first"}, {"user", "last"}, {"assistant", "x"}};
    assert_string_equal(prompt_question(messages, 3), "last");
    assert_null(prompt_question(messages + 2, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything_fits),
        cmocka_unit_test(test_too_small_a_context),
        cmocka_unit_test(test_random_sizes),
        cmocka_unit_test(test_question),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
