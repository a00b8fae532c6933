/* search.h - finding passages: EMBED the question, RETRIEVE by words and by meaning, fuse, RERANK.
 *
 * Owner:   results live in the request's arena. Threads: any; a request is one thread's.
 * Fails:   ERR_NOT_FOUND for an unknown store. Without an embedder or reranker it does with what there is and says
 *          so in the result (`notice`), category DEGRADED.
 */
#ifndef JARVIS_ASSISTANT_SEARCH_H
#define JARVIS_ASSISTANT_SEARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "assistant/runtime.h"
#include "retrieval/index.h"

/* The name of the store that is used when none is named; it always exists. */
#define STORE_DEFAULT "default"

struct search_request {
    const char *query;         /* UTF-8, not empty */
    const char *const *stores; /* names or ids; none: the default store */
    size_t store_count;
    size_t top_k; /* 0: as configured */
    double alpha; /* 0..1; negative: as tuned for the one store, else as configured; so the rest */
    int rerank;   /* 1 yes, 0 no, -1 as configured */
    int fusion;   /* enum fusion_method; -1 as configured */
    size_t rerank_depth; /* candidates given to the rerank model; 0: as configured */
    bool
        literal; /* the question's marks (query_syntax.h) mean nothing: somebody's sentence, not a search */
};

struct search_hit {
    const char *document_id; /* "file-…" */
    const char *store_id;
    const char *path; /* as ingested: absolute path, or the name of an uploaded file */
    const char *title;
    size_t offset;     /* bytes in the file as ingested … */
    size_t length;     /* … of the passage */
    size_t line_start; /* 1-based, inclusive */
    size_t line_end;
    const char *text; /* the passage */
    double score;     /* what orders the hits: fused, or mixed with the rerank model's (search.c) */
    double fused;
    double rerank; /* 0..1 by the rerank model; 0 where it has not read the passage */
    double sparse; /* BM25; 0 when no word is shared */
    double dense;  /* cosine -1..1; 0 without an embedder */
    bool reranked;
    enum lang lang; /* of the passage's document */
    /* Where the passage is in the store: for citation.h's callers, not for clients. */
    int64_t document_number;
    size_t text_offset; /* in the extracted text */
};

struct search_result {
    struct search_hit *hits; /* best first */
    size_t count;
    struct index_outcome outcome;
    bool used_embedder;
    bool reranked;         /* at least one hit was; hits that were not stand behind those */
    size_t reranked_count; /* candidates that the rerank model has scored … */
    size_t rerank_asked;   /* … of so many */
    const char *notice;    /* "" or what was missing, in the request's language */
};

bool search_run(struct runtime *runtime, struct request *request,
                const struct search_request *search, struct search_result *ret, struct err *err);

#endif
