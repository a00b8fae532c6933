/* html_tag.h - what the elements of HTML mean for the text of a page. Only html*.c include it.
 *
 * Owner: constants. Threads: pure. Fails: never; elements that are not in the table are HTML_INLINE.
 */
#ifndef JARVIS_ENGINE_HTML_TAG_H
#define JARVIS_ENGINE_HTML_TAG_H

#include <stdint.h>

enum html_role {
    HTML_INLINE,  /* part of the line, as <b> */
    HTML_BLOCK,   /* a paragraph of its own, as <p> */
    HTML_LINE,    /* a line of its own, as <dt> */
    HTML_HEADING, /* <h1> … <h6> */
    HTML_LIST,
    HTML_ITEM, /* <li> */
    HTML_TABLE,
    HTML_ROW,
    HTML_CELL,
    HTML_BREAK, /* <br> */
    HTML_PRE,
    HTML_APART,  /* in the line, but no part of the word before, as <button> */
    HTML_IMAGE,  /* has its text in an attribute */
    HTML_TITLE,  /* of the page */
    HTML_HIDDEN, /* not shown, with all that it holds */
};

/* `tag` is lexbor's lxb_tag_id_t. */
enum html_role html_tag_role(uintptr_t tag);

/* 1..6 for headings, else 0. */
int html_tag_level(uintptr_t tag);

#endif
