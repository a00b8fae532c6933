#include "assistant/document.h"

#include <string.h>

#include "assistant/scope.h"
#include "retrieval/chunk.h"
#include "retrieval/text.h"

enum {
    DOCUMENT_ARENA_MAX = 768 * 1024 * 1024, /* of one document: its text several times over */
    EMBED_BATCH = 128,                      /* passages read and embedded at a time */
    CONTEXT_SPARE = 8, /* tokens of a model's context left to its special ones */
};

bool document_embedder_open(struct runtime *runtime, struct request *request,
                            struct document_embedder *ret, struct err *err)
{
    *ret = (struct document_embedder){.notice = ""};
    if (model_lease(runtime, request, NULL, ROLE_EMBEDDING, &ret->lease, NULL, err))
        return true;
    if (err->code == ERR_CANCELLED || err->code == ERR_TIMEOUT)
        return false;
    if (err->code == ERR_NO_EMBEDDER) {
        ret->notice =
            TR(request->lang,
               "no embedding model: found by words alone; add one with: jarvis models add "
               "FILE.gguf");
        return true;
    }
    log_error(runtime->log, trace_id_of(request), "embed", err);
    ret->notice = arena_printf(request->arena, TR(request->lang, "found by words alone: %s"),
                               err_message(err, request->lang));
    return ret->notice || err_no_memory(err);
}

void document_embedder_close(struct document_embedder *embedder)
{
    lease_release(embedder->lease);
    embedder->lease = NULL;
}

/* Counts tokens for the chunker. */
struct counter {
    const struct document_embedder *embedder;
    struct request *request;
};

static bool count_tokens(void *user, const char *const *texts, size_t count, uint32_t *ret_tokens,
                         struct err *err)
{
    struct counter *counter = user;
    struct wait wait = request_wait(counter->request);
    struct arena arena;
    arena_init(&arena, 1024 * 1024);
    struct msg_counts counts;
    bool ok = lease_count(counter->embedder->lease, texts, count, &wait, &arena, &counts, err);
    if (ok)
        memcpy(ret_tokens, counts.tokens, count * sizeof(*ret_tokens));
    arena_free(&arena);
    return ok;
}

static bool chunk_document(struct runtime *runtime, struct request *request,
                           const struct document_embedder *embedder,
                           const struct msg_parsed *parsed, struct chunk_list *ret, struct err *err)
{
    uint32_t target = (uint32_t)runtime->config->chunk_tokens;
    if (embedder->lease) {
        uint32_t context = lease_model(embedder->lease)->context_length;
        if (context > 2 * CONTEXT_SPARE && target > context - CONTEXT_SPARE)
            target = context - CONTEXT_SPARE;
    }
    struct counter counter = {embedder, request};
    struct chunk_options options = {
        .target_tokens = target,
        .overlap_tokens = (uint32_t)runtime->config->chunk_overlap,
        .format = parsed->format,
        .count = embedder->lease ? count_tokens : NULL,
        .user = &counter,
        .cancel = request->cancel,
    };
    return chunk_text(parsed->text, parsed->text_length, &options, ret, err);
}

/* The steps CHUNK and STORE. */
static bool store_parsed(struct runtime *runtime, struct request *request,
                         const struct document_embedder *embedder,
                         const struct document_source *source, const struct msg_parsed *parsed,
                         struct arena *arena, struct document_written *ret, size_t *ret_passages,
                         struct err *err)
{
    struct place_source origin = {
        .runs = parsed->runs,
        .run_count = parsed->run_count,
        .text = parsed->text,
        .text_length = parsed->text_length,
        .file = source->bytes,
        .file_length = source->length,
        .charset = parsed->charset,
    };
    struct place_map places;
    if (!place_map_make(&origin, arena, &places, err))
        return false;
    struct chunk_list chunks = {0};
    if (!chunk_document(runtime, request, embedder, parsed, &chunks, err))
        return false;
    struct document_new document = {
        .collection = source->collection,
        .path = source->path,
        .file_id = source->file_id,
        .content = source->content,
        .bytes = source->length,
        .mtime_ns = source->mtime_ns,
        .format = parsed->format,
        .charset = parsed->charset,
        .title = parsed->title,
        .lang = text_detect(parsed->text, parsed->text_length, LANG_EN),
        .text = parsed->text,
        .text_length = parsed->text_length,
        .places = &places,
        .chunks = chunks.chunks,
        .chunk_count = chunks.count,
    };
    struct document_written written;
    bool ok = store_document_put(runtime->store, &document, &written, err) &&
              index_set_document(runtime->indexes, source->collection, &written, err);
    if (ok) {
        *ret = written;
        *ret_passages = chunks.count;
    }
    chunk_list_free(&chunks);
    return ok;
}

