/* term.h - where text goes: a terminal (colour, width, cursor) or a file (plain text).
 *
 * Purpose: one place that knows whether to colour, how wide a line is and how many columns a text
 *   takes, and that keeps control characters in documents and answers from reaching the terminal.
 * Owner:   the FILE is the caller's. Threads: one. Fails: writing fails as stdio does: term_flush()
 *   tells.
 */
#ifndef JARVIS_CLI_TERM_H
#define JARVIS_CLI_TERM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"
#include "base/str.h"

enum term_style { STYLE_BOLD, STYLE_DIM, STYLE_RED, STYLE_GREEN, STYLE_YELLOW, STYLE_CYAN };

struct term {
    FILE *file;
    bool tty;
    bool colour;
    bool utf8; /* the locale's encoding; else bars and marks are ASCII */
    int width; /* columns; 80 when unknown */
};

/* Looks at the descriptor, TERM, NO_COLOR (any value that is not empty: no-color.org) and the
 * locale. */
void term_init(struct term *term, FILE *file, bool allow_colour);

/* Asks the terminal for its width again (TIOCGWINSZ; COLUMNS goes before it). */
void term_measure(struct term *term);

/* The escape that begins a style, or that ends all of them; "" without colour. */
const char *term_on(const struct term *term, enum term_style style);
const char *term_off(const struct term *term);

/* Writes text of unknown origin. On a terminal control characters other than newline and tab, and
 * those that reorder text (Unicode's bidirectional controls), are left out. */
void term_write(const struct term *term, const char *text, size_t length);

/* Flushes; ERR_IO when what was printed cannot be written. A reader that has gone (EPIPE) is
 * ERR_CANCELLED. */
bool term_flush(const struct term *term, struct err *err);

/* --- columns --- */

/* Columns that UTF-8 text takes on a terminal: 2 for wide characters, 0 for combining ones. */
size_t text_width(const char *text, size_t length);

/* Bytes of the longest beginning of text that takes at most `columns`. */
size_t text_prefix(const char *text, size_t length, size_t columns);

/* Appends text cut to `columns`, with an ellipsis in place of what is missing: at the end, or at
 * the front (the end of a path tells more than its beginning). Line breaks and runs of blanks
 * become one blank. */
void text_fit(struct str *out, const char *text, size_t columns, bool cut_front, bool utf8);

/* Appends text that begins at `column`, its words wrapped at `columns`; further lines begin with
 * `indent` blanks. Runs of blanks become one. */
void text_wrap(struct str *out, const char *text, size_t columns, size_t column, size_t indent);

/* Appends `count` blanks. */
void text_pad(struct str *out, size_t count);

/* "512 B", "1.5 KiB", "3.2 GiB". */
void text_bytes(struct str *out, uint64_t bytes);

/* "85 ms", "1.2 s", "2 min 05 s". */
void text_duration(struct str *out, double milliseconds);

#endif
