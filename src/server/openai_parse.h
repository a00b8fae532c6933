/* openai_parse.h - request bodies of OpenAI's API (and Cohere's rerank) into the structs that the assistant takes.
 *
 * Purpose: pure functions from bytes to a checked request: every field has its type and range looked at here, fields
 *   that nobody knows are accepted, and what is known but cannot be done yet is refused by name. Nothing else
 *   of the server looks at these bodies. Fuzzed by tests/fuzz/fuzz_openai_request.c.
 * Owner:   everything in a result lives in the arena. Threads: safe from any.
 * Fails:   ERR_INVALID_JSON, ERR_INVALID_REQUEST, ERR_UNSUPPORTED; err->param names the field.
 */
#ifndef JARVIS_SERVER_OPENAI_PARSE_H
#define JARVIS_SERVER_OPENAI_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "assistant/chat.h"
#include "base/arena.h"
#include "base/err.h"

enum {
    OPENAI_INPUTS_MAX = 2048,    /* texts of one embeddings request, as OpenAI has it */
    OPENAI_DOCUMENTS_MAX = 4096, /* of one rerank request */
    OPENAI_STORES_MAX = 16,      /* stores of one question */
    OPENAI_FILES_MAX = 500,      /* file ids of one request */
    OPENAI_QUERIES_MAX = 8,      /* of one search in a vector store */
    OPENAI_TOKENS_MAX = 1 << 24, /* largest max_tokens */
    OPENAI_GRAMMAR_MAX = 65536,  /* bytes */
};

struct openai_chat {
    struct chat_request chat;
    bool stream;
    bool include_usage; /* a last chunk with the usage, in a stream */
};

/* POST /v1/chat/completions. A request without "model" means "jarvis". */
bool openai_parse_chat(const char *body, size_t length, struct arena *arena,
                       struct openai_chat *ret, struct err *err);

/* POST /v1/completions: a prompt as it is, message_count 0. */
bool openai_parse_completion(const char *body, size_t length, struct arena *arena,
                             struct openai_chat *ret, struct err *err);

struct openai_embeddings {
    const char *model; /* NULL: the default */
    const char *const *inputs;
    size_t count;
    bool base64;
    uint32_t dimensions; /* 0: all; else each vector is cut to these and normalised again */
};
bool openai_parse_embeddings(const char *body, size_t length, struct arena *arena,
                             struct openai_embeddings *ret, struct err *err);

struct openai_rerank {
    const char *model;
    const char *query;
    const char *const *documents;
    size_t count;
    size_t top_n; /* 1..count */
    bool return_documents;
};
bool openai_parse_rerank(const char *body, size_t length, struct arena *arena,
                         struct openai_rerank *ret, struct err *err);

struct openai_store {
    const char *name;     /* NULL: not given */
    const char *metadata; /* JSON object text; NULL: not given */
    const char *const *file_ids;
    size_t file_count;
};
/* POST /v1/vector_stores and /v1/vector_stores/{id}; the body may be empty. */
bool openai_parse_store(const char *body, size_t length, struct arena *arena,
                        struct openai_store *ret, struct err *err);

/* POST /v1/vector_stores/{id}/files: the one "file_id". */
bool openai_parse_file_id(const char *body, size_t length, struct arena *arena, const char **ret,
                          struct err *err);

/* POST /v1/vector_stores/{id}/file_batches: "file_ids", at least one. */
bool openai_parse_file_ids(const char *body, size_t length, struct arena *arena,
                           const char *const **ret, size_t *ret_count, struct err *err);

struct openai_search {
    const char *const *queries;
    size_t count;
    size_t max_results;
    double score_threshold; /* hits below are left out; -inf: none */
    double alpha;           /* as in struct search_request, and so the rest */
    int fusion;
    int rerank;
};
/* POST /v1/vector_stores/{id}/search. */
bool openai_parse_search(const char *body, size_t length, struct arena *arena,
                         struct openai_search *ret, struct err *err);

#endif
