/* `jarvis serve`: the service in the foreground, until a signal, POST /v1/jarvis/shutdown, or
 * --idle-exit ends it.
 *
 * The main thread only waits, on one poll(): signals come through a signalfd, a client's wish to
 * stop through an eventfd, idleness through the timeout. The first SIGTERM or SIGINT lets requests
 * in flight end; then both have their default action again, so that a second one ends the program
 * at once. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "assistant/house.h"
#include "assistant/runtime.h"
#include "base/clock.h"
#include "cli/command.h"
#include "cli/service.h"
#include "config/config.h"
#include "observe/log.h"
#include "server/server.h"

#include "config.h"

enum { GRACE_MS = 10000, MS_PER_S = 1000, IDLE_EXIT_MAX_S = 30 * 24 * 3600 };

static const struct option_spec serve_options[] = {
    {.name = "listen",
     .type = OPTION_TEXT,
     .value = N_("ADDR:PORT"),
     .help = N_("where HTTP is served (default: server.listen); empty: on the socket only")},
    {.name = "background",
     .type = OPTION_FLAG,
     .help = N_("start it, wait until it is ready, and return")},
    {.name = "idle-exit",
     .type = OPTION_INT,
     .value = N_("SECONDS"),
     .help = N_("leave after so long without work (0: never)"),
     .max = IDLE_EXIT_MAX_S},
    {.name = "ready-fd",
     .type = OPTION_INT,
     .value = "FD",
     .min = 3,
     .max = INT_MAX,
     .hidden = true},
};

struct serving {
    struct cli *cli;
    const struct fs_paths *paths;
    const char *listen;
    int64_t idle_exit_ms; /* 0: never */
    int ready_fd;         /* -1: nobody waits */
    int signal_fd;
    int shutdown_fd; /* readable when a client wants us to stop */
    struct log *log;
};

/* --- telling systemd (sd_notify(3): one datagram to the socket that NOTIFY_SOCKET names) --- */

static void notify_systemd(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!path || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof(address.sun_path))
        return;
    memcpy(address.sun_path, path, strlen(path));
    if (path[0] == '@') /* an abstract name begins with NUL */
        address.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    (void)!sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&address, length);
    close(fd);
}

/* --- waiting --- */

static sigset_t ending_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    return set;
}

/* How long poll() may wait: until the service will have been idle for long enough, or for ever. */
static int wait_ms(const struct serving *serving, struct server *server)
{
    if (serving->idle_exit_ms == 0)
        return -1;
    int64_t left = serving->idle_exit_ms - server_idle_ms(server);
    return left <= 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
}

/* Returns why the service is to end. */
static const char *wait_for_end(const struct serving *serving, struct server *server)
{
    struct pollfd events[] = {{.fd = serving->signal_fd, .events = POLLIN},
                              {.fd = serving->shutdown_fd, .events = POLLIN}};
    for (;;) {
        int timeout = wait_ms(serving, server);
        if (timeout == 0)
            return "idle";
        int ready = poll(events, 2, timeout);
        struct signalfd_siginfo taken;
        if (ready > 0 && read(serving->signal_fd, &taken, sizeof(taken)) > 0)
            return "signal";
        if (ready > 0)
            return "asked by a client";
    }
}

