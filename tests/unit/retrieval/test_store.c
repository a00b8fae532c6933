/* The store: what is written comes back, replacing replaces, deleting takes along what hangs on it.
 */
#include <stdlib.h>
#include <string.h>

#include "unit/retrieval/fixture.h"

/* ---------------------------------------------------------------- collections */

static void test_collections(void **state)
{
    struct fixture *f = *state;
    struct collection made;
    struct collection found;
    assert_ok(store_collection_create(f->store, "manuals", "{\"a\":1}", &f->arena, &made, &f->err),
              &f->err);
    assert_memory_equal(made.id, "vs_", 3);
    assert_string_equal(made.metadata, "{\"a\":1}");
    assert_ok(store_collection_find(f->store, "manuals", &f->arena, &found, &f->err), &f->err);
    assert_string_equal(found.id, made.id);
    assert_ok(store_collection_find(f->store, made.id, &f->arena, &found, &f->err), &f->err);
    assert_string_equal(found.name, "manuals");

    assert_false(store_collection_create(f->store, "manuals", NULL, &f->arena, &found, &f->err));
    assert_int_equal(f->err.code, ERR_CONFLICT);
    assert_string_equal(f->err.param, "name");
    assert_false(store_collection_find(f->store, "nothing", &f->arena, &found, &f->err));
    assert_int_equal(f->err.code, ERR_NOT_FOUND);
    assert_non_null(strstr(err_message(&f->err, LANG_ES), "no existe el almacén"));

    assert_ok(store_collection_ensure(f->store, "manuals", &f->arena, &found, &f->err), &f->err);
    assert_string_equal(found.id, made.id);
    assert_ok(store_collection_ensure(f->store, "letters", &f->arena, &found, &f->err), &f->err);
    assert_string_equal(found.name, "letters");
    assert_string_equal(found.metadata, "{}");

    struct collection *all;
    size_t count;
    assert_ok(store_collection_list(f->store, &f->arena, &all, &count, &f->err), &f->err);
    assert_int_equal(count, 3);
    assert_string_equal(all[0].name, "tests");
    assert_string_equal(all[2].name, "letters");
}

static void test_collection_without_name(void **state)
{
    struct fixture *f = *state;
    struct collection made;
    assert_ok(store_collection_create(f->store, NULL, NULL, &f->arena, &made, &f->err), &f->err);
    assert_string_equal(made.name, made.id);
    char name[STORE_NAME_MAX + 1];
    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    assert_false(store_collection_create(f->store, name, NULL, &f->arena, &made, &f->err));
    assert_int_equal(f->err.code, ERR_INVALID_REQUEST);
}

static void test_collection_update(void **state)
{
    struct fixture *f = *state;
    struct collection other;
    struct collection changed;
    assert_ok(store_collection_create(f->store, "other", NULL, &f->arena, &other, &f->err),
              &f->err);
    assert_ok(
        store_collection_update(f->store, other.id, "renamed", NULL, &f->arena, &changed, &f->err),
        &f->err);
    assert_string_equal(changed.name, "renamed");
    assert_string_equal(changed.metadata, "{}");
    assert_int_equal(changed.created_at, other.created_at);
    assert_ok(store_collection_update(f->store, other.id, NULL, "{\"k\":\"v\"}", &f->arena,
                                      &changed, &f->err),
              &f->err);
    assert_string_equal(changed.name, "renamed");
    assert_string_equal(changed.metadata, "{\"k\":\"v\"}");
    assert_false(
        store_collection_update(f->store, other.id, "tests", NULL, &f->arena, &changed, &f->err));
    assert_int_equal(f->err.code, ERR_CONFLICT);
    assert_false(
        store_collection_update(f->store, "vs_no", "n", NULL, &f->arena, &changed, &f->err));
    assert_int_equal(f->err.code, ERR_NOT_FOUND);
}

/* ---------------------------------------------------------------- files */

