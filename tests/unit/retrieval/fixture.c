#include "unit/retrieval/fixture.h"

#include <stdlib.h>
#include <string.h>

#include "retrieval/chunk.h"

enum { ARENA_MAX = 64 * 1024 * 1024 };

int fixture_setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    fixture->directory = testing_directory();
    fixture->path = testing_path(fixture->directory, "jarvis.db");
    arena_init(&fixture->arena, ARENA_MAX);
    assert_ok(store_open(fixture->path, &fixture->store, &fixture->err), &fixture->err);
    assert_ok(store_collection_create(fixture->store, "tests", NULL, &fixture->arena,
                                      &fixture->collection, &fixture->err),
              &fixture->err);
    *state = fixture;
    return 0;
}

int fixture_teardown(void **state)
{
    struct fixture *fixture = *state;
    store_close(fixture->store);
    arena_free(&fixture->arena);
    free(fixture->path);
    testing_remove(fixture->directory);
    free(fixture);
    return 0;
}

void fixture_reopen(struct fixture *fixture)
{
    store_close(fixture->store);
    fixture->store = NULL;
    assert_ok(store_open(fixture->path, &fixture->store, &fixture->err), &fixture->err);
}

bool fixture_write(struct store *store, const char *collection, const char *path, const char *text,
                   enum lang lang, struct document_written *ret, struct err *err)
{
    size_t length = strlen(text);
    struct chunk_options options = {.target_tokens = 40, .overlap_tokens = 8};
    struct chunk_list chunks;
    if (!chunk_text(text, length, &options, &chunks, err))
        return false;
    struct document_new document = {
        .collection = collection,
        .path = path,
        .content = hash_bytes(text, length),
        .bytes = length,
        .mtime_ns = 1,
        .format = DOCUMENT_TEXT,
        .charset = "UTF-8",
        .title = "",
        .lang = lang,
        .text = text,
        .text_length = length,
        .chunks = chunks.chunks,
        .chunk_count = chunks.count,
    };
    bool ok = store_document_put(store, &document, ret, err);
    chunk_list_free(&chunks);
    return ok;
}

struct document_written fixture_put(struct fixture *fixture, const char *path, const char *text,
                                    enum lang lang)
{
    struct document_written written = {.number = 0};
    assert_ok(fixture_write(fixture->store, fixture->collection.id, path, text, lang, &written,
                            &fixture->err),
              &fixture->err);
    return written;
}
