#include "cli/service.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"

enum { READY_FD = 3, REPORT_MAX = 4096, MS_PER_S = 1000, LOCK_SPARE_S = 5 };

struct service_options service_own(void)
{
    return (struct service_options){.idle_exit_s = SERVICE_IDLE_S, .listen = ""};
}

/* --- is there one? --- */

bool service_running(const struct fs_paths *paths, pid_t *ret_pid)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(paths->socket);
    if (length >= sizeof(address.sun_path))
        return false;
    memcpy(address.sun_path, paths->socket, length + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    bool running = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
    struct ucred peer = {0};
    socklen_t peer_length = sizeof(peer);
    if (running && ret_pid && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &peer_length) == 0)
        *ret_pid = peer.pid;
    close(fd);
    return running;
}

/* --- one at a time --- */

static void on_alarm(int number)
{
    (void)number; /* its only use is to interrupt flock() */
}

/* flock(2) with a deadline. False leaves the reason in errno, EINTR being the deadline. */
static bool lock_within(int fd, unsigned seconds)
{
    struct sigaction before;
    struct sigaction action = {.sa_handler = on_alarm}; /* no SA_RESTART */
    sigaction(SIGALRM, &action, &before);
    alarm(seconds);
    bool locked = flock(fd, LOCK_EX) == 0;
    int errnum = errno;
    alarm(0);
    sigaction(SIGALRM, &before, NULL);
    errno = errnum;
    return locked;
}

/* Takes the lock that only one starting command holds. Its holder waits SERVICE_START_S at most,
 * and the kernel frees the lock when it dies; the deadline is for one who hangs all the same. */
static bool lock_start(const struct fs_paths *paths, int *ret_fd, struct err *err)
{
    char *path = fs_join(paths->run, "start.lock");
    if (!path)
        return err_no_memory(err);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    int errnum = errno;
    free(path);
    if (fd < 0)
        return err_set_errno(err, ERR_IO, errnum, "cannot open the lock in \"%s\"", paths->run);
    if (lock_within(fd, SERVICE_START_S + LOCK_SPARE_S)) {
        *ret_fd = fd;
        return true;
    }
    errnum = errno;
    close(fd);
    if (errnum == EINTR)
        return err_set(err, ERR_TIMEOUT,
                       "another command has been starting the service for too long; try again");
    return err_set_errno(err, ERR_IO, errnum, "cannot take the lock in \"%s\"", paths->run);
}

/* --- starting --- */

/* The environment with JARVIS_HOME made absolute: the service does not share our directory. NULL:
 * no memory. */
static char **make_environment(char **ret_home)
{
    size_t count = 0;
    while (environ[count])
        count++;
    char **copy = calloc(count + 1, sizeof(*copy));
    const char *home = getenv("JARVIS_HOME");
    char *real = home && *home ? realpath(home, NULL) : NULL;
    *ret_home = real ? str_format(PATH_MAX + 16, "JARVIS_HOME=%s", real) : NULL;
    free(real);
    for (size_t i = 0; copy && i < count; i++)
        copy[i] =
            *ret_home && strncmp(environ[i], "JARVIS_HOME=", 12) == 0 ? *ret_home : environ[i];
    return copy;
}

/* Descriptors and session of the service: nothing of the terminal stays with it. What it prints
 * before its log is open, or when it crashes, goes to a file beside the log. */
static bool prepare_spawn(const struct fs_paths *paths, int ready_fd,
                          posix_spawn_file_actions_t *actions, posix_spawnattr_t *attributes)
{
    char *output = fs_join(paths->state, "service.out");
    if (!output)
        return false;
    sigset_t none;
    sigset_t defaults;
    sigemptyset(&none);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    posix_spawnattr_setsigmask(attributes, &none);
    posix_spawnattr_setsigdefault(attributes, &defaults);
    posix_spawnattr_setflags(attributes,
                             POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    bool ok = posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDONLY, 0) == 0 &&
              posix_spawn_file_actions_addopen(actions, 1, output, O_WRONLY | O_CREAT | O_TRUNC,
                                               0600) == 0 &&
              posix_spawn_file_actions_adddup2(actions, 1, 2) == 0 &&
              posix_spawn_file_actions_adddup2(actions, ready_fd, READY_FD) == 0 &&
              posix_spawn_file_actions_addchdir_np(actions, "/") == 0;
    free(output);
    return ok;
}

