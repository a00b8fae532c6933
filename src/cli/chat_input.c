#include "cli/chat_input.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <isocline.h>

enum { HISTORY_LINES = 1000 };

static void complete_command(ic_completion_env_t *environment, const char *prefix)
{
    const char *const *commands = ic_completion_arg(environment);
    if (prefix[0] != '/')
        return;
    for (; *commands; commands++)
        if (strncmp(*commands, prefix, strlen(prefix)) == 0)
            ic_add_completion_prim(environment, *commands, NULL, NULL, (long)strlen(prefix), 0);
}

void chat_input_begin(struct chat_input *input, const struct fs_paths *paths, bool interactive,
                      bool colour, const char *const *commands)
{
    input->interactive = interactive;
    if (!interactive)
        return;
    char *history = fs_join(paths->state, "chat_history");
    ic_set_history(history, HISTORY_LINES);
    free(history);
    ic_set_default_completer(complete_command, (void *)(uintptr_t)commands);
    ic_enable_color(colour);
    ic_enable_beep(false);
    ic_enable_brace_insertion(false);
    ic_enable_brace_matching(false);
    ic_enable_inline_help(false);
}

static char *plain_line(void)
{
    char *line = NULL;
    size_t size = 0;
    ssize_t length = getline(&line, &size, stdin);
    if (length < 0) {
        free(line);
        return NULL;
    }
    while (length > 0 && (line[length - 1] == '\n' || line[length - 1] == '\r'))
        line[--length] = '\0';
    return line;
}

char *chat_input_line(struct chat_input *input, const char *prompt)
{
    return input->interactive ? ic_readline(prompt) : plain_line();
}
