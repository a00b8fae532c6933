/* How it works. lexbor's tokenizer reads the page as the HTML standard says and calls on_token() for each tag and
 * text. A tag mostly changes what is *owed*: line ends, a prefix such as "- ", a space. Debts are paid only when the
 * next visible byte comes, so that empty elements leave nothing behind and white space collapses by itself. No stack
 * of open elements is kept: a few counters tell all that a text needs, and a page nested 100,000 levels deep takes no
 * more time or memory than a flat one of its length.
 *
 * Some habits of the tokenizer would make hostile pages slow or large, and are avoided: it compares each attribute
 * with all before it in its tag (switched off); it keeps what it has read of attributes until the end (thrown away
 * after each token) and a list of parse errors (taken away); its buffer grows by a constant step (given the page's size
 * at once, which costs address space only); its tables of names have a fixed size (chosen by the page's). */
#include "engine/html.h"

#include <string.h>
#include <strings.h>

#include <lexbor/html/tokenizer.h>
#include <lexbor/tag/const.h>

#include "base/utf8.h"
#include "engine/html_entity.h"
#include "engine/html_tag.h"

enum {
    INDENT_MAX = 4,       /* lists deeper than this are not indented further */
    ATTRIBUTES_MAX = 64,  /* of an image that are looked at for its alternative text */
    NAME_TABLE_MIN = 128, /* entries of the tokenizer's tables of names */
    NAME_TABLE_MAX = 1 << 20,
    NAME_TABLE_PART = 64, /* one entry for so many bytes of the page */
};

static const char fence_open[] = "```\n";
static const char separator[] = " | ";

/* What stands between the last visible byte and the next one, and the place in the page that made it necessary. */
struct owed {
    unsigned lines; /* line ends, 0..2 */
    size_t lines_at;
    char prefix[2 * INDENT_MAX + 8]; /* "- ", "## ", " | ", or "" */
    size_t prefix_at;
    bool space;
    size_t space_at;
};

struct walk {
    const char *html;
    size_t length;
    struct html_page *out;
    struct owed owed;
    uintptr_t hidden;    /* the tag that hides what follows, or 0 */
    size_t hidden_depth; /* of elements of that tag inside of it */
    size_t lists;        /* open lists */
    size_t preformatted; /* open <pre> */
    bool fenced;         /* "```" has been written and waits for its end */
    bool skip_line_end;  /* the line end right after <pre> does not count */
    bool heading;        /* inside <h1> … <h6> */
    bool title;          /* inside <title> */
    bool literal;        /* text without references: <xmp>, <plaintext> */
    bool row;            /* inside a table's row, which … */
    size_t row_begin;    /* … begins here in the text */
    bool row_before;     /* the table has had a row */
    size_t first_h1;     /* where its words begin in the text; SIZE_MAX: none yet */
    bool broken;         /* the tokenizer spoke of bytes outside the page */
};

/* ---------------------------------------------------------------- writing */

static void put_inserted(struct walk *walk, const char *bytes, size_t length, size_t at)
{
    text_map_add(&walk->out->map, walk->out->text.length, at, false);
    str_append(&walk->out->text, bytes, length);
}

static void put_same(struct walk *walk, size_t from, size_t to)
{
    text_map_add(&walk->out->map, walk->out->text.length, from, true);
    str_append(&walk->out->text, walk->html + from, to - from);
}

/* Pays what is owed: called right before a visible byte is written. */
static void settle(struct walk *walk)
{
    struct owed owed = walk->owed;
    walk->owed = (struct owed){0};
    bool first = walk->out->text.length == 0;
    if (owed.lines > 0 && !first)
        put_inserted(walk, "\n\n", owed.lines, owed.lines_at);
    if (*owed.prefix) {
        put_inserted(walk, owed.prefix, strlen(owed.prefix), owed.prefix_at);
        walk->fenced |= strcmp(owed.prefix, fence_open) == 0;
        if (strcmp(owed.prefix, "# ") == 0 && walk->first_h1 == SIZE_MAX)
            walk->first_h1 = walk->out->text.length;
    } else if (owed.space && owed.lines == 0 && !first) {
        if (walk->html[owed.space_at] == ' ')
            put_same(walk, owed.space_at, owed.space_at + 1);
        else
            put_inserted(walk, " ", 1, owed.space_at);
    }
}