static void test_files(void **state)
{
    struct fixture *f = *state;
    static const char bytes[] = "one\0two";
    struct stored_file made;
    struct stored_file found;
    assert_ok(store_file_create(f->store, "a.txt", "assistants", bytes, sizeof(bytes), &f->arena,
                                &made, &f->err),
              &f->err);
    assert_memory_equal(made.id, "file-", 5);
    assert_int_equal(made.bytes, sizeof(bytes));
    const void *content;
    size_t length;
    assert_ok(store_file_content(f->store, made.id, &f->arena, &content, &length, &f->err),
              &f->err);
    assert_int_equal(length, sizeof(bytes));
    assert_memory_equal(content, bytes, sizeof(bytes));
    assert_ok(store_file_create(f->store, "empty", "", "", 0, &f->arena, &found, &f->err), &f->err);
    assert_ok(store_file_content(f->store, found.id, &f->arena, &content, &length, &f->err),
              &f->err);
    assert_int_equal(length, 0);

    struct stored_file *all;
    size_t count;
    assert_ok(store_file_list(f->store, &f->arena, &all, &count, &f->err), &f->err);
    assert_int_equal(count, 2);
    assert_string_equal(all[0].name, "a.txt");
    assert_ok(store_file_delete(f->store, made.id, &f->err), &f->err);
    assert_false(store_file_delete(f->store, made.id, &f->err));
    assert_int_equal(f->err.code, ERR_NOT_FOUND);
    assert_false(store_file_find(f->store, made.id, &f->arena, &found, &f->err));
    assert_false(store_file_content(f->store, made.id, &f->arena, &content, &length, &f->err));
    assert_int_equal(f->err.code, ERR_NOT_FOUND);
}

/* ---------------------------------------------------------------- documents */

static void test_document_round_trip(void **state)
{
    struct fixture *f = *state;
    const char *text = "First paragraph about ships.\n\nSecond paragraph, about the harbour.\n";
    struct document_written written = fixture_put(f, "/a/ships.txt", text, LANG_EN);
    assert_int_equal(written.replaced, 0);
    struct document document;
    assert_ok(store_document_by_path(f->store, f->collection.id, "/a/ships.txt", &f->arena,
                                     &document, &f->err),
              &f->err);
    assert_string_equal(document.id, written.id);
    assert_true(document.number == written.number);
    assert_int_equal(document.bytes, strlen(text));
    assert_int_equal(document.text_length, strlen(text));
    assert_int_equal(document.lang, LANG_EN);
    assert_int_equal(document.format, DOCUMENT_TEXT);
    struct hash hash = hash_bytes(text, strlen(text));
    assert_true(hash_equal(&document.content, &hash));

    const char *stored;
    size_t length;
    struct place_map places;
    assert_ok(store_document_text(f->store, document.number, &f->arena, &stored, &length, &places,
                                  &f->err),
              &f->err);
    assert_string_equal(stored, text);
    struct passage *passages;
    size_t count;
    assert_ok(store_document_passages(f->store, document.number, 0, 100, &f->arena, &passages,
                                      &count, &f->err),
              &f->err);
    assert_int_equal(count, document.passages);
    assert_true(count > 0);
    for (size_t i = 0; i < count; i++) {
        assert_memory_equal(passages[i].text, text + passages[i].text_offset,
                            passages[i].text_length);
        assert_int_equal(strlen(passages[i].text), passages[i].text_length);
        assert_int_equal(passages[i].place.offset, passages[i].text_offset);
        assert_true(passages[i].place.identical);
        hash = hash_bytes(passages[i].text, passages[i].text_length);
        assert_true(hash_equal(&passages[i].text_hash, &hash));
        assert_string_equal(passages[i].path, "/a/ships.txt");
        assert_string_equal(passages[i].collection, f->collection.id);
    }
}

