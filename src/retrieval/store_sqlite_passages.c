#include <stdlib.h>
#include <string.h>

#include "base/vec.h"
#include "retrieval/store_sqlite.h"

enum { TEXT_MAX = 1 << 30, PASSAGES_MAX = CHUNK_MAX };

/* Columns of a passage; its text is read piece by piece. */
#define COLUMNS                                                                            \
    "SELECT c.document, c.ordinal, d.id, k.id, d.path, d.title, d.lang, c.text_offset, "   \
    "c.text_length, c.file_offset, c.file_length, c.line_start, c.line_end, c.identical, " \
    "c.tokens, c.text_hash "
#define FROM_CHUNKS                                            \
    "FROM chunks c JOIN documents d ON d.number = c.document " \
    "JOIN collections k ON k.number = d.collection "

static enum lang lang_of(struct query *query, int index)
{
    size_t length;
    const char *code = column_bytes(query, index, &length);
    return length == 2 && memcmp(code, lang_code(LANG_ES), 2) == 0 ? LANG_ES : LANG_EN;
}

static void read_passage(struct query *query, struct arena *arena, struct passage *ret)
{
    *ret = (struct passage){
        .key = {.document = column_int(query, 0), .ordinal = (uint32_t)column_int(query, 1)},
        .document_id = column_copy(query, 2, arena),
        .collection = column_copy(query, 3, arena),
        .path = column_copy(query, 4, arena),
        .title = column_copy(query, 5, arena),
        .lang = lang_of(query, 6),
        .text_offset = (size_t)column_int(query, 7),
        .text_length = (size_t)column_int(query, 8),
        .place = {.offset = (size_t)column_int(query, 9),
                  .length = (size_t)column_int(query, 10),
                  .line_start = (size_t)column_int(query, 11),
                  .line_end = (size_t)column_int(query, 12),
                  .identical = column_int(query, 13) != 0},
        .tokens = (uint32_t)column_int(query, 14),
        .text_hash = column_hash(query, 15),
    };
}

/* ---------------------------------------------------------------- text */

static void open_pieces(struct query *query, struct db *db)
{
    query_open(query, db,
               "SELECT piece, bytes FROM texts WHERE document = ? AND piece BETWEEN ? AND ? "
               "ORDER BY piece");
}

/* Copies text[offset .. offset + length) of a document to `out`; ERR_STORE when some of it is
 * missing. */
static bool read_text(struct query *pieces, int64_t document, size_t offset, size_t length,
                      char *out, struct err *err)
{
    if (length == 0)
        return true;
    query_int(pieces, 1, document);
    query_int(pieces, 2, (int64_t)(offset / STORE_PIECE));
    query_int(pieces, 3, (int64_t)((offset + length - 1) / STORE_PIECE));
    size_t done = 0;
    while (query_row(pieces)) {
        size_t size;
        const char *bytes = column_bytes(pieces, 1, &size);
        size_t start = (size_t)column_int(pieces, 0) * STORE_PIECE;
        size_t skip = offset + done - start;
        if (start > offset + done || skip >= size)
            break;
        size_t n = size - skip < length - done ? size - skip : length - done;
        memcpy(out + done, bytes + skip, n);
        done += n;
    }
    query_reset(pieces);
    if (pieces->code == SQLITE_OK && done < length)
        return err_set(err, ERR_STORE,
                       "the store lacks a part of the text of document %lld; ingest it again",
                       (long long)document);
    return true; /* a failure of the query is reported when it is closed */
}

/* Gives each passage its text. */
static bool read_texts(struct db *db, struct passage *passages, size_t count, struct arena *arena,
                       struct err *err)
{
    struct query pieces;
    open_pieces(&pieces, db);
    bool ok = true;
    for (size_t i = 0; ok && i < count; i++) {
        char *text = arena_alloc(arena, passages[i].text_length + 1);
        ok = text ? read_text(&pieces, passages[i].key.document, passages[i].text_offset,
                              passages[i].text_length, text, err)
                  : store_arena_check(arena, err);
        passages[i].text = text;
    }
    return query_close(&pieces, ok ? err : NULL) && ok;
}

bool store_document_text(struct store *store, int64_t number, struct arena *arena,
                         const char **ret_text, size_t *ret_length, struct place_map *ret_places,
                         struct err *err)
{
    struct db *db;
    if (!db_begin_read(store, &db, err))
        return false;
    struct query query;
    query_open(
        &query, db,
        "SELECT d.text_length, p.map FROM documents d JOIN places p ON p.document = d.number "
        "WHERE d.number = ?");
    query_int(&query, 1, number);
    size_t length = 0;
    struct place_map places;
    bool found = query_row(&query);
    bool ok = true;
    if (found) {
        size_t map_length;
        const void *map = column_bytes(&query, 1, &map_length);
        length = (size_t)column_int(&query, 0);
        ok = !ret_places || place_map_read(map, map_length, arena, &places, err);
    }
    ok = query_close(&query, ok ? err : NULL) && ok &&
         (found || err_set(err, ERR_NOT_FOUND, "the document is no longer in the store"));
    struct passage whole = {.key = {.document = number}, .text_length = length};
    ok = ok && read_texts(db, &whole, 1, arena, err);
    if (!db_end(db, ok, err))
        return false;
    *ret_text = whole.text;
    *ret_length = length;
    if (ret_places)
        *ret_places = places;
    return true;
}

