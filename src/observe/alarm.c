#include "observe/alarm.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/str.h"
#include "base/thread.h"

enum { VARIABLE_MAX = ERR_MESSAGE_MAX + 32 };

struct alarm {
    struct log *log;
    int64_t hold_ms;
    int64_t pause_ms;
    int64_t run_ms;
    char command[ALARM_COMMAND_MAX]; /* its blanks are NULs */
    char *words[ALARM_WORDS_MAX + 1];
    size_t word_count;
    pthread_t runner;
    struct mutex lock; /* of all that follows */
    struct cond changed;
    bool stop;
    bool due; /* the command is to be run for `last` */
    deadline not_before;
    deadline hold_until; /* of `last`; 0: none */
    struct err last;
};

/* ---------------------------------------------------------------- the command */

static void split(struct alarm *alarm)
{
    char *rest = NULL;
    for (char *word = strtok_r(alarm->command, " \t", &rest);
         word && alarm->word_count < ALARM_WORDS_MAX; word = strtok_r(NULL, " \t", &rest))
        alarm->words[alarm->word_count++] = word;
}

/* The environment with the two variables in front. */
static char **make_environment(char *code, char *message)
{
    size_t count = 0;
    while (environ[count])
        count++;
    char **made = calloc(count + 3, sizeof(*made));
    if (!made)
        return NULL;
    made[0] = code;
    made[1] = message;
    memcpy(made + 2, environ, count * sizeof(*made));
    return made;
}

static int start(const struct alarm *alarm, char **environment, pid_t *ret_pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    sigemptyset(&none);
    int failed = posix_spawn_file_actions_init(&actions);
    if (failed)
        return failed;
    failed = posix_spawnattr_init(&attributes);
    if (!failed) {
        for (int fd = STDIN_FILENO; fd <= STDERR_FILENO && !failed; fd++)
            failed = posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_RDWR, 0);
        if (!failed)
            failed = posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
        posix_spawnattr_setsigmask(&attributes, &none);
        posix_spawnattr_setpgroup(&attributes, 0);
        posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
        if (!failed)
            failed = posix_spawnp(ret_pid, alarm->words[0], &actions, &attributes, alarm->words,
                                  environment);
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&actions);
    return failed;
}

static bool wants_stop(struct alarm *alarm)
{
    mutex_lock(&alarm->lock);
    bool stop = alarm->stop;
    mutex_unlock(&alarm->lock);
    return stop;
}

/* Waits for its end, at most run_ms, then ends it and what it has started. */
static void await_end(struct alarm *alarm, pid_t pid)
{
    enum { LOOK_MS = 200 };
    int status = 0;
    deadline until = deadline_in_ms(alarm->run_ms);
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    bool ended = false;
    while (!ended && !deadline_passed(until) && !wants_stop(alarm)) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        int left = deadline_left_ms(until);
        poll(&ready, 1, left < LOOK_MS ? left : LOOK_MS);
        ended = waitpid(pid, &status, WNOHANG) == pid;
    }
    if (fd >= 0)
        close(fd);
    if (!ended) {
        kill(-pid, SIGKILL);
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            continue;
    }
    if (!ended || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
        log_write(alarm->log, LOG_WARN, LOG_EVENT_SERVICE, NULL, NULL, 0,
                  "errors.critical_hook \"%s\" %s", alarm->words[0],
                  ended ? "failed" : "took too long and was ended");
}

static void run_command(struct alarm *alarm, const struct err *err)
{
    char code[VARIABLE_MAX];
    char message[VARIABLE_MAX];
    pid_t pid;
    snprintf(code, sizeof(code), "JARVIS_ERROR_CODE=%s", err_info(err->code)->name);
    snprintf(message, sizeof(message), "JARVIS_ERROR_MESSAGE=%s", err_message(err, LANG_EN));
    char **environment = make_environment(code, message);
    int failed = environment ? start(alarm, environment, &pid) : ENOMEM;
    free(environment);
    if (failed)
        log_write(alarm->log, LOG_WARN, LOG_EVENT_SERVICE, NULL, NULL, 0,
                  "errors.critical_hook \"%s\" cannot be run (error %d)", alarm->words[0], failed);
    else
        await_end(alarm, pid);
}

static void *run_alarm(void *argument)
{
    struct alarm *alarm = argument;
    mutex_lock(&alarm->lock);
    while (!alarm->stop) {
        if (!alarm->due) {
            cond_wait(&alarm->changed, &alarm->lock, INT64_MAX);
            continue;
        }
        const struct err err = alarm->last;
        alarm->due = false;
        alarm->not_before = deadline_in_ms(alarm->pause_ms);
        mutex_unlock(&alarm->lock);
        run_command(alarm, &err);
        mutex_lock(&alarm->lock);
    }
    mutex_unlock(&alarm->lock);
    return NULL;
}

/* ---------------------------------------------------------------- for others */

static void free_alarm(struct alarm *alarm)
{
    cond_destroy(&alarm->changed);
    mutex_destroy(&alarm->lock);
    free(alarm);
}

bool alarm_open(const struct alarm_options *options, struct alarm **ret, struct err *err)
{
    struct alarm *alarm = calloc(1, sizeof(*alarm));
    if (!alarm)
        return err_no_memory(err);
    alarm->log = options->log;
    alarm->hold_ms = options->hold_ms > 0 ? options->hold_ms : ALARM_HOLD_MS;
    alarm->pause_ms = options->pause_ms > 0 ? options->pause_ms : ALARM_PAUSE_MS;
    alarm->run_ms = options->run_ms > 0 ? options->run_ms : ALARM_RUN_MS;
    snprintf(alarm->command, sizeof(alarm->command), "%s", options->command);
    split(alarm);
    mutex_init(&alarm->lock);
    cond_init(&alarm->changed);
    if (alarm->word_count > 0 && !thread_start(&alarm->runner, "alarm", run_alarm, alarm, err)) {
        free_alarm(alarm);
        return false;
    }
    *ret = alarm;
    return true;
}

void alarm_close(struct alarm *alarm)
{
    if (!alarm)
        return;
    mutex_lock(&alarm->lock);
    alarm->stop = true;
    cond_broadcast(&alarm->changed);
    mutex_unlock(&alarm->lock);
    if (alarm->word_count > 0)
        pthread_join(alarm->runner, NULL);
    free_alarm(alarm);
}

void alarm_raise(struct alarm *alarm, const struct err *err)
{
    if (!alarm || err->category != ERR_CRITICAL)
        return;
    mutex_lock(&alarm->lock);
    alarm->last = *err;
    alarm->hold_until = deadline_in_ms(alarm->hold_ms);
    if (alarm->word_count > 0 && deadline_passed(alarm->not_before)) {
        alarm->due = true;
        cond_broadcast(&alarm->changed);
    }
    mutex_unlock(&alarm->lock);
}

bool alarm_look(struct alarm *alarm, struct err *ret)
{
    if (!alarm)
        return false;
    mutex_lock(&alarm->lock);
    bool held = alarm->hold_until > 0 && !deadline_passed(alarm->hold_until);
    if (held)
        *ret = alarm->last;
    mutex_unlock(&alarm->lock);
    return held;
}
