#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <lexbor/html/tokenizer.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/str.h"
#include "documents.h"
#include "engine/html.h"
#include "engine/html_entity.h"
#include "helper/testing.h"

enum { ARENA_MAX = 512 * 1024 * 1024, PAGE_MAX = 64 * 1024 * 1024 };

/* ---------------------------------------------------------------- what a page becomes */

static void test_paragraphs(void **state)
{
    (void)state;
    documents_expect_html("<p>One\n  two</p>\n<p>three<b>four</b> five",
                          "One two\n\nthreefour five");
    documents_expect_html("<div><div><p>a</p></div></div><div>b", "a\n\nb");
    documents_expect_html("a<br>b<br/>c<br><br>d", "a\nb\nc\n\nd");
    documents_expect_html("<p>  </p><p></p>", "");
    documents_expect_html("", "");
    documents_expect_html("just words", "just words");
    documents_expect_html("<p>a</p>   <hr>   <p>b</p>", "a\n\nb");
}

static void test_headings_and_title(void **state)
{
    (void)state;
    documents_expect_html("<h1>A <em>b</em></h1>text<h3>C</h3>more",
                          "# A b\n\ntext\n\n### C\n\nmore");
    documents_expect_html("<h2></h2><p>x", "x");
    documents_expect_html("<h1><div>A<br>B</div></h1>", "# A B");
    struct arena arena;
    arena_init(&arena, ARENA_MAX);
    struct msg_parsed page = documents_parse_text(
        &arena, "a.html", "<title> The\n &eacute;nd </title><h1>Other</h1><title>no</title>");
    assert_string_equal(page.title, "The \xc3\xa9nd");
    assert_string_equal(page.text, "# Other");
    page = documents_parse_text(&arena, "a.html", "<p>x<h1>First</h1><h1>Second</h1>");
    assert_string_equal(page.title, "First");
    page = documents_parse_text(&arena, "a.html", "<p>x");
    assert_string_equal(page.title, "");
    arena_free(&arena);
}

static void test_lists(void **state)
{
    (void)state;
    documents_expect_html("<p>x<ul><li>a<li>b<ul><li>c</ul><li><p>d</p></ul>y",
                          "x\n\n- a\n- b\n  - c\n- d\n\ny");
    documents_expect_html("<ul><li></ul><p>y", "y");
    documents_expect_html("<dl><dt>term<dd>meaning</dl>", "term\nmeaning");
}

static void test_tables(void **state)
{
    (void)state;
    documents_expect_html("<table><tr><th>A<th>B<tr><td>1<td><p>2</p></table>end",
                          "A | B\n1 | 2\n\nend");
    documents_expect_html("<table><tr><td></td><td>b</td></tr></table>", "b");
    documents_expect_html("<table><caption>C</caption><tr><td><p>a</p><p>b</p></td></tr></table>",
                          "C\n\na\n\nb");
    documents_expect_html("<table><tr><td>a<td><ul><li>x<li>y</ul></table>", "a\n- x\n- y");
}

static void test_preformatted(void **state)
{
    (void)state;
    documents_expect_html("x<pre>\n  a &lt; b\n\n  c\n</pre>y",
                          "x\n\n```\n  a < b\n\n  c\n```\n\ny");
    documents_expect_html("<pre><code>a\tb</code></pre>", "```\na\tb\n```");
    documents_expect_html("<pre>a\r\nb\rc</pre>", "```\na\nb\nc\n```");
    documents_expect_html("<pre></pre>x", "x");
    documents_expect_html("<pre>never closed", "```\nnever closed\n```");
    documents_expect_html("<xmp>a &lt; <b></xmp>", "```\na &lt; <b>\n```");
}

static void test_what_is_hidden(void **state)
{
    (void)state;
    documents_expect_html("a<script>if (1 < 2) document.write('<p>no</p>')</script>b", "ab");
    documents_expect_html("a<style>p { }</style><template><p>no</template>b", "ab");
    documents_expect_html("a<noscript><p>turn on</noscript><!-- no -->b", "ab");
    documents_expect_html("a<svg><title>no</title><svg></svg>no</svg>b<svg/>c", "abc");
    documents_expect_html("a<select><option>no</select><iframe><p>no</iframe>b", "ab");
    documents_expect_html("a<script>never closed", "a");
}

