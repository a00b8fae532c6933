/* The log: whatever is written, each line is one JSON object with the fields promised. */
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fs.h"
#include "base/json.h"
#include "base/thread.h"
#include "observe/log.h"

enum { LOG_FILE_MAX = 64 * 1024 * 1024 };

struct fixture {
    char dir[64];
    char path[96];
    struct log *log;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    snprintf(fixture->dir, sizeof(fixture->dir), "/tmp/jarvis-log-XXXXXX");
    assert_non_null(mkdtemp(fixture->dir));
    snprintf(fixture->path, sizeof(fixture->path), "%s/log", fixture->dir);
    assert_true(log_open(fixture->path, LOG_INFO, &fixture->log, NULL));
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    log_close(fixture->log);
    unlink(fixture->path);
    rmdir(fixture->dir);
    free(fixture);
    return 0;
}

/* Calls check for each line of the file, parsed; returns how many there were. */
static size_t each_line(const struct fixture *fixture, void (*check)(yyjson_val *line))
{
    char *text;
    size_t length;
    assert_true(fs_read(fixture->path, LOG_FILE_MAX, &text, &length, NULL));
    size_t count = 0;
    for (char *at = text; at < text + length; count++) {
        char *end = memchr(at, '\n', length - (size_t)(at - text));
        assert_non_null(end);
        yyjson_doc *doc;
        struct err err;
        if (!json_parse(at, (size_t)(end - at), "line", &doc, &err))
            fail_msg("%s: %.*s", err.message[0], (int)(end - at), at);
        check(yyjson_doc_get_root(doc));
        yyjson_doc_free(doc);
        at = end + 1;
    }
    free(text);
    return count;
}

static const char *text_of(yyjson_val *line, const char *key)
{
    return yyjson_get_str(yyjson_obj_get(line, key));
}

static void check_typed(yyjson_val *line)
{
    assert_int_equal(strlen(text_of(line, "timestamp")), 27);
    assert_string_equal(text_of(line, "level"), "warn");
    assert_string_equal(text_of(line, "event_type"), "query");
    assert_string_equal(text_of(line, "message"), "line 1 of \"two\"\nlines");
    assert_string_equal(text_of(line, "trace_id"), "0af7651916cd43dd8448eb211c80319c");
    assert_string_equal(text_of(line, "text"), "tab\t, é");
    assert_true(yyjson_is_null(yyjson_obj_get(line, "nothing")));
    assert_true(yyjson_get_sint(yyjson_obj_get(line, "least")) == INT64_MIN);
    assert_true(yyjson_get_real(yyjson_obj_get(line, "tenth")) == 0.1);
    assert_true(yyjson_is_null(yyjson_obj_get(line, "infinite")));
    assert_true(yyjson_get_bool(yyjson_obj_get(line, "yes")));
}

static void test_fields_keep_their_types(void **state)
{
    struct fixture *fixture = *state;
    const struct log_field fields[] = {
        log_text("text", "tab\t, é"), log_text("nothing", NULL),        log_int("least", INT64_MIN),
        log_number("tenth", 0.1),     log_number("infinite", INFINITY), log_bool("yes", true),
    };
    log_write(fixture->log, LOG_WARN, LOG_EVENT_QUERY, "0af7651916cd43dd8448eb211c80319c", fields,
              sizeof(fields) / sizeof(*fields), "line %d of \"two\"\nlines", 1);
    assert_int_equal(each_line(fixture, check_typed), 1);
}

static void check_info(yyjson_val *line)
{
    assert_string_equal(text_of(line, "message"), "kept");
    assert_true(yyjson_is_null(yyjson_obj_get(line, "trace_id")));
}

