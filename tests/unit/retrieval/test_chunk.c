/* The chunker's promises on real, random and hostile texts, and what it does with structure. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/utf8.h"
#include "retrieval/chunk.h"
#include "unit/retrieval/fixture.h"

static bool is_white(char c)
{
    return memchr(" \t\n\v\f\r", c, 6) != NULL;
}

static bool inside_character(const char *text, size_t length, size_t at)
{
    return at < length && ((unsigned char)text[at] & 0xC0) == 0x80;
}

static size_t line_of(const char *text, size_t at)
{
    size_t line = 1;
    for (size_t i = 0; i < at; i++)
        line += text[i] == '\n';
    return line;
}

/* Everything that chunk.h promises of a list, for a text that is valid UTF-8. */
static void assert_promises(const char *text, size_t length, const struct chunk_list *list)
{
    size_t covered = 0;
    size_t line = 1;
    size_t line_at = 0;
    for (size_t i = 0; i < list->count; i++) {
        const struct chunk *chunk = &list->chunks[i];
        size_t end = (size_t)chunk->offset + chunk->length;
        assert_true(chunk->length > 0 && end <= length);
        assert_false(is_white(text[chunk->offset]));
        assert_false(is_white(text[end - 1]));
        assert_false(inside_character(text, length, chunk->offset));
        assert_false(inside_character(text, length, end));
        if (i > 0) {
            assert_true(chunk->offset > list->chunks[i - 1].offset);
            assert_true(end > covered);
        }
        for (size_t at = covered; at < chunk->offset; at++)
            assert_true(is_white(text[at]));
        covered = end;
        line += line_of(text + line_at, chunk->offset - line_at) - 1;
        line_at = chunk->offset;
        assert_int_equal(chunk->line_start, line);
        assert_int_equal(chunk->line_end, line + line_of(text + chunk->offset, chunk->length) - 1);
        assert_true(chunk->tokens > 0);
        assert_true(chunk->heading == CHUNK_HEADING_NONE || chunk->heading < list->heading_count);
    }
    for (size_t at = covered; at < length; at++)
        assert_true(is_white(text[at]));
}

static struct chunk_list chunk(const char *text, size_t length, const struct chunk_options *options)
{
    struct chunk_list list = {0};
    struct err err;
    assert_ok(chunk_text(text, length, options, &list, &err), &err);
    assert_promises(text, length, &list);
    return list;
}

static void check_all_formats(const char *text, size_t length)
{
    for (int format = DOCUMENT_AUTO; format < DOCUMENT_FORMATS; format++)
        for (uint32_t target = 1; target <= 256; target = target * 4 + (target == 1 ? 12 : 0)) {
            struct chunk_options options = {.target_tokens = target,
                                            .overlap_tokens = target / 5,
                                            .format = (enum document_format)format};
            struct chunk_list list = chunk(text, length, &options);
            chunk_list_free(&list);
        }
}

/* ---------------------------------------------------------------- promises */

static void test_real_files(void **state)
{
    (void)state;
    const char *folder = "/usr/share/common-licenses";
    DIR *directory = opendir(folder);
    if (!directory)
        skip();
    size_t files = 0;
    for (struct dirent *entry; (entry = readdir(directory));) {
        char *path = fs_join(folder, entry->d_name);
        char *text;
        size_t length;
        if (entry->d_name[0] != '.' && fs_read(path, 1 << 24, &text, &length, NULL)) {
            check_all_formats(text, length);
            free(text);
            files++;
        }
        free(path);
    }
    closedir(directory);
    assert_true(files > 0);
}

static size_t random_utf8(struct testing_random *random, char *text, size_t room)
{
    static const char common[] = "abcdefgh ijkl mnop. \n\n#-*`|=~1.>ABC";
    size_t length = 0;
    while (length + 4 <= room) {
        if (testing_below(random, 4) > 0) {
            text[length++] = common[testing_below(random, sizeof(common) - 1)];
            continue;
        }
        uint32_t point =
            (uint32_t)testing_below(random, testing_below(random, 2) ? 0x800 : 0x11000);
        if (point == 0 || (point >= 0xD800 && point < 0xE000))
            continue;
        length += utf8_encode(point, text + length);
    }
    return length;
}

static void test_random_utf8(void **state)
{
    (void)state;
    struct testing_random random;
    testing_seed(&random);
    for (int round = 0; round < 60; round++) {
        char text[3000];
        size_t length = random_utf8(&random, text, 4 + testing_below(&random, sizeof(text) - 4));
        assert_true(utf8_valid(text, length));
        check_all_formats(text, length);
    }
}

