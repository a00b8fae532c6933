#include "cli/client.h"
#include "cli/command.h"
#include "cli/service.h"

bool session_open(const struct cli *cli, struct session *ret, struct err *err)
{
    struct session session = {0};
    if (!fs_paths_find(&session.paths, err))
        return false;
    const struct service_options options = service_own();
    bool started;
    if (!service_ensure(&session.paths, &options, &started, err) ||
        !client_open(session.paths.socket, cli->lang, &session.client, err)) {
        fs_paths_free(&session.paths);
        return false;
    }
    *ret = session;
    return true;
}

void session_close(struct session *session)
{
    client_close(session->client);
    fs_paths_free(&session->paths);
}
