#include "retrieval/index_content.h"

#include <stdlib.h>
#include <string.h>

#include "base/vec.h"

enum {
    DOCUMENTS_MAX = 1 << 28,
    COMPACT_MIN = 1024, /* gaps below which closing them is not worth it */
};

bool content_new(struct content **ret, struct err *err)
{
    struct content *content = calloc(1, sizeof(*content));
    if (!content)
        return err_no_memory(err);
    map_init(&content->documents, DOCUMENTS_MAX);
    if (!bm25_new(&content->bm25, err) || !vectors_new(&content->vectors, err)) {
        content_free(content);
        return false;
    }
    *ret = content;
    return true;
}

void content_free(struct content *content)
{
    if (!content)
        return;
    bm25_free(content->bm25);
    vectors_free(content->vectors);
    map_free(&content->documents);
    free(content->keys);
    free(content);
}

/* A document's slots as one number of the map. */
static uint64_t pack(uint32_t first, size_t count)
{
    return (uint64_t)first << 32 | (uint32_t)count;
}

static bool find(const struct content *content, int64_t document, uint32_t *ret_first,
                 uint32_t *ret_count)
{
    uint64_t packed;
    if (!map_get(&content->documents, &document, sizeof(document), &packed))
        return false;
    *ret_first = (uint32_t)(packed >> 32);
    *ret_count = (uint32_t)packed;
    return true;
}

bool content_has(const struct content *content, int64_t document)
{
    uint32_t first;
    uint32_t count;
    return find(content, document, &first, &count);
}

bool content_slot(const struct content *content, struct passage_key key, uint32_t *ret)
{
    uint32_t first;
    uint32_t count;
    if (!find(content, key.document, &first, &count) || key.ordinal >= count)
        return false;
    *ret = first + key.ordinal;
    return true;
}

bool content_add(struct content *content, struct text_analyzer *analyzer,
                 const struct document_view *document, size_t first, size_t count, struct err *err)
{
    uint32_t start = bm25_slots(content->bm25) - (uint32_t)first;
    for (size_t i = first; i < first + count; i++) {
        const struct passage_span *span = &document->passages[i];
        uint32_t slot = bm25_slots(content->bm25);
        if (!vec_reserve(&content->keys, &content->key_capacity, (size_t)slot + 1,
                         sizeof(*content->keys), BM25_SLOTS_MAX, err) ||
            !bm25_add(content->bm25, analyzer, document->text + span->offset, span->length,
                      document->lang, err))
            return false;
        content->keys[slot] =
            (struct passage_key){.document = document->number, .ordinal = (uint32_t)i};
    }
    return map_put(&content->documents, &document->number, sizeof(document->number),
                   pack(start, first + count), err);
}

/* Gives the passages that are there new slots without gaps. */
static bool compact(struct content *content, struct err *err)
{
    uint32_t slots = bm25_slots(content->bm25);
    uint32_t *remap = malloc(((size_t)slots + 1) * sizeof(*remap));
    if (!remap)
        return err_no_memory(err);
    uint32_t kept = 0;
    for (uint32_t slot = 0; slot < slots; slot++) {
        struct passage_key key = content->keys[slot];
        bool present = content_has(content, key.document);
        remap[slot] = present ? kept : UINT32_MAX;
        if (present)
            content->keys[kept++] = key;
    }
    bool ok = bm25_compact(content->bm25, err);
    if (ok)
        vectors_compact(content->vectors, remap, slots);
    free(remap);
    for (uint32_t slot = 0; ok && slot < kept; slot++) {
        struct passage_key key = content->keys[slot];
        uint32_t first;
        uint32_t count;
        if (key.ordinal == 0 && find(content, key.document, &first, &count))
            ok = map_put(&content->documents, &key.document, sizeof(key.document),
                         pack(slot, count), err);
    }
    return ok;
}

bool content_remove(struct content *content, int64_t document, struct err *err)
{
    uint32_t first;
    uint32_t count;
    if (!find(content, document, &first, &count))
        return true;
    for (uint32_t slot = first; slot < first + count; slot++) {
        if (!bm25_remove(content->bm25, slot, err))
            return false;
        vectors_remove(content->vectors, slot);
    }
    map_remove(&content->documents, &document, sizeof(document));
    uint32_t slots = bm25_slots(content->bm25);
    uint32_t gaps = slots - bm25_count(content->bm25);
    return gaps < COMPACT_MIN || gaps < slots / 4 || compact(content, err);
}
