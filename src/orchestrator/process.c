#include "orchestrator/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/utf8.h"

enum { READ_SIZE = 4096, READS_AT_ONCE = 32, THREADS_TEXT = 48, VMSTAT_MAX = 64 * 1024 };

/* ---------------------------------------------------------------- the kernel's kills */

uint64_t process_oom_kills(const char *vmstat)
{
    static const char key[] = "oom_kill ";
    for (const char *line = vmstat; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, sizeof(key) - 1) == 0)
            return strtoull(line + sizeof(key) - 1, NULL, 10);
    }
    return 0;
}

static uint64_t oom_kills_now(void)
{
    char *text;
    size_t length;
    if (!fs_read("/proc/vmstat", VMSTAT_MAX, &text, &length, NULL))
        return 0;
    uint64_t count = process_oom_kills(text);
    free(text);
    return count;
}

/* ---------------------------------------------------------------- starting */

static void close_pair(const int pair[2])
{
    for (int i = 0; i < 2; i++)
        if (pair[i] >= 0)
            close(pair[i]);
}

/* Is it a setting that the worker gets from us? */
static bool is_ours(const char *variable)
{
    return strncmp(variable, "OMP_WAIT_POLICY=", 16) == 0 ||
           strncmp(variable, "GOMP_SPINCOUNT=", 15) == 0 ||
           strncmp(variable, "OMP_NUM_THREADS=", 16) == 0;
}

/* The environment with the two OpenMP variables; libgomp reads them before main(), so they must be there when
 * the process starts. Threads that wait for each other spin a moment, some ten microseconds, and then sleep: sleeping
 * at once halves the speed of a model that has the cores for itself, and spinning on, as libgomp would, takes the
 * cores from whoever has something to do (docs/PERFORMANCE.md). The strings are environ's and the caller's. */
static char **make_environment(char *threads, struct err *err)
{
    size_t count = 0;
    while (environ[count])
        count++;
    char **made = calloc(count + 3, sizeof(*made));
    if (!made) {
        err_no_memory(err);
        return NULL;
    }
    size_t used = 0;
    for (size_t i = 0; i < count; i++)
        if (!is_ours(environ[i]))
            made[used++] = environ[i];
    made[used++] = (char *)(uintptr_t) "GOMP_SPINCOUNT=3000";
    made[used++] = threads;
    return made;
}

/* What a child is given. */
struct child {
    const char *program;
    const char *word; /* after "worker"; NULL: none */
    char **environment;
    int input; /* descriptor of its standard input; -1: nothing to read */
    int socket;
    int output;
};

/* What happens to descriptors in the child: 0 its input, 1 and 2 into the pipe, 3 the socket, no other. */
static int add_descriptors(posix_spawn_file_actions_t *actions, const struct child *child)
{
    int failed =
        child->input >= 0
            ? posix_spawn_file_actions_adddup2(actions, child->input, STDIN_FILENO)
            : posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (!failed)
        failed = posix_spawn_file_actions_adddup2(actions, child->output, STDOUT_FILENO);
    if (!failed)
        failed = posix_spawn_file_actions_adddup2(actions, child->output, STDERR_FILENO);
    if (!failed)
        failed = posix_spawn_file_actions_adddup2(actions, child->socket, PROCESS_SOCKET_CHILD);
    if (!failed)
        failed = posix_spawn_file_actions_addclosefrom_np(actions, PROCESS_SOCKET_CHILD + 1);
    return failed;
}

