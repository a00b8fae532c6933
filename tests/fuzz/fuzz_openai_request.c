/* Request bodies: the first byte chooses the parser, the rest is the body. What a parser accepts must be complete
 * (every text it points to is read), what it refuses must have a reason. */

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "server/jarvis_parse.h"
#include "server/openai_parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ARENA_MAX = 8 * 1024 * 1024 };

/* Reads all of a text, so that a dangling pointer is seen. */
static void touch(const char *text)
{
    if (text && strlen(text) == SIZE_MAX)
        abort();
}

static void touch_all(const char *const *texts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!texts[i] || *texts[i] == '\0')
            abort();
        touch(texts[i]);
    }
}

static void check_search(const struct search_request *search)
{
    touch_all(search->stores, search->store_count);
    if (search->alpha > 1 || search->rerank < -1 || search->rerank > 1)
        abort();
}

static void check_chat(const struct openai_chat *chat)
{
    const struct sampling *sampling = &chat->chat.sampling;
    for (size_t i = 0; i < chat->chat.message_count; i++) {
        if (!chat->chat.messages[i].role || !chat->chat.messages[i].content)
            abort();
        touch(chat->chat.messages[i].content);
    }
    touch(chat->chat.model);
    touch(chat->chat.prompt);
    touch_all(sampling->stops, sampling->stop_count);
    touch(sampling->grammar);
    check_search(&chat->chat.search);
    bool in_range = sampling->temperature >= 0 && sampling->temperature <= 2 &&
                    sampling->top_p >= 0 && sampling->top_p <= 1 && sampling->repeat_penalty > 0;
    if (!in_range || (chat->chat.message_count == 0) == (chat->chat.prompt == NULL))
        abort();
}

static bool try_chat(const char *body, size_t length, bool is_chat, struct arena *arena,
                     struct err *err)
{
    struct openai_chat chat = {0};
    if (!(is_chat ? openai_parse_chat : openai_parse_completion)(body, length, arena, &chat, err))
        return false;
    check_chat(&chat);
    return true;
}

static bool try_embeddings(const char *body, size_t length, struct arena *arena, struct err *err)
{
    struct openai_embeddings asked;
    if (!openai_parse_embeddings(body, length, arena, &asked, err))
        return false;
    if (asked.count == 0 || asked.count > OPENAI_INPUTS_MAX)
        abort();
    touch_all(asked.inputs, asked.count);
    return true;
}

static bool try_rerank(const char *body, size_t length, struct arena *arena, struct err *err)
{
    struct openai_rerank asked;
    if (!openai_parse_rerank(body, length, arena, &asked, err))
        return false;
    if (asked.top_n == 0 || asked.top_n > asked.count)
        abort();
    touch(asked.query);
    touch_all(asked.documents, asked.count);
    return true;
}

static bool try_store(const char *body, size_t length, struct arena *arena, struct err *err)
{
    struct openai_store store;
    if (!openai_parse_store(body, length, arena, &store, err))
        return false;
    touch(store.name);
    touch(store.metadata);
    touch_all(store.file_ids, store.file_count);
    return true;
}

static bool try_store_search(const char *body, size_t length, struct arena *arena, struct err *err)
{
    struct openai_search search;
    if (!openai_parse_search(body, length, arena, &search, err))
        return false;
    if (isnan(search.score_threshold) || search.max_results == 0)
        abort();
    touch_all(search.queries, search.count);
    return true;
}

static bool try_search(const char *body, size_t length, struct arena *arena, struct err *err)
{
    struct search_request search;
    if (!jarvis_parse_search(body, length, arena, &search, err))
        return false;
    touch(search.query);
    check_search(&search);
    return true;
}

static bool try_ingest(const char *body, size_t length, struct arena *arena, struct err *err)
{
    struct jarvis_ingest ingest;
    struct jarvis_model model;
    if (jarvis_parse_model(body, length, arena, &model, err))
        touch(model.name);
    if (!jarvis_parse_ingest(body, length, arena, &ingest, err))
        return false;
    touch_all(ingest.paths, ingest.path_count);
    return true;
}

static bool try_one(uint8_t which, const char *body, size_t length, struct arena *arena,
                    struct err *err)
{
    switch (which % 8) {
    case 0: return try_chat(body, length, true, arena, err);
    case 1: return try_chat(body, length, false, arena, err);
    case 2: return try_embeddings(body, length, arena, err);
    case 3: return try_rerank(body, length, arena, err);
    case 4: return try_store(body, length, arena, err);
    case 5: return try_store_search(body, length, arena, err);
    case 6: return try_search(body, length, arena, err);
    default: return try_ingest(body, length, arena, err);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct err err;
    if (size == 0)
        return 0;
    err_clear(&err);
    arena_init(&arena, ARENA_MAX);
    bool accepted = try_one(data[0], (const char *)data + 1, size - 1, &arena, &err);
    if (!accepted && (err.code == ERR_NONE || err.message[LANG_EN][0] == '\0'))
        abort();
    arena_free(&arena);
    return 0;
}
