/* The tables. A step is never changed once it is released: a later version adds a step.
 *
 * Deleting a collection or a document takes what hangs on it along (ON DELETE CASCADE).
 * AUTOINCREMENT: a number is never given twice, so whoever remembers one can tell that its document
 * is gone. Large values are in tables of their own, so that looking for a document does not read
 * past them. A document's text is in pieces of STORE_PIECE bytes, so that reading a passage in the
 * middle of a large one does not read what comes before. */
#include <string.h>

#include "retrieval/store_sqlite.h"

static const char version_1[] =
    "CREATE TABLE collections ("
    " number INTEGER PRIMARY KEY AUTOINCREMENT,"
    " id TEXT NOT NULL UNIQUE,"
    " name TEXT NOT NULL UNIQUE,"
    " metadata TEXT NOT NULL,"
    " created_at INTEGER NOT NULL"
    ") STRICT;"

    "CREATE TABLE files ("
    " number INTEGER PRIMARY KEY AUTOINCREMENT,"
    " id TEXT NOT NULL UNIQUE,"
    " name TEXT NOT NULL,"
    " purpose TEXT NOT NULL,"
    " created_at INTEGER NOT NULL,"
    " size INTEGER NOT NULL,"
    " content BLOB NOT NULL"
    ") STRICT;"

    /* `uploaded`: made of a file of the table above, whose id it has; also when that file is gone.
     */
    "CREATE TABLE documents ("
    " number INTEGER PRIMARY KEY AUTOINCREMENT,"
    " collection INTEGER NOT NULL REFERENCES collections(number) ON DELETE CASCADE,"
    " id TEXT NOT NULL,"
    " path TEXT NOT NULL,"
    " uploaded INTEGER NOT NULL,"
    " file INTEGER REFERENCES files(number) ON DELETE SET NULL,"
    " content_hash BLOB NOT NULL,"
    " size INTEGER NOT NULL,"
    " mtime_ns INTEGER NOT NULL,"
    " inode INTEGER NOT NULL,"
    " format INTEGER NOT NULL,"
    " charset TEXT NOT NULL,"
    " title TEXT NOT NULL,"
    " lang TEXT NOT NULL,"
    " created_at INTEGER NOT NULL,"
    " text_length INTEGER NOT NULL,"
    " passages INTEGER NOT NULL,"
    " UNIQUE (collection, id)"
    ") STRICT;"
    "CREATE INDEX documents_by_collection ON documents(collection);"
    "CREATE INDEX documents_by_path ON documents(collection, path);"
    /* Two uploaded files may have the same name, two documents ingested from one path may not be.
     */
    "CREATE UNIQUE INDEX documents_one_path ON documents(collection, path) WHERE uploaded = 0;"
    "CREATE INDEX documents_by_file ON documents(file) WHERE file IS NOT NULL;"

    "CREATE TABLE texts ("
    " number INTEGER PRIMARY KEY,"
    " document INTEGER NOT NULL REFERENCES documents(number) ON DELETE CASCADE,"
    " piece INTEGER NOT NULL,"
    " bytes BLOB NOT NULL,"
    " UNIQUE (document, piece)"
    ") STRICT;"

    "CREATE TABLE places ("
    " document INTEGER PRIMARY KEY REFERENCES documents(number) ON DELETE CASCADE,"
    " map BLOB NOT NULL"
    ") STRICT;"

    "CREATE TABLE chunks ("
    " document INTEGER NOT NULL REFERENCES documents(number) ON DELETE CASCADE,"
    " ordinal INTEGER NOT NULL,"
    " text_offset INTEGER NOT NULL,"
    " text_length INTEGER NOT NULL,"
    " file_offset INTEGER NOT NULL,"
    " file_length INTEGER NOT NULL,"
    " line_start INTEGER NOT NULL,"
    " line_end INTEGER NOT NULL,"
    " identical INTEGER NOT NULL,"
    " tokens INTEGER NOT NULL,"
    " text_hash BLOB NOT NULL,"
    " PRIMARY KEY (document, ordinal)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX chunks_by_text ON chunks(text_hash);"

    "CREATE TABLE embedders ("
    " number INTEGER PRIMARY KEY,"
    " model BLOB NOT NULL,"
    " prefix TEXT NOT NULL,"
    " pooling TEXT NOT NULL,"
    " dimensions INTEGER NOT NULL,"
    " UNIQUE (model, prefix, pooling)"
    ") STRICT;"

    "CREATE TABLE embeddings ("
    " number INTEGER PRIMARY KEY,"
    " embedder INTEGER NOT NULL REFERENCES embedders(number) ON DELETE CASCADE,"
    " text_hash BLOB NOT NULL,"
    " vector BLOB NOT NULL,"
    " UNIQUE (embedder, text_hash)"
    ") STRICT;";

