/* prompt.h - a conversation becomes the text that a chat model was trained to continue.
 *
 * Purpose: renders messages with the model's own template where libllama knows it, else with ChatML when the
 *   vocabulary has its markers, else as plain "role: content" lines. Text of a message that spells one of the
 *   model's control tokens is broken up by a zero-width space, so that no document can pretend to be the system.
 * Owner:   prompt_close(). Threads: one at a time. Fails: ERR_NO_MEMORY, ERR_INVALID_REQUEST for no message,
 *   ERR_TOO_LARGE.
 */
#ifndef JARVIS_ENGINE_PROMPT_H
#define JARVIS_ENGINE_PROMPT_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "engine/model.h"
#include "ipc/protocol.h"

struct prompt_format {
    struct arena arena;
    const char *template_text; /* the model's, or a name that libllama knows; NULL: plain lines */
    bool own_template;         /* the model's, and libllama can apply it */
    const char **controls;     /* spellings of control tokens */
    size_t control_count;
};

bool prompt_open(const struct model *model, struct prompt_format *ret, struct err *err);
void prompt_close(struct prompt_format *format);

/* Appends the prompt that asks for the assistant's next turn. */
bool prompt_render(const struct prompt_format *format, const struct msg_chat_message *messages,
                   uint32_t count, struct str *out, struct err *err);

/* A stop string that the format needs besides those of the request, or NULL. */
const char *prompt_stop(const struct prompt_format *format);

#endif