static void owe_space(struct walk *walk, size_t at)
{
    if (walk->owed.space)
        return;
    walk->owed.space = true;
    walk->owed.space_at = at;
}

/* At least `lines` line ends; none between a prefix and its words. */
static void owe_lines(struct walk *walk, unsigned lines, size_t at)
{
    struct owed *owed = &walk->owed;
    if (*owed->prefix || owed->lines >= lines)
        return;
    if (owed->lines == 0)
        owed->lines_at = at;
    owed->lines = lines;
}

static void drop_prefix(struct walk *walk)
{
    walk->owed.prefix[0] = '\0';
}

/* A prefix on a line of its own, instead of one that has not come to use. */
static void owe_prefix(struct walk *walk, unsigned lines, const char *prefix, size_t at)
{
    drop_prefix(walk);
    owe_lines(walk, lines, at);
    memcpy(walk->owed.prefix, prefix, strlen(prefix) + 1);
    walk->owed.prefix_at = at;
}

/* ---------------------------------------------------------------- text */

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == '\f';
}

/* A space, tab or line end of the page, or of a reference that stands for one. */
static void put_space(struct walk *walk, size_t at)
{
    if (walk->preformatted == 0) {
        owe_space(walk, at);
        return;
    }
    if (walk->html[at] == '\r' && at + 1 < walk->length && walk->html[at + 1] == '\n')
        return; /* the line end comes next */
    settle(walk);
    if (walk->html[at] == '\r')
        put_inserted(walk, "\n", 1, at);
    else
        put_same(walk, at, at + 1);
}

/* Writes what the reference at `at` stands for; returns its length, 0 when it is none. */
static size_t put_reference(struct walk *walk, size_t at, size_t to)
{
    char meaning[HTML_ENTITY_MAX];
    size_t length = 0;
    size_t size = html_entity(walk->html + at, to - at, meaning, &length);
    if (size == 0)
        return 0;
    if (length == 1 && is_space(meaning[0]) && walk->preformatted == 0) {
        owe_space(walk, at);
    } else {
        settle(walk);
        put_inserted(walk, meaning, length, at);
    }
    return size;
}

/* The end of the bytes from `at` on that are written as they are. */
static size_t word_end(const struct walk *walk, size_t at, size_t to)
{
    bool spaces = walk->preformatted > 0;
    size_t end = at + 1;
    while (end < to && (walk->literal || walk->html[end] != '&') &&
           (!is_space(walk->html[end]) || (spaces && walk->html[end] != '\r')))
        end++;
    return end;
}

static void put_text(struct walk *walk, size_t at, size_t to)
{
    if (walk->skip_line_end && at < to) {
        at += walk->html[at] == '\r' && at + 1 < to && walk->html[at + 1] == '\n';
        at += walk->html[at] == '\n';
        walk->skip_line_end = false;
    }
    while (at < to && str_ok(&walk->out->text)) {
        char c = walk->html[at];
        size_t size = 0;
        if (is_space(c)) {
            put_space(walk, at);
            size = 1;
        } else if (c == '&' && !walk->literal) {
            size = put_reference(walk, at, to);
        }
        if (size == 0) {
            size = word_end(walk, at, to) - at;
            settle(walk);
            put_same(walk, at, at + size);
        }
        at += size;
    }
}

/* The words of the first <title>, white space collapsed, references resolved. */
static void put_title(struct walk *walk, size_t at, size_t to)
{
    struct str *title = &walk->out->title;
    if (title->length > 0)
        return;
    bool space = false;
    while (at < to && title->length + HTML_ENTITY_MAX < HTML_TITLE_MAX) {
        char meaning[HTML_ENTITY_MAX] = {walk->html[at]};
        size_t length = 1;
        size_t size = html_entity(walk->html + at, to - at, meaning, &length);
        at += size > 0 ? size : 1;
        if (length == 1 && is_space(meaning[0])) {
            space = true;
            continue;
        }
        if (space && title->length > 0)
            str_putc(title, ' ');
        str_append(title, meaning, length);
        space = false;
    }
    str_truncate(title, utf8_valid_prefix(str_text(title), title->length));
}

/* ---------------------------------------------------------------- tags */

/* A heading that has words ends at the latest where a paragraph begins. */
static void open_block(struct walk *walk, size_t at)
{
    if (!*walk->owed.prefix)
        walk->heading = false;
    owe_lines(walk, 2, at);
}