/* From here on a signal ends the program at once. The one that may have come has been taken. */
static void let_signals_through(void)
{
    sigset_t set = ending_signals();
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static void on_shutdown(void *user)
{
    const struct serving *serving = user;
    uint64_t one = 1;
    (void)!write(serving->shutdown_fd, &one, sizeof(one));
}

/* --- serving --- */

static void announce(const struct serving *serving, const struct server *server)
{
    const struct cli *cli = serving->cli;
    const char *address = server_address(server);
    fprintf(cli->out.file, TR(cli->lang, "jarvis %s is ready."), JARVIS_VERSION);
    fputs("\n", cli->out.file);
    if (*address)
        fprintf(cli->out.file, "  http://%s/v1\n", address);
    fprintf(cli->out.file, "  %s\n", serving->paths->socket);
    fflush(cli->out.file);
    log_write(serving->log, LOG_INFO, LOG_EVENT_SERVICE, NULL, NULL, 0, "ready on %s and %s",
              *address ? address : "no address", serving->paths->socket);
    notify_systemd("READY=1");
}

static bool serve(struct serving *serving, struct runtime *runtime, struct err *err)
{
    const struct server_options options = {
        .runtime = runtime,
        .socket_path = serving->paths->socket,
        .listen = serving->listen,
        .log = serving->log,
        .on_shutdown = on_shutdown,
        .user = serving,
    };
    struct server *server;
    if (!server_start(&options, &server, err))
        return false;
    announce(serving, server);
    service_report(serving->ready_fd, NULL);
    serving->ready_fd = -1;
    const char *why = wait_for_end(serving, server);
    log_write(serving->log, LOG_INFO, LOG_EVENT_SERVICE, NULL, NULL, 0, "ending: %s", why);
    let_signals_through();
    notify_systemd("STOPPING=1");
    server_stop(server, GRACE_MS);
    return true;
}

static bool own_program(char out[PATH_MAX], struct err *err)
{
    ssize_t length = readlink("/proc/self/exe", out, PATH_MAX - 1);
    if (length < 0)
        return err_set_errno(err, ERR_INTERNAL, errno, "cannot find my own program");
    out[length] = '\0';
    return true;
}

static bool serve_with_config(struct serving *serving, const struct config *config, struct err *err)
{
    char program[PATH_MAX];
    enum log_level level = LOG_INFO;
    log_level_parse(config->log_level, &level);
    if (!own_program(program, err) ||
        !log_open(serving->paths->log_file, level, &serving->log, err))
        return false;
    char *embedder = house_model(program, HOUSE_EMBEDDER);
    char *speech = house_model(program, HOUSE_SPEECH);
    const struct runtime_options options = {
        .paths = serving->paths,
        .config = config,
        .log = serving->log,
        .program = program,
        .house_embedder = embedder,
        .house_speech = speech,
    };
    struct runtime *runtime;
    bool ok = runtime_open(&options, &runtime, err);
    if (ok) {
        ok = serve(serving, runtime, err);
        runtime_close(runtime);
    }
    if (!ok)
        log_error(serving->log, NULL, "serve", err);
    free(embedder);
    free(speech);
    log_close(serving->log);
    return ok;
}

/* Everything that another running service must not be disturbed by comes after this. */
static bool refuse_second(const struct fs_paths *paths, struct err *err)
{
    pid_t pid = 0;
    return !service_running(paths, &pid) ||
           err_set(err, ERR_CONFLICT,
                   "a service is already running (process %d); end it with: jarvis stop", (int)pid);
}

static bool serve_here(struct serving *serving, struct err *err)
{
    sigset_t signals = ending_signals();
    struct config *config;
    /* Before any thread: they all inherit it, so that signals wait for the signalfd. */
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    if (!refuse_second(serving->paths, err) ||
        !config_load(serving->paths->config_file, &config, err))
        return false;
    serving->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    serving->shutdown_fd = eventfd(0, EFD_CLOEXEC);
    bool ok = serving->signal_fd >= 0 && serving->shutdown_fd >= 0
                  ? serve_with_config(serving, config, err)
                  : err_set_errno(err, ERR_INTERNAL, errno, "cannot watch for signals");
    close(serving->signal_fd);
    close(serving->shutdown_fd);
    config_free(config);
    return ok;
}

static bool serve_in_background(const struct serving *serving, struct err *err)
{
    const struct cli *cli = serving->cli;
    const struct service_options options = {
        .idle_exit_s = (int)(serving->idle_exit_ms / MS_PER_S),
        .listen = serving->listen,
    };
    bool started;
    if (!refuse_second(serving->paths, err) ||
        !service_ensure(serving->paths, &options, &started, err))
        return false;
    fprintf(cli->out.file, TR(cli->lang, "The service is ready: %s"), serving->paths->socket);
    fputs("\n", cli->out.file);
    return true;
}

static bool run_serve(struct cli *cli, const struct options *options, int *ret_exit,
                      struct err *err)
{
    (void)ret_exit;
    struct fs_paths paths = {0};
    struct serving serving = {
        .cli = cli,
        .paths = &paths,
        .listen = options_text(options, "listen", NULL),
        .idle_exit_ms = options_int(options, "idle-exit", 0) * MS_PER_S,
        .ready_fd = (int)options_int(options, "ready-fd", -1),
    };
    if (serving.ready_fd >= 0)
        fcntl(serving.ready_fd, F_SETFD, FD_CLOEXEC); /* not for workers */
    bool ok = command_no_words(options, err) && fs_paths_find(&paths, err) &&
              (options_has(options, "background") ? serve_in_background(&serving, err)
                                                  : serve_here(&serving, err));
    if (!ok)
        service_report(serving.ready_fd, err);
    fs_paths_free(&paths);
    return ok;
}

const struct command command_serve = {
    .name = "serve",
    .run = run_serve,
    .usage = N_("[--listen ADDR:PORT]"),
    .summary = N_("run the service and its OpenAI-compatible API"),
    .details =
        N_("Other commands start a service by themselves; that one serves them on its socket "
           "only and leaves after ten minutes without work. Use serve to have the API on an "
           "address, or to let the service run for good. SIGTERM or Ctrl-C lets answers in "
           "flight end; a second one ends it at once."),
    .options = serve_options,
    .option_count = sizeof(serve_options) / sizeof(*serve_options),
};
