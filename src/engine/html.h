/* html.h - the text that a reader of a web page sees, with the way back to the page's bytes.
 *
 * Purpose: takes the visible text out of HTML and writes it as simple Markdown, so that whoever cuts it into passages
 *   sees its structure: paragraphs are separated by an empty line, headings begin with "# " to "###### ", list items
 *   with "- " (two spaces deeper for each list around them), a table's row is a line with " | " between cells,
 *   preformatted text stands between lines of "```". White space is collapsed as a browser does. Scripts, styles,
 *   templates, drop-down lists, graphics and what a browser with scripts does not show are left out; an image's
 *   alternative text is taken. The title goes to *ret_title and not into the text.
 * Bounds:  one pass over the tokens of lexbor's tokenizer, no tree and no stack: nesting costs nothing, however deep.
 * Owner:   what *ret holds is the caller's (html_page_free()). Threads: pure.
 * Fails:   ERR_TOO_LARGE past `max` bytes of text, ERR_NO_MEMORY, ERR_DOCUMENT when the memory that the tokenizer
 *   wants is not to be had. No page is wrong: everything is HTML.
 */
#ifndef JARVIS_ENGINE_HTML_H
#define JARVIS_ENGINE_HTML_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/str.h"
#include "engine/parse_map.h"

enum { HTML_TITLE_MAX = 512 };

struct html_page {
    struct str text;     /* UTF-8 */
    struct text_map map; /* from `text` to the HTML */
    struct str title;    /* of <title>, else the first <h1>; at most HTML_TITLE_MAX bytes */
};

/* `html` is UTF-8 without NUL. */
bool html_extract(const char *html, size_t length, size_t max, struct html_page *ret,
                  struct err *err);
void html_page_free(struct html_page *page);

#endif
