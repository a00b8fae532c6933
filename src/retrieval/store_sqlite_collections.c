#include <string.h>

#include "retrieval/store_sqlite.h"

#define COLUMNS "SELECT id, name, metadata, created_at FROM collections "

static void read_collection(struct query *query, struct arena *arena, struct collection *ret)
{
    *ret = (struct collection){
        .id = column_copy(query, 0, arena),
        .name = column_copy(query, 1, arena),
        .metadata = column_copy(query, 2, arena),
        .created_at = column_int(query, 3),
    };
}

static bool not_found(const char *id_or_name, struct err *err)
{
    return err_set(err, ERR_NOT_FOUND, "there is no store \"%s\"", id_or_name);
}

/* The one row of an open query, or ERR_NOT_FOUND. */
static bool take_one(struct query *query, const char *id_or_name, struct arena *arena,
                     struct collection *ret, struct err *err)
{
    struct collection collection;
    bool found = query_row(query);
    if (found)
        read_collection(query, arena, &collection);
    if (!query_close(query, err) || !store_arena_check(arena, err))
        return false;
    if (!found)
        return not_found(id_or_name, err);
    *ret = collection;
    return true;
}

static bool find(struct db *db, const char *id_or_name, struct arena *arena, struct collection *ret,
                 struct err *err)
{
    struct query query;
    query_open(&query, db, COLUMNS "WHERE id = ?1 OR name = ?1 ORDER BY id = ?1 DESC LIMIT 1");
    query_text(&query, 1, id_or_name);
    return take_one(&query, id_or_name, arena, ret, err);
}

bool store_collection_number(struct db *db, const char *id, int64_t *ret, struct err *err)
{
    struct query query;
    int64_t number;
    query_open(&query, db, "SELECT number FROM collections WHERE id = ?");
    query_text(&query, 1, id);
    if (!query_number(&query, 0, &number, err))
        return false;
    if (number == 0)
        return not_found(id, err);
    *ret = number;
    return true;
}

static bool check_sizes(const char *name, const char *metadata, struct err *err)
{
    if (name && strlen(name) >= STORE_NAME_MAX)
        return err_set_param(err, ERR_INVALID_REQUEST, "name",
                             "the name of a store may have at most %d bytes", STORE_NAME_MAX - 1);
    if (metadata && strlen(metadata) > STORE_METADATA_MAX)
        return err_set_param(err, ERR_INVALID_REQUEST, "metadata",
                             "the metadata of a store may have at most %d bytes",
                             STORE_METADATA_MAX);
    return true;
}

/* A failed INSERT or UPDATE, told apart: a name that is in use is the user's to solve. */
static bool close_change(struct query *query, const char *name, struct err *err)
{
    if (query->code == SQLITE_CONSTRAINT_UNIQUE) {
        query_close(query, NULL);
        return err_set_param(err, ERR_CONFLICT, "name", "there is already a store named \"%s\"",
                             name);
    }
    return query_close(query, err);
}

static bool insert(struct db *db, const char *name, const char *metadata, struct arena *arena,
                   struct collection *ret, struct err *err)
{
    char id[ID_MAX];
    hash_random_id("vs_", id);
    if (!name || !*name)
        name = id;
    struct query query;
    query_open(&query, db,
               "INSERT INTO collections (id, name, metadata, created_at) VALUES (?, ?, ?, ?)");
    query_text(&query, 1, id);
    query_text(&query, 2, name);
    query_text(&query, 3, metadata ? metadata : "{}");
    query_int(&query, 4, store_now());
    query_run(&query);
    return close_change(&query, name, err) && find(db, id, arena, ret, err);
}

bool store_collection_create(struct store *store, const char *name, const char *metadata,
                             struct arena *arena, struct collection *ret, struct err *err)
{
    struct db *db;
    struct collection collection;
    if (!check_sizes(name, metadata, err) || !db_begin_write(store, DURABLE_NOW, &db, err) ||
        !db_end(db, insert(db, name, metadata, arena, &collection, err), err))
        return false;
    *ret = collection;
    return true;
}

bool store_collection_find(struct store *store, const char *id_or_name, struct arena *arena,
                           struct collection *ret, struct err *err)
{
    struct db *db;
    struct collection collection;
    if (!db_begin_read(store, &db, err) ||
        !db_end(db, find(db, id_or_name, arena, &collection, err), err))
        return false;
    *ret = collection;
    return true;
}

bool store_collection_ensure(struct store *store, const char *id_or_name, struct arena *arena,
                             struct collection *ret, struct err *err)
{
    struct err missing;
    if (store_collection_find(store, id_or_name, arena, ret, &missing))
        return true;
    if (missing.code != ERR_NOT_FOUND) {
        if (err)
            *err = missing;
        return false;
    }
    struct db *db;
    struct collection collection;
    if (!check_sizes(id_or_name, NULL, err) || !db_begin_write(store, DURABLE_NOW, &db, err))
        return false;
    /* Another thread may have made it since. */
    bool ok = find(db, id_or_name, arena, &collection, &missing) ||
              insert(db, id_or_name, NULL, arena, &collection, err);
    if (!db_end(db, ok, err))
        return false;
    *ret = collection;
    return true;
}

