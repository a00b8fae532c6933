#include "assistant/stores.h"
#include "server/handlers.h"
#include "server/stores_write.h"

enum { FILES_PAGE_MAX = 10000 };

static const char *file_id(const void *items, size_t index)
{
    return ((const struct file_info *)items)[index].id;
}

static void write_item(struct writer *writer, const void *items, size_t index, const void *user)
{
    (void)user;
    stores_write_file(writer, &((const struct file_info *)items)[index]);
}

static void answer_file(struct http_request *request, const struct file_info *file)
{
    struct writer writer;
    writer_begin(&writer, &request->answer.body);
    stores_write_file(&writer, file);
}

bool handle_files_upload(struct http_request *request, struct err *err)
{
    struct upload_file upload;
    struct file_info file = {0};
    if (!upload_finish(request->upload, &upload, err) ||
        !files_create(request->runtime, &request->request, upload.name, upload.purpose,
                      upload.bytes, upload.length, &file, err))
        return false;
    answer_file(request, &file);
    return true;
}

bool handle_files_list(struct http_request *request, struct err *err)
{
    struct file_info *files = NULL;
    size_t count = 0;
    struct page page;
    struct page_query query = {.limit = http_query(request, "limit"),
                               .order = http_query(request, "order"),
                               .after = http_query(request, "after")};
    if (!files_list(request->runtime, &request->request, &files, &count, err) ||
        !page_cut(&query, FILES_PAGE_MAX, FILES_PAGE_MAX, file_id, files, count, &page, err))
        return false;
    struct stores_list list = {.items = files, .id_of = file_id, .write_item = write_item};
    stores_write_list(&request->answer.body, &list, &page);
    return true;
}

bool handle_files_get(struct http_request *request, struct err *err)
{
    struct file_info file = {0};
    if (!files_get(request->runtime, &request->request, request->params[0], &file, err))
        return false;
    answer_file(request, &file);
    return true;
}

bool handle_files_content(struct http_request *request, struct err *err)
{
    const void *bytes = NULL;
    size_t length = 0;
    if (!files_content(request->runtime, &request->request, request->params[0], &bytes, &length,
                       err))
        return false;
    /* Never the type that the uploader would like: what is in a store must not run as a page of this address. */
    request->answer.content_type = "application/octet-stream";
    http_add_header(request, "Content-Disposition", "attachment");
    str_append(&request->answer.body, bytes, length);
    return true;
}

bool handle_files_delete(struct http_request *request, struct err *err)
{
    if (!files_delete(request->runtime, &request->request, request->params[0], err))
        return false;
    stores_write_deleted(&request->answer.body, request->params[0], "file");
    return true;
}