static void open_list(struct walk *walk, size_t at)
{
    owe_lines(walk, walk->lists > 0 ? 1 : 2, at);
    walk->lists++;
}

static void close_list(struct walk *walk, size_t at)
{
    if (walk->lists > 0)
        walk->lists--;
    if (strcmp(walk->owed.prefix, separator) != 0)
        drop_prefix(walk); /* of an item without words */
    owe_lines(walk, walk->lists > 0 ? 1 : 2, at);
}

static void open_item(struct walk *walk, size_t at)
{
    size_t depth = walk->lists > 1 ? walk->lists - 1 : 0;
    if (depth > INDENT_MAX)
        depth = INDENT_MAX;
    char prefix[2 * INDENT_MAX + 3];
    memset(prefix, ' ', 2 * depth);
    memcpy(prefix + 2 * depth, "- ", 3);
    owe_prefix(walk, 1, prefix, at);
}

static void open_heading(struct walk *walk, int level, size_t at)
{
    char prefix[8];
    memset(prefix, '#', (size_t)level);
    memcpy(prefix + level, " ", 2);
    owe_prefix(walk, 2, prefix, at);
    walk->heading = true;
}

static void drop_separator(struct walk *walk)
{
    if (strcmp(walk->owed.prefix, separator) == 0)
        drop_prefix(walk);
}

static void open_row(struct walk *walk, size_t at)
{
    drop_separator(walk);
    /* Paragraphs in the cells before do not tear the table apart. */
    if (walk->row_before && walk->owed.lines > 1)
        walk->owed.lines = 1;
    owe_lines(walk, 1, at);
    walk->row = walk->row_before = true;
    walk->row_begin = walk->out->text.length;
}

static void open_cell(struct walk *walk, size_t at)
{
    if (!walk->row || walk->out->text.length == walk->row_begin) {
        owe_space(walk, at);
        return;
    }
    walk->owed = (struct owed){.prefix_at = at};
    memcpy(walk->owed.prefix, separator, sizeof(separator));
}

static void end_table(struct walk *walk, size_t at)
{
    drop_separator(walk);
    walk->row = walk->row_before = false;
    owe_lines(walk, 2, at);
}

static void put_break(struct walk *walk, size_t at)
{
    if (walk->preformatted > 0) {
        settle(walk);
        put_inserted(walk, "\n", 1, at);
    } else if (walk->heading) {
        owe_space(walk, at);
    } else {
        owe_lines(walk, walk->owed.lines < 2 ? walk->owed.lines + 1 : 2, at);
    }
}

static void open_preformatted(struct walk *walk, size_t at)
{
    if (walk->preformatted++ > 0)
        return;
    owe_prefix(walk, 2, fence_open, at);
    walk->skip_line_end = true;
}

static void end_fence(struct walk *walk, size_t at)
{
    const struct str *text = &walk->out->text;
    walk->owed = (struct owed){0};
    if (walk->fenced && text->length > 0)
        put_inserted(walk, text->data[text->length - 1] == '\n' ? "```" : "\n```",
                     text->data[text->length - 1] == '\n' ? 3 : 4, at);
    walk->fenced = false;
}

static void close_preformatted(struct walk *walk, size_t at)
{
    if (walk->preformatted == 0 || --walk->preformatted > 0)
        return;
    if (walk->fenced)
        end_fence(walk, at);
    else
        drop_prefix(walk);
    walk->skip_line_end = false;
    owe_lines(walk, 2, at);
}

/* An image's alternative text, as a word of its own. */
static void put_image(struct walk *walk, const lxb_html_token_t *token, size_t at)
{
    const lxb_html_token_attr_t *attribute = token->attr_first;
    for (int i = 0; attribute && i < ATTRIBUTES_MAX; i++, attribute = attribute->next) {
        if (!attribute->value_begin || attribute->name_end - attribute->name_begin != 3 ||
            strncasecmp((const char *)attribute->name_begin, "alt", 3) != 0)
            continue;
        size_t begin = (size_t)((const char *)attribute->value_begin - walk->html);
        size_t end = (size_t)((const char *)attribute->value_end - walk->html);
        if (begin > end || end > walk->length)
            return;
        owe_space(walk, at);
        put_text(walk, begin, end);
        owe_space(walk, end);
        return;
    }
}

