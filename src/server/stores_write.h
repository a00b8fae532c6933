/* stores_write.h - files, stores and documents as OpenAI's objects.
 *
 * Owner: text goes into the writer's builder. Threads: safe from any. Fails: through str_ok() of the builder.
 */
#ifndef JARVIS_SERVER_STORES_WRITE_H
#define JARVIS_SERVER_STORES_WRITE_H

#include "assistant/search.h"
#include "assistant/stores.h"
#include "server/page.h"
#include "server/writer.h"

void stores_write_file(struct writer *writer, const struct file_info *file);

/* OpenAI's "file_counts". */
void stores_write_counts(struct writer *writer, size_t completed, size_t failed);

/* `failed`: files that were asked for and could not be attached. */
void stores_write_store(struct writer *writer, const struct store_info *store, size_t failed);

void stores_write_document(struct writer *writer, const char *store_id,
                           const struct document_info *document);

/* A hit as /v1/vector_stores/{id}/search gives it, with offsets and both scores under "jarvis". */
void stores_write_hit(struct writer *writer, const struct search_hit *hit);

/* A hit as /v1/jarvis/search gives it. */
void stores_write_jarvis_hit(struct writer *writer, const struct search_hit *hit);

/* {"id":…,"object":…,"deleted":true} */
void stores_write_deleted(struct str *out, const char *id, const char *object);

/* A list: {"object":"list","data":[…],"first_id","last_id","has_more"}, each item by `write_item`. */
struct stores_list {
    const void *items;
    const char *(*id_of)(const void *items, size_t index);
    void (*write_item)(struct writer *writer, const void *items, size_t index, const void *user);
    const void *user;
};
void stores_write_list(struct str *out, const struct stores_list *list, const struct page *page);

#endif
