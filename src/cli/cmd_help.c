#include "cli/command.h"

static bool run_help(struct cli *cli, const struct options *options, int *ret_exit, struct err *err)
{
    (void)ret_exit;
    if (options->word_count == 0) {
        command_print_overview(cli);
        return true;
    }
    const struct command *command = command_find(options->words[0]);
    if (!command)
        return command_unknown(options->words[0], err);
    command_print_help(cli, command);
    return true;
}

const struct command command_help = {
    .name = "help",
    .run = run_help,
    .usage = N_("[COMMAND]"),
    .summary = N_("show the commands, or how to use one"),
};
