/* The alarm: what it remembers, and the command that it runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/str.h"
#include "helper/testing.h"
#include "observe/alarm.h"

enum { WAIT_MS = 60000, TEXT_MAX = 4096 };

static struct alarm *open_alarm(const char *command, int64_t pause_ms, int64_t run_ms)
{
    struct alarm *alarm = NULL;
    struct err err;
    const struct alarm_options options = {
        .command = command, .pause_ms = pause_ms, .run_ms = run_ms};
    assert_true(alarm_open(&options, &alarm, &err));
    return alarm;
}

static void test_only_critical_errors(void **state)
{
    (void)state;
    struct alarm *alarm = open_alarm("", 0, 0);
    struct err err;
    struct err seen;
    err_set(&err, ERR_BUSY, "x");
    alarm_raise(alarm, &err);
    assert_false(alarm_look(alarm, &seen));
    err_set(&err, ERR_DISK_FULL, "the disk is full");
    alarm_raise(alarm, &err);
    assert_true(alarm_look(alarm, &seen));
    assert_int_equal(seen.code, ERR_DISK_FULL);
    alarm_raise(NULL, &err);
    assert_false(alarm_look(NULL, &seen));
    alarm_close(alarm);
    alarm_close(NULL);
}

static void test_it_is_over_after_a_while(void **state)
{
    (void)state;
    struct alarm *alarm = NULL;
    struct err err;
    assert_true(alarm_open(&(struct alarm_options){.command = "", .hold_ms = 1}, &alarm, &err));
    err_set(&err, ERR_STORE, "x");
    alarm_raise(alarm, &err);
    deadline until = deadline_in_ms(WAIT_MS);
    while (alarm_look(alarm, &err) && !deadline_passed(until))
        poll(NULL, 0, 1);
    assert_false(alarm_look(alarm, &err));
    alarm_close(alarm);
}

/* A program that appends what it was told to a file. */
static char *write_hook(const char *folder, const char *out)
{
    char *text = str_format(TEXT_MAX,
                            "#!/bin/sh\necho \"$1 $2 $JARVIS_ERROR_CODE: $JARVIS_ERROR_MESSAGE\" "
                            ">>'%s'\n",
                            out);
    char *path = testing_file(folder, "hook", text, strlen(text));
    assert_int_equal(chmod(path, 0700), 0);
    free(text);
    return path;
}

static bool file_is(const char *path, const char *wanted)
{
    char *text;
    size_t length;
    if (!fs_read(path, TEXT_MAX, &text, &length, NULL))
        return false;
    bool same = strcmp(text, wanted) == 0;
    free(text);
    return same;
}

static void await_file(const char *path, const char *wanted)
{
    deadline until = deadline_in_ms(WAIT_MS);
    while (!file_is(path, wanted) && !deadline_passed(until))
        poll(NULL, 0, 2);
    assert_true(file_is(path, wanted));
}

static void test_command(void **state)
{
    (void)state;
    char *folder = testing_directory();
    char *out = testing_path(folder, "out");
    char *hook = write_hook(folder, out);
    char *command = str_format(TEXT_MAX, "%s  one $HOME;x", hook);
    struct alarm *alarm = open_alarm(command, 3600 * 1000, 0);
    struct err err;
    err_set(&err, ERR_DISK_FULL, "no room; `touch x`");
    alarm_raise(alarm, &err);
    /* No shell has looked at the words. */
    await_file(out, "one $HOME;x disk_full: no room; `touch x`\n");
    alarm_raise(alarm, &err); /* too soon for the command */
    alarm_close(alarm);
    assert_true(file_is(out, "one $HOME;x disk_full: no room; `touch x`\n"));
    free(command);
    free(hook);
    free(out);
    testing_remove(folder);
}

/* Commands that hang or are not there harm nobody; closing does not wait for them. */
static void test_bad_commands(void **state)
{
    (void)state;
    static const char *const commands[] = {"/nowhere/at/all", "sleep 1000", "false"};
    for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++) {
        struct alarm *alarm = open_alarm(commands[i], 1, i == 1 ? 50 : 0);
        struct err err;
        err_set(&err, ERR_INTERNAL, "x");
        for (int k = 0; k < 20; k++) {
            alarm_raise(alarm, &err);
            poll(NULL, 0, 5);
        }
        alarm_close(alarm);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_critical_errors),
        cmocka_unit_test(test_it_is_over_after_a_while),
        cmocka_unit_test(test_command),
        cmocka_unit_test(test_bad_commands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
