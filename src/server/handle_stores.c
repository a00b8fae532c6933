#include <stdlib.h>
#include <string.h>

#include "assistant/search.h"
#include "assistant/stores.h"
#include "base/hash.h"
#include "server/handlers.h"
#include "server/jarvis_parse.h"
#include "server/openai_parse.h"
#include "server/openai_write.h"
#include "server/stores_write.h"

enum { STORES_PAGE = 20, STORES_PAGE_MAX = 100 };

static const char *store_id(const void *items, size_t index)
{
    return ((const struct store_info *)items)[index].id;
}

static void write_item(struct writer *writer, const void *items, size_t index, const void *user)
{
    (void)user;
    stores_write_store(writer, &((const struct store_info *)items)[index], 0);
}

static void answer_store(struct http_request *request, const struct store_info *store,
                         size_t failed)
{
    struct writer writer;
    writer_begin(&writer, &request->answer.body);
    stores_write_store(&writer, store, failed);
}

/* All files must be there before a store is made for them. */
static bool files_exist(struct http_request *request, const struct openai_store *asked,
                        struct err *err)
{
    struct file_info file;
    for (size_t i = 0; i < asked->file_count; i++)
        if (!files_get(request->runtime, &request->request, asked->file_ids[i], &file, err))
            return false;
    return true;
}

/* Attaches what can be attached: a file without text fails alone, anything else ends the request. */
static bool attach_all(struct http_request *request, const char *id,
                       const struct openai_store *asked, size_t *ret_failed, struct err *err)
{
    struct document_info document;
    size_t failed = 0;
    for (size_t i = 0; i < asked->file_count; i++) {
        if (stores_attach(request->runtime, &request->request, id, asked->file_ids[i], &document,
                          err))
            continue;
        if (err->code != ERR_DOCUMENT)
            return false;
        failed++;
    }
    *ret_failed = failed;
    return true;
}

bool handle_stores_create(struct http_request *request, struct err *err)
{
    struct openai_store asked;
    struct store_info store = {0};
    size_t failed = 0;
    char name[ID_MAX];
    hash_random_id("store-", name);
    if (!openai_parse_store(request->body.data, request->body.length, &request->arena, &asked, err))
        return false;
    if (!files_exist(request, &asked, err) ||
        !stores_create(request->runtime, &request->request, asked.name ? asked.name : name,
                       asked.metadata ? asked.metadata : "{}", &store, err) ||
        !attach_all(request, store.id, &asked, &failed, err) ||
        !stores_get(request->runtime, &request->request, store.id, &store, err))
        return false;
    answer_store(request, &store, failed);
    return true;
}

bool handle_stores_list(struct http_request *request, struct err *err)
{
    struct store_info *stores = NULL;
    size_t count = 0;
    struct page page;
    struct page_query query = {.limit = http_query(request, "limit"),
                               .order = http_query(request, "order"),
                               .after = http_query(request, "after"),
                               .before = http_query(request, "before")};
    if (!stores_list(request->runtime, &request->request, &stores, &count, err) ||
        !page_cut(&query, STORES_PAGE, STORES_PAGE_MAX, store_id, stores, count, &page, err))
        return false;
    struct stores_list list = {.items = stores, .id_of = store_id, .write_item = write_item};
    stores_write_list(&request->answer.body, &list, &page);
    return true;
}

bool handle_stores_get(struct http_request *request, struct err *err)
{
    struct store_info store = {0};
    if (!stores_get(request->runtime, &request->request, request->params[0], &store, err))
        return false;
    answer_store(request, &store, 0);
    return true;
}

bool handle_stores_update(struct http_request *request, struct err *err)
{
    struct openai_store asked;
    struct store_info store = {0};
    if (!openai_parse_store(request->body.data, request->body.length, &request->arena, &asked,
                            err) ||
        !stores_update(request->runtime, &request->request, request->params[0], asked.name,
                       asked.metadata, &store, err))
        return false;
    answer_store(request, &store, 0);
    return true;
}

bool handle_stores_delete(struct http_request *request, struct err *err)
{
    if (!stores_delete(request->runtime, &request->request, request->params[0], err))
        return false;
    stores_write_deleted(&request->answer.body, request->params[0], "vector_store.deleted");
    return true;
}

/* ---------------------------------------------------------------- search */

/* Hits of all queries together. */
struct hits {
    struct search_hit *items;
    size_t count;
};

static bool same_passage(const struct search_hit *a, const struct search_hit *b)
{
    return a->offset == b->offset && a->length == b->length &&
           strcmp(a->document_id, b->document_id) == 0;
}

/* A passage that several queries find counts once, with its best score. */
static void merge(struct hits *hits, const struct search_hit *hit)
{
    for (size_t i = 0; i < hits->count; i++) {
        if (!same_passage(&hits->items[i], hit))
            continue;
        if (hit->score > hits->items[i].score)
            hits->items[i] = *hit;
        return;
    }
    hits->items[hits->count++] = *hit;
}

static int compare_hits(const void *left, const void *right)
{
    double a = ((const struct search_hit *)left)->score;
    double b = ((const struct search_hit *)right)->score;
    return a > b ? -1 : a < b;
}

static bool search_all(struct http_request *request, const struct openai_search *asked,
                       struct hits *hits, struct err *err)
{
    const char *store = request->params[0];
    hits->items =
        arena_array(&request->arena, asked->count * asked->max_results, sizeof(*hits->items));
    if (!hits->items)
        return err_no_memory(err);
    for (size_t i = 0; i < asked->count; i++) {
        struct search_request search = jarvis_default_search();
        struct search_result result = {0};
        search.query = asked->queries[i];
        search.stores = &store;
        search.store_count = 1;
        search.top_k = asked->max_results;
        search.alpha = asked->alpha;
        search.fusion = asked->fusion;
        search.rerank = asked->rerank;
        if (!search_run(request->runtime, &request->request, &search, &result, err))
            return false;
        for (size_t hit = 0; hit < result.count && hit < asked->max_results; hit++)
            if (result.hits[hit].score >= asked->score_threshold)
                merge(hits, &result.hits[hit]);
    }
    if (asked->count > 1)
        qsort(hits->items, hits->count, sizeof(*hits->items), compare_hits);
    return true;
}

bool handle_stores_search(struct http_request *request, struct err *err)
{
    struct openai_search asked;
    struct hits hits = {0};
    if (!openai_parse_search(request->body.data, request->body.length, &request->arena, &asked,
                             err))
        return false;
    request->record.query = asked.queries[0];
    if (!search_all(request, &asked, &hits, err))
        return false;
    struct writer writer;
    writer_begin(&writer, &request->answer.body);
    writer_object(&writer, NULL);
    writer_text(&writer, "object", "vector_store.search_results.page");
    writer_array(&writer, "search_query");
    for (size_t i = 0; i < asked.count; i++)
        writer_text(&writer, NULL, asked.queries[i]);
    writer_end(&writer);
    writer_array(&writer, "data");
    for (size_t i = 0; i < hits.count && i < asked.max_results; i++)
        stores_write_hit(&writer, &hits.items[i]);
    writer_end(&writer);
    writer_bool(&writer, "has_more", false);
    writer_null(&writer, "next_page");
    writer_end(&writer);
    return true;
}
