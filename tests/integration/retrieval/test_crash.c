/* What is stored stays stored, and nothing is ever half there: kill -9 in mid-ingest, and disks
 * that are full. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "retrieval/store_sqlite.h"
#include "unit/retrieval/fixture.h"

enum { PATHS = 12, ROUNDS = 30, WAIT_MS = 30000 };

/* A document's text, known from its path and version alone. */
static void write_text(struct str *text, uint32_t path, uint32_t version)
{
    struct testing_random random = {.state = (uint64_t)path << 32 | version};
    str_truncate(text, 0);
    str_printf(text, "Version %u of document %u.\n\n", version, path);
    size_t sentences = testing_below(&random, 400);
    for (size_t i = 0; i < sentences; i++)
        str_printf(text, "Sentence %zu of it holds the number %u.%s", i,
                   (uint32_t)testing_below(&random, 1000000), i % 9 ? " " : "\n\n");
}

/* ---------------------------------------------------------------- the writer that will be killed
 */

/* One line of the writer's report: this version of this document is committed. */
struct report {
    uint32_t path;
    uint32_t version;
};

static bool put(struct store *store, const char *collection, uint32_t path, uint32_t version,
                struct str *text, struct err *err)
{
    char name[32];
    snprintf(name, sizeof(name), "/doc/%u", path);
    write_text(text, path, version);
    struct document_written written;
    return fixture_write(store, collection, name, str_text(text), LANG_EN, &written, err);
}

static void write_until_killed(const char *database, const char *collection, int to_parent,
                               uint32_t version)
{
    struct store *store;
    struct err err;
    struct str text;
    str_init(&text, 1 << 20);
    if (!store_open(database, &store, &err))
        _exit(2);
    for (;; version++) {
        struct report report = {version % PATHS, version};
        if (!put(store, collection, report.path, version, &text, &err))
            _exit(3);
        if (write(to_parent, &report, sizeof(report)) != (ssize_t)sizeof(report))
            _exit(4);
    }
}

/* ---------------------------------------------------------------- what must hold afterwards */

static void assert_whole(struct fixture *f, const struct document *document, uint32_t version)
{
    uint32_t path = (uint32_t)strtoul(document->path + strlen("/doc/"), NULL, 10);
    struct str expected;
    str_init(&expected, 1 << 20);
    write_text(&expected, path, version);
    const char *text;
    size_t length;
    assert_ok(
        store_document_text(f->store, document->number, &f->arena, &text, &length, NULL, &f->err),
        &f->err);
    assert_string_equal(text, str_text(&expected));
    struct passage *passages;
    size_t count;
    assert_ok(store_document_passages(f->store, document->number, 0, STORE_PAGE_MAX, &f->arena,
                                      &passages, &count, &f->err),
              &f->err);
    assert_int_equal(count, document->passages);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(passages[i].key.ordinal, i);
        assert_memory_equal(passages[i].text, text + passages[i].text_offset,
                            passages[i].text_length);
    }
    str_free(&expected);
}

/* Every document is whole, and no older than what its writer reported. */
static uint32_t check_documents(struct fixture *f, const uint32_t *reported)
{
    struct document *documents;
    size_t count;
    uint32_t newest = 0;
    arena_free(&f->arena);
    assert_ok(store_check(f->store, &f->err), &f->err);
    assert_ok(store_collection_find(f->store, "tests", &f->arena, &f->collection, &f->err),
              &f->err);
    assert_ok(store_document_list(f->store, f->collection.id, "", "", 1000, &f->arena, &documents,
                                  &count, &f->err),
              &f->err);
    size_t seen = 0;
    for (size_t i = 0; i < count; i++) {
        const char *text;
        size_t length;
        uint32_t path = (uint32_t)strtoul(documents[i].path + strlen("/doc/"), NULL, 10);
        assert_ok(store_document_text(f->store, documents[i].number, &f->arena, &text, &length,
                                      NULL, &f->err),
                  &f->err);
        uint32_t version = (uint32_t)strtoul(text + strlen("Version "), NULL, 10);
        assert_true(version >= reported[path]);
        assert_whole(f, &documents[i], version);
        seen += reported[path] > 0;
        newest = version > newest ? version : newest;
    }
    for (size_t i = 0; i < PATHS; i++)
        seen -= reported[i] > 0;
    assert_int_equal(seen, 0);
    return newest;
}

/* Reads reports until `enough` have come. */
static void read_reports(int from_child, size_t enough, uint32_t *reported)
{
    deadline until = deadline_in_ms(WAIT_MS);
    while (enough > 0) {
        struct pollfd event = {.fd = from_child, .events = POLLIN};
        assert_true(poll(&event, 1, deadline_left_ms(until)) == 1);
        struct report report;
        assert_int_equal(read(from_child, &report, sizeof(report)), sizeof(report));
        reported[report.path] = report.version;
        enough--;
    }
}

