/* How the store uses SQLite.
 *
 * Write-ahead log: readers see the last commit while a write goes on. One connection writes, so
 * that writers of this process queue here and not in SQLite's busy handler; up to READERS_MAX
 * others read.
 *
 * What a power cut may take: with synchronous = NORMAL a commit is in the log but perhaps not on
 * the disk. The database stays whole, the newest commits may be missing. That is right for
 * documents and vectors, which the next ingest brings again, and it saves an fsync per document.
 * What exists nowhere else (uploaded files, collections) is written with FULL. A crash of the
 * program loses nothing either way.
 */
#include "retrieval/store_sqlite.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    READERS_MAX = 8,
    WAIT_MS = 60 * 1000, /* for a connection, or for another process that writes */
    BUSY_MS = 10 * 1000,
    BUSY_PAUSE_MS = 10,
};

/* ---------------------------------------------------------------- errors */

/* The system's reason of a failed read or write. */
static bool io_error(struct db *db, int code, struct err *err)
{
    int reason = sqlite3_system_errno(db->handle);
    switch (code) {
    case SQLITE_IOERR_WRITE:
    case SQLITE_IOERR_FSYNC:
    case SQLITE_IOERR_DIR_FSYNC:
    case SQLITE_IOERR_TRUNCATE:
    case SQLITE_IOERR_SHMSIZE:
    case SQLITE_IOERR_SHMMAP:
        return err_set(err, ERR_DISK_FULL,
                       "cannot write to the database %s: %s; make room on its disk and try again",
                       db->pool->store->path, reason ? strerror(reason) : sqlite3_errstr(code));
    default:
        return err_set(err, ERR_IO, "cannot read or write the database %s: %s",
                       db->pool->store->path, reason ? strerror(reason) : sqlite3_errstr(code));
    }
}

bool db_error(struct db *db, int code, struct err *err)
{
    const char *path = db->pool->store->path;
    const char *reason = sqlite3_errmsg(db->handle);
    switch (code & 0xff) {
    case SQLITE_FULL:
        return err_set(err, ERR_DISK_FULL,
                       "the disk of the database %s is full; make room and try again", path);
    case SQLITE_IOERR: return io_error(db, code, err);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return err_set(err, ERR_STORE,
                       "the database %s is damaged (%s); stop the service, put back a copy or move "
                       "the file away, and ingest your documents again",
                       path, reason);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return err_set(err, ERR_BUSY,
                       "another program holds the database %s; try again when it has finished",
                       path);
    case SQLITE_NOMEM: return err_no_memory(err);
    case SQLITE_TOOBIG:
        return err_set(err, ERR_TOO_LARGE, "too large for the database %s: %s", path, reason);
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return err_set(err, ERR_IO, "cannot open the database %s for writing: %s", path, reason);
    default:
        return err_set(err, ERR_INTERNAL, "the database %s: %s; please report this", path, reason);
    }
}

/* ---------------------------------------------------------------- connections */

static void db_close(struct db *db)
{
    if (!db)
        return;
    sqlite3_close(db->handle);
    free(db);
}

static bool configure(struct db *db, bool writes, struct err *err)
{
    sqlite3_extended_result_codes(db->handle, 1);
    sqlite3_busy_timeout(db->handle, BUSY_MS);
    sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    return db_run(db, "PRAGMA trusted_schema = OFF; PRAGMA foreign_keys = ON;", err) &&
           db_run(db, "PRAGMA temp_store = MEMORY; PRAGMA journal_size_limit = 67108864;", err) &&
           (writes || db_run(db, "PRAGMA query_only = ON;", err));
}

