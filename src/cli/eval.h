/* eval.h - `jarvis eval`: how well this installation finds what it should, with its own search.
 *
 * Purpose: a corpus goes into a store of its own through the API, as any documents would; its questions are asked of
 *   it by each method, and what comes back is compared with the judgements. eval.c measures, eval_report.c and
 *   eval_html.c tell.
 * Owner:   eval_result_free() ends what eval_run() gave. The store and the files it was read from are gone when
 *   eval_run() returns, whether it succeeded, failed or was interrupted.
 * Threads: one.
 * Fails:   as dataset.h and client.h; ERR_CANCELLED by Ctrl-C.
 */
#ifndef JARVIS_CLI_EVAL_H
#define JARVIS_CLI_EVAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "cli/command.h"
#include "retrieval/dataset.h"
#include "retrieval/evaluate.h"

enum { EVAL_METHODS = 4, EVAL_SHOWN = 10, EVAL_NAME_MAX = 80 };

/* What to measure. */
struct eval_plan {
    const char *folder;  /* BEIR's three files */
    const char *queries; /* other questions with the same ids; NULL: the folder's */
    size_t limit;        /* the first so many questions; 0: all */
    double alpha;        /* of the hybrid methods; negative: as the service has it */
    const char *fusion;  /* of the hybrid methods; NULL: as the service has it */
};

/* A document in a ranking. */
struct eval_rank {
    uint32_t document; /* place in the corpus */
    double score;
};

struct eval_ranking {
    struct eval_rank *ranks; /* best first */
    size_t count;
};

struct eval_method {
    const char *name;
    const char *why;                /* not measured, and this is why; NULL: measured */
    struct eval_ranking *rankings;  /* by question */
    struct evaluate_values *values; /* by question */
    struct evaluate_interval of[EVALUATE_COUNT];
    struct evaluate_interval gain; /* nDCG@10 above that of sparse, question by question */
    double *milliseconds;          /* of a search for EVAL_SHOWN passages, over the API */
    double p50_ms;
    double p95_ms;
};

struct eval_result {
    struct arena arena; /* of everything below */
    struct dataset_texts corpus;
    struct dataset_texts queries; /* those with an answer */
    struct dataset_answers *answers;
    struct eval_method methods[EVAL_METHODS];
    char name[EVAL_NAME_MAX]; /* of the corpus: its folder's */
    size_t passages;
    size_t unread;      /* documents without text */
    const char *notice; /* of the service; "" */
    yyjson_doc *last; /* answer of the last search, which says whether models of the house did it */
};

bool eval_run(struct cli *cli, const struct eval_plan *plan, struct eval_result *ret,
              struct err *err);
void eval_result_free(struct eval_result *result);

/* A table for people; or {"methods": {"sparse": {"ndcg@10": …}}, …}. */
bool eval_print_table(const struct cli *cli, const struct eval_result *result, struct err *err);
bool eval_print_json(const struct cli *cli, const struct eval_result *result, struct err *err);

/* Writes a page that needs nothing but itself. */
bool eval_write_html(const struct cli *cli, const struct eval_result *result, const char *path,
                     struct err *err);

/* Writes the rankings as trec_eval reads them: "question Q0 document rank score method", for other programs to check
 * the measures. */
bool eval_write_rankings(const struct eval_result *result, const char *path, struct err *err);

#endif