/* Bytes that are no UTF-8 break nothing; only the promise about characters cannot hold. */
static void test_random_bytes(void **state)
{
    (void)state;
    struct testing_random random;
    testing_seed(&random);
    for (int round = 0; round < 200; round++) {
        char text[600];
        size_t length = testing_below(&random, sizeof(text));
        for (size_t i = 0; i < length; i++)
            text[i] = (char)testing_next(&random);
        struct chunk_options options = {.target_tokens = 1 + (uint32_t)testing_below(&random, 40),
                                        .overlap_tokens = (uint32_t)testing_below(&random, 20),
                                        .format = (enum document_format)(round % DOCUMENT_FORMATS)};
        struct chunk_list list;
        struct err err;
        assert_ok(chunk_text(text, length, &options, &list, &err), &err);
        size_t covered = 0;
        for (size_t i = 0; i < list.count; i++) {
            for (size_t at = covered; at < list.chunks[i].offset; at++)
                assert_true(is_white(text[at]));
            covered = (size_t)list.chunks[i].offset + list.chunks[i].length;
            assert_true(covered <= length);
        }
        for (size_t at = covered; at < length; at++)
            assert_true(is_white(text[at]));
        chunk_list_free(&list);
    }
}

/* Fills `size` bytes with copies of a pattern. */
static char *repeat(const char *pattern, size_t size)
{
    char *text = malloc(size + 1);
    size_t length = strlen(pattern);
    for (size_t i = 0; i < size; i++)
        text[i] = pattern[i % length];
    text[size] = '\0';
    return text;
}

static void test_hostile_texts(void **state)
{
    (void)state;
    static const char *const patterns[] = {"a",
                                           "\n",
                                           " ",
                                           "a ",
                                           "a\n\n",
                                           ". ",
                                           "# \n",
                                           "- \n",
                                           "a. ",
                                           "```\n",
                                           "| ",
                                           "=\n",
                                           "a\n=\n",
                                           "\t\n a",
                                           "1. ",
                                           ".",
                                           "# a\n",
                                           "\r\n",
                                           "a.\n",
                                           "---\n",
                                           "\xC3\xB3",
                                           "\xE2\x80\xA6 ",
                                           "\xF0\x9F\x98\x80",
                                           "\xE2\x80\xA2 "};
    const size_t size = 120000; /* whole copies of every pattern above */
    struct chunk_options options = {.target_tokens = 200, .overlap_tokens = 30};
    for (size_t i = 0; i < sizeof(patterns) / sizeof(*patterns); i++) {
        char *text = repeat(patterns[i], size);
        for (int format = DOCUMENT_TEXT; format < DOCUMENT_FORMATS; format++) {
            options.format = (enum document_format)format;
            struct chunk_list list = chunk(text, size, &options);
            chunk_list_free(&list);
        }
        free(text);
    }
}

/* Twice the text takes about twice the calls of the counter: nothing is counted again and again. */
struct tally {
    size_t calls;
    size_t texts;
    size_t bytes;
    size_t largest;
};

static bool tally(void *user, const char *const *texts, size_t n, uint32_t *ret_tokens,
                  struct err *err)
{
    (void)err;
    struct tally *tally = user;
    assert_true(n > 0 && n <= CHUNK_BATCH_TEXTS);
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++) {
        size_t length = strlen(texts[i]);
        assert_true(length > 0);
        bytes += length;
        ret_tokens[i] = (uint32_t)(length + 3) / 4;
    }
    assert_true(n == 1 || bytes <= CHUNK_BATCH_BYTES);
    tally->calls++;
    tally->texts += n;
    tally->bytes += bytes;
    return true;
}

static void test_work_is_linear(void **state)
{
    (void)state;
    static const char *const patterns[] = {"a", "word ", "A sentence of some words. ", "a\n\n"};
    for (size_t i = 0; i < sizeof(patterns) / sizeof(*patterns); i++) {
        struct tally small = {0};
        struct tally large = {0};
        struct chunk_options options = {.target_tokens = 100, .overlap_tokens = 20, .count = tally};
        char *text = repeat(patterns[i], 2000000);
        struct chunk_list list;
        struct err err;
        options.user = &small;
        assert_ok(chunk_text(text, 1000000, &options, &list, &err), &err);
        chunk_list_free(&list);
        options.user = &large;
        assert_ok(chunk_text(text, 2000000, &options, &list, &err), &err);
        chunk_list_free(&list);
        assert_true(small.bytes <= 3 * 1000000);
        assert_true(large.bytes <= small.bytes * 21 / 10);
        assert_true(large.texts <= small.texts * 21 / 10 + 10);
        assert_true(large.calls < 2000000 / 1000);
        free(text);
    }
}

