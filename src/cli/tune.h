/* tune.h - `jarvis tune`: the weight of meaning and the rerank depth that suit a store.
 *
 * Purpose: questions are asked of the store once, deep; retrieval/tune.h tries every weight and depth on what came
 *   back. The questions are the user's (--queries, --qrels) or made of the store's own passages. tune.c measures,
 *   cmd_tune.c tells and stores.
 * Owner:   tune_result_free(). Threads: one.
 * Fails:   as dataset.h and client.h; ERR_INVALID_REQUEST for fewer than TUNE_QUESTIONS_MIN questions; ERR_CANCELLED
 *   by Ctrl-C, nothing is changed then.
 */
#ifndef JARVIS_CLI_TUNE_H
#define JARVIS_CLI_TUNE_H

#include "base/arena.h"
#include "cli/client.h"
#include "cli/command.h"
#include "retrieval/tune.h"

struct tune_plan {
    const char *store;   /* name or id */
    const char *queries; /* a file as queries.jsonl; NULL: questions are made of passages */
    const char *qrels;   /* its judgements; documents are named by id, path or file name */
    size_t count;        /* questions at most */
    uint64_t seed;       /* of the passages drawn */
};

struct tune_result {
    struct arena arena;
    size_t questions;
    bool labelled;
    double alpha_before;
    size_t depth_before;
    struct tune_choice alpha;
    struct tune_choice depth;
    bool has_depth; /* there is a rerank model */
    double alpha_after;
    size_t depth_after;
    yyjson_doc *last; /* answer of the last search, for house_notice.h */
};

bool tune_run(struct cli *cli, struct client *client, const struct tune_plan *plan,
              struct tune_result *ret, struct err *err);
void tune_result_free(struct tune_result *result);

/* The path of the store's ranking in the API; free() it. NULL: no memory. */
char *tune_path(struct client *client, const char *store, const char *leaf);

#endif
