/* cmd_fit.h - the part of `jarvis models` that tells whether a model fits. Owner: nothing is kept. Threads: one.
 * Fails: as client.h. */
#ifndef JARVIS_CLI_CMD_FIT_H
#define JARVIS_CLI_CMD_FIT_H

#include "cli/client.h"
#include "cli/command.h"

/* words[1] names the model; options "context", "parallel" and "kv". */
bool fit_command(const struct cli *cli, struct client *client, const struct options *options,
                 struct err *err);

#endif