/* A text over many pieces: passages across their borders read right. */
static void test_long_document(void **state)
{
    struct fixture *f = *state;
    struct str text;
    str_init(&text, 1 << 20);
    for (int i = 0; i < 9000; i++)
        str_printf(&text, "Line %d has a number of its own.%s", i, i % 7 ? " " : "\n\n");
    struct document_written written = fixture_put(f, "/long", str_text(&text), LANG_EN);
    struct document document;
    assert_ok(
        store_document_by_id(f->store, f->collection.id, written.id, &f->arena, &document, &f->err),
        &f->err);
    assert_true(text.length > 16 * 1024 * 10);
    struct passage *passages;
    size_t count;
    assert_ok(store_document_passages(f->store, document.number, 0, 10000, &f->arena, &passages,
                                      &count, &f->err),
              &f->err);
    assert_int_equal(count, document.passages);
    for (size_t i = 0; i < count; i++)
        assert_memory_equal(passages[i].text, text.data + passages[i].text_offset,
                            passages[i].text_length);
    str_free(&text);
}

static void test_replacing_keeps_the_id(void **state)
{
    struct fixture *f = *state;
    struct document_written first = fixture_put(f, "/doc", "Old words.", LANG_EN);
    struct document_written second = fixture_put(f, "/doc", "New words altogether.", LANG_EN);
    assert_string_equal(first.id, second.id);
    assert_true(second.replaced == first.number);
    assert_true(second.number > first.number);
    struct collection_counts counts;
    assert_ok(store_collection_counts(f->store, f->collection.id, NULL, &counts, &f->err), &f->err);
    assert_int_equal(counts.documents, 1);
    assert_int_equal(counts.passages, 1);
    assert_int_equal(counts.bytes, strlen("New words altogether."));
    const char *text;
    size_t length;
    assert_false(
        store_document_text(f->store, first.number, &f->arena, &text, &length, NULL, &f->err));
    assert_int_equal(f->err.code, ERR_NOT_FOUND);
    struct passage_key keys[] = {{second.number, 0}, {first.number, 0}, {second.number, 99}};
    struct passage *passages;
    size_t count;
    assert_ok(store_passages(f->store, keys, 3, &f->arena, &passages, &count, &f->err), &f->err);
    assert_int_equal(count, 1);
    assert_string_equal(passages[0].text, "New words altogether.");
}

static void test_numbers_are_never_reused(void **state)
{
    struct fixture *f = *state;
    struct document_written first = fixture_put(f, "/doc", "Words.", LANG_EN);
    int64_t gone;
    assert_ok(store_document_delete(f->store, f->collection.id, first.id, &gone, &f->err), &f->err);
    assert_true(gone == first.number);
    fixture_reopen(f);
    struct document_written second = fixture_put(f, "/doc", "Words.", LANG_EN);
    assert_true(second.number > first.number);
    assert_false(store_document_delete(f->store, f->collection.id, first.id, &gone, &f->err));
    assert_int_equal(f->err.code, ERR_NOT_FOUND);
}

static void test_touch(void **state)
{
    struct fixture *f = *state;
    struct document_written written = fixture_put(f, "/doc", "Words.", LANG_ES);
    assert_ok(store_document_touch(f->store, written.number, 12345, 678, &f->err), &f->err);
    struct document document;
    assert_ok(
        store_document_by_path(f->store, f->collection.id, "/doc", &f->arena, &document, &f->err),
        &f->err);
    assert_int_equal(document.mtime_ns, 12345);
    assert_int_equal(document.inode, 678);
    assert_int_equal(document.lang, LANG_ES);
}

static void assert_list(struct fixture *f, const char *prefix, const char *after, size_t limit,
                        const char *expected)
{
    struct document *rows;
    size_t count;
    assert_ok(store_document_list(f->store, f->collection.id, prefix, after, limit, &f->arena,
                                  &rows, &count, &f->err),
              &f->err);
    struct str paths;
    str_init(&paths, 4096);
    for (size_t i = 0; i < count; i++)
        str_printf(&paths, "%s ", rows[i].path);
    assert_string_equal(str_text(&paths), expected);
    str_free(&paths);
}