bool store_collection_list(struct store *store, struct arena *arena, struct collection **ret,
                           size_t *ret_count, struct err *err)
{
    struct db *db;
    if (!db_begin_read(store, &db, err))
        return false;
    struct query query;
    int64_t count = 0;
    size_t filled = 0;
    query_open(&query, db, "SELECT count(*) FROM collections");
    bool ok = query_number(&query, 0, &count, err);
    struct collection *collections = arena_array(arena, (size_t)count, sizeof(*collections));
    if (ok && collections) {
        query_open(&query, db, COLUMNS "ORDER BY number");
        while (filled < (size_t)count && query_row(&query))
            read_collection(&query, arena, &collections[filled++]);
        ok = query_close(&query, err);
    }
    if (!db_end(db, ok && store_arena_check(arena, err), err))
        return false;
    *ret = collections;
    *ret_count = filled;
    return true;
}

static bool update(struct db *db, const char *id, const char *name, const char *metadata,
                   struct arena *arena, struct collection *ret, struct err *err)
{
    struct collection old;
    struct query query;
    query_open(&query, db, COLUMNS "WHERE id = ?");
    query_text(&query, 1, id);
    if (!take_one(&query, id, arena, &old, err))
        return false;
    query_open(&query, db, "UPDATE collections SET name = ?, metadata = ? WHERE id = ?");
    query_text(&query, 1, name ? name : old.name);
    query_text(&query, 2, metadata ? metadata : old.metadata);
    query_text(&query, 3, id);
    query_run(&query);
    return close_change(&query, name, err) && find(db, id, arena, ret, err);
}

bool store_collection_update(struct store *store, const char *id, const char *name,
                             const char *metadata, struct arena *arena, struct collection *ret,
                             struct err *err)
{
    if (name && !*name)
        name = id;
    struct db *db;
    struct collection collection;
    if (!check_sizes(name, metadata, err) || !db_begin_write(store, DURABLE_NOW, &db, err) ||
        !db_end(db, update(db, id, name, metadata, arena, &collection, err), err))
        return false;
    *ret = collection;
    return true;
}

bool store_collection_delete(struct store *store, const char *id, struct err *err)
{
    struct db *db;
    if (!db_begin_write(store, DURABLE_NOW, &db, err))
        return false;
    struct query query;
    query_open(&query, db, "DELETE FROM collections WHERE id = ?");
    query_text(&query, 1, id);
    query_run(&query);
    bool ok = query_close(&query, err) && (store_changed(db) || not_found(id, err));
    return db_end(db, ok, err);
}

/* Passages of a collection that have a vector of the embedder. */
static bool count_embedded(struct db *db, int64_t collection, const struct embedder_key *key,
                           size_t *ret, struct err *err)
{
    int64_t embedder;
    int64_t count;
    if (!store_embedder_number(db, key, &embedder, err))
        return false;
    struct query query;
    query_open(&query, db,
               "SELECT count(*) FROM documents d CROSS JOIN chunks c ON c.document = d.number "
               "WHERE d.collection = ? AND EXISTS (SELECT 1 FROM embeddings e "
               "WHERE e.embedder = ? AND e.text_hash = c.text_hash)");
    query_int(&query, 1, collection);
    query_int(&query, 2, embedder);
    if (!query_number(&query, 0, &count, err))
        return false;
    *ret = (size_t)count;
    return true;
}

static bool count_all(struct db *db, const char *id, const struct embedder_key *embedder,
                      struct collection_counts *ret, struct err *err)
{
    int64_t collection;
    if (!store_collection_number(db, id, &collection, err))
        return false;
    struct query query;
    query_open(&query, db,
               "SELECT count(*), coalesce(sum(passages), 0), coalesce(sum(size), 0) "
               "FROM documents WHERE collection = ?");
    query_int(&query, 1, collection);
    if (query_row(&query)) {
        ret->documents = (size_t)column_int(&query, 0);
        ret->passages = (size_t)column_int(&query, 1);
        ret->bytes = (uint64_t)column_int(&query, 2);
    }
    return query_close(&query, err) &&
           (!embedder || count_embedded(db, collection, embedder, &ret->embedded, err));
}

bool store_collection_counts(struct store *store, const char *id,
                             const struct embedder_key *embedder, struct collection_counts *ret,
                             struct err *err)
{
    struct db *db;
    struct collection_counts counts = {0};
    if (!db_begin_read(store, &db, err) ||
        !db_end(db, count_all(db, id, embedder, &counts, err), err))
        return false;
    *ret = counts;
    return true;
}
