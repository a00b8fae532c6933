/* progress.h - how far something is: a bar that redraws itself on a terminal, plain lines
 * elsewhere.
 *
 * On a terminal one line is redrawn at most ten times a second; progress_end() removes it.
 * Elsewhere a line is printed when a phase begins and when it has come ten per cent further.
 * Owner:   the caller owns the struct; texts are read during the call only. Threads: one. Fails:
 *   never.
 */
#ifndef JARVIS_CLI_PROGRESS_H
#define JARVIS_CLI_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/lang.h"
#include "base/str.h"
#include "cli/term.h"

enum { PROGRESS_PHASE_MAX = 16 };

/* One report of the service. */
struct progress_state {
    const char *phase;   /* "scan" "read" "embed"; of a pull "look" "wait" "check" "download" */
    uint64_t done;       /* files, or passages while embedding */
    uint64_t total;      /* 0: not known yet */
    uint64_t bytes_done; /* 0: the rate is in items */
    const char *path;    /* that is being worked at; "" */
    bool in_bytes;       /* done and total are bytes */
};

struct progress {
    const struct term *term;
    enum lang lang;
    char phase[PROGRESS_PHASE_MAX];
    int64_t phase_start_ns;
    int64_t drawn_ns; /* 0: nothing is drawn */
    int tenth;        /* of the phase, last printed as a line */
};

void progress_begin(struct progress *progress, const struct term *term, enum lang lang);
void progress_show(struct progress *progress, const struct progress_state *state);

/* Removes the bar, so that other text may follow. */
void progress_end(struct progress *progress);

/* The bar as text of at most `term->width - 1` columns, without colour; `seconds` since the phase
 * began. */
void progress_render(const struct term *term, enum lang lang, const struct progress_state *state,
                     double seconds, struct str *out);

#endif