bool document_put(struct runtime *runtime, struct request *request,
                  const struct document_embedder *embedder, const struct document_source *source,
                  struct document_written *ret, size_t *ret_passages, struct err *err)
{
    struct arena arena;
    arena_init(&arena, DOCUMENT_ARENA_MAX);
    struct msg_parse parse = {
        .name = source->path,
        .format = DOCUMENT_AUTO,
        .bytes = source->bytes,
        .length = source->length,
    };
    struct msg_parsed parsed;
    struct wait wait = request_wait(request);
    bool ok =
        registry_parse(runtime->registry, &parse, &wait, &arena, &parsed, err) &&
        store_parsed(runtime, request, embedder, source, &parsed, &arena, ret, ret_passages, err);
    arena_free(&arena);
    return ok;
}

/* Embeds one batch of pending passages and keeps the vectors, on disk first, then in the index. */
static bool embed_batch(struct runtime *runtime, struct request *request, struct lease *lease,
                        const char *collection, const struct passage *passages, size_t count,
                        struct arena *arena, struct err *err)
{
    const char **texts = arena_array(arena, count, sizeof(char *));
    struct hash *hashes = arena_array(arena, count, sizeof(*hashes));
    struct passage_key *keys = arena_array(arena, count, sizeof(*keys));
    if (!texts || !hashes || !keys)
        return err_no_memory(err);
    for (size_t i = 0; i < count; i++) {
        texts[i] = passages[i].text;
        hashes[i] = passages[i].text_hash;
        keys[i] = passages[i].key;
    }
    struct embedder_key key = scope_embedder(lease);
    struct wait wait = request_wait(request);
    struct msg_vectors vectors;
    return lease_embed(lease, key.prefix, texts, count, &wait, arena, &vectors, err) &&
           store_vectors_put(runtime->store, &key, hashes, count, vectors.values,
                             vectors.dimensions, err) &&
           index_set_vectors(runtime->indexes, collection, &key, keys, count, vectors.values,
                             vectors.dimensions, err);
}

bool document_embed_pending(struct runtime *runtime, struct request *request,
                            const struct document_embedder *embedder, const char *collection,
                            void (*progress)(void *user, size_t done, size_t total), void *user,
                            size_t *ret_embedded, struct err *err)
{
    *ret_embedded = 0;
    if (!embedder->lease)
        return true;
    struct embedder_key key = scope_embedder(embedder->lease);
    struct collection_counts counts;
    if (!store_collection_counts(runtime->store, collection, &key, &counts, err))
        return false;
    size_t total = counts.passages - counts.embedded;
    struct passage_key after = {0};
    size_t count = EMBED_BATCH;
    bool ok = true;
    while (ok && count == EMBED_BATCH) {
        struct arena arena;
        arena_init(&arena, DOCUMENT_ARENA_MAX);
        struct passage *passages;
        ok = request_check(request, err) &&
             store_pending(runtime->store, collection, &key, after, EMBED_BATCH, &arena, &passages,
                           &count, err) &&
             (count == 0 || embed_batch(runtime, request, embedder->lease, collection, passages,
                                        count, &arena, err));
        if (ok && count > 0) {
            after = passages[count - 1].key;
            *ret_embedded += count;
            if (progress)
                progress(user, *ret_embedded, total > *ret_embedded ? total : *ret_embedded);
        }
        arena_free(&arena);
    }
    return ok;
}
