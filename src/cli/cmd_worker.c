#include <string.h>

#include "cli/command.h"
#include "engine/speech_decode.h"
#include "engine/worker_main.h"

enum { WORKER_FD = 3 };

/* Started by the service with its socket as descriptor 3; with the word "sound", to take a sound file apart. */
static bool run_worker(struct cli *cli, const struct options *options, int *ret_exit,
                       struct err *err)
{
    (void)cli;
    if (options->word_count == 1 && strcmp(options->words[0], "sound") == 0) {
        *ret_exit = speech_decode_main(WORKER_FD);
        return true;
    }
    if (!command_no_words(options, err))
        return false;
    *ret_exit = worker_main(WORKER_FD);
    return true;
}

const struct command command_worker = {
    .name = "worker",
    .run = run_worker,
    .usage = "",
    .summary = N_("hold one model; started by the service"),
    .hidden = true,
};