static void test_words_in_attributes_and_controls(void **state)
{
    (void)state;
    documents_expect_html("see<img src=x alt='a  caf&eacute;'>there", "see a caf\xc3\xa9 there");
    documents_expect_html("x<img alt=''>y<img>z<img alt>", "x yz");
    documents_expect_html("<button>A</button><button>B</button>", "A B");
}

static void test_references(void **state)
{
    (void)state;
    documents_expect_html("&lt;b&gt; &amp;amp; &copy 2024 &notit; &#x41;&#66; &#0; &#x80; &#xD800;",
                          "<b> &amp; \xc2\xa9 2024 \xc2\xacit; AB \xef\xbf\xbd \xe2\x82\xac "
                          "\xef\xbf\xbd");
    documents_expect_html("a & b &unknown; &; &#; &#x; &", "a & b &unknown; &; &#; &#x; &");
    documents_expect_html("a&nbsp;&#32;&Tab;b &NotEqualTilde;", "a\xc2\xa0 b \xe2\x89\x82\xcc\xb8");
    documents_expect_html("&#99999999999999999999;", "\xef\xbf\xbd");
}

static void test_broken_markup(void **state)
{
    (void)state;
    documents_expect_html("</p></div></ul></pre></table>a</b></h1>b", "a\n\nb");
    documents_expect_html("a < b <3 c<", "a < b <3 c<");
    documents_expect_html("a<p", "a");
    documents_expect_html("a<p class=\"never", "a");
    documents_expect_html("a<!-- never", "a");
    documents_expect_html("<p>a<td>b<tr>c<li>d", "a b\nc\n- d");
}

/* ---------------------------------------------------------------- places */

static void test_places(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, ARENA_MAX);
    const char *html = "<p>caf&eacute; \n bar</p><h2>Head</h2>";
    struct msg_parsed page = documents_parse_text(&arena, "a.html", html);
    assert_string_equal(page.text, "caf\xc3\xa9 bar\n\n## Head");
    assert_int_equal(documents_place(&page, 0), 3);
    assert_int_equal(documents_place(&page, 3), 6);                            /* é */
    assert_int_equal(documents_place(&page, 6), strstr(html, "bar") - html);   /* bar */
    assert_int_equal(documents_place(&page, 9), strstr(html, "</p>") - html);  /* the line ends */
    assert_int_equal(documents_place(&page, 11), strstr(html, "<h2>") - html); /* "## " */
    assert_int_equal(documents_place(&page, 14), strstr(html, "Head") - html);
    arena_free(&arena);
}

static void test_places_through_another_encoding(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, ARENA_MAX);
    const char *html = "<title>\xf1</title><p>se\xf1or &amp; se\xf1ora";
    struct msg_parsed page = documents_parse_text(&arena, "a.html", html);
    assert_string_equal(page.text, "se\xc3\xb1or & se\xc3\xb1ora");
    assert_int_equal(documents_place(&page, 2), strstr(html, "\xf1or") - html);
    assert_int_equal(documents_place(&page, 4), strstr(html, "or &") - html);
    assert_int_equal(documents_place(&page, 7), strstr(html, "&amp;") - html);
    assert_int_equal(documents_place(&page, 9), strstr(html, "se\xf1ora") - html);
    arena_free(&arena);
}

/* ---------------------------------------------------------------- against lexbor's own reading */

/* All text of a page as lexbor's tokenizer gives it, with references resolved by lexbor. */
static lxb_html_token_t *collect_text(lxb_html_tokenizer_t *tokenizer, lxb_html_token_t *token,
                                      void *user)
{
    (void)tokenizer;
    if (token->tag_id == LXB_TAG__TEXT)
        str_append(user, token->text_start, (size_t)(token->text_end - token->text_start));
    return token;
}

static void lexbor_text(const char *html, size_t length, struct str *out)
{
    lxb_html_tokenizer_t *tokenizer = lxb_html_tokenizer_create();
    assert_int_equal(lxb_html_tokenizer_init(tokenizer), LXB_STATUS_OK);
    assert_int_equal(lxb_html_tokenizer_tags_make(tokenizer, 128), LXB_STATUS_OK);
    assert_int_equal(lxb_html_tokenizer_attrs_make(tokenizer, 128), LXB_STATUS_OK);
    lxb_html_tokenizer_callback_token_done_set(tokenizer, collect_text, out);
    assert_int_equal(lxb_html_tokenizer_begin(tokenizer), LXB_STATUS_OK);
    assert_int_equal(lxb_html_tokenizer_chunk(tokenizer, (const lxb_char_t *)html, length),
                     LXB_STATUS_OK);
    assert_int_equal(lxb_html_tokenizer_end(tokenizer), LXB_STATUS_OK);
    lxb_html_tokenizer_tags_destroy(tokenizer);
    lxb_html_tokenizer_attrs_destroy(tokenizer);
    lxb_html_tokenizer_destroy(tokenizer);
}