/* ---------------------------------------------------------------- structure */

/* The n-th passage as a string, valid until the next call. */
static const char *passage(const char *text, const struct chunk_list *list, size_t n)
{
    static char copy[8192];
    assert_true(n < list->count);
    snprintf(copy, sizeof(copy), "%.*s", (int)list->chunks[n].length,
             text + list->chunks[n].offset);
    return copy;
}

static const char manual[] = "# Manual\n\nIt does this and that.\n\n"
                             "## Installing\n\nRun the installer and wait for it to end. Then "
                             "restart the machine, please.\n\n"
                             "## Using\n\nPush the red button. Nothing else is needed at all, "
                             "really.\n";

static void test_headings_begin_passages(void **state)
{
    (void)state;
    struct chunk_options options = {.target_tokens = 34, .format = DOCUMENT_MARKDOWN};
    struct chunk_list list = chunk(manual, strlen(manual), &options);
    assert_int_equal(list.count, 3);
    assert_memory_equal(passage(manual, &list, 0), "# Manual", 8);
    assert_memory_equal(passage(manual, &list, 1), "## Installing", 13);
    assert_memory_equal(passage(manual, &list, 2), "## Using", 8);
    struct str context;
    str_init(&context, 1000);
    chunk_context(&list, manual, &list.chunks[2], &context);
    assert_string_equal(str_text(&context), "Manual > Using");
    str_free(&context);
    chunk_list_free(&list);

    /* In plain text a # is no heading. */
    options.format = DOCUMENT_TEXT;
    list = chunk(manual, strlen(manual), &options);
    assert_int_equal(list.heading_count, 0);
    chunk_list_free(&list);
}

static void test_heading_levels(void **state)
{
    (void)state;
    static const char text[] = "Book\n====\n\nA.\n\nPart\n----\n\n### Detail ###\n\nB.\n\n## "
                               "Other\n\nC.\n#no heading\n####### neither\n";
    struct chunk_options options = {.target_tokens = 3, .format = DOCUMENT_MARKDOWN};
    struct chunk_list list = chunk(text, strlen(text), &options);
    assert_int_equal(list.heading_count, 4);
    static const char *const contexts[] = {"Book", "Book > Part", "Book > Part > Detail",
                                           "Book > Other"};
    for (uint32_t i = 0; i < 4; i++) {
        struct chunk under = {.heading = i};
        struct str context;
        str_init(&context, 1000);
        chunk_context(&list, text, &under, &context);
        assert_string_equal(str_text(&context), contexts[i]);
        str_free(&context);
    }
    chunk_list_free(&list);
}

static void test_heading_stays_with_its_text(void **state)
{
    (void)state;
    static const char text[] =
        "Some words that come before and fill the passage up to nearly its end, they do.\n\n"
        "# Title\n\nThe words below the title which belong to it, and to nothing else at all.\n";
    for (uint32_t target = 12; target < 60; target++) {
        struct chunk_options options = {.target_tokens = target, .format = DOCUMENT_MARKDOWN};
        struct chunk_list list = chunk(text, strlen(text), &options);
        for (size_t i = 0; i < list.count; i++) {
            const char *words = passage(text, &list, i);
            assert_string_not_equal(words + strlen(words) - 7, "# Title");
        }
        chunk_list_free(&list);
    }
}

static void test_code_stays_whole(void **state)
{
    (void)state;
    static const char text[] = "Before the code there are some words of prose. And more of them "
                               "follow, as prose does.\n\n```c\nint main(void)\n{\n\n    return 0. "
                               "Not a sentence;\n}\n```\n\nAfter.\n";
    struct chunk_options options = {.target_tokens = 36, .format = DOCUMENT_MARKDOWN};
    struct chunk_list list = chunk(text, strlen(text), &options);
    bool whole = false;
    for (size_t i = 0; i < list.count; i++)
        whole |= strstr(passage(text, &list, i), "```c\nint main") != NULL &&
                 strstr(passage(text, &list, i), "}\n```") != NULL;
    assert_true(whole);
    chunk_list_free(&list);
}