/* Signals as a fresh program has them (threads of the service block them all), and a process group of its own. */
static int set_attributes(posix_spawnattr_t *attributes)
{
    sigset_t none;
    sigset_t all;
    sigemptyset(&none);
    sigfillset(&all);
    int failed = posix_spawnattr_setsigmask(attributes, &none);
    if (!failed)
        failed = posix_spawnattr_setsigdefault(attributes, &all);
    if (!failed)
        failed = posix_spawnattr_setpgroup(attributes, 0);
    if (!failed)
        failed = posix_spawnattr_setflags(
            attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    return failed;
}

static int spawn(const struct child *child, pid_t *ret_pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int failed = posix_spawn_file_actions_init(&actions);
    if (failed)
        return failed;
    failed = posix_spawnattr_init(&attributes);
    if (!failed) {
        char name[] = "worker";
        char *arguments[] = {(char *)(uintptr_t)child->program, name,
                             (char *)(uintptr_t)child->word, NULL};
        failed = add_descriptors(&actions, child);
        if (!failed)
            failed = set_attributes(&attributes);
        if (!failed)
            failed = posix_spawn(ret_pid, child->program, &actions, &attributes, arguments,
                                 child->environment);
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&actions);
    return failed;
}

/* A descriptor of at least 5, so that no dup2 in the child overwrites one that is still needed. */
static bool lift(int *fd)
{
    int lifted = fcntl(*fd, F_DUPFD_CLOEXEC, PROCESS_SOCKET_CHILD + 2);
    if (lifted < 0)
        return false;
    close(*fd);
    *fd = lifted;
    return true;
}

static bool start(const char *program, const char *word, uint32_t threads, int input,
                  struct process *ret, struct err *err)
{
    int sockets[2] = {-1, -1};
    int pipes[2] = {-1, -1};
    char threads_text[THREADS_TEXT];
    snprintf(threads_text, sizeof(threads_text), "OMP_NUM_THREADS=%u", threads);
    char **environment = make_environment(threads_text, err);
    if (!environment)
        return false;
    struct process process = {.oom_kills = oom_kills_now()};
    int failed = 0;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0 ||
        pipe2(pipes, O_CLOEXEC) != 0 || !lift(&sockets[1]) || !lift(&pipes[1]) ||
        fcntl(pipes[0], F_SETFL, O_NONBLOCK) != 0)
        failed = errno;
    const struct child child = {.program = program,
                                .word = word,
                                .environment = environment,
                                .input = input,
                                .socket = sockets[1],
                                .output = pipes[1]};
    if (!failed)
        failed = spawn(&child, &process.pid);
    free(environment);
    if (failed) {
        close_pair(sockets);
        close_pair(pipes);
        return err_set_errno(err, ERR_UNAVAILABLE, failed,
                             "cannot start a worker process (\"%s worker\")", program);
    }
    close(sockets[1]);
    close(pipes[1]);
    process.socket = sockets[0];
    process.output = pipes[0];
    *ret = process;
    return true;
}

bool process_start(const char *program, uint32_t threads, struct process *ret, struct err *err)
{
    return start(program, NULL, threads, -1, ret, err);
}

bool process_start_sound(const char *program, int file, struct process *ret, struct err *err)
{
    /* Lifted, as the other descriptors are, so that no dup2 in the child overwrites it. */
    int input = fcntl(file, F_DUPFD_CLOEXEC, PROCESS_SOCKET_CHILD + 2);
    if (input < 0)
        return err_set_errno(err, ERR_UNAVAILABLE, errno,
                             "cannot start a worker process (\"%s worker\")", program);
    bool ok = start(program, "sound", 1, input, ret, err);
    close(input);
    return ok;
}

/* Keeps the last PROCESS_TAIL_MAX bytes of all that was written. */
static void keep(struct process *process, const char *bytes, size_t length)
{
    if (length > PROCESS_TAIL_MAX) {
        bytes += length - PROCESS_TAIL_MAX;
        length = PROCESS_TAIL_MAX;
    }
    size_t over = process->tail_length + length > PROCESS_TAIL_MAX
                      ? process->tail_length + length - PROCESS_TAIL_MAX
                      : 0;
    memmove(process->tail, process->tail + over, process->tail_length - over);
    memcpy(process->tail + process->tail_length - over, bytes, length);
    process->tail_length += length - over;
}