/* Text with pieces of references in it, between inline tags, in one <pre> so that white space stays. */
static void test_references_are_read_as_lexbor_does(void **state)
{
    (void)state;
    static const char *const pieces[] = {"&",
                                         "&amp",
                                         "&amp;",
                                         "&not",
                                         "in",
                                         ";",
                                         "&#",
                                         "x",
                                         "1",
                                         "20",
                                         "&#x",
                                         "F6",
                                         "&notin;",
                                         "&lt",
                                         "eacute",
                                         " ",
                                         "&fjlig;",
                                         "&NotNestedGreaterGreater;",
                                         "<b>",
                                         "</b>",
                                         "\n",
                                         "z",
                                         "&#128;",
                                         "&#150",
                                         "&CounterClockwiseContourIntegral;",
                                         "&gt=",
                                         "<3",
                                         "\xc3\xb1"};
    struct testing_random random;
    testing_seed(&random);
    for (int round = 0; round < 3000; round++) {
        struct str html;
        struct str expected;
        struct str ours;
        str_init(&html, 4096);
        str_init(&expected, 8192);
        str_init(&ours, 8192);
        str_puts(&html, "<pre>x");
        for (uint64_t i = testing_below(&random, 24); i > 0; i--)
            str_puts(&html, pieces[testing_below(&random, sizeof(pieces) / sizeof(*pieces))]);
        lexbor_text(html.data, html.length, &expected);
        struct html_page page;
        assert_true(html_extract(html.data, html.length, 8192, &page, NULL));
        str_printf(&ours, "```\n%s%s```", str_text(&expected),
                   expected.data[expected.length - 1] == '\n' ? "" : "\n");
        assert_string_equal(str_text(&page.text), str_text(&ours));
        html_page_free(&page);
        str_free(&html);
        str_free(&expected);
        str_free(&ours);
    }
}

/* ---------------------------------------------------------------- random and real pages */

static void test_random_pages_keep_the_promises(void **state)
{
    (void)state;
    static const char *const pieces[] = {"<p>",         "</p>",
                                         "<h1>",        "</h1>",
                                         "<ul>",        "<li>",
                                         "</ul>",       "<table>",
                                         "<tr>",        "<td>",
                                         "</table>",    "<pre>",
                                         "</pre>",      "<script>",
                                         "</script>",   "<title>",
                                         "</title>",    "<br>",
                                         "&amp;",       "&#233;",
                                         "word",        " ",
                                         "\n",          "\xc3\xa9",
                                         "\xff",        "<img alt='x &lt; y'>",
                                         "<svg>",       "</svg>",
                                         "<!--",        "-->",
                                         "<",           ">",
                                         "\"",          "<textarea>",
                                         "</textarea>", "\r\n",
                                         "<xmp>",       "</xmp>",
                                         "<h3>",        "</h3>",
                                         "<div",        "<button>",
                                         "</button>",   "<plaintext>",
                                         "<select>",    "</select>"};
    struct testing_random random;
    testing_seed(&random);
    for (int round = 0; round < 5000; round++) {
        struct arena arena;
        arena_init(&arena, ARENA_MAX);
        struct str html;
        str_init(&html, 8192);
        str_puts(&html, "<meta charset=utf-8>");
        for (uint64_t i = testing_below(&random, 60); i > 0; i--)
            str_puts(&html, pieces[testing_below(&random, sizeof(pieces) / sizeof(*pieces))]);
        struct msg_parse request = {
            .name = "a.html", .bytes = (const uint8_t *)html.data, .length = html.length};
        struct msg_parsed parsed;
        struct err err;
        if (parse_document(&request, NULL, &arena, &parsed, &err))
            documents_check(&parsed, request.bytes, request.length);
        else
            assert_int_equal(err.code, ERR_DOCUMENT); /* too many damaged bytes */
        str_free(&html);
        arena_free(&arena);
    }
}