/* ---------------------------------------------------------------- passages */

bool store_passages(struct store *store, const struct passage_key *keys, size_t count,
                    struct arena *arena, struct passage **ret, size_t *ret_count, struct err *err)
{
    struct passage *passages = arena_array(arena, count, sizeof(*passages));
    struct db *db;
    if (!store_arena_check(arena, err) || !db_begin_read(store, &db, err))
        return false;
    struct query query;
    query_open(&query, db, COLUMNS FROM_CHUNKS "WHERE c.document = ? AND c.ordinal = ?");
    size_t found = 0;
    for (size_t i = 0; i < count; i++) {
        query_int(&query, 1, keys[i].document);
        query_int(&query, 2, keys[i].ordinal);
        if (query_row(&query))
            read_passage(&query, arena, &passages[found++]);
        query_reset(&query);
    }
    bool ok = query_close(&query, err) && store_arena_check(arena, err) &&
              read_texts(db, passages, found, arena, err);
    if (!db_end(db, ok, err))
        return false;
    *ret = passages;
    *ret_count = found;
    return true;
}

/* The rows of a query of passages, at most `limit`, with their texts; closes the query. */
static bool take_passages(struct db *db, struct query *query, size_t limit, struct arena *arena,
                          struct passage **ret, size_t *ret_count, struct err *err)
{
    struct passage *passages = arena_array(arena, limit, sizeof(*passages));
    size_t count = 0;
    while (passages && count < limit && arena_ok(arena) && query_row(query))
        read_passage(query, arena, &passages[count++]);
    if (!query_close(query, err) || !store_arena_check(arena, err) ||
        !read_texts(db, passages, count, arena, err))
        return false;
    *ret = passages;
    *ret_count = count;
    return true;
}

bool store_document_passages(struct store *store, int64_t number, uint32_t first, size_t limit,
                             struct arena *arena, struct passage **ret, size_t *ret_count,
                             struct err *err)
{
    if (limit > STORE_PAGE_MAX)
        limit = STORE_PAGE_MAX;
    struct db *db;
    if (!db_begin_read(store, &db, err))
        return false;
    struct query query;
    query_open(&query, db,
               COLUMNS FROM_CHUNKS
               "WHERE c.document = ? AND c.ordinal >= ? ORDER BY c.ordinal LIMIT ?");
    query_int(&query, 1, number);
    query_int(&query, 2, first);
    query_int(&query, 3, (int64_t)limit);
    struct passage *passages = NULL;
    size_t count = 0;
    if (!db_end(db, take_passages(db, &query, limit, arena, &passages, &count, err), err))
        return false;
    *ret = passages;
    *ret_count = count;
    return true;
}

static bool pending(struct db *db, const char *collection, const struct embedder_key *key,
                    struct passage_key after, size_t limit, struct arena *arena,
                    struct passage **ret, size_t *ret_count, struct err *err)
{
    int64_t number;
    int64_t embedder;
    if (!store_collection_number(db, collection, &number, err) ||
        !store_embedder_number(db, key, &embedder, err))
        return false;
    struct query query;
    query_open(&query, db,
               COLUMNS "FROM documents d JOIN collections k ON k.number = d.collection "
                       "CROSS JOIN chunks c ON c.document = d.number "
                       "WHERE d.collection = ?1 AND d.number >= ?2 "
                       "AND (d.number > ?2 OR c.ordinal > ?3) AND NOT EXISTS "
                       "(SELECT 1 FROM embeddings e WHERE e.embedder = ?4 "
                       "AND e.text_hash = c.text_hash) ORDER BY d.number, c.ordinal LIMIT ?5");
    query_int(&query, 1, number);
    query_int(&query, 2, after.document);
    query_int(&query, 3, after.document > 0 ? (int64_t)after.ordinal : -1);
    query_int(&query, 4, embedder);
    query_int(&query, 5, (int64_t)limit);
    return take_passages(db, &query, limit, arena, ret, ret_count, err);
}

bool store_pending(struct store *store, const char *collection, const struct embedder_key *embedder,
                   struct passage_key after, size_t limit, struct arena *arena,
                   struct passage **ret, size_t *ret_count, struct err *err)
{
    if (limit > STORE_PAGE_MAX)
        limit = STORE_PAGE_MAX;
    struct db *db;
    struct passage *passages = NULL;
    size_t count = 0;
    if (!db_begin_read(store, &db, err) ||
        !db_end(db, pending(db, collection, embedder, after, limit, arena, &passages, &count, err),
                err))
        return false;
    *ret = passages;
    *ret_count = count;
    return true;
}

/* ---------------------------------------------------------------- documents as a whole */

