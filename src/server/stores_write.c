#include "server/stores_write.h"

void stores_write_file(struct writer *writer, const struct file_info *file)
{
    writer_object(writer, NULL);
    writer_text(writer, "id", file->id);
    writer_text(writer, "object", "file");
    writer_uint(writer, "bytes", file->bytes);
    writer_int(writer, "created_at", file->created_at);
    writer_text(writer, "filename", file->name);
    writer_text(writer, "purpose", file->purpose);
    writer_text(writer, "status", "processed");
    writer_end(writer);
}

void stores_write_counts(struct writer *writer, size_t completed, size_t failed)
{
    writer_object(writer, "file_counts");
    writer_int(writer, "in_progress", 0);
    writer_uint(writer, "completed", completed);
    writer_uint(writer, "failed", failed);
    writer_int(writer, "cancelled", 0);
    writer_uint(writer, "total", completed + failed);
    writer_end(writer);
}

void stores_write_store(struct writer *writer, const struct store_info *store, size_t failed)
{
    writer_object(writer, NULL);
    writer_text(writer, "id", store->id);
    writer_text(writer, "object", "vector_store");
    writer_int(writer, "created_at", store->created_at);
    writer_text(writer, "name", store->name);
    writer_uint(writer, "usage_bytes", store->bytes);
    stores_write_counts(writer, store->documents, failed);
    writer_text(writer, "status", "completed");
    writer_null(writer, "expires_after");
    writer_null(writer, "expires_at");
    writer_int(writer, "last_active_at", store->created_at);
    writer_json(writer, "metadata", store->metadata && *store->metadata ? store->metadata : "{}");
    writer_object(writer, "jarvis");
    writer_uint(writer, "documents", store->documents);
    writer_uint(writer, "passages", store->passages);
    writer_end(writer);
    writer_end(writer);
}

void stores_write_document(struct writer *writer, const char *store_id,
                           const struct document_info *document)
{
    writer_object(writer, NULL);
    writer_text(writer, "id", document->id);
    writer_text(writer, "object", "vector_store.file");
    writer_int(writer, "created_at", document->created_at);
    writer_text(writer, "vector_store_id", store_id);
    writer_text(writer, "status", "completed");
    writer_null(writer, "last_error");
    writer_uint(writer, "usage_bytes", document->bytes);
    writer_object(writer, "attributes");
    writer_end(writer);
    writer_object(writer, "jarvis");
    writer_text(writer, "path", document->path);
    writer_uint(writer, "passages", document->passages);
    writer_end(writer);
    writer_end(writer);
}

void stores_write_hit(struct writer *writer, const struct search_hit *hit)
{
    writer_object(writer, NULL);
    writer_text(writer, "file_id", hit->document_id);
    writer_text(writer, "filename", hit->path);
    writer_number(writer, "score", hit->score);
    writer_object(writer, "attributes");
    writer_end(writer);
    writer_array(writer, "content");
    writer_object(writer, NULL);
    writer_text(writer, "type", "text");
    writer_text(writer, "text", hit->text);
    writer_end(writer);
    writer_end(writer);
    writer_object(writer, "jarvis");
    writer_uint(writer, "offset", hit->offset);
    writer_uint(writer, "length", hit->length);
    writer_uint(writer, "line_start", hit->line_start);
    writer_uint(writer, "line_end", hit->line_end);
    writer_number(writer, "sparse", hit->sparse);
    writer_number(writer, "dense", hit->dense);
    writer_number(writer, "fused", hit->fused);
    writer_bool(writer, "reranked", hit->reranked);
    if (hit->reranked)
        writer_number(writer, "rerank", hit->rerank);
    writer_end(writer);
    writer_end(writer);
}

void stores_write_jarvis_hit(struct writer *writer, const struct search_hit *hit)
{
    writer_object(writer, NULL);
    writer_text(writer, "path", hit->path);
    writer_uint(writer, "offset", hit->offset);
    writer_uint(writer, "length", hit->length);
    writer_text(writer, "text", hit->text);
    writer_number(writer, "score", hit->score);
    writer_number(writer, "sparse", hit->sparse);
    writer_number(writer, "dense", hit->dense);
    writer_number(writer, "fused", hit->fused);
    writer_bool(writer, "reranked", hit->reranked);
    if (hit->reranked)
        writer_number(writer, "rerank", hit->rerank);
    writer_uint(writer, "line_start", hit->line_start);
    writer_uint(writer, "line_end", hit->line_end);
    writer_text(writer, "document_id", hit->document_id);
    writer_text(writer, "store_id", hit->store_id);
    writer_text(writer, "title", hit->title);
    writer_end(writer);
}

void stores_write_deleted(struct str *out, const char *id, const char *object)
{
    struct writer writer;
    writer_begin(&writer, out);
    writer_object(&writer, NULL);
    writer_text(&writer, "id", id);
    writer_text(&writer, "object", object);
    writer_bool(&writer, "deleted", true);
    writer_end(&writer);
}

void stores_write_list(struct str *out, const struct stores_list *list, const struct page *page)
{
    struct writer writer;
    size_t last = page->first;
    writer_begin(&writer, out);
    writer_object(&writer, NULL);
    writer_text(&writer, "object", "list");
    writer_array(&writer, "data");
    for (size_t i = 0; i < page->count; i++) {
        last = page->step > 0 ? page->first + i : page->first - i;
        list->write_item(&writer, list->items, last, list->user);
    }
    writer_end(&writer);
    bool any = page->count > 0;
    writer_text(&writer, "first_id", any ? list->id_of(list->items, page->first) : NULL);
    writer_text(&writer, "last_id", any ? list->id_of(list->items, last) : NULL);
    writer_bool(&writer, "has_more", page->has_more);
    writer_end(&writer);
}
