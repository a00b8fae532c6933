/* chat.h - answers: with the user's documents or without, from a language model or, without one, extracted.
 *
 * Steps by name, each a span of the request's trace: EMBED, RETRIEVE, RERANK (search.h), ACQUIRE the chat model,
 * GENERATE, VERIFY the citations. Without a chat model an answer over documents is the best sentences, quoted
 * (category DEGRADED); a chat without documents is then ERR_NO_CHAT_MODEL.
 *
 *     chat_start(rt, &request, &chat, &stream, &err)
 *     while (chat_next(stream, &event, &err) && event.type != CHAT_DONE) …
 *     chat_end(stream)
 *
 * Owner:   the stream belongs to the caller; what events point to lives in the request's arena.
 * Threads: a stream is one thread's. Fails: as in registry.h; nothing is retried after the first text.
 */
#ifndef JARVIS_ASSISTANT_CHAT_H
#define JARVIS_ASSISTANT_CHAT_H

#include <stdbool.h>
#include <stddef.h>

#include "assistant/search.h"

/* The model name that means: my documents, with the best chat model there is. */
#define CHAT_MODEL_JARVIS "jarvis"

struct chat_request {
    const char
        *model; /* NULL or "jarvis": documents and the default chat model; else a model's name */
    const struct msg_chat_message *messages;
    size_t message_count;
    const char *prompt; /* raw completion when message_count is 0 */
    struct sampling sampling;
    bool use_documents;           /* forced true for model "jarvis" */
    struct search_request search; /* query is ignored: the last user message is the question */
};

struct chat_source {
    int number; /* as cited in the text: [1] */
    struct search_hit hit;
    /* The quoted words: a part of the hit, verified byte for byte. */
    const char *quote;
    size_t quote_offset; /* in the file as ingested */
    size_t quote_length;
    size_t quote_line_start;
    size_t quote_line_end;
    bool stale; /* the file on disk no longer holds these words there: ingest it again */
};

enum chat_category { CHAT_OK, CHAT_DEGRADED };

struct chat_result {
    const char *model; /* that answered; "extractive" without one */
    const char *text;  /* the whole answer */
    enum chat_category category;
    /* Why another model, or none, answers instead of the one that was asked for: the code of that one's error. NULL
     * when the answer is as good as it was asked for. */
    const char *degraded;
    const char *notice; /* "" or what is missing and what to do, in the reader's language */
    enum finish_reason finish;
    struct msg_done usage; /* token counts; zeros when extractive */
    struct chat_source *sources;
    size_t source_count;
    unsigned house; /* as in struct request */
};

enum chat_event_type { CHAT_DELTA, CHAT_DONE };

struct chat_event {
    enum chat_event_type type;
    const char *text;                 /* CHAT_DELTA: valid until the next call */
    const struct chat_result *result; /* CHAT_DONE */
};

struct chat_stream;

bool chat_start(struct runtime *runtime, struct request *request, const struct chat_request *chat,
                struct chat_stream **ret, struct err *err);

/* What is known of the result so far: after the first chat_next() the model and `degraded` stay as they are. */
const struct chat_result *chat_so_far(const struct chat_stream *stream);

bool chat_next(struct chat_stream *stream, struct chat_event *ret, struct err *err);
void chat_end(struct chat_stream *stream); /* cancels what is not done; NULL is fine */

/* "OK" or "DEGRADED". */
const char *chat_category_name(enum chat_category category);

#endif
