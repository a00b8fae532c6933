/* How a collection wants to be searched: what `jarvis tune` chose for it. */
#include "retrieval/store_sqlite.h"

enum { THOUSAND = 1000 };

bool store_ranking_get(struct store *store, const char *id_or_name, struct ranking *ret,
                       bool *ret_found, struct err *err)
{
    struct db *db;
    struct query query;
    struct ranking ranking = {0};
    if (!db_begin_read(store, &db, err))
        return false;
    query_open(&query, db,
               "SELECT alpha, rerank_depth, tuned_at FROM rankings WHERE collection = (SELECT "
               "number FROM collections WHERE id = ?1 OR name = ?1 ORDER BY id = ?1 DESC LIMIT 1)");
    query_text(&query, 1, id_or_name);
    bool found = query_row(&query);
    if (found)
        ranking = (struct ranking){.alpha = (double)column_int(&query, 0) / THOUSAND,
                                   .rerank_depth = (size_t)column_int(&query, 1),
                                   .tuned_at = column_int(&query, 2)};
    if (!db_end(db, query_close(&query, err), err))
        return false;
    if (found)
        *ret = ranking;
    *ret_found = found;
    return true;
}

static bool put(struct db *db, const char *collection, const struct ranking *ranking,
                struct err *err)
{
    int64_t number;
    struct query query;
    if (!store_collection_number(db, collection, &number, err))
        return false;
    query_open(&query, db,
               "INSERT OR REPLACE INTO rankings (collection, alpha, rerank_depth, tuned_at) VALUES "
               "(?, ?, ?, ?)");
    query_int(&query, 1, number);
    query_int(&query, 2, (int64_t)(ranking->alpha * THOUSAND + 0.5));
    query_int(&query, 3, (int64_t)ranking->rerank_depth);
    query_int(&query, 4, store_now());
    query_run(&query);
    return query_close(&query, err);
}

bool store_ranking_put(struct store *store, const char *collection, const struct ranking *ranking,
                       struct err *err)
{
    struct db *db;
    return db_begin_write(store, DURABLE_NOW, &db, err) &&
           db_end(db, put(db, collection, ranking, err), err);
}

static bool clear(struct db *db, const char *collection, struct err *err)
{
    int64_t number;
    struct query query;
    if (!store_collection_number(db, collection, &number, err))
        return false;
    query_open(&query, db, "DELETE FROM rankings WHERE collection = ?");
    query_int(&query, 1, number);
    query_run(&query);
    return query_close(&query, err);
}

bool store_ranking_clear(struct store *store, const char *collection, struct err *err)
{
    struct db *db;
    return db_begin_write(store, DURABLE_NOW, &db, err) &&
           db_end(db, clear(db, collection, err), err);
}
