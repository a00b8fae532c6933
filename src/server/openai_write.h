/* openai_write.h - results of the assistant as the JSON that OpenAI's clients read, with our "jarvis" extension.
 *
 * Purpose: the only place that knows how an answer, a chunk of a stream, an error, vectors and scores look.
 * Owner:   text goes into the caller's builder; nothing is kept. Threads: safe from any (pure functions).
 * Fails:   through str_ok() of the builder.
 */
#ifndef JARVIS_SERVER_OPENAI_WRITE_H
#define JARVIS_SERVER_OPENAI_WRITE_H

#include <stdbool.h>
#include <stdint.h>

#include "assistant/chat.h"
#include "assistant/models.h"
#include "assistant/rerank.h"
#include "base/err.h"
#include "base/str.h"
#include "observe/trace.h"
#include "server/openai_parse.h"
#include "server/writer.h"

/* What all pieces of one answer repeat. */
struct openai_reply {
    bool chat;         /* chat.completion, else text_completion */
    const char *id;    /* "chatcmpl-…" or "cmpl-…" */
    const char *model; /* as asked for */
    int64_t created;   /* seconds since 1970 */
};

/* {"error":{"message","type","param","code","category","retry_after_ms"}} */
void openai_write_error(struct str *out, const struct err *error, enum lang lang);

/* A whole answer. */
void openai_write_answer(struct str *out, const struct openai_reply *reply,
                         const struct chat_result *result, const struct trace *trace);

/* The chunks of a stream, each a complete server-sent event: the role first (chat only), then texts, then the finish
 * reason with the sources, then, if asked for, the usage. */
void openai_write_first_chunk(struct str *out, const struct openai_reply *reply);
void openai_write_text_chunk(struct str *out, const struct openai_reply *reply, const char *text);
void openai_write_last_chunk(struct str *out, const struct openai_reply *reply,
                             const struct chat_result *result, const struct trace *trace);
void openai_write_usage_chunk(struct str *out, const struct openai_reply *reply,
                              const struct chat_result *result);

/* An error in the middle of a stream, as an event. */
void openai_write_error_chunk(struct str *out, const struct err *error, enum lang lang);

/* `dimensions` <= vectors->dimensions: each row is cut to that length; when it is shorter, it is normalised again.
 * base64: little-endian float32. */
void openai_write_embeddings(struct str *out, const struct msg_vectors *vectors, const char *model,
                             uint32_t dimensions, bool base64);

/* Best first; equal scores keep the order of the documents. `order` holds the indexes, sorted. */
void openai_write_rerank(struct str *out, const struct openai_rerank *request,
                         const struct rerank_answer *answer, const uint32_t *order, const char *id);

/* "timings_ms":{"embed":1.2,…,"total":3.4}: the top-level spans of a trace, equal names added up. */
void openai_write_timings(struct writer *writer, const struct trace *trace);

/* "house_models": the names of the roles for which a model that came with the program was used (struct request). */
void openai_write_house(struct writer *writer, unsigned roles);

#endif