static bool db_open(struct pool *pool, struct db **ret, struct err *err)
{
    struct db *db = calloc(1, sizeof(*db));
    if (!db)
        return err_no_memory(err);
    db->pool = pool;
    int code =
        sqlite3_open_v2(pool->store->path, &db->handle,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
    if (!db->handle) {
        free(db);
        return err_no_memory(err);
    }
    bool ok = code == SQLITE_OK || db_error(db, sqlite3_extended_errcode(db->handle), err);
    if (!ok || !configure(db, pool->writes, err)) {
        db_close(db);
        return false;
    }
    *ret = db;
    return true;
}

static void pool_init(struct pool *pool, struct store *store, size_t max, bool writes)
{
    *pool = (struct pool){.store = store, .max = max, .writes = writes};
    mutex_init(&pool->lock);
    cond_init(&pool->returned);
}

static void pool_destroy(struct pool *pool)
{
    while (pool->idle) {
        struct db *db = pool->idle;
        pool->idle = db->next;
        db_close(db);
    }
    cond_destroy(&pool->returned);
    mutex_destroy(&pool->lock);
}

static void pool_give(struct pool *pool, struct db *db)
{
    mutex_lock(&pool->lock);
    db->next = pool->idle;
    pool->idle = db;
    cond_signal(&pool->returned);
    mutex_unlock(&pool->lock);
}

/* An idle connection or a new one; waits while all are lent. */
static bool pool_take(struct pool *pool, struct db **ret, struct err *err)
{
    deadline until = deadline_in_ms(WAIT_MS);
    mutex_lock(&pool->lock);
    while (!pool->idle && pool->made == pool->max) {
        if (!cond_wait(&pool->returned, &pool->lock, until) && !pool->idle &&
            deadline_passed(until)) {
            mutex_unlock(&pool->lock);
            return err_set(err, ERR_BUSY, "the database %s is busy; try again later",
                           pool->store->path);
        }
    }
    struct db *db = pool->idle;
    if (db)
        pool->idle = db->next;
    else
        pool->made++;
    mutex_unlock(&pool->lock);
    if (!db && !db_open(pool, &db, err)) {
        mutex_lock(&pool->lock);
        pool->made--;
        cond_signal(&pool->returned);
        mutex_unlock(&pool->lock);
        return false;
    }
    *ret = db;
    return true;
}

/* ---------------------------------------------------------------- transactions */

bool db_run(struct db *db, const char *sql, struct err *err)
{
    int code = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);
    return code == SQLITE_OK || db_error(db, code, err);
}

bool db_begin_write(struct store *store, enum durability durability, struct db **ret,
                    struct err *err)
{
    struct db *db;
    if (!pool_take(&store->writer, &db, err))
        return false;
    const char *synchronous =
        durability == DURABLE_NOW ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL";
    if (!db_run(db, synchronous, err) || !db_run(db, "BEGIN IMMEDIATE", err)) {
        pool_give(&store->writer, db);
        return false;
    }
    *ret = db;
    return true;
}

bool db_begin_read(struct store *store, struct db **ret, struct err *err)
{
    struct db *db;
    if (!pool_take(&store->readers, &db, err))
        return false;
    if (!db_run(db, "BEGIN", err)) {
        pool_give(&store->readers, db);
        return false;
    }
    *ret = db;
    return true;
}

bool db_end(struct db *db, bool ok, struct err *err)
{
    if (ok)
        ok = db_run(db, "COMMIT", err);
    /* After some failures SQLite has rolled back by itself. */
    if (!ok && !sqlite3_get_autocommit(db->handle))
        db_run(db, "ROLLBACK", NULL);
    pool_give(db->pool, db);
    return ok;
}

/* ---------------------------------------------------------------- queries */

void query_open(struct query *query, struct db *db, const char *sql)
{
    *query = (struct query){.db = db};
    query->code =
        sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &query->statement, NULL);
}

static void keep(struct query *query, int code)
{
    if (query->code == SQLITE_OK)
        query->code = code;
}

void query_int(struct query *query, int index, int64_t value)
{
    if (query->code == SQLITE_OK)
        keep(query, sqlite3_bind_int64(query->statement, index, value));
}

void query_text(struct query *query, int index, const char *text)
{
    if (query->code == SQLITE_OK)
        keep(query, sqlite3_bind_text64(query->statement, index, text, strlen(text), SQLITE_STATIC,
                                        SQLITE_UTF8));
}

void query_blob(struct query *query, int index, const void *bytes, size_t length)
{
    if (query->code == SQLITE_OK)
        keep(query, sqlite3_bind_blob64(query->statement, index, length ? bytes : "", length,
                                        SQLITE_STATIC));
}

void query_hash(struct query *query, int index, const struct hash *hash)
{
    query_blob(query, index, hash->bytes, sizeof(hash->bytes));
}

bool query_row(struct query *query)
{
    if (query->code != SQLITE_OK)
        return false;
    int code = sqlite3_step(query->statement);
    if (code == SQLITE_ROW)
        return true;
    if (code != SQLITE_DONE)
        keep(query, code);
    return false;
}

void query_reset(struct query *query)
{
    if (query->statement)
        sqlite3_reset(query->statement);
}

bool query_run(struct query *query)
{
    while (query_row(query))
        ;
    query_reset(query);
    return query->code == SQLITE_OK;
}

bool query_close(struct query *query, struct err *err)
{
    int code = query->code;
    bool ok = code == SQLITE_OK || db_error(query->db, code, err);
    sqlite3_finalize(query->statement);
    query->statement = NULL;
    return ok;
}