/* Reads documents one after the other into the same buffers. */
struct viewer {
    struct query pieces;
    struct query chunks;
    char *text;
    size_t text_capacity;
    struct passage_span *spans;
    size_t span_capacity;
};

static void viewer_open(struct viewer *viewer, struct db *db)
{
    *viewer = (struct viewer){.text = NULL};
    open_pieces(&viewer->pieces, db);
    query_open(&viewer->chunks, db,
               "SELECT text_offset, text_length FROM chunks WHERE document = ? ORDER BY ordinal");
}

static bool viewer_close(struct viewer *viewer, bool ok, struct err *err)
{
    ok = query_close(&viewer->pieces, ok ? err : NULL) && ok;
    ok = query_close(&viewer->chunks, ok ? err : NULL) && ok;
    free(viewer->text);
    free(viewer->spans);
    return ok;
}

/* Fills `view`, whose number, language, text_length and passage_count are set. */
static bool viewer_read(struct viewer *viewer, struct document_view *view, struct err *err)
{
    if (!vec_reserve(&viewer->text, &viewer->text_capacity, view->text_length + 1, 1, TEXT_MAX,
                     err) ||
        !vec_reserve(&viewer->spans, &viewer->span_capacity, view->passage_count + 1,
                     sizeof(*viewer->spans), PASSAGES_MAX, err) ||
        !read_text(&viewer->pieces, view->number, 0, view->text_length, viewer->text, err))
        return false;
    viewer->text[view->text_length] = '\0';
    query_int(&viewer->chunks, 1, view->number);
    size_t count = 0;
    while (count < view->passage_count && query_row(&viewer->chunks)) {
        struct passage_span span = {.offset = (uint32_t)column_int(&viewer->chunks, 0),
                                    .length = (uint32_t)column_int(&viewer->chunks, 1)};
        if (span.offset > view->text_length || span.length > view->text_length - span.offset)
            return err_set(err, ERR_STORE,
                           "the store lacks a part of the text of document %lld; ingest it again",
                           (long long)view->number);
        viewer->spans[count++] = span;
    }
    query_reset(&viewer->chunks);
    view->text = viewer->text;
    view->passages = viewer->spans;
    view->passage_count = count;
    return true;
}

/* Visits the documents of an open query (number, lang, text_length, passages); closes it. */
static bool visit_documents(struct db *db, struct query *query, size_t total, struct cancel *cancel,
                            bool (*visit)(void *user, const struct document_view *document,
                                          size_t done, size_t total, struct err *err),
                            void *user, size_t *ret_done, struct err *err)
{
    struct viewer viewer;
    viewer_open(&viewer, db);
    bool ok = true;
    size_t done = 0;
    while (ok && query_row(query)) {
        struct document_view view = {.number = column_int(query, 0),
                                     .lang = lang_of(query, 1),
                                     .text_length = (size_t)column_int(query, 2),
                                     .passage_count = (size_t)column_int(query, 3)};
        ok = !cancel_is_set(cancel) || cancel_error(err);
        ok = ok && viewer_read(&viewer, &view, err) && visit(user, &view, done, total, err);
        done++;
    }
    *ret_done = done;
    ok = viewer_close(&viewer, ok, err);
    return query_close(query, ok ? err : NULL) && ok;
}

static bool each_document(struct db *db, const char *collection, struct cancel *cancel,
                          bool (*visit)(void *user, const struct document_view *document,
                                        size_t done, size_t total, struct err *err),
                          void *user, struct err *err)
{
    int64_t number;
    int64_t total;
    struct query query;
    if (!store_collection_number(db, collection, &number, err))
        return false;
    query_open(&query, db, "SELECT count(*) FROM documents WHERE collection = ?");
    query_int(&query, 1, number);
    if (!query_number(&query, 0, &total, err))
        return false;
    query_open(&query, db,
               "SELECT number, lang, text_length, passages FROM documents WHERE collection = ? "
               "ORDER BY number");
    query_int(&query, 1, number);
    size_t done;
    return visit_documents(db, &query, (size_t)total, cancel, visit, user, &done, err);
}

bool store_each_document(struct store *store, const char *collection, struct cancel *cancel,
                         bool (*visit)(void *user, const struct document_view *document,
                                       size_t done, size_t total, struct err *err),
                         void *user, struct err *err)
{
    struct db *db;
    return db_begin_read(store, &db, err) &&
           db_end(db, each_document(db, collection, cancel, visit, user, err), err);
}

bool store_view_document(struct store *store, int64_t number,
                         bool (*visit)(void *user, const struct document_view *document,
                                       size_t done, size_t total, struct err *err),
                         void *user, struct err *err)
{
    struct db *db;
    if (!db_begin_read(store, &db, err))
        return false;
    struct query query;
    query_open(&query, db,
               "SELECT number, lang, text_length, passages FROM documents WHERE number = ?");
    query_int(&query, 1, number);
    size_t done;
    bool ok = visit_documents(db, &query, 1, NULL, visit, user, &done, err) &&
              (done > 0 || err_set(err, ERR_NOT_FOUND, "the document is no longer in the store"));
    return db_end(db, ok, err);
}
