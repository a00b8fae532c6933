/* documents.h - what the tests of the document parser share. Owner: arenas of the caller. Threads: one. Fails: by
 * failing the test. */
#ifndef JARVIS_TESTS_DOCUMENTS_H
#define JARVIS_TESTS_DOCUMENTS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/arena.h"
#include "engine/parse.h"

/* Parses and checks every promise of parse.h and parse_map.h; fails the test on an error. */
struct msg_parsed documents_parse(struct arena *arena, const char *name, const void *bytes,
                                  size_t length, const struct charset_converter *opened);

/* The same for a text in a string literal or another NUL-terminated string. */
struct msg_parsed documents_parse_text(struct arena *arena, const char *name, const char *text);

/* The text of an HTML page, as documents_parse() makes it, compared with `expected`. */
void documents_expect_html(const char *html, const char *expected);

/* The promises: text is UTF-8 without NUL, runs ascend and cover it, identical runs are identical. */
void documents_check(const struct msg_parsed *parsed, const uint8_t *bytes, size_t length);

/* The offset in the file of a byte of the text. */
size_t documents_place(const struct msg_parsed *parsed, size_t text_offset);

#endif
