#include <endian.h>
#include <string.h>

#include "retrieval/store_sqlite.h"
#include "retrieval/vector.h"

/* Vectors are stored as little-endian IEEE floats. */
_Static_assert(__BYTE_ORDER == __LITTLE_ENDIAN, "stored vectors are read without swapping bytes");

bool store_embedder_number(struct db *db, const struct embedder_key *key, int64_t *ret,
                           struct err *err)
{
    struct query query;
    query_open(&query, db,
               "SELECT number FROM embedders WHERE model = ? AND prefix = ? AND pooling = ?");
    query_hash(&query, 1, &key->model);
    query_text(&query, 2, key->prefix);
    query_text(&query, 3, key->pooling);
    return query_number(&query, 0, ret, err);
}

/* The embedder's number, made if need be. Its vectors all have the same length. */
static bool ensure_embedder(struct db *db, const struct embedder_key *key, uint32_t dimensions,
                            int64_t *ret, struct err *err)
{
    struct query query;
    query_open(&query, db,
               "INSERT INTO embedders (model, prefix, pooling, dimensions) VALUES (?, ?, ?, ?) "
               "ON CONFLICT DO NOTHING");
    query_hash(&query, 1, &key->model);
    query_text(&query, 2, key->prefix);
    query_text(&query, 3, key->pooling);
    query_int(&query, 4, dimensions);
    query_run(&query);
    int64_t number;
    int64_t known;
    if (!query_close(&query, err) || !store_embedder_number(db, key, &number, err))
        return false;
    query_open(&query, db, "SELECT dimensions FROM embedders WHERE number = ?");
    query_int(&query, 1, number);
    if (!query_number(&query, 0, &known, err))
        return false;
    if (known != dimensions)
        return err_set(err, ERR_INVALID_REQUEST,
                       "vectors of %u numbers do not fit the store, which has %u of this model",
                       dimensions, (uint32_t)known);
    *ret = number;
    return true;
}

static bool get_vectors(struct db *db, const struct embedder_key *embedder,
                        const struct hash *texts, size_t count, struct arena *arena,
                        const float **values, uint32_t *ret_dimensions, struct err *err)
{
    int64_t number;
    if (!store_embedder_number(db, embedder, &number, err))
        return false;
    struct query query;
    query_open(&query, db, "SELECT vector FROM embeddings WHERE embedder = ? AND text_hash = ?");
    for (size_t i = 0; i < count && number > 0; i++) {
        query_int(&query, 1, number);
        query_hash(&query, 2, &texts[i]);
        if (query_row(&query)) {
            size_t length;
            const void *bytes = column_bytes(&query, 0, &length);
            float *copy = arena_alloc(arena, length);
            if (!copy)
                break;
            memcpy(copy, bytes, length);
            values[i] = copy;
            *ret_dimensions = (uint32_t)(length / sizeof(float));
        }
        query_reset(&query);
    }
    return query_close(&query, err) && store_arena_check(arena, err);
}

bool store_vectors_get(struct store *store, const struct embedder_key *embedder,
                       const struct hash *texts, size_t count, struct arena *arena,
                       const float ***ret_values, uint32_t *ret_dimensions, struct err *err)
{
    const float **values = arena_array(arena, count, sizeof(*values));
    uint32_t dimensions = 0;
    struct db *db;
    if (!store_arena_check(arena, err) || !db_begin_read(store, &db, err) ||
        !db_end(db, get_vectors(db, embedder, texts, count, arena, values, &dimensions, err), err))
        return false;
    *ret_values = values;
    *ret_dimensions = dimensions;
    return true;
}

static bool put_vectors(struct db *db, const struct embedder_key *embedder,
                        const struct hash *texts, size_t count, const float *values,
                        uint32_t dimensions, struct err *err)
{
    int64_t number = 0;
    if (!ensure_embedder(db, embedder, dimensions, &number, err))
        return false;
    struct query query;
    query_open(&query, db,
               "INSERT INTO embeddings (embedder, text_hash, vector) VALUES (?, ?, ?) "
               "ON CONFLICT DO NOTHING");
    for (size_t i = 0; i < count; i++) {
        query_int(&query, 1, number);
        query_hash(&query, 2, &texts[i]);
        query_blob(&query, 3, values + i * dimensions, dimensions * sizeof(float));
        if (!query_run(&query))
            break;
    }
    return query_close(&query, err);
}

bool store_vectors_put(struct store *store, const struct embedder_key *embedder,
                       const struct hash *texts, size_t count, const float *values,
                       uint32_t dimensions, struct err *err)
{
    for (size_t i = 0; i < count; i++)
        if (!vector_check(values + i * dimensions, dimensions, err))
            return false;
    struct db *db;
    return db_begin_write(store, DURABLE_SOON, &db, err) &&
           db_end(db, put_vectors(db, embedder, texts, count, values, dimensions, err), err);
}

static bool each_vector(struct db *db, const char *collection, const struct embedder_key *embedder,
                        struct cancel *cancel,
                        bool (*visit)(void *user, struct passage_key key, const float *values,
                                      uint32_t dimensions, struct err *err),
                        void *user, struct err *err)
{
    int64_t number;
    int64_t embedder_number;
    if (!store_collection_number(db, collection, &number, err) ||
        !store_embedder_number(db, embedder, &embedder_number, err))
        return false;
    struct query query;
    query_open(&query, db,
               "SELECT c.document, c.ordinal, e.vector FROM documents d "
               "CROSS JOIN chunks c ON c.document = d.number "
               "CROSS JOIN embeddings e ON e.embedder = ?2 AND e.text_hash = c.text_hash "
               "WHERE d.collection = ?1 ORDER BY d.number, c.ordinal");
    query_int(&query, 1, number);
    query_int(&query, 2, embedder_number);
    bool ok = true;
    float values[VECTOR_DIMENSIONS_MAX];
    while (ok && query_row(&query)) {
        struct passage_key key = {.document = column_int(&query, 0),
                                  .ordinal = (uint32_t)column_int(&query, 1)};
        size_t length;
        const void *bytes = column_bytes(&query, 2, &length);
        if (length > sizeof(values))
            length = sizeof(values);
        memcpy(values, bytes, length);
        ok = !cancel_is_set(cancel) || cancel_error(err);
        ok = ok && visit(user, key, values, (uint32_t)(length / sizeof(float)), err);
    }
    return query_close(&query, ok ? err : NULL) && ok;
}

bool store_each_vector(struct store *store, const char *collection,
                       const struct embedder_key *embedder, struct cancel *cancel,
                       bool (*visit)(void *user, struct passage_key key, const float *values,
                                     uint32_t dimensions, struct err *err),
                       void *user, struct err *err)
{
    struct db *db;
    return db_begin_read(store, &db, err) &&
           db_end(db, each_vector(db, collection, embedder, cancel, visit, user, err), err);
}

bool store_vectors_prune(struct store *store, size_t *ret_dropped, struct err *err)
{
    struct db *db;
    if (!db_begin_write(store, DURABLE_SOON, &db, err))
        return false;
    size_t dropped = 0;
    bool ok = db_run(db,
                     "DELETE FROM embeddings WHERE NOT EXISTS (SELECT 1 FROM chunks c "
                     "WHERE c.text_hash = embeddings.text_hash)",
                     err);
    if (ok)
        dropped = (size_t)sqlite3_changes64(db->handle);
    if (!db_end(db, ok, err))
        return false;
    *ret_dropped = dropped;
    return true;
}
