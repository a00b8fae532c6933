#include "cli/chat_input.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <isocline.h>

enum { HISTORY_LINES = 1000 };

/* isocline 1.1.0 returns lines without the NUL at their end (AddressSanitizer shows it). Memory that
 * always has one zero byte more than was asked for mends that, and does no harm to other versions.
 * The function that takes the allocator has one name in its header and another in its library, so
 * both are looked for. */
void ic_init_custom_malloc(ic_malloc_fun_t *allocate, ic_realloc_fun_t *reallocate,
                           ic_free_fun_t *release) __attribute__((weak));
#pragma weak ic_init_custom_alloc

static void *roomy_malloc(size_t size)
{
    return calloc(1, size + 1);
}

static void *roomy_realloc(void *memory, size_t size)
{
    char *moved = realloc(memory, size + 1);
    if (moved)
        moved[size] = '\0';
    return moved;
}

static void use_roomy_memory(void)
{
    if (ic_init_custom_malloc)
        ic_init_custom_malloc(roomy_malloc, roomy_realloc, free);
    else if (ic_init_custom_alloc)
        ic_init_custom_alloc(roomy_malloc, roomy_realloc, free);
}

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
    use_roomy_memory();
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