static void test_level_and_null(void **state)
{
    struct fixture *fixture = *state;
    log_write(fixture->log, LOG_DEBUG, LOG_EVENT_MODEL, NULL, NULL, 0, "dropped");
    log_write(fixture->log, LOG_INFO, LOG_EVENT_MODEL, NULL, NULL, 0, "kept");
    log_write(NULL, LOG_ERROR, LOG_EVENT_MODEL, NULL, NULL, 0, "discarded");
    assert_int_equal(each_line(fixture, check_info), 1);
    assert_int_equal(log_lost(NULL), 0);

    enum log_level level;
    assert_true(log_level_parse("error", &level));
    assert_int_equal(level, LOG_ERROR);
    assert_false(log_level_parse("loud", &level));

    struct stat info;
    assert_int_equal(stat(fixture->path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
}

static void check_any(yyjson_val *line)
{
    assert_true(yyjson_is_obj(line));
    assert_string_equal(text_of(line, "level"), "error");
}

static void test_any_bytes_are_one_valid_line(void **state)
{
    struct fixture *fixture = *state;
    const char *wanted = getenv("JARVIS_TEST_SEED");
    unsigned seed = wanted ? (unsigned)strtoul(wanted, NULL, 10) : (unsigned)getpid();
    print_message("# seed %u\n", seed);
    enum { LINES = 500, LONGEST = 200 };
    for (int i = 0; i < LINES; i++) {
        char bytes[LONGEST + 1];
        size_t length = (size_t)rand_r(&seed) % LONGEST;
        for (size_t k = 0; k < length; k++)
            bytes[k] = (char)(rand_r(&seed) % 255 + 1);
        bytes[length] = '\0';
        const struct log_field field = log_text("bytes", bytes);
        log_write(fixture->log, LOG_ERROR, LOG_EVENT_QUERY, bytes, &field, 1, "%s", bytes);
    }
    assert_int_equal(each_line(fixture, check_any), LINES);
    assert_int_equal(log_lost(fixture->log), 0);
}

static void check_cut(yyjson_val *line)
{
    assert_true(yyjson_get_bool(yyjson_obj_get(line, "cut")));
    assert_int_equal(strlen(text_of(line, "big")), 8192);
}

static void test_lines_are_bounded(void **state)
{
    struct fixture *fixture = *state;
    enum { BIG = 1024 * 1024, FIELDS = 64 };
    char *text = malloc(BIG + 1);
    assert_non_null(text);
    memset(text, '\x01', BIG);
    text[BIG] = '\0';
    struct log_field fields[FIELDS];
    for (int i = 0; i < FIELDS; i++)
        fields[i] = log_text("big", text);
    log_write(fixture->log, LOG_INFO, LOG_EVENT_QUERY, NULL, fields, FIELDS, "many");
    assert_int_equal(each_line(fixture, check_cut), 1);
    struct stat info;
    assert_int_equal(stat(fixture->path, &info), 0);
    assert_true(info.st_size > 0 && info.st_size <= 256 * 1024);
    free(text);
}

static void check_error(yyjson_val *line)
{
    assert_string_equal(text_of(line, "event_type"), "error");
    assert_string_equal(text_of(line, "level"), "error");
    assert_string_equal(text_of(line, "where"), "ingest");
    assert_string_equal(text_of(line, "code"), "disk_full");
    assert_string_equal(text_of(line, "category"), "CRITICAL");
    assert_string_equal(text_of(line, "message"), "no room for \"x\"");
}

static void test_error_line(void **state)
{
    struct fixture *fixture = *state;
    struct err err;
    err_set(&err, ERR_DISK_FULL, "no room for \"%s\"", "x");
    log_error(fixture->log, "t", "ingest", &err);
    assert_int_equal(each_line(fixture, check_error), 1);
}

enum { WRITERS = 4, LINES_EACH = 200 };

static void *write_lines(void *argument)
{
    const struct log_field field = log_text("padding", "…………………………………………………………………………");
    for (int i = 0; i < LINES_EACH; i++)
        log_write(argument, LOG_ERROR, LOG_EVENT_QUERY, NULL, &field, 1, "line %d", i);
    return NULL;
}

static void test_threads_never_mix_lines(void **state)
{
    struct fixture *fixture = *state;
    pthread_t threads[WRITERS];
    for (int i = 0; i < WRITERS; i++)
        assert_true(thread_start(&threads[i], "writer", write_lines, fixture->log, NULL));
    for (int i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(each_line(fixture, check_any), WRITERS * LINES_EACH);
}

static void test_full_disk_is_counted(void **state)
{
    (void)state;
    struct log *log;
    assert_true(log_open("/dev/full", LOG_INFO, &log, NULL));
    log_write(log, LOG_INFO, LOG_EVENT_SERVICE, NULL, NULL, 0, "lost");
    log_write(log, LOG_INFO, LOG_EVENT_SERVICE, NULL, NULL, 0, "lost");
    assert_int_equal(log_lost(log), 2);
    log_close(log);

    struct err err;
    assert_false(log_open("/nowhere/at/all", LOG_INFO, &log, &err));
    assert_int_equal(err.code, ERR_IO);
    assert_non_null(strstr(err_message(&err, LANG_ES), "registro"));
}

/* A file size limit stands for a disk that fills in the middle of a line. */
static void test_torn_line_does_not_spoil_the_next(void **state)
{
    struct fixture *fixture = *state;
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    assert_int_equal(sigaction(SIGXFSZ, &ignore, NULL), 0);
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    struct rlimit small = {.rlim_cur = 40, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    log_write(fixture->log, LOG_INFO, LOG_EVENT_SERVICE, NULL, NULL, 0, "torn");
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    log_write(fixture->log, LOG_INFO, LOG_EVENT_SERVICE, NULL, NULL, 0, "whole");
    assert_int_equal(log_lost(fixture->log), 1);

    char *text;
    size_t length;
    assert_true(fs_read(fixture->path, LOG_FILE_MAX, &text, &length, NULL));
    assert_int_equal(text[40], '\n');
    yyjson_doc *doc;
    assert_true(json_parse(text + 41, length - 42, "line", &doc, NULL));
    assert_string_equal(text_of(yyjson_doc_get_root(doc), "message"), "whole");
    yyjson_doc_free(doc);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_fields_keep_their_types, setup, teardown),
        cmocka_unit_test_setup_teardown(test_level_and_null, setup, teardown),
        cmocka_unit_test_setup_teardown(test_any_bytes_are_one_valid_line, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lines_are_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(test_error_line, setup, teardown),
        cmocka_unit_test_setup_teardown(test_threads_never_mix_lines, setup, teardown),
        cmocka_unit_test(test_full_disk_is_counted),
        cmocka_unit_test_setup_teardown(test_torn_line_does_not_spoil_the_next, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
