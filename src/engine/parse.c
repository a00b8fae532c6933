/* How it works: look at the bytes (binary? which encoding?), convert them to UTF-8 with a map back to the file, and
 * for HTML take the visible text, whose map leads to the converted bytes; the two maps joined lead to the file. */
#include "engine/parse.h"

#include <string.h>

#include "engine/html.h"
#include "engine/parse_format.h"
#include "engine/parse_title.h"

enum {
    RUN_BYTES = 9,           /* of a run in a frame */
    FRAME_SPARE = 64 * 1024, /* for the other fields of the answer */
    TEXT_SPARE = 64 * 1024,  /* texts of tiny files may grow by this beyond four times */
    DAMAGED_PART = 20,       /* more damage than one in so many bytes: not text */
    REQUEST_ARENA_SPARE = 64 * 1024,
};

/* A document on its way from bytes to text. */
struct document {
    const struct msg_parse *request;
    struct charset_guess guess;
    enum document_format format;
    size_t max; /* bytes of text */
    struct charset_text source;
    struct html_page page; /* of HTML; its map leads to the file in the end */
    struct str title;
};

static bool is_wide(enum charset_kind kind)
{
    return kind == CHARSET_UTF16_LE || kind == CHARSET_UTF16_BE || kind == CHARSET_UTF32_LE ||
           kind == CHARSET_UTF32_BE;
}

/* How many bytes of text the answer may have: four times the file's, and what fits into a frame. */
static size_t text_limit(size_t file_length)
{
    size_t most = FRAME_PAYLOAD_MAX - FRAME_SPARE;
    return file_length < most / 4 - TEXT_SPARE ? 4 * file_length + TEXT_SPARE : most;
}

/* What the name or the request says, before the text is known. */
static enum document_format asked_format(const struct msg_parse *request)
{
    if (request->format != DOCUMENT_AUTO)
        return request->format;
    return parse_format_of_name(request->name);
}

static bool convert(struct document *document, const struct charset_converter *opened,
                    struct err *err)
{
    const struct msg_parse *request = document->request;
    if (!charset_decode(&document->guess, opened, request->bytes, request->length, document->max,
                        &document->source, err))
        return false;
    if (document->source.damaged * DAMAGED_PART > request->length)
        return err_set(err, ERR_DOCUMENT,
                       "%zu of %zu bytes are no characters in the encoding %s that the file seems "
                       "to have; convert it to UTF-8",
                       document->source.damaged, request->length, document->guess.name);
    return true;
}

static bool take_html(struct document *document, struct err *err)
{
    const struct str *html = &document->source.text;
    if (!html_extract(str_text(html), html->length, document->max, &document->page, err))
        return false;
    struct text_map joined;
    text_map_init(&joined, TEXT_MAP_RUNS_MAX);
    text_map_join(&document->page.map, document->page.text.length, &document->source.map, &joined);
    text_map_free(&document->page.map);
    document->page.map = joined;
    return true;
}

/* The text, its map and its title by the format. */
static bool extract(struct document *document, struct err *err)
{
    const struct str *text = &document->source.text;
    if (document->format == DOCUMENT_AUTO || document->format == DOCUMENT_CODE) {
        /* Web pages hide behind ".xml" and behind names without an ending. */
        enum document_format found = parse_format_of_text(str_text(text), text->length);
        if (document->format == DOCUMENT_AUTO || found == DOCUMENT_HTML)
            document->format = found;
    }
    if (document->format == DOCUMENT_HTML)
        return take_html(document, err);
    if (document->format == DOCUMENT_MARKDOWN)
        parse_markdown_title(str_text(text), text->length, &document->title);
    return true;
}

