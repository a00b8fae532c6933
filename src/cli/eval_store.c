#include "cli/eval_store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"

enum { DOCUMENT_MAX = 1 << 26 }; /* bytes of one document */

void eval_show(const struct eval_store *store, const char *phase, uint64_t done, uint64_t total)
{
    const struct progress_state state = {.phase = phase, .done = done, .total = total, .path = ""};
    if (!store->cli->json)
        progress_show(store->progress, &state);
}

/* ---------------------------------------------------------------- files for `ingest` */

static char *document_path(const struct eval_store *store, size_t document)
{
    return str_format(8192, "%s/%zu.txt", store->folder, document);
}

static bool write_document(struct eval_store *store, size_t document, struct err *err)
{
    const struct dataset_text *text = &store->result->corpus.items[document];
    struct str body;
    str_init(&body, DOCUMENT_MAX);
    if (*text->title)
        str_printf(&body, "%s\n\n", text->title);
    str_puts(&body, text->text);
    char *path = document_path(store, document);
    bool ok = path ? str_check(&body, "a document", err) : err_no_memory(err);
    FILE *file = ok ? fopen(path, "wxe") : NULL;
    if (ok && (!file || fwrite(str_text(&body), 1, body.length, file) != body.length))
        ok = err_set_errno(err, ERR_IO, errno, "cannot write \"%s\"", path);
    if (file && fclose(file) != 0 && ok)
        ok = err_set_errno(err, ERR_IO, errno, "cannot write \"%s\"", path);
    free(path);
    str_free(&body);
    return ok;
}

static bool write_documents(struct eval_store *store, struct err *err)
{
    char *folder = fs_join(store->cache, "eval-XXXXXX");
    if (!folder)
        return err_no_memory(err);
    if (!mkdtemp(folder)) {
        err_set_errno(err, ERR_IO, errno, "cannot make the directory \"%s\"", folder);
        free(folder);
        return false;
    }
    store->folder = folder;
    bool ok = true;
    for (size_t i = 0; ok && i < store->result->corpus.count; i++)
        ok = write_document(store, i, err);
    return ok;
}

static void remove_documents(struct eval_store *store)
{
    for (size_t i = 0; store->folder && i < store->result->corpus.count; i++) {
        char *path = document_path(store, i);
        if (path)
            unlink(path);
        free(path);
    }
    if (store->folder)
        rmdir(store->folder);
    free(store->folder);
    store->folder = NULL;
}

/* ---------------------------------------------------------------- the store */

/* A path of the API about the store. */
static char *store_path(const struct eval_store *store)
{
    return str_format(512, "/v1/vector_stores/%s", store->id);
}

static bool create_store(struct eval_store *store, struct err *err)
{
    char name[ID_MAX];
    hash_random_id("eval-", name);
    yyjson_mut_doc *request = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(request);
    yyjson_mut_doc_set_root(request, root);
    yyjson_mut_obj_add_str(request, root, "name", name);
    yyjson_doc *answer;
    bool ok = client_call(store->client, "POST", "/v1/vector_stores", request, &answer, err);
    yyjson_mut_doc_free(request);
    if (!ok)
        return false;
    const char *id = yyjson_get_str(yyjson_obj_get(yyjson_doc_get_root(answer), "id"));
    snprintf(store->id, sizeof(store->id), "%s", id ? id : "");
    yyjson_doc_free(answer);
    return *store->id || err_set(err, ERR_PROTOCOL, "the service made a store without an id");
}

static bool take_summary(struct eval_store *store, yyjson_val *done, struct err *err)
{
    const char *notice = yyjson_get_str(yyjson_obj_get(done, "notice"));
    store->result->passages = yyjson_get_uint(yyjson_obj_get(done, "passages"));
    store->result->unread = yyjson_get_uint(yyjson_obj_get(done, "failed"));
    store->result->notice = arena_copy(&store->result->arena, notice ? notice : "");
    return store->result->notice || err_no_memory(err);
}

static bool on_ingest_event(void *user, const struct event *event, struct err *err)
{
    struct eval_store *store = user;
    yyjson_doc *doc;
    if (!json_parse(event->data, event->length, "an event of the service", &doc, err))
        return false;
    yyjson_val *root = yyjson_doc_get_root(doc);
    const char *phase = yyjson_get_str(yyjson_obj_get(root, "phase"));
    bool ok = true;
    if (strcmp(event->name, "done") == 0)
        ok = take_summary(store, root, err);
    else if (strcmp(event->name, "progress") == 0 && phase)
        eval_show(store, phase, yyjson_get_uint(yyjson_obj_get(root, "done")),
                  yyjson_get_uint(yyjson_obj_get(root, "total")));
    yyjson_doc_free(doc);
    return ok;
}

static bool fill_store(struct eval_store *store, struct err *err)
{
    yyjson_mut_doc *request = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(request);
    yyjson_mut_doc_set_root(request, root);
    yyjson_mut_val *paths = yyjson_mut_obj_add_arr(request, root, "paths");
    yyjson_mut_arr_add_str(request, paths, store->folder);
    yyjson_mut_obj_add_str(request, root, "store", store->id);
    bool ok =
        client_stream(store->client, "/v1/jarvis/ingest", request, on_ingest_event, store, err);
    yyjson_mut_doc_free(request);
    if (ok && !store->result->notice)
        return err_set(err, ERR_UNAVAILABLE,
                       "the service went away while it was reading the corpus");
    return ok;
}

bool eval_store_make(struct eval_store *store, struct err *err)
{
    return write_documents(store, err) && create_store(store, err) && fill_store(store, err);
}

void eval_store_remove(struct eval_store *store)
{
    struct err ignored;
    char *path = *store->id ? store_path(store) : NULL;
    client_interrupt_by(store->client, -1); /* nothing interrupts the cleaning up */
    if (path)
        client_call(store->client, "DELETE", path, NULL, NULL, &ignored);
    free(path);
    remove_documents(store);
}
