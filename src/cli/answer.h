/* answer.h - asking the service a question and showing what it answers; what `ask` and `chat`
 * share.
 *
 * Owner:   answer_ask() fills a struct answer, which answer_free() ends; texts inside live as long
 *   as it.
 * Threads: one. Fails: as client.h; ERR_UNAVAILABLE when the stream ends before the answer does.
 */
#ifndef JARVIS_CLI_ANSWER_H
#define JARVIS_CLI_ANSWER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/json.h"
#include "base/lang.h"
#include "base/str.h"
#include "cli/client.h"
#include "cli/flow.h"
#include "cli/options.h"
#include "cli/term.h"

enum { ANSWER_TEXT_MAX = 8 * 1024 * 1024 };

struct answer_message {
    const char *role; /* "user" "assistant" */
    const char *text;
};

struct answer_request {
    const char *model; /* NULL: "jarvis", the user's documents and the best model there is */
    const struct answer_message *messages;
    size_t message_count;
    const char *const *stores; /* none: the default store */
    size_t store_count;
    int64_t top_k; /* 0: as configured */
    double alpha;  /* negative: as configured */
};

struct answer {
    struct str text;   /* all of it */
    yyjson_doc *last;  /* the event that ended it; NULL before */
    yyjson_val *extra; /* its "jarvis" object: category, notice, sources, timings_ms; may be NULL */
    const char *category; /* "OK" or "DEGRADED" */
    const char *notice;   /* "" or what is missing and what to do */
    bool finished;        /* the service said so */
};

/* Called with each piece of text as it comes; false ends the answer with that error. */
typedef bool answer_text_handler(void *user, const char *text, size_t length, struct err *err);

void answer_init(struct answer *answer);
void answer_free(struct answer *answer);

/* On failure too `answer` holds the text that came, for a reply that was stopped. */
bool answer_ask(struct client *client, const struct answer_request *request,
                answer_text_handler *on_text, void *user, struct answer *answer, struct err *err);

/* An answer_text_handler that prints through the struct flow that `user` points to. */
bool answer_print_text(void *user, const char *text, size_t length, struct err *err);

/* The sources, one a paragraph: [1] path:line-line  "quoted words". Paths below the working
 * directory are shown from there. Prints nothing when there are none. */
void answer_print_sources(const struct term *term, enum lang lang, const struct answer *answer);

/* A notice, unless it is empty, as a paragraph of its own. */
void answer_print_notice(const struct term *term, const char *notice);

/* A path as people like it: from the working directory when it lies below it. Points into `path` or
 * is `path`. */
const char *answer_short_path(const char *path);

#endif