static void test_list_by_directory(void **state)
{
    struct fixture *f = *state;
    static const char *const paths[] = {"/a", "/ab/1", "/a/2", "/a/1", "/a-x", "/b/%/_", "/a/c/d"};
    for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++)
        fixture_put(f, paths[i], "Words.", LANG_EN);
    assert_list(f, "", "", 100, "/a /a-x /a/1 /a/2 /a/c/d /ab/1 /b/%/_ ");
    assert_list(f, "/a", "", 100, "/a /a/1 /a/2 /a/c/d ");
    assert_list(f, "/a/", "", 100, "/a /a/1 /a/2 /a/c/d ");
    assert_list(f, "/", "", 100, "/a /a-x /a/1 /a/2 /a/c/d /ab/1 /b/%/_ ");
    assert_list(f, "/b/%", "", 100, "/b/%/_ ");
    assert_list(f, "/a/c", "", 100, "/a/c/d ");
    assert_list(f, "/nothing", "", 100, "");
    assert_list(f, "", "", 2, "/a /a-x ");
    assert_list(f, "", "/a-x", 2, "/a/1 /a/2 ");
    assert_list(f, "/a", "/a/1", 1, "/a/2 ");
}

/* Two uploads of the same name and an ingested path of that name live side by side. */
static void test_uploaded_documents(void **state)
{
    struct fixture *f = *state;
    struct stored_file files[2];
    struct document_written written[2];
    for (int i = 0; i < 2; i++) {
        assert_ok(
            store_file_create(f->store, "notes", "", "Words.", 6, &f->arena, &files[i], &f->err),
            &f->err);
        struct document_new document = {.collection = f->collection.id,
                                        .path = "notes",
                                        .file_id = files[i].id,
                                        .text = "Words.",
                                        .text_length = 6};
        assert_ok(store_document_put(f->store, &document, &written[i], &f->err), &f->err);
        assert_string_equal(written[i].id, files[i].id);
        assert_ok(store_document_put(f->store, &document, &written[i], &f->err), &f->err);
        assert_true(written[i].replaced > 0);
    }
    struct document_written ingested = fixture_put(f, "notes", "Words.", LANG_EN);
    assert_int_equal(ingested.replaced, 0);
    assert_list(f, "", "", 100, "notes notes notes ");
    assert_list(f, "", "", 1, "notes notes notes ");
    struct document document;
    assert_ok(
        store_document_by_path(f->store, f->collection.id, "notes", &f->arena, &document, &f->err),
        &f->err);
    assert_string_equal(document.id, ingested.id);

    assert_ok(store_file_delete(f->store, files[0].id, &f->err), &f->err);
    assert_ok(store_document_by_id(f->store, f->collection.id, files[0].id, &f->arena, &document,
                                   &f->err),
              &f->err);
    assert_string_equal(document.file_id, "");
    struct document_new orphan = {.collection = f->collection.id,
                                  .path = "notes",
                                  .file_id = files[0].id,
                                  .text = "",
                                  .text_length = 0};
    assert_false(store_document_put(f->store, &orphan, &written[0], &f->err));
    assert_int_equal(f->err.code, ERR_NOT_FOUND);
}

static void test_delete_collection(void **state)
{
    struct fixture *f = *state;
    struct document_written written = fixture_put(f, "/doc", "Words.", LANG_EN);
    assert_ok(store_collection_delete(f->store, f->collection.id, &f->err), &f->err);
    assert_false(store_collection_delete(f->store, f->collection.id, &f->err));
    assert_int_equal(f->err.code, ERR_NOT_FOUND);
    const char *text;
    size_t length;
    assert_false(
        store_document_text(f->store, written.number, &f->arena, &text, &length, NULL, &f->err));
    struct document_written again;
    assert_false(
        fixture_write(f->store, f->collection.id, "/doc", "Words.", LANG_EN, &again, &f->err));
    assert_int_equal(f->err.code, ERR_NOT_FOUND);
    assert_ok(store_check(f->store, &f->err), &f->err);
}

/* ---------------------------------------------------------------- vectors */

static struct embedder_key embedder(int number)
{
    struct embedder_key key = {.prefix = "passage: ", .pooling = "mean"};
    key.model.bytes[0] = (uint8_t)number;
    return key;
}

