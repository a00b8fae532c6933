/* beir.h - corpora in BEIR's three files (corpus.jsonl, queries.jsonl, qrels.tsv), for tests of
 * quality.
 *
 * Owner: beir_free(). Threads: one. Fails: beir_load() returns false when the folder is not there;
 * a broken file fails the test.
 */
#ifndef JARVIS_TESTS_RETRIEVAL_BEIR_H
#define JARVIS_TESTS_RETRIEVAL_BEIR_H

#include <stdbool.h>
#include <stddef.h>

struct beir_text {
    char *id;
    char *text;   /* title, empty line, text */
    char *answer; /* of a query, when the data has one; else NULL */
};

struct beir {
    struct beir_text *documents;
    size_t document_count;
    struct beir_text *queries;
    size_t query_count;
    struct beir_judgement {
        size_t query;
        size_t document;
        int grade;
    } * judgements;
    size_t judgement_count;
};

/* `name`: a folder of the shared test data. */
bool beir_load(const char *name, struct beir *ret);
void beir_free(struct beir *beir);

/* The grade of a document for a query; 0 when it was not judged. */
int beir_grade(const struct beir *beir, size_t query, size_t document);

/* nDCG@k of documents ranked for a query; -1 when the query has no relevant document. */
double beir_ndcg(const struct beir *beir, size_t query, const size_t *ranking, size_t count,
                 size_t k);

#endif
