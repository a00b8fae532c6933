#include <stdio.h>
#include <string.h>

#include "retrieval/store_sqlite.h"

#define COLUMNS                                                                                    \
    "SELECT d.id, d.number, d.path, f.id, d.content_hash, d.size, d.mtime_ns, d.inode, d.format, " \
    "d.charset, d.title, d.lang, d.created_at, d.text_length, d.passages "                         \
    "FROM documents d LEFT JOIN files f ON f.number = d.file "

enum { MAP_BYTES_MAX = 1 << 30 };

/* ---------------------------------------------------------------- writing */

static bool put_row(struct db *db, int64_t collection, int64_t file, const char *id,
                    const struct document_new *document, int64_t *ret_number, struct err *err)
{
    struct query query;
    query_open(&query, db,
               "INSERT INTO documents (collection, id, path, uploaded, file, content_hash, size, "
               "mtime_ns, inode, format, charset, title, lang, created_at, text_length, passages) "
               "VALUES (?, ?, ?, ?, nullif(?, 0), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    query_int(&query, 1, collection);
    query_text(&query, 2, id);
    query_text(&query, 3, document->path);
    query_int(&query, 4, document->file_id != NULL);
    query_int(&query, 5, file);
    query_hash(&query, 6, &document->content);
    query_int(&query, 7, (int64_t)document->bytes);
    query_int(&query, 8, document->mtime_ns);
    query_int(&query, 9, (int64_t)document->inode);
    query_int(&query, 10, document->format);
    query_text(&query, 11, document->charset ? document->charset : "");
    query_text(&query, 12, document->title ? document->title : "");
    query_text(&query, 13, lang_code(document->lang));
    query_int(&query, 14, store_now());
    query_int(&query, 15, (int64_t)document->text_length);
    query_int(&query, 16, (int64_t)document->chunk_count);
    query_run(&query);
    if (!query_close(&query, err))
        return false;
    *ret_number = sqlite3_last_insert_rowid(db->handle);
    return true;
}

static bool put_text(struct db *db, int64_t number, const struct document_new *document,
                     struct err *err)
{
    struct query query;
    query_open(&query, db, "INSERT INTO texts (document, piece, bytes) VALUES (?, ?, ?)");
    for (size_t at = 0; at < document->text_length; at += STORE_PIECE) {
        size_t left = document->text_length - at;
        query_int(&query, 1, number);
        query_int(&query, 2, (int64_t)(at / STORE_PIECE));
        query_blob(&query, 3, document->text + at, left < STORE_PIECE ? left : STORE_PIECE);
        if (!query_run(&query))
            break;
    }
    return query_close(&query, err);
}

static bool put_places(struct db *db, int64_t number, const struct place_map *places,
                       struct err *err)
{
    struct str bytes;
    str_init(&bytes, MAP_BYTES_MAX);
    place_map_write(places, &bytes);
    struct query query;
    query_open(&query, db, "INSERT INTO places (document, map) VALUES (?, ?)");
    query_int(&query, 1, number);
    query_blob(&query, 2, str_text(&bytes), bytes.length);
    bool ok = str_check(&bytes, "the map of a document", err);
    if (ok)
        query_run(&query);
    ok = query_close(&query, ok ? err : NULL) && ok;
    str_free(&bytes);
    return ok;
}

static bool put_chunks(struct db *db, int64_t number, const struct document_new *document,
                       const struct place_map *places, struct err *err)
{
    struct query query;
    query_open(&query, db,
               "INSERT INTO chunks (document, ordinal, text_offset, text_length, file_offset, "
               "file_length, line_start, line_end, identical, tokens, text_hash) "
               "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    for (size_t i = 0; i < document->chunk_count; i++) {
        const struct chunk *chunk = &document->chunks[i];
        struct place place = place_find(places, document->text, chunk->offset, chunk->length);
        struct hash hash = hash_bytes(document->text + chunk->offset, chunk->length);
        query_int(&query, 1, number);
        query_int(&query, 2, (int64_t)i);
        query_int(&query, 3, chunk->offset);
        query_int(&query, 4, chunk->length);
        query_int(&query, 5, (int64_t)place.offset);
        query_int(&query, 6, (int64_t)place.length);
        query_int(&query, 7, (int64_t)place.line_start);
        query_int(&query, 8, (int64_t)place.line_end);
        query_int(&query, 9, place.identical);
        query_int(&query, 10, chunk->tokens);
        query_hash(&query, 11, &hash);
        if (!query_run(&query))
            break;
    }
    return query_close(&query, err);
}

/* Removes the version that `document` replaces: its id and number, or a new id and 0. */
static bool remove_old(struct db *db, int64_t collection, const struct document_new *document,
                       char id[ID_MAX], int64_t *ret_number, struct err *err)
{
    struct query query;
    query_open(&query, db,
               document->file_id
                   ? "SELECT number, id FROM documents WHERE collection = ? AND id = ?"
                   : "SELECT number, id FROM documents WHERE collection = ? AND path = ? "
                     "AND uploaded = 0");
    query_int(&query, 1, collection);
    query_text(&query, 2, document->file_id ? document->file_id : document->path);
    int64_t number = 0;
    if (query_row(&query)) {
        size_t length;
        number = column_int(&query, 0);
        const void *old_id = column_bytes(&query, 1, &length);
        snprintf(id, ID_MAX, "%.*s", (int)length, (const char *)old_id);
    } else if (document->file_id) {
        snprintf(id, ID_MAX, "%s", document->file_id);
    } else {
        hash_random_id("file-", id);
    }
    if (!query_close(&query, err))
        return false;
    *ret_number = number;
    if (number == 0)
        return true;
    query_open(&query, db, "DELETE FROM documents WHERE number = ?");
    query_int(&query, 1, number);
    query_run(&query);
    return query_close(&query, err);
}

/* The number of the uploaded file, 0 for a document without one. */
static bool file_number(struct db *db, const char *file_id, int64_t *ret, struct err *err)
{
    *ret = 0;
    if (!file_id)
        return true;
    struct query query;
    query_open(&query, db, "SELECT number FROM files WHERE id = ?");
    query_text(&query, 1, file_id);
    if (!query_number(&query, 0, ret, err))
        return false;
    return *ret > 0 || err_set(err, ERR_NOT_FOUND, "there is no file \"%s\"", file_id);
}

static bool put(struct db *db, const struct document_new *document, const struct place_map *places,
                struct document_written *ret, struct err *err)
{
    int64_t collection;
    int64_t file;
    return store_collection_number(db, document->collection, &collection, err) &&
           file_number(db, document->file_id, &file, err) &&
           remove_old(db, collection, document, ret->id, &ret->replaced, err) &&
           put_row(db, collection, file, ret->id, document, &ret->number, err) &&
           put_text(db, ret->number, document, err) && put_places(db, ret->number, places, err) &&
           put_chunks(db, ret->number, document, places, err);
}

bool store_document_put(struct store *store, const struct document_new *document,
                        struct document_written *ret, struct err *err)
{
    const struct place_source whole = {.text = document->text,
                                       .text_length = document->text_length};
    struct place_map places;
    struct arena arena;
    arena_init(&arena, MAP_BYTES_MAX);
    bool ok = true;
    if (document->places)
        places = *document->places;
    else
        ok = place_map_make(&whole, &arena, &places, err);
    struct db *db;
    struct document_written written = {.number = 0};
    ok = ok && db_begin_write(store, DURABLE_SOON, &db, err) &&
         db_end(db, put(db, document, &places, &written, err), err);
    arena_free(&arena);
    if (ok)
        *ret = written;
    return ok;
}

bool store_document_touch(struct store *store, int64_t number, int64_t mtime_ns, uint64_t inode,
                          struct err *err)
{
    struct db *db;
    if (!db_begin_write(store, DURABLE_SOON, &db, err))
        return false;
    struct query query;
    query_open(&query, db, "UPDATE documents SET mtime_ns = ?, inode = ? WHERE number = ?");
    query_int(&query, 1, mtime_ns);
    query_int(&query, 2, (int64_t)inode);
    query_int(&query, 3, number);
    query_run(&query);
    return db_end(db, query_close(&query, err), err);
}

bool store_document_delete(struct store *store, const char *collection, const char *id,
                           int64_t *ret_number, struct err *err)
{
    struct db *db;
    if (!db_begin_write(store, DURABLE_SOON, &db, err))
        return false;
    struct query query;
    int64_t number = 0;
    query_open(&query, db,
               "DELETE FROM documents WHERE id = ?2 AND collection = "
               "(SELECT number FROM collections WHERE id = ?1) RETURNING number");
    query_text(&query, 1, collection);
    query_text(&query, 2, id);
    if (query_row(&query))
        number = column_int(&query, 0);
    query_run(&query);
    bool ok = query_close(&query, err) &&
              (number > 0 || err_set(err, ERR_NOT_FOUND, "there is no document \"%s\"", id));
    if (!db_end(db, ok, err))
        return false;
    *ret_number = number;
    return true;
}

/* ---------------------------------------------------------------- finding */

static void read_document(struct query *query, struct arena *arena, struct document *ret)
{
    *ret = (struct document){
        .id = column_copy(query, 0, arena),
        .number = column_int(query, 1),
        .path = column_copy(query, 2, arena),
        .file_id = column_copy(query, 3, arena),
        .content = column_hash(query, 4),
        .bytes = (uint64_t)column_int(query, 5),
        .mtime_ns = column_int(query, 6),
        .inode = (uint64_t)column_int(query, 7),
        .format = (enum document_format)column_int(query, 8),
        .charset = column_copy(query, 9, arena),
        .title = column_copy(query, 10, arena),
        .created_at = column_int(query, 12),
        .text_length = (size_t)column_int(query, 13),
        .passages = (size_t)column_int(query, 14),
    };
    const char *lang = column_copy(query, 11, arena);
    ret->lang = lang && strcmp(lang, lang_code(LANG_ES)) == 0 ? LANG_ES : LANG_EN;
}

static bool find_by(struct store *store, const char *sql, const char *collection, const char *key,
                    struct arena *arena, struct document *ret, struct err *err)
{
    struct db *db;
    if (!db_begin_read(store, &db, err))
        return false;
    struct query query;
    int64_t number;
    bool ok = store_collection_number(db, collection, &number, err);
    if (ok) {
        struct document document = {.number = 0};
        query_open(&query, db, sql);
        query_int(&query, 1, number);
        query_text(&query, 2, key);
        bool found = query_row(&query);
        if (found)
            read_document(&query, arena, &document);
        ok = query_close(&query, err) && store_arena_check(arena, err) &&
             (found || err_set(err, ERR_NOT_FOUND, "there is no document \"%s\"", key));
        if (ok)
            *ret = document;
    }
    return db_end(db, ok, err);
}

bool store_document_by_path(struct store *store, const char *collection, const char *path,
                            struct arena *arena, struct document *ret, struct err *err)
{
    return find_by(store,
                   COLUMNS "WHERE d.collection = ? AND d.path = ? ORDER BY d.uploaded, d.number",
                   collection, path, arena, ret, err);
}

bool store_document_by_id(struct store *store, const char *collection, const char *id,
                          struct arena *arena, struct document *ret, struct err *err)
{
    return find_by(store, COLUMNS "WHERE d.collection = ? AND d.id = ?", collection, id, arena, ret,
                   err);
}

/* The rows of an open query: up to `limit`, and then those that have the same path as the last. */
static bool take_page(struct query *query, size_t limit, struct arena *arena, struct document **ret,
                      size_t *ret_count)
{
    size_t capacity = limit < 64 ? limit + 1 : 64;
    struct document *rows = arena_array(arena, capacity, sizeof(*rows));
    size_t count = 0;
    *ret = NULL;
    *ret_count = 0;
    if (!rows)
        return false;
    while (query_row(query)) {
        struct document row;
        read_document(query, arena, &row);
        if (!arena_ok(arena) ||
            (count >= limit && (count == 0 || strcmp(row.path, rows[count - 1].path) != 0)))
            break;
        if (count == capacity) {
            capacity *= 2;
            struct document *more = arena_array(arena, capacity, sizeof(*more));
            if (!more)
                break;
            memcpy(more, rows, count * sizeof(*rows));
            rows = more;
        }
        rows[count++] = row;
    }
    *ret = rows;
    *ret_count = count;
    return arena_ok(arena);
}

static bool list(struct db *db, const char *collection, const char *prefix, const char *after,
                 size_t limit, struct arena *arena, struct document **ret, size_t *ret_count,
                 struct err *err)
{
    int64_t number;
    if (!store_collection_number(db, collection, &number, err))
        return false;
    /* All that is below "dir/" sorts between "dir/" and "dir0", as '0' follows '/'. */
    size_t length = strlen(prefix);
    while (length > 1 && prefix[length - 1] == '/')
        length--;
    char *below = arena_printf(arena, "%.*s/", (int)length, strcmp(prefix, "/") == 0 ? "" : prefix);
    char *beyond = below ? arena_copy(arena, below) : NULL;
    if (!beyond)
        return store_arena_check(arena, err);
    beyond[strlen(beyond) - 1] = '/' + 1;
    struct query query;
    query_open(&query, db,
               length == 0 ? COLUMNS
                   "WHERE d.collection = ?1 AND d.path > ?2 ORDER BY d.path, d.number"
                           : COLUMNS "WHERE d.collection = ?1 AND d.path > ?2 AND d.path >= ?3 AND "
                                     "d.path < ?5 AND (d.path = ?3 OR d.path >= ?4) "
                                     "ORDER BY d.path, d.number");
    query_int(&query, 1, number);
    query_text(&query, 2, after);
    char *exact = arena_copy_n(arena, prefix, length);
    if (length > 0 && exact) {
        query_text(&query, 3, exact);
        query_text(&query, 4, below);
        query_text(&query, 5, beyond);
    }
    take_page(&query, limit, arena, ret, ret_count);
    return query_close(&query, err) && store_arena_check(arena, err);
}

bool store_document_list(struct store *store, const char *collection, const char *prefix,
                         const char *after, size_t limit, struct arena *arena,
                         struct document **ret, size_t *ret_count, struct err *err)
{
    if (limit > STORE_PAGE_MAX)
        limit = STORE_PAGE_MAX;
    struct db *db;
    struct document *rows = NULL;
    size_t count = 0;
    if (!db_begin_read(store, &db, err) ||
        !db_end(db, list(db, collection, prefix, after, limit, arena, &rows, &count, err), err))
        return false;
    *ret = rows;
    *ret_count = count;
    return true;
}