static void open_tag(struct walk *walk, const lxb_html_token_t *token, size_t at)
{
    enum html_role role = html_tag_role(token->tag_id);
    walk->literal = token->tag_id == LXB_TAG_XMP || token->tag_id == LXB_TAG_PLAINTEXT;
    switch (role) {
    case HTML_INLINE: break;
    case HTML_BLOCK: open_block(walk, at); break;
    case HTML_LINE: owe_lines(walk, 1, at); break;
    case HTML_HEADING: open_heading(walk, html_tag_level(token->tag_id), at); break;
    case HTML_LIST: open_list(walk, at); break;
    case HTML_ITEM: open_item(walk, at); break;
    case HTML_TABLE: end_table(walk, at); break; /* of the table before */
    case HTML_ROW: open_row(walk, at); break;
    case HTML_CELL: open_cell(walk, at); break;
    case HTML_BREAK: put_break(walk, at); break;
    case HTML_PRE: open_preformatted(walk, at); break;
    case HTML_APART: owe_space(walk, at); break;
    case HTML_IMAGE: put_image(walk, token, at); break;
    case HTML_TITLE: walk->title = true; break;
    case HTML_HIDDEN:
        if (token->type & LXB_HTML_TOKEN_TYPE_CLOSE_SELF && token->tag_id == LXB_TAG_SVG)
            break;
        walk->hidden = token->tag_id;
        walk->hidden_depth = 1;
        break;
    }
}

static void close_tag(struct walk *walk, const lxb_html_token_t *token, size_t at)
{
    walk->literal = false;
    switch (html_tag_role(token->tag_id)) {
    case HTML_BLOCK: owe_lines(walk, 2, at); break;
    case HTML_LINE: owe_lines(walk, 1, at); break;
    case HTML_HEADING:
        drop_prefix(walk);
        walk->heading = false;
        owe_lines(walk, 2, at);
        break;
    case HTML_LIST: close_list(walk, at); break;
    case HTML_ITEM:
        drop_prefix(walk);
        owe_lines(walk, 1, at);
        break;
    case HTML_TABLE: end_table(walk, at); break;
    case HTML_ROW:
        drop_separator(walk);
        walk->row = false;
        owe_lines(walk, 1, at);
        break;
    case HTML_PRE: close_preformatted(walk, at); break;
    case HTML_APART: owe_space(walk, at); break;
    case HTML_TITLE: walk->title = false; break;
    default: break;
    }
}

/* ---------------------------------------------------------------- tokens */

/* Counts the elements of the tag that hides, until the first one ends. */
static void count_hidden(struct walk *walk, const lxb_html_token_t *token)
{
    if (token->tag_id != walk->hidden)
        return;
    if (!(token->type & LXB_HTML_TOKEN_TYPE_CLOSE))
        walk->hidden_depth++;
    else if (--walk->hidden_depth == 0)
        walk->hidden = 0;
}

static void take_token(struct walk *walk, const lxb_html_token_t *token)
{
    /* The end tags of <title> and the like have no beginning. */
    const lxb_char_t *first = token->begin ? token->begin : token->end;
    size_t begin = (size_t)((const char *)first - walk->html);
    size_t end = (size_t)((const char *)token->end - walk->html);
    if (begin > end || end > walk->length) {
        walk->broken = true;
        return;
    }
    if (token->tag_id == LXB_TAG__EM_COMMENT || token->tag_id == LXB_TAG__EM_DOCTYPE)
        return;
    bool text = token->tag_id == LXB_TAG__TEXT;
    bool close = token->type & LXB_HTML_TOKEN_TYPE_CLOSE;
    size_t mark = close ? 2 : 1; /* a tag's token begins after "<" or "</" */
    size_t at = begin >= mark ? begin - mark : 0;
    if (walk->hidden && !text)
        count_hidden(walk, token);
    else if (walk->hidden)
        return;
    else if (text && walk->title)
        put_title(walk, begin, end);
    else if (text)
        put_text(walk, begin, end);
    else if (close)
        close_tag(walk, token, at);
    else
        open_tag(walk, token, at);
}