/* Reads what the writer still reported before it died. */
static void drain_reports(int from_child, uint32_t *reported)
{
    struct report report;
    while (read(from_child, &report, sizeof(report)) == (ssize_t)sizeof(report))
        reported[report.path] = report.version;
}

/* Lets up to two milliseconds of the writer's life pass, so that it dies in the middle of
 * something. */
static void let_it_work(struct testing_random *random)
{
    int64_t until = clock_now_ns() + (int64_t)testing_below(random, 2000000);
    while (clock_now_ns() < until)
        ;
}

static void test_kill_in_mid_ingest(void **state)
{
    struct fixture *f = *state;
    struct testing_random random;
    testing_seed(&random);
    const char *more = getenv("JARVIS_TEST_ROUNDS");
    long rounds = more ? strtol(more, NULL, 10) : ROUNDS;
    uint32_t reported[PATHS] = {0};
    uint32_t version = 1;
    char *collection = strdup(f->collection.id);
    for (long round = 0; round < rounds; round++) {
        store_close(f->store);
        f->store = NULL;
        int ends[2];
        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            close(ends[0]);
            write_until_killed(f->path, collection, ends[1], version);
        }
        close(ends[1]);
        read_reports(ends[0], 1 + testing_below(&random, 12), reported);
        let_it_work(&random);
        assert_int_equal(kill(child, SIGKILL), 0);
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        drain_reports(ends[0], reported);
        close(ends[0]);
        assert_ok(store_open(f->path, &f->store, &f->err), &f->err);
        version = check_documents(f, reported) + 1;
    }
    print_message("# %ld kills, %u versions written\n", rounds, version - 1);
    free(collection);
}

/* ---------------------------------------------------------------- full disks */

/* Writes versions until one fails; the documents before it are whole and the store goes on when
 * there is room. */
static void fill_up(struct fixture *f, uint32_t *reported, uint32_t *version)
{
    struct str text;
    str_init(&text, 1 << 20);
    bool ok = true;
    for (uint32_t i = 0; ok && i < 10000; i++) {
        uint32_t path = *version % PATHS;
        ok = put(f->store, f->collection.id, path, *version, &text, &f->err);
        if (ok)
            reported[path] = (*version)++;
    }
    str_free(&text);
    assert_false(ok);
    assert_int_equal(f->err.code, ERR_DISK_FULL);
    assert_int_equal(f->err.category, ERR_CRITICAL);
    assert_non_null(strstr(f->err.message[LANG_ES], "libere espacio"));
}

static void test_page_limit(void **state)
{
    struct fixture *f = *state;
    uint32_t reported[PATHS] = {0};
    uint32_t version = 1;
    struct db *db;
    for (int round = 1; round <= 3; round++) {
        char pragma[64];
        snprintf(pragma, sizeof(pragma), "PRAGMA max_page_count = %d", 20 + 12 * round);
        assert_ok(db_begin_write(f->store, DURABLE_SOON, &db, &f->err), &f->err);
        assert_ok(db_end(db, db_run(db, pragma, &f->err), &f->err), &f->err);
        fill_up(f, reported, &version);
        check_documents(f, reported);
    }
    assert_ok(db_begin_write(f->store, DURABLE_SOON, &db, &f->err), &f->err);
    assert_ok(db_end(db, db_run(db, "PRAGMA max_page_count = 1000000", &f->err), &f->err), &f->err);
    struct str text;
    str_init(&text, 1 << 20);
    assert_ok(put(f->store, f->collection.id, 0, version, &text, &f->err), &f->err);
    str_free(&text);
    fixture_reopen(f);
    check_documents(f, reported);
}

/* The same through the system's write(2): no file may grow beyond a limit. */
static void test_file_size_limit(void **state)
{
    struct fixture *f = *state;
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    struct sigaction before;
    struct rlimit old;
    assert_int_equal(sigaction(SIGXFSZ, &ignore, &before), 0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    uint32_t reported[PATHS] = {0};
    uint32_t version = 1;
    struct rlimit small = {.rlim_cur = 300 * 1024, .rlim_max = old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    fill_up(f, reported, &version);
    check_documents(f, reported); /* reading goes on */
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(sigaction(SIGXFSZ, &before, NULL), 0);
    struct str text;
    str_init(&text, 1 << 20);
    assert_ok(put(f->store, f->collection.id, 0, version, &text, &f->err), &f->err);
    str_free(&text);
    fixture_reopen(f);
    check_documents(f, reported);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_kill_in_mid_ingest),
        CASE(test_page_limit),
        CASE(test_file_size_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
