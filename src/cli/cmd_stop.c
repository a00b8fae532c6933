#include "cli/client.h"
#include "cli/command.h"
#include "cli/service.h"

static bool stop(const struct cli *cli, const struct fs_paths *paths, pid_t pid, struct err *err)
{
    struct client *client;
    if (!client_open(paths->socket, cli->lang, &client, err))
        return false;
    bool ok = client_call(client, "POST", "/v1/jarvis/shutdown", NULL, NULL, err);
    client_close(client);
    return ok && service_wait_end(pid, err);
}

static bool run_stop(struct cli *cli, const struct options *options, int *ret_exit, struct err *err)
{
    (void)ret_exit;
    struct fs_paths paths;
    if (!command_no_words(options, err) || !fs_paths_find(&paths, err))
        return false;
    pid_t pid = 0;
    bool running = service_running(&paths, &pid);
    bool ok = !running || stop(cli, &paths, pid, err);
    fs_paths_free(&paths);
    if (ok)
        fprintf(cli->out.file, "%s\n",
                running ? TR(cli->lang, "The service has ended.")
                        : TR(cli->lang, "No service is running."));
    return ok;
}

const struct command command_stop = {
    .name = "stop",
    .run = run_stop,
    .usage = "",
    .summary = N_("end the service and free its memory"),
    .details = N_("Requests in flight are given time to end. A service that a command has started "
                  "also leaves by itself after ten minutes without work."),
};