/* lexbor's callback. Returning NULL ends the page. */
static lxb_html_token_t *on_token(lxb_html_tokenizer_t *tokenizer, lxb_html_token_t *token,
                                  void *user)
{
    struct walk *walk = user;
    if (token->tag_id == LXB_TAG__END_OF_FILE)
        return token;
    take_token(walk, token);
    bool opens = token->tag_id >= LXB_TAG__BEGIN && !(token->type & LXB_HTML_TOKEN_TYPE_CLOSE);
    if (opens)
        lxb_html_tokenizer_set_state_by_tag(tokenizer, false, token->tag_id, LXB_NS_HTML);
    lexbor_dobject_clean(tokenizer->dobj_token_attr);
    lexbor_mraw_clean(tokenizer->attrs_mraw);
    return walk->broken || !str_ok(&walk->out->text) || walk->out->map.failed ? NULL : token;
}

static size_t name_table_size(size_t length)
{
    size_t size = NAME_TABLE_MIN;
    while (size < NAME_TABLE_MAX && size < length / NAME_TABLE_PART)
        size *= 2;
    return size;
}

static bool prepare(lxb_html_tokenizer_t *tokenizer, struct walk *walk)
{
    size_t names = name_table_size(walk->length);
    if (lxb_html_tokenizer_init(tokenizer) != LXB_STATUS_OK ||
        lxb_html_tokenizer_tags_make(tokenizer, names) != LXB_STATUS_OK ||
        lxb_html_tokenizer_attrs_make(tokenizer, names) != LXB_STATUS_OK ||
        lxb_html_tokenizer_begin(tokenizer) != LXB_STATUS_OK)
        return false;
    tokenizer->parse_errors = lexbor_array_obj_destroy(tokenizer->parse_errors, true);
    lxb_html_tokenizer_keep_duplicate_set(tokenizer, true);
    lxb_html_tokenizer_callback_token_done_set(tokenizer, on_token, walk);
    return lxb_html_tokenizer_temp_realloc(tokenizer, walk->length) == LXB_STATUS_OK;
}

/* Runs the tokenizer over the page; false when memory ran out or on_token() ended it. */
static bool tokenize(struct walk *walk)
{
    lxb_html_tokenizer_t *tokenizer = lxb_html_tokenizer_create();
    if (!tokenizer)
        return false;
    bool done = prepare(tokenizer, walk) &&
                lxb_html_tokenizer_chunk(tokenizer, (const lxb_char_t *)walk->html, walk->length) ==
                    LXB_STATUS_OK &&
                lxb_html_tokenizer_end(tokenizer) == LXB_STATUS_OK;
    lxb_html_tokenizer_tags_destroy(tokenizer);
    lxb_html_tokenizer_attrs_destroy(tokenizer);
    lxb_html_tokenizer_destroy(tokenizer);
    return done;
}

/* Without a <title> the first <h1> is the title. */
static void borrow_title(const struct walk *walk)
{
    struct html_page *page = walk->out;
    if (page->title.length > 0 || walk->first_h1 >= page->text.length)
        return;
    const char *words = page->text.data + walk->first_h1;
    size_t length = strcspn(words, "\n");
    str_append(&page->title, words, utf8_floor(words, length, HTML_TITLE_MAX));
}

bool html_extract(const char *html, size_t length, size_t max, struct html_page *ret,
                  struct err *err)
{
    struct html_page page = {0};
    str_init(&page.text, max);
    str_init(&page.title, HTML_TITLE_MAX);
    text_map_init(&page.map, TEXT_MAP_RUNS_MAX);
    struct walk walk = {.html = html, .length = length, .out = &page, .first_h1 = SIZE_MAX};
    bool done = tokenize(&walk);
    if (done && walk.fenced)
        end_fence(&walk, length);
    borrow_title(&walk);
    if (done && str_ok(&page.text) && str_ok(&page.title) && !page.map.failed) {
        *ret = page;
        return true;
    }
    bool too_large = page.text.overflowed;
    bool ours = !str_ok(&page.text) || !str_ok(&page.title) || page.map.failed;
    html_page_free(&page);
    if (walk.broken)
        return err_set(err, ERR_INTERNAL, "the HTML library lost its place in the document");
    if (too_large)
        return err_set(err, ERR_TOO_LARGE,
                       "the text of the document is larger than %zu MiB; split it", max >> 20);
    if (ours)
        return err_no_memory(err);
    return err_set(err, ERR_DOCUMENT,
                   "the HTML of the document needs more memory than may be spent on it; it is "
                   "probably damaged");
}

void html_page_free(struct html_page *page)
{
    str_free(&page->text);
    str_free(&page->title);
    text_map_free(&page->map);
}
