/* store_sqlite.h - connections, transactions and queries of the store; private to store_sqlite*.c
 * and to the tests of migration.
 *
 * Owner:   a connection is lent between db_begin_*() and db_end(); a query between query_open() and
 *   query_close().
 * Threads: a connection is one thread's while it is lent.
 * Fails:   a query keeps its first failure, later calls do nothing, and query_close() reports it.
 *
 *     struct query query;
 *     query_open(&query, db, "SELECT name FROM files WHERE id = ?");
 *     query_text(&query, 1, id);
 *     if (query_row(&query))
 *         name = column_copy(&query, 0, arena);
 *     if (!query_close(&query, err)) …
 */
#ifndef JARVIS_RETRIEVAL_STORE_SQLITE_H
#define JARVIS_RETRIEVAL_STORE_SQLITE_H

#include <sqlite3.h>

#include "retrieval/store.h"

struct db {
    sqlite3 *handle;
    struct pool *pool; /* where it goes back to */
    struct db *next;   /* in the pool */
};

/* Connections that wait for use. */
struct pool {
    struct store *store;
    struct mutex lock;
    struct cond returned;
    struct db *idle;
    size_t made;
    size_t max;
    bool writes;
};

struct store {
    char *path;
    struct pool writer; /* of one connection: writers take turns */
    struct pool readers;
};

/* ---------------------------------------------------------------- transactions */

enum durability {
    DURABLE_SOON, /* a power cut may undo it, a crash of the program does not */
    DURABLE_NOW,  /* on the disk when db_end() returns */
};

bool db_begin_write(struct store *store, enum durability durability, struct db **ret,
                    struct err *err);

/* All queries up to db_end() see one state of the database. */
bool db_begin_read(struct store *store, struct db **ret, struct err *err);

/* Commits when `ok`, else undoes everything and leaves err as it is; gives the connection back.
 * Returns whether all went well. */
bool db_end(struct db *db, bool ok, struct err *err);

/* Runs statements without results. */
bool db_run(struct db *db, const char *sql, struct err *err);

/* A failure of SQLite as our error; false always. */
bool db_error(struct db *db, int code, struct err *err);

/* ---------------------------------------------------------------- queries */

struct query {
    struct db *db;
    sqlite3_stmt *statement;
    int code; /* SQLITE_OK until something fails */
};

void query_open(struct query *query, struct db *db, const char *sql);

/* Parameters, numbered from 1; text and blobs must live until the query is closed or run again. */
void query_int(struct query *query, int index, int64_t value);
void query_text(struct query *query, int index, const char *text);
void query_blob(struct query *query, int index, const void *bytes, size_t length);
void query_hash(struct query *query, int index, const struct hash *hash);

/* Steps to the next row; false at the end and on failure. */
bool query_row(struct query *query);

/* Runs to the end and makes the query ready for new parameters. False on failure. */
bool query_run(struct query *query);

/* Makes the query ready to be run again. */
void query_reset(struct query *query);

bool query_close(struct query *query, struct err *err);

/* The first column of the first row as a number, `fallback` when there is no row. */
bool query_number(struct query *query, int64_t fallback, int64_t *ret, struct err *err);

/* Columns of the current row, numbered from 0. A NULL is 0, "" or no bytes. */
int64_t column_int(struct query *query, int index);
const char *column_copy(struct query *query, int index, struct arena *arena);
const void *column_bytes(struct query *query, int index, size_t *ret_length);
struct hash column_hash(struct query *query, int index);

/* ---------------------------------------------------------------- shared by the parts */

/* False with err when the arena has run out. */
bool store_arena_check(const struct arena *arena, struct err *err);

/* Whether the last statement changed a row. */
bool store_changed(const struct db *db);

int64_t store_now(void); /* seconds since 1970 */

/* The number of a collection by id; ERR_NOT_FOUND. */
bool store_collection_number(struct db *db, const char *id, int64_t *ret, struct err *err);

/* The number of an embedder; 0 when the store has no vector of it. */
bool store_embedder_number(struct db *db, const struct embedder_key *key, int64_t *ret,
                           struct err *err);

enum { STORE_PIECE = 16 * 1024 }; /* bytes of a document's text in one row */

/* ---------------------------------------------------------------- versions */

/* A step from version - 1 to version. */
struct migration {
    int version;
    const char *sql;
};

/* Brings the database to the last of the steps, each in a transaction of its own. ERR_STORE when it
 * is beyond that, or another program's. */
bool store_migrate(struct db *db, const char *path, const struct migration *steps, size_t count,
                   struct err *err);

/* The steps of this program. */
extern const struct migration store_migrations[];
extern const size_t store_migration_count;

#endif