static void test_vectors(void **state)
{
    struct fixture *f = *state;
    struct hash texts[3] = {hash_bytes("a", 1), hash_bytes("b", 1), hash_bytes("c", 1)};
    const float values[] = {1, 2, 3, 4, 5, 6};
    struct embedder_key key = embedder(1);
    struct embedder_key other = embedder(2);
    assert_ok(store_vectors_put(f->store, &key, texts, 2, values, 3, &f->err), &f->err);
    const float **found;
    uint32_t dimensions;
    assert_ok(store_vectors_get(f->store, &key, texts, 3, &f->arena, &found, &dimensions, &f->err),
              &f->err);
    assert_int_equal(dimensions, 3);
    assert_memory_equal(found[0], values, 3 * sizeof(float));
    assert_memory_equal(found[1], values + 3, 3 * sizeof(float));
    assert_null(found[2]);
    assert_ok(
        store_vectors_get(f->store, &other, texts, 3, &f->arena, &found, &dimensions, &f->err),
        &f->err);
    assert_null(found[0]);

    /* What is there stays. */
    const float changed[] = {9, 9, 9};
    assert_ok(store_vectors_put(f->store, &key, texts, 1, changed, 3, &f->err), &f->err);
    assert_ok(store_vectors_get(f->store, &key, texts, 1, &f->arena, &found, &dimensions, &f->err),
              &f->err);
    assert_memory_equal(found[0], values, 3 * sizeof(float));

    assert_false(store_vectors_put(f->store, &key, texts, 1, changed, 2, &f->err));
    assert_int_equal(f->err.code, ERR_INVALID_REQUEST);
    const float broken[] = {1, __builtin_nanf(""), 3};
    assert_false(store_vectors_put(f->store, &key, texts + 2, 1, broken, 3, &f->err));
    assert_int_equal(f->err.code, ERR_INVALID_REQUEST);
}

static bool count_vector(void *user, struct passage_key key, const float *values,
                         uint32_t dimensions, struct err *err)
{
    (void)err;
    size_t *count = user;
    assert_int_equal(dimensions, 2);
    assert_true(values[0] == 1.0f && values[1] == (float)key.ordinal);
    (*count)++;
    return true;
}

static void test_pending(void **state)
{
    struct fixture *f = *state;
    struct str text;
    str_init(&text, 1 << 16);
    for (int i = 0; i < 200; i++)
        str_printf(&text, "This is sentence number %d of a text with two hundred of them. ", i);
    struct document_written written = fixture_put(f, "/one", str_text(&text), LANG_EN);
    fixture_put(f, "/two", str_text(&text), LANG_EN); /* the same passages */
    str_free(&text);

    struct embedder_key key = embedder(1);
    struct collection_counts counts;
    assert_ok(store_collection_counts(f->store, f->collection.id, &key, &counts, &f->err), &f->err);
    assert_int_equal(counts.embedded, 0);
    size_t seen = 0;
    struct passage_key after = {0};
    for (;;) {
        struct passage *passages;
        size_t count;
        assert_ok(store_pending(f->store, f->collection.id, &key, after, 7, &f->arena, &passages,
                                &count, &f->err),
                  &f->err);
        if (count == 0)
            break;
        seen += count;
        for (size_t i = 0; i < count; i++) {
            assert_true(passages[i].key.document > after.document ||
                        passages[i].key.ordinal > after.ordinal || seen == count);
            assert_true(passages[i].text_length > 0);
        }
        after = passages[count - 1].key;
    }
    assert_int_equal(seen, counts.passages);

    /* The vectors of one document serve the other, which has the same texts. */
    struct passage *passages;
    size_t count;
    assert_ok(store_document_passages(f->store, written.number, 0, 1000, &f->arena, &passages,
                                      &count, &f->err),
              &f->err);
    for (size_t i = 0; i < count; i++) {
        const float values[] = {1, (float)passages[i].key.ordinal};
        assert_ok(store_vectors_put(f->store, &key, &passages[i].text_hash, 1, values, 2, &f->err),
                  &f->err);
    }
    assert_ok(store_pending(f->store, f->collection.id, &key, (struct passage_key){0}, 7, &f->arena,
                            &passages, &count, &f->err),
              &f->err);
    assert_int_equal(count, 0);
    assert_ok(store_collection_counts(f->store, f->collection.id, &key, &counts, &f->err), &f->err);
    assert_int_equal(counts.embedded, counts.passages);
    size_t visited = 0;
    assert_ok(
        store_each_vector(f->store, f->collection.id, &key, NULL, count_vector, &visited, &f->err),
        &f->err);
    assert_int_equal(visited, counts.passages);

    size_t dropped;
    assert_ok(store_vectors_prune(f->store, &dropped, &f->err), &f->err);
    assert_int_equal(dropped, 0);
    assert_ok(store_collection_delete(f->store, f->collection.id, &f->err), &f->err);
    assert_ok(store_vectors_prune(f->store, &dropped, &f->err), &f->err);
    assert_int_equal(dropped, counts.passages / 2);
}

