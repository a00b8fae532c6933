/* flow.h - text that arrives in pieces, printed with its words whole at the width of the terminal.
 *
 * A word is held back until its end has come, so the screen is one word behind the model. Line
 * breaks and indentation of the text stay; lines of a file are never broken.
 * Owner:   the caller owns the struct; flow_end() prints what is held back and frees.
 * Threads: one. Fails: flow_write() as term_flush().
 */
#ifndef JARVIS_CLI_FLOW_H
#define JARVIS_CLI_FLOW_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/str.h"
#include "cli/term.h"

enum { FLOW_WORD_MAX = 4096 };

struct flow {
    const struct term *term;
    struct str word; /* held back */
    size_t blanks;   /* before it, not printed yet */
    size_t column;   /* where the cursor stands */
};

void flow_begin(struct flow *flow, const struct term *term);
bool flow_write(struct flow *flow, const char *text, size_t length, struct err *err);
void flow_end(struct flow *flow);

#endif
