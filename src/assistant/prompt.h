/* prompt.h - what the chat model is given: instructions, numbered passages, the conversation.
 *
 * Purpose: chooses how many passages and how much of the conversation fit the model's context, so that a long
 *   history or a small model shortens the prompt instead of failing.
 * Owner:   everything is in the arena. Threads: one. Fails: ERR_CONTEXT_LENGTH when not even the question fits.
 */
#ifndef JARVIS_ASSISTANT_PROMPT_H
#define JARVIS_ASSISTANT_PROMPT_H

#include <stdbool.h>
#include <stddef.h>

#include "assistant/chat.h"

/* Tokens of each text, as the chat model counts them. */
typedef bool prompt_count(void *user, const char *const *texts, size_t count, uint32_t *ret_tokens,
                          struct err *err);

struct prompt_input {
    const struct msg_chat_message *messages; /* the client's, the question last */
    size_t message_count;
    const struct search_hit *hits; /* best first */
    size_t hit_count;
    uint32_t context_length; /* of the model's slot, tokens */
    uint32_t max_tokens;     /* wanted for the answer; 0: a quarter of the context */
    enum lang lang;          /* of the question */
    prompt_count *count;
    void *user;
};

struct prompt {
    struct msg_chat_message *messages;
    size_t message_count;
    size_t passages; /* hits[0..passages) are in it, numbered from 1 */
};

bool prompt_build(const struct prompt_input *input, struct arena *arena, struct prompt *ret,
                  struct err *err);

/* The last message of role "user"; NULL when there is none. */
const char *prompt_question(const struct msg_chat_message *messages, size_t count);

#endif
