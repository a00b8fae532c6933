#include "retrieval/store_sqlite.h"

#define COLUMNS "SELECT id, name, purpose, created_at, size FROM files "

static void read_file(struct query *query, struct arena *arena, struct stored_file *ret)
{
    *ret = (struct stored_file){
        .id = column_copy(query, 0, arena),
        .name = column_copy(query, 1, arena),
        .purpose = column_copy(query, 2, arena),
        .created_at = column_int(query, 3),
        .bytes = (uint64_t)column_int(query, 4),
    };
}

static bool not_found(const char *id, struct err *err)
{
    return err_set(err, ERR_NOT_FOUND, "there is no file \"%s\"", id);
}

static bool find(struct db *db, const char *id, struct arena *arena, struct stored_file *ret,
                 struct err *err)
{
    struct query query;
    query_open(&query, db, COLUMNS "WHERE id = ?");
    query_text(&query, 1, id);
    struct stored_file file;
    bool found = query_row(&query);
    if (found)
        read_file(&query, arena, &file);
    if (!query_close(&query, err) || !store_arena_check(arena, err))
        return false;
    if (!found)
        return not_found(id, err);
    *ret = file;
    return true;
}

static bool insert(struct db *db, const char *name, const char *purpose, const void *bytes,
                   size_t length, struct arena *arena, struct stored_file *ret, struct err *err)
{
    char id[ID_MAX];
    hash_random_id("file-", id);
    struct query query;
    query_open(&query, db,
               "INSERT INTO files (id, name, purpose, created_at, size, content) "
               "VALUES (?, ?, ?, ?, ?, ?)");
    query_text(&query, 1, id);
    query_text(&query, 2, name);
    query_text(&query, 3, purpose);
    query_int(&query, 4, store_now());
    query_int(&query, 5, (int64_t)length);
    query_blob(&query, 6, bytes, length);
    query_run(&query);
    return query_close(&query, err) && find(db, id, arena, ret, err);
}

bool store_file_create(struct store *store, const char *name, const char *purpose,
                       const void *bytes, size_t length, struct arena *arena,
                       struct stored_file *ret, struct err *err)
{
    struct db *db;
    struct stored_file file;
    if (!db_begin_write(store, DURABLE_NOW, &db, err) ||
        !db_end(db, insert(db, name, purpose, bytes, length, arena, &file, err), err))
        return false;
    *ret = file;
    return true;
}

bool store_file_find(struct store *store, const char *id, struct arena *arena,
                     struct stored_file *ret, struct err *err)
{
    struct db *db;
    struct stored_file file;
    if (!db_begin_read(store, &db, err) || !db_end(db, find(db, id, arena, &file, err), err))
        return false;
    *ret = file;
    return true;
}

bool store_file_content(struct store *store, const char *id, struct arena *arena,
                        const void **ret_bytes, size_t *ret_length, struct err *err)
{
    struct db *db;
    if (!db_begin_read(store, &db, err))
        return false;
    struct query query;
    query_open(&query, db, "SELECT content FROM files WHERE id = ?");
    query_text(&query, 1, id);
    const void *copy = NULL;
    size_t length = 0;
    bool found = query_row(&query);
    if (found) {
        const void *bytes = column_bytes(&query, 0, &length);
        copy = arena_copy_n(arena, bytes, length);
    }
    bool ok =
        query_close(&query, err) && (found || not_found(id, err)) && store_arena_check(arena, err);
    if (!db_end(db, ok, err))
        return false;
    *ret_bytes = copy;
    *ret_length = length;
    return true;
}

bool store_file_list(struct store *store, struct arena *arena, struct stored_file **ret,
                     size_t *ret_count, struct err *err)
{
    struct db *db;
    if (!db_begin_read(store, &db, err))
        return false;
    struct query query;
    int64_t count = 0;
    size_t filled = 0;
    query_open(&query, db, "SELECT count(*) FROM files");
    bool ok = query_number(&query, 0, &count, err);
    struct stored_file *files = arena_array(arena, (size_t)count, sizeof(*files));
    if (ok && files) {
        query_open(&query, db, COLUMNS "ORDER BY number");
        while (filled < (size_t)count && query_row(&query))
            read_file(&query, arena, &files[filled++]);
        ok = query_close(&query, err);
    }
    if (!db_end(db, ok && store_arena_check(arena, err), err))
        return false;
    *ret = files;
    *ret_count = filled;
    return true;
}

bool store_file_delete(struct store *store, const char *id, struct err *err)
{
    struct db *db;
    if (!db_begin_write(store, DURABLE_NOW, &db, err))
        return false;
    struct query query;
    query_open(&query, db, "DELETE FROM files WHERE id = ?");
    query_text(&query, 1, id);
    query_run(&query);
    bool ok = query_close(&query, err) && (store_changed(db) || not_found(id, err));
    return db_end(db, ok, err);
}