/* What does not fit whole is cut between lines. */
static void test_code_is_cut_between_lines(void **state)
{
    (void)state;
    struct str text;
    str_init(&text, 1 << 16);
    for (int i = 0; i < 200; i++)
        str_printf(&text, "    call_number(%d, with, arguments);\n", i);
    struct chunk_options options = {.target_tokens = 60, .format = DOCUMENT_CODE};
    struct chunk_list list = chunk(str_text(&text), text.length, &options);
    assert_true(list.count > 10);
    for (size_t i = 0; i < list.count; i++) {
        size_t end = (size_t)list.chunks[i].offset + list.chunks[i].length;
        assert_int_equal(text.data[end], '\n');
        assert_memory_equal(text.data + list.chunks[i].offset, "call_number", 11);
    }
    chunk_list_free(&list);
    str_free(&text);
}

static void test_overlap(void **state)
{
    (void)state;
    struct str text;
    str_init(&text, 1 << 16);
    for (int i = 0; i < 60; i++)
        str_printf(&text, "Sentence %d has eight words, no more. ", i);
    struct chunk_options options = {.target_tokens = 50, .overlap_tokens = 14};
    struct chunk_list list = chunk(str_text(&text), text.length, &options);
    assert_true(list.count > 5);
    for (size_t i = 1; i < list.count; i++) {
        size_t end = (size_t)list.chunks[i - 1].offset + list.chunks[i - 1].length;
        assert_true(list.chunks[i].offset < end);
        assert_memory_equal(text.data + list.chunks[i].offset, "Sentence", 8);
        assert_true(list.chunks[i].tokens <= 50);
    }
    chunk_list_free(&list);
    options.overlap_tokens = 0;
    list = chunk(str_text(&text), text.length, &options);
    for (size_t i = 1; i < list.count; i++)
        assert_true(list.chunks[i].offset >= list.chunks[i - 1].offset + list.chunks[i - 1].length);
    chunk_list_free(&list);
    str_free(&text);
}

/* No passage is larger than the target, save a heading's worth. */
static void test_sizes(void **state)
{
    (void)state;
    char *text;
    size_t length;
    if (!fs_read("/usr/share/common-licenses/GPL-3", 1 << 24, &text, &length, NULL))
        skip();
    for (uint32_t target = 20; target <= 500; target += 60) {
        struct tally count = {0};
        struct chunk_options options = {
            .target_tokens = target, .overlap_tokens = target / 6, .count = tally, .user = &count};
        struct chunk_list list = chunk(text, length, &options);
        size_t total = 0;
        assert_true(list.count > 0);
        for (size_t i = 0; i < list.count; i++) {
            assert_true(list.chunks[i].tokens <= target + target / 4);
            total += list.chunks[i].tokens;
        }
        assert_true(total >= list.count * (target / 2));
        chunk_list_free(&list);
    }
    free(text);
}

/* ---------------------------------------------------------------- failures */

static bool fail_count(void *user, const char *const *texts, size_t n, uint32_t *ret_tokens,
                       struct err *err)
{
    (void)user;
    (void)texts;
    (void)n;
    (void)ret_tokens;
    return err_set(err, ERR_WORKER_DIED, "gone");
}

static void test_failures(void **state)
{
    (void)state;
    struct chunk_options options = {.target_tokens = 50, .count = fail_count};
    struct chunk_list list = {.count = 77};
    struct err err;
    assert_false(chunk_text("words", 5, &options, &list, &err));
    assert_int_equal(err.code, ERR_WORKER_DIED);
    assert_int_equal(list.count, 77);

    struct cancel cancel;
    cancel_init(&cancel);
    cancel_fire(&cancel);
    options = (struct chunk_options){.target_tokens = 50, .cancel = &cancel};
    assert_false(chunk_text("words", 5, &options, &list, &err));
    assert_int_equal(err.code, ERR_CANCELLED);
    cancel_destroy(&cancel);
}

static void test_estimate(void **state)
{
    (void)state;
    assert_int_equal(chunk_estimate_tokens("", 0), 0);
    assert_int_equal(chunk_estimate_tokens("  \n", 3), 0);
    assert_int_equal(chunk_estimate_tokens("word", 4), 2);
    assert_int_equal(chunk_estimate_tokens("one two six all day for ten men up on", 37), 13);
    assert_int_equal(chunk_estimate_tokens("a, b.", 5), 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_real_files),       cmocka_unit_test(test_random_utf8),
        cmocka_unit_test(test_random_bytes),     cmocka_unit_test(test_hostile_texts),
        cmocka_unit_test(test_work_is_linear),   cmocka_unit_test(test_headings_begin_passages),
        cmocka_unit_test(test_heading_levels),   cmocka_unit_test(test_heading_stays_with_its_text),
        cmocka_unit_test(test_code_stays_whole), cmocka_unit_test(test_code_is_cut_between_lines),
        cmocka_unit_test(test_overlap),          cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_failures),         cmocka_unit_test(test_estimate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
