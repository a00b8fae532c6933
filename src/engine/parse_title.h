/* parse_title.h - the title of a text document.
 *
 * Purpose: a name for a Markdown document that says more than its file's. Owner: the result is in the caller's builder.
 * Threads: pure. Fails: never; without a title the builder stays empty.
 */
#ifndef JARVIS_ENGINE_PARSE_TITLE_H
#define JARVIS_ENGINE_PARSE_TITLE_H

#include <stddef.h>

#include "base/str.h"

enum { PARSE_TITLE_MAX = 512 };

/* "title:" of the front matter, else the words of the first heading. Looks at the beginning of the text only.
 * Appends at most PARSE_TITLE_MAX bytes of UTF-8. */
void parse_markdown_title(const char *text, size_t length, struct str *out);

#endif
