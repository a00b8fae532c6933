#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "assistant/stores.h"
#include "server/handlers.h"
#include "server/openai_parse.h"
#include "server/stores_write.h"

enum { DOCUMENTS_PAGE = 20, DOCUMENTS_PAGE_MAX = 100 };

static const char *document_id(const void *items, size_t index)
{
    return ((const struct document_info *)items)[index].id;
}

static void write_item(struct writer *writer, const void *items, size_t index, const void *store)
{
    stores_write_document(writer, store, &((const struct document_info *)items)[index]);
}

static void answer_document(struct http_request *request, const struct document_info *document)
{
    struct writer writer;
    writer_begin(&writer, &request->answer.body);
    stores_write_document(&writer, request->params[0], document);
}

bool handle_store_files_attach(struct http_request *request, struct err *err)
{
    const char *file = NULL;
    struct document_info document = {0};
    if (!openai_parse_file_id(request->body.data, request->body.length, &request->arena, &file,
                              err) ||
        !stores_attach(request->runtime, &request->request, request->params[0], file, &document,
                       err))
        return false;
    answer_document(request, &document);
    return true;
}

bool handle_store_files_list(struct http_request *request, struct err *err)
{
    struct document_info *documents = NULL;
    size_t count = 0;
    struct page page;
    struct page_query query = {.limit = http_query(request, "limit"),
                               .order = http_query(request, "order"),
                               .after = http_query(request, "after"),
                               .before = http_query(request, "before")};
    const char *filter = http_query(request, "filter");
    if (!stores_documents(request->runtime, &request->request, request->params[0], &documents,
                          &count, err))
        return false;
    /* What is in a store has been completed: a file that fails is not kept in it. */
    if (filter && strcmp(filter, "completed") != 0)
        count = 0;
    if (!page_cut(&query, DOCUMENTS_PAGE, DOCUMENTS_PAGE_MAX, document_id, documents, count, &page,
                  err))
        return false;
    struct stores_list list = {.items = documents,
                               .id_of = document_id,
                               .write_item = write_item,
                               .user = request->params[0]};
    stores_write_list(&request->answer.body, &list, &page);
    return true;
}

bool handle_store_files_get(struct http_request *request, struct err *err)
{
    struct document_info document = {0};
    if (!stores_document(request->runtime, &request->request, request->params[0],
                         request->params[1], &document, err))
        return false;
    answer_document(request, &document);
    return true;
}

bool handle_store_files_content(struct http_request *request, struct err *err)
{
    const char *text = NULL;
    size_t length = 0;
    if (!stores_document_text(request->runtime, &request->request, request->params[0],
                              request->params[1], &text, &length, err))
        return false;
    struct writer writer;
    writer_begin(&writer, &request->answer.body);
    writer_object(&writer, NULL);
    writer_text(&writer, "object", "vector_store.file_content.page");
    writer_array(&writer, "data");
    writer_object(&writer, NULL);
    writer_text(&writer, "type", "text");
    writer_text_n(&writer, "text", text, length);
    writer_end(&writer);
    writer_end(&writer);
    writer_bool(&writer, "has_more", false);
    writer_null(&writer, "next_page");
    writer_end(&writer);
    return true;
}

bool handle_store_files_detach(struct http_request *request, struct err *err)
{
    if (!stores_detach(request->runtime, &request->request, request->params[0], request->params[1],
                       err))
        return false;
    stores_write_deleted(&request->answer.body, request->params[1], "vector_store.file.deleted");
    return true;
}

/* ---------------------------------------------------------------- batches */

/* A batch is done when it is answered, so nothing is stored of it: its id carries all there is to know. */
struct batch {
    unsigned long created_at;
    unsigned long completed;
    unsigned long failed;
};

static bool batch_from_id(const char *id, struct batch *ret)
{
    const char *prefix = "vsfb_";
    unsigned long *const fields[] = {&ret->created_at, &ret->completed, &ret->failed};
    if (strncmp(id, prefix, strlen(prefix)) != 0)
        return false;
    const char *at = id + strlen(prefix);
    for (size_t i = 0; i < 3; i++) {
        char *end = NULL;
        *fields[i] = strtoul(at, &end, 16);
        if (end == at || *end != (i < 2 ? '_' : '\0'))
            return false;
        at = end + 1;
    }
    return true;
}

static void answer_batch(struct http_request *request, const struct batch *batch)
{
    char id[80];
    struct writer writer;
    snprintf(id, sizeof(id), "vsfb_%lx_%lx_%lx", batch->created_at, batch->completed,
             batch->failed);
    writer_begin(&writer, &request->answer.body);
    writer_object(&writer, NULL);
    writer_text(&writer, "id", id);
    writer_text(&writer, "object", "vector_store.file_batch");
    writer_uint(&writer, "created_at", batch->created_at);
    writer_text(&writer, "vector_store_id", request->params[0]);
    writer_text(&writer, "status", batch->completed > 0 ? "completed" : "failed");
    stores_write_counts(&writer, batch->completed, batch->failed);
    writer_end(&writer);
}

bool handle_store_batches_create(struct http_request *request, struct err *err)
{
    const char *const *files = NULL;
    size_t count = 0;
    struct document_info document;
    struct batch batch = {.created_at = (unsigned long)(clock_wall_us() / 1000000)};
    if (!openai_parse_file_ids(request->body.data, request->body.length, &request->arena, &files,
                               &count, err))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (stores_attach(request->runtime, &request->request, request->params[0], files[i],
                          &document, err))
            batch.completed++;
        else if (err->code == ERR_DOCUMENT)
            batch.failed++;
        else
            return false;
    }
    answer_batch(request, &batch);
    return true;
}

bool handle_store_batches_get(struct http_request *request, struct err *err)
{
    struct store_info store;
    struct batch batch;
    if (!stores_get(request->runtime, &request->request, request->params[0], &store, err))
        return false;
    if (!batch_from_id(request->params[1], &batch))
        return err_set(err, ERR_NOT_FOUND, "there is no batch \"%s\"", request->params[1]);
    answer_batch(request, &batch);
    return true;
}
