/* html_entity.h - character references of HTML ("&eacute;", "&#233;", "&#xe9;").
 *
 * Purpose: turns one reference at a time into UTF-8, so that its place in the file stays known. Owner: writes into
 * the caller's buffer. Threads: pure. Fails: by returning 0 for what is no reference.
 */
#ifndef JARVIS_ENGINE_HTML_ENTITY_H
#define JARVIS_ENGINE_HTML_ENTITY_H

#include <stddef.h>

enum { HTML_ENTITY_MAX = 8 }; /* bytes that a reference becomes at most: two characters */

/* text[0..length) begins with '&'. Returns how many bytes the reference takes (its ';' included, which some may
 * lack) and its meaning in out[0..*ret_length); 0 when the '&' stands for itself. As the HTML standard, "named
 * character reference state" and the states of numeric ones, reads them outside of attributes. */
size_t html_entity(const char *text, size_t length, char out[HTML_ENTITY_MAX], size_t *ret_length);

#endif
