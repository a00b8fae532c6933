/* chat_input.h - the lines that a person types in `jarvis chat`.
 *
 * On a terminal: an editor with history (isocline), kept in state/chat_history; Tab completes
 * /commands. Elsewhere: plain lines, no prompt.
 * Owner:   a line is the caller's (free()). Threads: one: isocline has one terminal.
 * Fails:   never; a history that cannot be written is not kept.
 */
#ifndef JARVIS_CLI_CHAT_INPUT_H
#define JARVIS_CLI_CHAT_INPUT_H

#include <stdbool.h>

#include "base/fs.h"

struct chat_input {
    bool interactive;
};

void chat_input_begin(struct chat_input *input, const struct fs_paths *paths, bool interactive,
                      bool colour, const char *const *commands);

/* The next line without its end, "" after Ctrl-C. NULL at the end (Ctrl-D). */
char *chat_input_line(struct chat_input *input, const char *prompt);

#endif