bool query_number(struct query *query, int64_t fallback, int64_t *ret, struct err *err)
{
    int64_t number = query_row(query) ? column_int(query, 0) : fallback;
    if (!query_close(query, err))
        return false;
    *ret = number;
    return true;
}

int64_t column_int(struct query *query, int index)
{
    return sqlite3_column_int64(query->statement, index);
}

const char *column_copy(struct query *query, int index, struct arena *arena)
{
    const unsigned char *text = sqlite3_column_text(query->statement, index);
    int length = sqlite3_column_bytes(query->statement, index);
    return arena_copy_n(arena, text ? (const char *)text : "", text ? (size_t)length : 0);
}

const void *column_bytes(struct query *query, int index, size_t *ret_length)
{
    const void *bytes = sqlite3_column_blob(query->statement, index);
    *ret_length = bytes ? (size_t)sqlite3_column_bytes(query->statement, index) : 0;
    return bytes ? bytes : "";
}

struct hash column_hash(struct query *query, int index)
{
    struct hash hash = {{0}};
    size_t length;
    const void *bytes = column_bytes(query, index, &length);
    memcpy(hash.bytes, bytes, length < sizeof(hash.bytes) ? length : sizeof(hash.bytes));
    return hash;
}

/* ---------------------------------------------------------------- shared by the parts */

bool store_arena_check(const struct arena *arena, struct err *err)
{
    return arena_ok(arena) ||
           err_set(err, ERR_TOO_LARGE,
                   "the answer is larger than the %zu MiB that a request may use; ask for less",
                   arena->max >> 20);
}

bool store_changed(const struct db *db)
{
    return sqlite3_changes64(db->handle) > 0;
}

int64_t store_now(void)
{
    return clock_wall_us() / 1000000;
}

/* ---------------------------------------------------------------- opening */

/* Makes the database what this program needs. The write-ahead log is switched on last: it changes
 * the file, which may be another program's. */
static bool prepare_once(struct store *store, struct err *err)
{
    struct db *db;
    if (!pool_take(&store->writer, &db, err))
        return false;
    bool ok = store_migrate(db, store->path, store_migrations, store_migration_count, err) &&
              db_run(db, "PRAGMA journal_mode = WAL", err);
    pool_give(&store->writer, db);
    return ok;
}

/* The same while others may be doing it too: switching to the log fails at once when somebody
 * reads, without SQLite's usual patience. */
static bool prepare(struct store *store, struct err *err)
{
    deadline until = deadline_in_ms(BUSY_MS);
    struct err failure;
    while (!prepare_once(store, &failure)) {
        if (failure.code != ERR_BUSY || deadline_passed(until)) {
            if (err)
                *err = failure;
            return false;
        }
        sqlite3_sleep(BUSY_PAUSE_MS);
    }
    return true;
}

bool store_open(const char *path, struct store **ret, struct err *err)
{
    struct store *store = calloc(1, sizeof(*store));
    if (!store)
        return err_no_memory(err);
    pool_init(&store->writer, store, 1, true);
    pool_init(&store->readers, store, READERS_MAX, false);
    bool is_new = access(path, F_OK) != 0;
    if (!str_copy(path, &store->path, err) || !prepare(store, err)) {
        store_close(store);
        return false;
    }
    /* By its name: opening and closing the file would drop the locks that SQLite has on it. */
    if (is_new)
        chmod(path, 0600);
    *ret = store;
    return true;
}

void store_close(struct store *store)
{
    if (!store)
        return;
    pool_destroy(&store->readers);
    pool_destroy(&store->writer); /* the last one to close brings the log into the file */
    free(store->path);
    free(store);
}

bool store_ping(struct store *store, struct err *err)
{
    struct db *db;
    if (!db_begin_read(store, &db, err))
        return false;
    struct query query;
    query_open(&query, db, "SELECT count(*) FROM migrations");
    int64_t count;
    return db_end(db, query_number(&query, 0, &count, err), err);
}

bool store_check(struct store *store, struct err *err)
{
    struct db *db;
    if (!db_begin_read(store, &db, err))
        return false;
    struct query query;
    query_open(&query, db, "PRAGMA integrity_check(1)");
    bool ok = true;
    if (query_row(&query)) {
        const char *finding = (const char *)sqlite3_column_text(query.statement, 0);
        if (finding && strcmp(finding, "ok") != 0)
            ok = err_set(err, ERR_STORE,
                         "the database %s is damaged (%s); stop the service, put back a copy or "
                         "move the file away, and ingest your documents again",
                         store->path, finding);
    }
    ok = query_close(&query, ok ? err : NULL) && ok;
    return db_end(db, ok, err);
}