void process_drain(struct process *process)
{
    char bytes[READ_SIZE];
    for (int i = 0; i < READS_AT_ONCE && process->output >= 0; i++) {
        ssize_t count = read(process->output, bytes, sizeof(bytes));
        if (count > 0) {
            keep(process, bytes, (size_t)count);
        } else if (count == 0 || (errno != EAGAIN && errno != EINTR)) {
            close(process->output);
            process->output = -1;
        } else if (errno == EAGAIN) {
            return;
        }
    }
}

void process_kill(const struct process *process)
{
    kill(process->pid, SIGKILL);
}

void process_await_end(const struct process *process)
{
    siginfo_t info;
    while (waitid(P_PID, (id_t)process->pid, &info, WEXITED | WNOWAIT) != 0 && errno == EINTR)
        continue;
}

/* The last line of the tail that is not empty: text[0..*ret_length). */
static const char *last_line(const struct process *process, size_t *ret_length)
{
    const char *text = process->tail;
    size_t end = process->tail_length;
    while (end > 0 && (text[end - 1] == '\n' || text[end - 1] == '\r' || text[end - 1] == ' '))
        end--;
    size_t begin = end;
    while (begin > 0 && text[begin - 1] != '\n')
        begin--;
    *ret_length = end - begin;
    return text + begin;
}

/* A fault in the program, as against a kill, which may come from anywhere, or an orderly refusal to go on. */
static bool is_crash(int status)
{
    if (WIFEXITED(status))
        return WEXITSTATUS(status) == PROCESS_EXIT_ASSERT;
    int signal = WTERMSIG(status);
    return signal == SIGSEGV || signal == SIGABRT || signal == SIGBUS || signal == SIGFPE ||
           signal == SIGILL;
}

void process_reap(struct process *process, char cause[PROCESS_CAUSE_MAX])
{
    int status = 0;
    pid_t reaped;
    do
        reaped = waitpid(process->pid, &status, 0);
    while (reaped < 0 && errno == EINTR);
    process_drain(process);
    if (process->output >= 0)
        close(process->output);
    close(process->socket);
    process->output = process->socket = -1;

    process->crashed = reaped > 0 && is_crash(status);
    int used;
    if (reaped < 0) {
        used = snprintf(cause, PROCESS_CAUSE_MAX, "unknown");
    } else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL &&
               oom_kills_now() > process->oom_kills) {
        used = snprintf(cause, PROCESS_CAUSE_MAX, "killed, probably by the kernel for memory");
    } else if (WIFSIGNALED(status)) {
        const char *name = sigdescr_np(WTERMSIG(status));
        used = snprintf(cause, PROCESS_CAUSE_MAX, "signal %d (%s)", WTERMSIG(status),
                        name ? name : "unknown");
    } else {
        used = snprintf(cause, PROCESS_CAUSE_MAX, "exit status %d", WEXITSTATUS(status));
    }
    size_t length;
    const char *line = last_line(process, &length);
    if (length > 0)
        snprintf(cause + used, PROCESS_CAUSE_MAX - (size_t)used, ": %.*s", (int)length, line);
    utf8_trim_partial(cause);
}

void process_last_words(const struct process *process, char out[PROCESS_WORDS_MAX])
{
    const char *text = process->tail;
    size_t length = process->tail_length;
    if (length >= PROCESS_WORDS_MAX) {
        const char *cut = text + length - (PROCESS_WORDS_MAX - 1);
        const char *line = memchr(cut, '\n', PROCESS_WORDS_MAX - 2);
        text = line ? line + 1 : cut;
        length = (size_t)(process->tail + process->tail_length - text);
    }
    size_t used = 0;
    for (size_t i = 0; i < length; i++)
        out[used++] = (unsigned char)text[i] < ' ' && text[i] != '\n' ? ' ' : text[i];
    while (used > 0 && (out[used - 1] == '\n' || out[used - 1] == ' '))
        used--;
    out[used] = '\0';
    if (!utf8_valid(out, used))
        for (size_t i = 0; i < used; i++)
            out[i] = (unsigned char)out[i] < 0x80 ? out[i] : '?';
}