/* How a collection wants to be searched; alpha in thousandths. */
static const char version_2[] =
    "CREATE TABLE rankings ("
    " collection INTEGER PRIMARY KEY REFERENCES collections(number) ON DELETE CASCADE,"
    " alpha INTEGER NOT NULL,"
    " rerank_depth INTEGER NOT NULL,"
    " tuned_at INTEGER NOT NULL"
    ") STRICT;";

const struct migration store_migrations[] = {
    {1, version_1},
    {2, version_2},
};
const size_t store_migration_count = sizeof(store_migrations) / sizeof(*store_migrations);

enum { APPLICATION_ID = 0x4a525653 }; /* "JRVS", for file(1) and for the check below */

/* The version of the database; 0 for an empty one. */
static bool read_version(struct db *db, const char *path, int64_t *ret, struct err *err)
{
    struct query query;
    int64_t application;
    int64_t tables;
    query_open(&query, db, "PRAGMA application_id");
    if (!query_number(&query, 0, &application, err))
        return false;
    query_open(&query, db, "SELECT count(*) FROM sqlite_schema");
    if (!query_number(&query, 0, &tables, err))
        return false;
    if (tables == 0) {
        *ret = 0;
        return true;
    }
    if (application != APPLICATION_ID)
        return err_set(err, ERR_STORE,
                       "%s is a database of another program; move it away or choose another place "
                       "with JARVIS_HOME",
                       path);
    query_open(&query, db, "SELECT coalesce(max(version), 0) FROM migrations");
    return query_number(&query, 0, ret, err);
}

static bool create_table_of_versions(struct db *db, struct err *err)
{
    _Static_assert(APPLICATION_ID == 1246910035, "the same number as in the text below");
    return db_run(db,
                  "PRAGMA application_id = 1246910035;"
                  "CREATE TABLE migrations ("
                  " version INTEGER PRIMARY KEY,"
                  " applied_at INTEGER NOT NULL"
                  ") STRICT;",
                  err);
}

static bool record_version(struct db *db, int version, struct err *err)
{
    struct query query;
    query_open(&query, db, "INSERT INTO migrations (version, applied_at) VALUES (?, ?)");
    query_int(&query, 1, version);
    query_int(&query, 2, store_now());
    query_run(&query);
    return query_close(&query, err);
}

/* Takes the step unless another process has just taken it. */
static bool take_step(struct db *db, const char *path, const struct migration *step,
                      struct err *err)
{
    int64_t version;
    if (!read_version(db, path, &version, err))
        return false;
    if (version >= step->version)
        return true;
    return (version > 0 || create_table_of_versions(db, err)) && db_run(db, step->sql, err) &&
           record_version(db, step->version, err);
}

bool store_migrate(struct db *db, const char *path, const struct migration *steps, size_t count,
                   struct err *err)
{
    int64_t version;
    if (!db_run(db, "BEGIN", err))
        return false;
    bool ok = read_version(db, path, &version, err); /* of one moment: another may be creating it */
    db_run(db, "ROLLBACK", NULL);
    if (!ok)
        return false;
    if (version > steps[count - 1].version)
        return err_set(err, ERR_STORE,
                       "the database %s has version %lld, from a newer Jarvis; this one knows "
                       "versions up to %d: install the newer program, or choose another place with "
                       "JARVIS_HOME",
                       path, (long long)version, steps[count - 1].version);
    for (size_t i = 0; i < count; i++) {
        if (steps[i].version <= version)
            continue;
        if (!db_run(db, "BEGIN IMMEDIATE", err))
            return false;
        ok = take_step(db, path, &steps[i], err) && db_run(db, "COMMIT", err);
        if (!ok) {
            if (!sqlite3_get_autocommit(db->handle))
                db_run(db, "ROLLBACK", NULL);
            return false;
        }
    }
    return true;
}
