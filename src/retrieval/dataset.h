/* dataset.h - questions with known answers, in the three files of BEIR.
 *
 * Purpose: reads what `jarvis eval` and `jarvis tune` ask:
 *     corpus.jsonl, queries.jsonl   a line each: {"_id": "…", "title": "…", "text": "…"}; the title may be absent
 *     qrels.tsv (or qrels/test.tsv) a line each: question id, document id, grade; the first line may name the columns
 * Owner:   everything lies in the caller's arena.
 * Threads: one at a time.
 * Fails:   ERR_NOT_FOUND, ERR_IO; ERR_INVALID_REQUEST names file and line of what is no entry; ERR_TOO_LARGE.
 */
#ifndef JARVIS_RETRIEVAL_DATASET_H
#define JARVIS_RETRIEVAL_DATASET_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/map.h"

enum { DATASET_LINES_MAX = 1 << 26 };

#define DATASET_NOT_THERE ((size_t)-1)

struct dataset_text {
    const char *id;
    const char *title; /* "" */
    const char *text;
};

struct dataset_texts {
    struct dataset_text *items;
    size_t count;
};

bool dataset_read_texts(const char *path, struct arena *arena, struct dataset_texts *ret,
                        struct err *err);

/* A judgement. */
struct dataset_qrel {
    const char *query;
    const char *document;
    double grade;
};

struct dataset_qrels {
    struct dataset_qrel *items;
    size_t count;
};

bool dataset_read_qrels(const char *path, struct arena *arena, struct dataset_qrels *ret,
                        struct err *err);

/* The path of the judgements in a folder; free() it. NULL: no memory. */
char *dataset_qrels_path(const char *folder);

/* The ids of texts as keys of a map, which the caller has made and frees; the values are places in `texts`. */
bool dataset_index(const struct dataset_texts *texts, struct map *ret, struct err *err);

/* The relevant documents of a question, largest grade first. */
struct dataset_answers {
    size_t *documents; /* places in the corpus; DATASET_NOT_THERE for one that it lacks */
    double *grades;    /* > 0 */
    size_t count;
};

/* *ret has an entry for each of the queries, in their order; without judgements its count is 0. `documents`: ids
 * to places. */
bool dataset_join(const struct dataset_qrels *qrels, const struct dataset_texts *queries,
                  const struct map *documents, struct arena *arena, struct dataset_answers **ret,
                  struct err *err);

/* The grade of a document among a question's answers; 0 when it is none. */
double dataset_grade(const struct dataset_answers *answers, size_t document);

#endif