/* ---------------------------------------------------------------- visiting */

struct visit {
    size_t documents;
    size_t passages;
    int64_t last;
    size_t stop_after;
};

static bool visit_document(void *user, const struct document_view *document, size_t done,
                           size_t total, struct err *err)
{
    struct visit *visit = user;
    assert_int_equal(done, visit->documents);
    assert_int_equal(total, 3);
    assert_true(document->number > visit->last);
    assert_int_equal(document->text[document->text_length], '\0');
    visit->last = document->number;
    visit->documents++;
    visit->passages += document->passage_count;
    if (visit->documents == visit->stop_after)
        return err_set(err, ERR_CANCELLED, "enough");
    return true;
}

static void test_each_document(void **state)
{
    struct fixture *f = *state;
    fixture_put(f, "/c", "Words.", LANG_EN);
    fixture_put(f, "/a", "Palabras.", LANG_ES);
    fixture_put(f, "/empty", "", LANG_EN);
    struct visit visit = {0};
    assert_ok(
        store_each_document(f->store, f->collection.id, NULL, visit_document, &visit, &f->err),
        &f->err);
    assert_int_equal(visit.documents, 3);
    assert_int_equal(visit.passages, 2);

    visit = (struct visit){.stop_after = 2};
    assert_false(
        store_each_document(f->store, f->collection.id, NULL, visit_document, &visit, &f->err));
    assert_int_equal(f->err.code, ERR_CANCELLED);
    assert_int_equal(visit.documents, 2);

    struct cancel cancel;
    cancel_init(&cancel);
    cancel_fire(&cancel);
    visit = (struct visit){0};
    assert_false(
        store_each_document(f->store, f->collection.id, &cancel, visit_document, &visit, &f->err));
    assert_int_equal(f->err.code, ERR_CANCELLED);
    assert_int_equal(visit.documents, 0);
    cancel_destroy(&cancel);
}

static void test_arena_limit(void **state)
{
    struct fixture *f = *state;
    struct document_written written = fixture_put(f, "/doc", "Words.", LANG_EN);
    struct arena small;
    arena_init(&small, 64);
    struct passage_key key = {written.number, 0};
    struct passage *passages;
    size_t count;
    assert_false(store_passages(f->store, &key, 1, &small, &passages, &count, &f->err));
    assert_int_equal(f->err.code, ERR_TOO_LARGE);
    arena_free(&small);
    assert_ok(store_ping(f->store, &f->err), &f->err);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_collections),
        CASE(test_collection_without_name),
        CASE(test_collection_update),
        CASE(test_files),
        CASE(test_document_round_trip),
        CASE(test_long_document),
        CASE(test_replacing_keeps_the_id),
        CASE(test_numbers_are_never_reused),
        CASE(test_touch),
        CASE(test_list_by_directory),
        CASE(test_uploaded_documents),
        CASE(test_delete_collection),
        CASE(test_vectors),
        CASE(test_pending),
        CASE(test_each_document),
        CASE(test_arena_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
