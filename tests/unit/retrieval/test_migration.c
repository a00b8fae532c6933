/* Opening databases: new, of an older version, of a newer one, of another program, damaged. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "retrieval/store_sqlite.h"
#include "unit/retrieval/fixture.h"

struct place_of_db {
    char *directory;
    char *path;
    struct err err;
};

static int setup(void **state)
{
    struct place_of_db *place = calloc(1, sizeof(*place));
    place->directory = testing_directory();
    place->path = testing_path(place->directory, "jarvis.db");
    *state = place;
    return 0;
}

static int teardown(void **state)
{
    struct place_of_db *place = *state;
    free(place->path);
    testing_remove(place->directory);
    free(place);
    return 0;
}

/* Runs SQL on the file as another program would. */
static void run(const char *path, const char *sql)
{
    sqlite3 *handle;
    assert_int_equal(sqlite3_open(path, &handle), SQLITE_OK);
    char *message = NULL;
    if (sqlite3_exec(handle, sql, NULL, NULL, &message) != SQLITE_OK)
        fail_msg("%s", message);
    sqlite3_close(handle);
}

static int64_t number(struct store *store, const char *sql)
{
    struct db *db;
    struct err err;
    struct query query;
    int64_t value = -1;
    assert_ok(db_begin_read(store, &db, &err), &err);
    query_open(&query, db, sql);
    assert_ok(db_end(db, query_number(&query, -1, &value, &err), &err), &err);
    return value;
}

/* Migrates a store that is open for these steps. */
static bool migrate(struct store *store, const struct migration *steps, size_t count,
                    struct err *err)
{
    struct db *db;
    assert_ok(db_begin_write(store, DURABLE_SOON, &db, err), err);
    db_run(db, "ROLLBACK", NULL); /* the steps bring their own transactions */
    bool ok = store_migrate(db, store->path, steps, count, err);
    db_end(db, false, NULL);
    return ok;
}

/* A database of version 1 with a row in each table, as that version wrote it. */
static const char rows_of_version_1[] =
    "INSERT INTO collections VALUES (1, 'vs_one', 'old', '{}', 1700000000);"
    "INSERT INTO files VALUES (1, 'file-up', 'up.txt', 'assistants', 1700000000, 3, x'616263');"
    "INSERT INTO documents VALUES (7, 1, 'file-doc', '/old.txt', 0, NULL, zeroblob(32), 9, 5, 6, 1,"
    " 'UTF-8', 'Old', 'es', 1700000000, 9, 1);"
    "INSERT INTO texts (document, piece, bytes) VALUES (7, 0, CAST('old words' AS BLOB));"
    "INSERT INTO places VALUES (7, x'0900000000000000090000000000000000000000000000000100000001');"
    "INSERT INTO chunks VALUES (7, 0, 0, 9, 0, 9, 1, 1, 1, 3, zeroblob(32));"
    "INSERT INTO embedders VALUES (1, zeroblob(32), '', 'mean', 2);"
    "INSERT INTO embeddings VALUES (1, 1, zeroblob(32), x'0000803f00000000');";