static void test_real_pages(void **state)
{
    (void)state;
    static const char *const paths[] = {
        "/usr/share/doc/base-passwd/users-and-groups.html",
        "/usr/share/doc/libffi8/html/Introduction.html",
        "/usr/share/doc/libffi8/html/Arrays-Unions-Enums.html",
        "/usr/share/doc/adduser/examples/adduser.local.conf.examples/skel.other/index.html",
    };
    int seen = 0;
    for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
        char *bytes;
        size_t length;
        if (!fs_read(paths[i], PAGE_MAX, &bytes, &length, NULL))
            continue;
        struct arena arena;
        arena_init(&arena, ARENA_MAX);
        struct msg_parsed parsed = documents_parse(&arena, paths[i], bytes, length, NULL);
        assert_int_equal(parsed.format, DOCUMENT_HTML);
        assert_true(parsed.text_length > 0);
        assert_true(strlen(parsed.title) > 0);
        arena_free(&arena);
        free(bytes);
        seen++;
    }
    if (seen == 0)
        skip();
}

/* ---------------------------------------------------------------- hostile pages */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { HOSTILE_BYTES = 512 * 1024 };
#else
enum { HOSTILE_BYTES = 4 * 1024 * 1024 };
#endif
enum { HOSTILE_DEADLINE_MS = 20000 };

/* A page of `piece` again and again, where %u in it counts. All must be read in one pass. */
static void read_hostile(const char *before, const char *piece, bool counted)
{
    struct str html;
    str_init(&html, HOSTILE_BYTES + 1024);
    str_puts(&html, before);
    for (unsigned i = 0; html.length < HOSTILE_BYTES; i++) {
        str_puts(&html, piece);
        if (counted)
            str_printf(&html, "%x", i);
    }
    struct html_page page;
    deadline until = deadline_in_ms(HOSTILE_DEADLINE_MS);
    assert_true(html_extract(html.data, html.length, PAGE_MAX, &page, NULL));
    assert_false(deadline_passed(until));
    html_page_free(&page);
    str_free(&html);
}

static void test_hostile_pages_take_linear_time(void **state)
{
    (void)state;
    read_hostile("", "<div>", false); /* hundreds of thousands of levels deep */
    read_hostile("", "<ul><li>x", false);
    read_hostile("", "<table><tr><td>", false);
    read_hostile("", "<b><i>", false);
    read_hostile("", "</p>", false);
    read_hostile("", "<a><x", true); /* a million names of elements */
    read_hostile("<p ", " a", true); /* and of attributes, in one tag */
    read_hostile("<p ", "a ", false);
    read_hostile("<img alt='", "a &amp; ", false);
    read_hostile("", "&amp", false);
    read_hostile("", "&", false);
    read_hostile("", "&CounterClockwiseContourIntegra", false);
    read_hostile("", "&#", true);
    read_hostile("", "<", false);
    read_hostile("", "<!", false);
    read_hostile("", "<!--", false);
    read_hostile("<script>", "</scrip", false);
    read_hostile("<script><!--", "<script", false);
    read_hostile("<title>", "</titl", false);
    read_hostile("<textarea>", "&", false);
    read_hostile("<pre>", "\r", false);
    read_hostile("", " \n", false);
    read_hostile("", "<svg>", false);
}

static void test_too_much_text_is_refused(void **state)
{
    (void)state;
    struct html_page page;
    struct err err;
    const char *html = "<ul><li>a<li>b<li>c";
    assert_false(html_extract(html, strlen(html), 5, &page, &err));
    assert_int_equal(err.code, ERR_TOO_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paragraphs),
        cmocka_unit_test(test_headings_and_title),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_preformatted),
        cmocka_unit_test(test_what_is_hidden),
        cmocka_unit_test(test_words_in_attributes_and_controls),
        cmocka_unit_test(test_references),
        cmocka_unit_test(test_broken_markup),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_places_through_another_encoding),
        cmocka_unit_test(test_references_are_read_as_lexbor_does),
        cmocka_unit_test(test_random_pages_keep_the_promises),
        cmocka_unit_test(test_real_pages),
        cmocka_unit_test(test_hostile_pages_take_linear_time),
        cmocka_unit_test(test_too_much_text_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