/* Copies text, map and title into the arena. */
static bool deliver(const struct document *document, struct arena *arena, struct msg_parsed *ret,
                    struct err *err)
{
    bool html = document->format == DOCUMENT_HTML;
    const struct str *text = html ? &document->page.text : &document->source.text;
    const struct text_map *map = html ? &document->page.map : &document->source.map;
    const struct str *title = html ? &document->page.title : &document->title;
    if (map->failed)
        return err_no_memory(err);
    if (text->length + map->count * RUN_BYTES > FRAME_PAYLOAD_MAX - FRAME_SPARE)
        return err_set(err, ERR_TOO_LARGE,
                       "the text of the document is larger than %zu MiB; split it",
                       (size_t)FRAME_PAYLOAD_MAX >> 20);
    struct msg_parsed parsed = {
        .format = document->format,
        .title = arena_copy_n(arena, str_text(title), title->length),
        .charset = arena_copy(arena, document->guess.name),
        .need_charset = "",
        .text = arena_copy_n(arena, str_text(text), text->length),
        .text_length = text->length,
        .run_count = (uint32_t)map->count,
        .file_length = (uint32_t)document->request->length,
    };
    struct text_run *runs = arena_array(arena, map->count, sizeof(*runs));
    if (!runs || !parsed.title || !parsed.charset || !parsed.text)
        return err_no_memory(err);
    if (map->count > 0)
        memcpy(runs, map->runs, map->count * sizeof(*runs));
    parsed.runs = runs;
    *ret = parsed;
    return true;
}

static void free_document(struct document *document)
{
    charset_text_free(&document->source);
    html_page_free(&document->page);
    str_free(&document->title);
}

/* The answer to a document whose encoding this worker has not opened. */
static bool ask_for_charset(const struct document *document, struct arena *arena,
                            struct msg_parsed *ret, struct err *err)
{
    const char *name = arena_copy(arena, document->guess.name);
    if (!name)
        return err_no_memory(err);
    *ret = (struct msg_parsed){.format = document->format,
                               .title = "",
                               .charset = name,
                               .need_charset = name,
                               .text = "",
                               .file_length = (uint32_t)document->request->length};
    return true;
}

bool parse_document(const struct msg_parse *request, const struct charset_converter *opened,
                    struct arena *arena, struct msg_parsed *ret, struct err *err)
{
    if (request->length > FRAME_PAYLOAD_MAX)
        return err_set(err, ERR_TOO_LARGE, "the document is larger than %zu MiB; split it",
                       (size_t)FRAME_PAYLOAD_MAX >> 20);
    struct document document = {
        .request = request, .format = asked_format(request), .max = text_limit(request->length)};
    str_init(&document.title, PARSE_TITLE_MAX);
    charset_detect(request->bytes, request->length, document.format, &document.guess);
    if (!parse_reject_binary(request->bytes, request->length, is_wide(document.guess.kind), err))
        return false;
    if (document.guess.kind == CHARSET_ICONV && !charset_is(opened, document.guess.name))
        return ask_for_charset(&document, arena, ret, err);
    bool ok = convert(&document, opened, err) && extract(&document, err) &&
              deliver(&document, arena, ret, err);
    free_document(&document);
    return ok;
}

/* A decoder cannot tell a full arena from a damaged message. Returns false. */
static bool take_blame(const struct arena *arena, struct err *err)
{
    return arena_ok(arena) ? false : err_no_memory(err);
}

bool parse_frame(const void *payload, size_t length, const struct charset_converter *opened,
                 struct str *out, struct err *err)
{
    struct arena arena;
    /* The request, and the answer with its runs, which are larger in memory than in a frame. */
    arena_init(&arena, length + 2 * (size_t)FRAME_PAYLOAD_MAX + REQUEST_ARENA_SPARE);
    struct msg_parse request;
    struct msg_parsed parsed;
    bool ok = msg_get_parse(payload, length, &arena, &request, err) || take_blame(&arena, err);
    ok = ok && parse_document(&request, opened, &arena, &parsed, err);
    if (ok) {
        msg_put_parsed(out, &parsed);
        ok = str_check(out, "PARSED", err);
    }
    arena_free(&arena);
    return ok;
}