static void make_version_1(struct place_of_db *place)
{
    assert_int_equal(store_migrations[0].version, 1);
    char *path = place->path;
    sqlite3 *handle;
    assert_int_equal(sqlite3_open(path, &handle), SQLITE_OK);
    assert_int_equal(sqlite3_exec(handle,
                                  "PRAGMA application_id = 1246910035;"
                                  "CREATE TABLE migrations (version INTEGER PRIMARY KEY,"
                                  " applied_at INTEGER NOT NULL) STRICT;"
                                  "INSERT INTO migrations VALUES (1, 1700000000);",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_exec(handle, store_migrations[0].sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_exec(handle, rows_of_version_1, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(handle);
}

static void test_version_1_is_read(void **state)
{
    struct place_of_db *place = *state;
    make_version_1(place);
    struct store *store;
    assert_ok(store_open(place->path, &store, &place->err), &place->err);
    assert_int_equal(number(store, "SELECT max(version) FROM migrations"),
                     store_migrations[store_migration_count - 1].version);
    struct arena arena;
    arena_init(&arena, 1 << 20);
    struct document document;
    assert_ok(store_document_by_path(store, "vs_one", "/old.txt", &arena, &document, &place->err),
              &place->err);
    assert_int_equal(document.number, 7);
    assert_int_equal(document.lang, LANG_ES);
    const char *text;
    size_t length;
    struct place_map places;
    assert_ok(store_document_text(store, 7, &arena, &text, &length, &places, &place->err),
              &place->err);
    assert_string_equal(text, "old words");
    assert_true(place_find(&places, text, 4, 5).identical);
    struct passage *passages;
    size_t count;
    struct passage_key key = {7, 0};
    assert_ok(store_passages(store, &key, 1, &arena, &passages, &count, &place->err), &place->err);
    assert_string_equal(passages[0].text, "old words");
    struct hash zero = {{0}};
    struct embedder_key embedder = {.prefix = "", .pooling = "mean"};
    const float **vectors;
    uint32_t dimensions;
    assert_ok(
        store_vectors_get(store, &embedder, &zero, 1, &arena, &vectors, &dimensions, &place->err),
        &place->err);
    assert_int_equal(dimensions, 2);
    assert_true(vectors[0][0] == 1.0f);
    /* The next document's number is beyond those given before. */
    struct document_written written;
    assert_ok(fixture_write(store, "vs_one", "/new", "New.", LANG_EN, &written, &place->err),
              &place->err);
    assert_true(written.number > 7);
    assert_ok(store_check(store, &place->err), &place->err);
    arena_free(&arena);
    store_close(store);
}

/* Later versions: each step once, in order; a step that fails leaves no trace. */
static void test_steps(void **state)
{
    struct place_of_db *place = *state;
    int last = store_migrations[store_migration_count - 1].version;
    struct migration steps[8];
    size_t known = store_migration_count;
    memcpy(steps, store_migrations, known * sizeof(*steps));
    steps[known] = (struct migration){last + 1, "CREATE TABLE more (a INTEGER) STRICT;"
                                                "INSERT INTO more VALUES (1);"};
    steps[known + 1] = (struct migration){last + 2, "INSERT INTO more VALUES (2);"
                                                    "INSERT INTO missing VALUES (1);"};
    make_version_1(place);
    struct store *store;
    assert_ok(store_open(place->path, &store, &place->err), &place->err);
    assert_false(migrate(store, steps, known + 2, &place->err));
    assert_int_equal(place->err.code, ERR_INTERNAL);
    assert_int_equal(number(store, "SELECT max(version) FROM migrations"), last + 1);
    assert_int_equal(number(store, "SELECT sum(a) FROM more"), 1);
    assert_int_equal(number(store, "SELECT count(*) FROM documents"), 1);

    steps[known + 1].sql = "INSERT INTO more VALUES (2);";
    assert_ok(migrate(store, steps, known + 2, &place->err), &place->err);
    assert_ok(migrate(store, steps, known + 2, &place->err), &place->err);
    assert_int_equal(number(store, "SELECT sum(a) FROM more"), 3);
    store_close(store);

    /* This program does not know that version. */
    assert_false(store_open(place->path, &store, &place->err));
    assert_int_equal(place->err.code, ERR_STORE);
    assert_non_null(strstr(place->err.message[LANG_EN], "newer Jarvis"));
    assert_non_null(strstr(place->err.message[LANG_ES], "más nuevo"));
}

/* Whole files, to see that nothing was changed. */
static struct hash hash_of(const char *path)
{
    struct hash hash;
    struct err err;
    assert_ok(hash_file(path, &hash, &err), &err);
    return hash;
}

static void test_other_programs(void **state)
{
    struct place_of_db *place = *state;
    struct store *store;
    run(place->path, "CREATE TABLE notes (text TEXT); INSERT INTO notes VALUES ('mine');");
    struct hash before = hash_of(place->path);
    assert_false(store_open(place->path, &store, &place->err));
    assert_int_equal(place->err.code, ERR_STORE);
    assert_non_null(strstr(place->err.message[LANG_EN], "another program"));
    struct hash after = hash_of(place->path);
    assert_true(hash_equal(&before, &after));
}

static void test_no_database(void **state)
{
    struct place_of_db *place = *state;
    struct store *store;
    char text[4096];
    memset(text, 'x', sizeof(text));
    free(testing_file(place->directory, "jarvis.db", text, sizeof(text)));
    assert_false(store_open(place->path, &store, &place->err));
    assert_int_equal(place->err.code, ERR_STORE);
    assert_int_equal(place->err.category, ERR_CRITICAL);
    assert_non_null(strstr(place->err.message[LANG_EN], "damaged"));
    char *nowhere = testing_path(place->directory, "no/such/folder.db");
    assert_false(store_open(nowhere, &store, &place->err));
    assert_int_equal(place->err.code, ERR_IO);
    free(nowhere);
}

/* Reads everything there is; how it ends does not matter, only that it ends. */
static void read_all(struct store *store)
{
    struct arena arena;
    arena_init(&arena, 1 << 24);
    struct collection *collections;
    struct document *documents;
    size_t count;
    size_t rows;
    struct err err;
    if (store_collection_list(store, &arena, &collections, &count, &err))
        for (size_t i = 0; i < count; i++)
            if (store_document_list(store, collections[i].id, "", "", 1000, &arena, &documents,
                                    &rows, &err))
                for (size_t d = 0; d < rows; d++) {
                    const char *text;
                    size_t length;
                    struct place_map places;
                    struct passage *passages;
                    size_t n;
                    store_document_text(store, documents[d].number, &arena, &text, &length, &places,
                                        &err);
                    store_document_passages(store, documents[d].number, 0, 100, &arena, &passages,
                                            &n, &err);
                }
    arena_free(&arena);
}

static void fill(struct place_of_db *place)
{
    struct store *store;
    struct arena arena;
    struct collection collection;
    arena_init(&arena, 1 << 20);
    assert_ok(store_open(place->path, &store, &place->err), &place->err);
    assert_ok(store_collection_create(store, "c", NULL, &arena, &collection, &place->err),
              &place->err);
    struct str text;
    str_init(&text, 1 << 20);
    for (int i = 0; i < 20; i++) {
        struct document_written written;
        char *path = str_format(64, "/%d", i);
        str_printf(&text, "Document %d grows. It has more words than the one before it.\n\n", i);
        assert_ok(fixture_write(store, collection.id, path, str_text(&text), LANG_EN, &written,
                                &place->err),
                  &place->err);
        free(path);
    }
    str_free(&text);
    arena_free(&arena);
    store_close(store);
}

/* A database with bytes overturned at random: refused or read, with an error that says so, never a
 * crash. */
static void test_damaged_pages(void **state)
{
    struct place_of_db *place = *state;
    fill(place);
    struct testing_random random;
    testing_seed(&random);
    char *bytes;
    size_t length;
    assert_ok(fs_read(place->path, 1 << 26, &bytes, &length, &place->err), &place->err);
    size_t noticed = 0;
    for (int round = 0; round < 40; round++) {
        char *copy = malloc(length);
        memcpy(copy, bytes, length);
        size_t at = testing_below(&random, length);
        for (size_t i = at; i < length && i < at + 300; i++)
            copy[i] = (char)testing_next(&random);
        size_t kept = round % 4 ? length : testing_below(&random, length);
        char *path = testing_file(place->directory, "copy.db", copy, kept);
        struct store *store;
        struct err err;
        if (store_open(path, &store, &err)) {
            read_all(store);
            if (!store_check(store, &err)) {
                assert_int_equal(err.code, ERR_STORE);
                noticed++;
            }
            store_close(store);
        } else {
            assert_true(err.code == ERR_STORE || err.code == ERR_IO);
            noticed++;
        }
        assert_int_equal(remove(path), 0);
        free(path);
        free(copy);
    }
    assert_true(noticed > 10);
    free(bytes);
}

/* What a user ingests is nobody else's to read. */
static void test_private_file(void **state)
{
    struct place_of_db *place = *state;
    struct store *store;
    struct stat status;
    mode_t old = umask(0);
    assert_ok(store_open(place->path, &store, &place->err), &place->err);
    umask(old);
    assert_int_equal(stat(place->path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    store_close(store);
}

static void *open_store(void *user)
{
    struct place_of_db *place = user;
    struct store *store = NULL;
    struct err err;
    if (!store_open(place->path, &store, &err))
        print_message("# %s\n", err.message[LANG_EN]);
    return store;
}

/* Two programs that meet an empty file at the same time. */
static void test_opened_twice_at_once(void **state)
{
    struct place_of_db *place = *state;
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++)
        assert_ok(thread_start(&threads[i], "open", open_store, place, &place->err), &place->err);
    for (size_t i = 0; i < 4; i++) {
        void *store;
        assert_int_equal(pthread_join(threads[i], &store), 0);
        assert_non_null(store);
        assert_int_equal(number(store, "SELECT count(*) FROM migrations"), store_migration_count);
        store_close(store);
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_version_1_is_read),    CASE(test_steps),         CASE(test_other_programs),
        CASE(test_no_database),          CASE(test_damaged_pages), CASE(test_private_file),
        CASE(test_opened_twice_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