static int spawn_with(const struct fs_paths *paths, int ready_fd, char *const *argv, pid_t *ret_pid)
{
    char *home;
    char **environment = make_environment(&home);
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    int result = ENOMEM;
    if (environment && prepare_spawn(paths, ready_fd, &actions, &attributes))
        result = posix_spawn(ret_pid, "/proc/self/exe", &actions, &attributes, argv, environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    free(environment);
    free(home);
    return result;
}

static bool spawn_service(const struct fs_paths *paths, const struct service_options *options,
                          int ready_fd, pid_t *ret_pid, struct err *err)
{
    char idle[32];
    char ready[32];
    char name[] = "jarvis";
    char serve[] = "serve";
    char listen_option[] = "--listen";
    snprintf(idle, sizeof(idle), "--idle-exit=%d", options->idle_exit_s);
    snprintf(ready, sizeof(ready), "--ready-fd=%d", READY_FD);
    char *listen = options->listen ? strdup(options->listen) : NULL;
    if (options->listen && !listen)
        return err_no_memory(err);
    char *const argv[] = {name, serve, idle, ready, listen ? listen_option : NULL, listen, NULL};
    int result = spawn_with(paths, ready_fd, argv, ret_pid);
    free(listen);
    if (result != 0)
        return err_set_errno(err, ERR_UNAVAILABLE, result, "cannot start the service");
    return true;
}

/* --- the report through the pipe: one JSON object, {"ready": true} or {"code", "en", "es"} --- */

void service_report(int ready_fd, const struct err *err)
{
    if (ready_fd < 0)
        return;
    struct str line;
    str_init(&line, REPORT_MAX);
    if (err) {
        str_printf(&line, "{\"code\":%d,\"en\":\"", (int)err->code);
        str_json(&line, err->message[LANG_EN], strlen(err->message[LANG_EN]));
        str_puts(&line, "\",\"es\":\"");
        str_json(&line, err->message[LANG_ES], strlen(err->message[LANG_ES]));
        str_puts(&line, "\"}\n");
    } else {
        str_puts(&line, "{\"ready\":true}\n");
    }
    if (str_ok(&line))
        fs_write_all(ready_fd, line.data, line.length, NULL); /* who has left need not know */
    str_free(&line);
    close(ready_fd);
}

/* Reads until the pipe ends or a line is complete. */
static bool read_report(int fd, struct str *report, struct err *err)
{
    deadline until = deadline_in_ms((int64_t)SERVICE_START_S * MS_PER_S);
    while (!memchr(str_text(report), '\n', report->length)) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        int ready = poll(&wait, 1, deadline_left_ms(until));
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready == 0)
            return err_set(err, ERR_TIMEOUT,
                           "the service was not ready after %d seconds; its log tells more: "
                           "jarvis config path",
                           SERVICE_START_S);
        char piece[512];
        ssize_t got = read(fd, piece, sizeof(piece));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        str_append(report, piece, (size_t)got);
    }
    return str_check(report, "the service's report", err);
}

static bool understand_report(const struct fs_paths *paths, const struct str *report,
                              struct err *err)
{
    yyjson_doc *doc = NULL;
    if (report->length == 0 ||
        !json_parse(str_text(report), report->length, "the service's report", &doc, NULL))
        return err_set(err, ERR_UNAVAILABLE,
                       "the service ended while it was starting; what it said is in "
                       "%s/service.out and in %s",
                       paths->state, paths->log_file);
    yyjson_val *root = yyjson_doc_get_root(doc);
    bool ready = yyjson_is_true(yyjson_obj_get(root, "ready"));
    if (!ready) {
        const char *english = yyjson_get_str(yyjson_obj_get(root, "en"));
        const char *spanish = yyjson_get_str(yyjson_obj_get(root, "es"));
        err_restore(err, (uint32_t)yyjson_get_uint(yyjson_obj_get(root, "code")),
                    english ? english : "?", spanish ? spanish : "", "", 0);
    }
    yyjson_doc_free(doc);
    return ready;
}

static bool start(const struct fs_paths *paths, const struct service_options *options,
                  struct err *err)
{
    int pipe_fds[2];
    if (pipe2(pipe_fds, O_CLOEXEC) < 0)
        return err_set_errno(err, ERR_UNAVAILABLE, errno, "cannot start the service");
    pid_t pid;
    /* dup2 onto the same number would keep close-on-exec: the pipe must not be READY_FD already. */
    int ready_fd = fcntl(pipe_fds[1], F_DUPFD_CLOEXEC, READY_FD + 1);
    close(pipe_fds[1]);
    bool ok = ready_fd >= 0
                  ? spawn_service(paths, options, ready_fd, &pid, err)
                  : err_set_errno(err, ERR_UNAVAILABLE, errno, "cannot start the service");
    if (ready_fd >= 0)
        close(ready_fd);
    struct str report;
    str_init(&report, REPORT_MAX);
    ok = ok && read_report(pipe_fds[0], &report, err) && understand_report(paths, &report, err);
    str_free(&report);
    close(pipe_fds[0]);
    return ok;
}

bool service_ensure(const struct fs_paths *paths, const struct service_options *options,
                    bool *ret_started, struct err *err)
{
    if (service_running(paths, NULL)) {
        *ret_started = false;
        return true;
    }
    int lock = -1;
    if (!lock_start(paths, &lock, err))
        return false;
    bool already = service_running(paths, NULL);
    bool ok = already || start(paths, options, err);
    close(lock);
    if (ok)
        *ret_started = !already;
    return ok;
}

/* --- ending --- */

bool service_wait_end(pid_t pid, struct err *err)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0 && errno == ESRCH)
        return true;
    if (fd < 0)
        return err_set_errno(err, ERR_INTERNAL, errno, "cannot watch process %d", (int)pid);
    deadline until = deadline_in_ms((int64_t)SERVICE_STOP_S * MS_PER_S);
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    int ready;
    do {
        ready = poll(&wait, 1, deadline_left_ms(until));
    } while (ready < 0 && errno == EINTR);
    close(fd);
    if (ready > 0)
        return true;
    return err_set(err, ERR_TIMEOUT,
                   "the service (process %d) has not ended after %d seconds; end it with: kill -9 "
                   "%d",
                   (int)pid, SERVICE_STOP_S, (int)pid);
}
