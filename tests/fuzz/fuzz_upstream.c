/* Fuzzes what another server may send: any bytes, cut anywhere, are an event stream that gives text or an error; and
 * any JSON is vectors, scores or an error. Whatever is given is bounded, finite and valid UTF-8. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/event_reader.h"
#include "base/utf8.h"
#include "orchestrator/upstream_json.h"
#include "orchestrator/upstream_parts.h"

enum { EVENT_MAX = 4096, TEXT_MAX = 8192, COUNT = 3, DIMENSIONS_MAX = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void check_error(const struct err *err)
{
    must(err->code != ERR_NONE && *err->message[LANG_EN] && *err->message[LANG_ES]);
    must(utf8_valid(err->message[LANG_EN], strlen(err->message[LANG_EN])));
}

static bool on_event(void *user, const struct event *event, struct err *err)
{
    return upstream_get_chunk("m", event->data, event->length, user, err);
}

/* The first byte says how long the pieces are in which the rest comes. */
static void read_stream(const uint8_t *data, size_t size)
{
    struct upstream_chunk chunk = {0};
    struct event_reader reader;
    struct err err = {.code = ERR_NONE};
    size_t piece = size > 0 ? (size_t)data[0] + 1 : 1;
    str_init(&chunk.text, TEXT_MAX);
    event_reader_init(&reader, EVENT_MAX, on_event, &chunk);
    bool ok = true;
    for (size_t at = 1; ok && at < size; at += piece) {
        size_t length = size - at < piece ? size - at : piece;
        ok = event_reader_feed(&reader, (const char *)data + at, length, &err);
    }
    if (!ok)
        check_error(&err);
    must(chunk.text.length <= TEXT_MAX);
    must(utf8_valid(str_text(&chunk.text), chunk.text.length));
    must(strlen(str_text(&chunk.text)) == chunk.text.length);
    event_reader_free(&reader);
    str_free(&chunk.text);
}

static void read_answers(yyjson_val *root)
{
    float rows[COUNT * DIMENSIONS_MAX];
    uint32_t dimensions;
    uint64_t tokens;
    struct err err;
    if (!upstream_get_dimensions(root, &dimensions, &err))
        check_error(&err);
    else if (dimensions <= DIMENSIONS_MAX &&
             upstream_get_vectors(root, COUNT, dimensions, rows, &tokens, &err))
        for (size_t i = 0; i < (size_t)COUNT * dimensions; i++)
            must(fabsf(rows[i]) <= 1.001F);
    if (!upstream_get_scores(root, COUNT, rows, &tokens, &err))
        check_error(&err);
    else
        for (size_t i = 0; i < COUNT; i++)
            must(isfinite(rows[i]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err;
    yyjson_doc *doc;
    read_stream(data, size);
    upstream_refusal("m", size > 0 ? 400 + data[0] : 500, (const char *)data, size, 0, &err);
    check_error(&err);
    if (json_parse((const char *)data, size, "the answer", &doc, NULL)) {
        read_answers(yyjson_doc_get_root(doc));
        yyjson_doc_free(doc);
    }
    return 0;
}
