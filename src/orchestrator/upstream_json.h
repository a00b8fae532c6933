/* upstream_json.h - what is said to another server and what it says, in OpenAI's words.
 *
 * Purpose: private to src/orchestrator; pure, so that it can be tested and fuzzed without a network.
 * Owner:   requests are appended to the caller's builder; answers go into the caller's arena.
 * Threads: one at a time. Fails: ERR_PROTOCOL for an answer that makes no sense, ERR_TOO_LARGE for a full arena.
 */
#ifndef JARVIS_ORCHESTRATOR_UPSTREAM_JSON_H
#define JARVIS_ORCHESTRATOR_UPSTREAM_JSON_H

#include "base/json.h"
#include "orchestrator/registry.h"

/* POST /chat/completions, or /completions when the request has no messages: always as a stream. What OpenAI's own API
 * does not know (top_k, min_p, repeat_penalty, grammar) is sent only where it differs from the default. */
void upstream_put_generate(struct str *out, const char *model, const struct msg_generate *request);

/* POST /embeddings, /rerank. `prefix` is put before each text. */
void upstream_put_embed(struct str *out, const char *model, const char *prefix,
                        const char *const *texts, size_t count);
void upstream_put_rerank(struct str *out, const char *model, const char *query,
                         const char *const *documents, size_t count);

/* count x dimensions values, each row of length 1 (or all zero), into `rows`, which has room for that many. With
 * *dimensions 0 it is only found out. */
bool upstream_get_dimensions(yyjson_val *root, uint32_t *ret, struct err *err);
bool upstream_get_vectors(yyjson_val *root, size_t count, uint32_t dimensions, float *rows,
                          uint64_t *ret_tokens, struct err *err);

/* One score for each document. Where all are probabilities they become logits, which is what a model's own are. */
bool upstream_get_scores(yyjson_val *root, size_t count, float *scores, uint64_t *ret_tokens,
                         struct err *err);

/* What one event of a stream adds. */
struct upstream_chunk {
    struct str text;
    struct msg_done last; /* finish and token counts, as far as they are known */
    bool finished;        /* a finish_reason has come */
    bool done;            /* "[DONE]" */
};

/* Takes an event's data into *chunk. An error in the stream is that error. */
bool upstream_get_chunk(const char *model, const char *data, size_t length,
                        struct upstream_chunk *chunk, struct err *err);

#endif
