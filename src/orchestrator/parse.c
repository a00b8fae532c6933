/* parse.c - what workers without a model do: extract text, inspect a GGUF, try their sandbox.
 *
 * A parser worker has closed its sandbox and is kept for the next document. One document at a time has it, so when it
 * dies the document is to blame (after a second try on a fresh worker: it might have been killed for something else).
 * A document in a charset that the worker did not open before its sandbox goes to a worker that did.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "orchestrator/internal.h"

enum { PARSE_TRIES = 2 };

bool parser_charset_valid(const char *charset)
{
    size_t length = strspn(charset, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                    "0123456789_.:+-");
    return length > 0 && length < PARSER_CHARSET_MAX && charset[length] == '\0';
}

/* ---------------------------------------------------------------- the parser workers */

/* The idle cell that suits best: same charset, else an empty one, else the least recently used. With the lock. */
static struct parser *choose(struct registry *registry, const char *charset)
{
    struct parser *empty = NULL;
    struct parser *oldest = NULL;
    for (size_t i = 0; i < PARSERS_MAX; i++) {
        struct parser *parser = &registry->parsers[i];
        if (parser->busy)
            continue;
        if (!parser->worker)
            empty = parser;
        else if (strcmp(parser->charset, charset) == 0)
            return parser;
        else if (!oldest || parser->last_use < oldest->last_use)
            oldest = parser;
    }
    return empty ? empty : oldest;
}

/* Ends a cell's worker. The cell is this thread's. */
static void discard(struct parser *parser)
{
    if (!parser->worker)
        return;
    worker_kill(parser->worker);
    worker_free(parser->worker, deadline_in_ms(0));
    parser->worker = NULL;
}

static void give_back(struct registry *registry, struct parser *parser)
{
    mutex_lock(&registry->lock);
    parser->busy = false;
    parser->last_use = ++registry->tick;
    cond_broadcast(&registry->changed);
    mutex_unlock(&registry->lock);
}

/* Waits for a cell that nobody uses, and makes it this thread's. */
static bool reserve(struct registry *registry, const char *charset, const struct wait *wait,
                    struct parser **ret, struct err *err)
{
    struct cancel_hook hook = {.fire = registry_wake, .argument = registry};
    cancel_watch(wait->cancel, &hook);
    mutex_lock(&registry->lock);
    struct parser *parser = NULL;
    bool on_time = true;
    while (!registry->closing && !cancel_is_set(wait->cancel) && on_time &&
           !(parser = choose(registry, charset)))
        on_time = cond_wait(&registry->changed, &registry->lock, wait->until);
    if (parser)
        parser->busy = true;
    else if (registry->closing)
        err_set(err, ERR_UNAVAILABLE, "the service is stopping; try again later");
    else if (cancel_is_set(wait->cancel))
        cancel_error(err);
    else
        err_set(err, ERR_BUSY, "all document parsers are busy; try again later");
    mutex_unlock(&registry->lock);
    cancel_unwatch(wait->cancel, &hook);
    *ret = parser;
    return parser != NULL;
}

/* Fills the cell with a worker that has closed its sandbox after opening the charset. */
static bool fill(struct registry *registry, struct parser *parser, const char *charset,
                 const struct wait *wait, struct err *err)
{
    if (!keeper_take_worker(registry, wait, &parser->worker, err)) {
        parser->worker = NULL;
        return false;
    }
    snprintf(parser->charset, sizeof(parser->charset), "%s", charset);
    const struct msg_load message = {
        .role = ROLE_PARSER, .path = "", .slots = 1, .threads = 1, .charset = charset};
    struct str payload;
    struct frame frame;
    str_init(&payload, FRAME_PAYLOAD_MAX);
    msg_put_load(&payload, &message);
    bool ok = worker_ask(parser->worker, FRAME_LOAD, &payload, FRAME_LOADED, "documents", wait,
                         &frame, err);
    str_free(&payload);
    if (ok)
        frame_free(&frame);
    else
        discard(parser);
    return ok;
}

/* A parser worker for this thread alone, until give_back(). */
static bool take(struct registry *registry, const char *charset, const struct wait *wait,
                 struct parser **ret, struct err *err)
{
    struct parser *parser;
    if (!reserve(registry, charset, wait, &parser, err))
        return false;
    bool usable =
        parser->worker && strcmp(parser->charset, charset) == 0 && !worker_is_dead(parser->worker);
    if (!usable) {
        discard(parser);
        if (!fill(registry, parser, charset, wait, err)) {
            give_back(registry, parser);
            return false;
        }
    }
    *ret = parser;
    return true;
}

void parsers_close(struct registry *registry)
{
    for (size_t i = 0; i < PARSERS_MAX; i++)
        if (registry->parsers[i].worker)
            worker_leave(registry->parsers[i].worker);
    deadline grace = deadline_in_ms(WORKER_GRACE_MS);
    for (size_t i = 0; i < PARSERS_MAX; i++) {
        worker_free(registry->parsers[i].worker, grace);
        registry->parsers[i].worker = NULL;
    }
}

/* ---------------------------------------------------------------- documents */

/* After these the worker may still be at it, or is gone: it is not used again. */
static bool spoils_worker(enum err_code code)
{
    return code == ERR_WORKER_DIED || code == ERR_TIMEOUT || code == ERR_CANCELLED ||
           code == ERR_PROTOCOL || code == ERR_BUSY;
}

/* One try on one worker. */
static bool parse_once(struct registry *registry, const struct str *payload, const char *charset,
                       const char *name, const struct wait *wait, struct frame *ret,
                       struct err *err)
{
    struct parser *parser;
    if (!take(registry, charset, wait, &parser, err))
        return false;
    const struct wait bounded = {
        .cancel = wait->cancel,
        .until = deadline_earlier(wait->until, deadline_in_ms(registry->parse_ms)),
    };
    bool ok =
        worker_ask(parser->worker, FRAME_PARSE, payload, FRAME_PARSED, name, &bounded, ret, err);
    if (!ok && spoils_worker(err->code))
        discard(parser);
    give_back(registry, parser);
    if (!ok && err->code == ERR_TIMEOUT && !deadline_passed(wait->until))
        err_set(err, ERR_DOCUMENT, "\"%s\" was given up: reading it took longer than %lld ms", name,
                (long long)registry->parse_ms);
    return ok;
}

static bool parse_in_charset(struct registry *registry, const struct str *payload,
                             const char *charset, const char *name, const struct wait *wait,
                             struct frame *ret, struct err *err)
{
    for (int tries = 0; tries < PARSE_TRIES; tries++) {
        if (parse_once(registry, payload, charset, name, wait, ret, err))
            return true;
        if (err->code != ERR_WORKER_DIED)
            return false;
    }
    return err_set(err, ERR_DOCUMENT,
                   "\"%s\" cannot be read: the process that extracts text ended because of it; the "
                   "file is probably damaged",
                   name);
}

static bool wants_charset(const struct msg_parsed *parsed)
{
    return parsed->need_charset && parsed->need_charset[0] != '\0';
}

static bool unknown_charset(const char *name, struct err *err)
{
    return err_set(err, ERR_DOCUMENT,
                   "\"%s\" is in a character set that this system cannot read; convert it to UTF-8",
                   name);
}

/* Sends the document to a worker of the charset and decodes the answer. */
static bool parse_and_decode(struct registry *registry, const struct str *payload,
                             const char *charset, const char *name, const struct wait *wait,
                             struct arena *arena, struct msg_parsed *ret, struct err *err)
{
    struct frame frame;
    if (!parse_in_charset(registry, payload, charset, name, wait, &frame, err))
        return false;
    bool ok = msg_get_parsed(frame.payload, frame.length, arena, ret, err);
    frame_free(&frame);
    return ok;
}

bool registry_parse(struct registry *registry, const struct msg_parse *request,
                    const struct wait *wait, struct arena *arena, struct msg_parsed *ret,
                    struct err *err)
{
    struct err own = {.code = ERR_NONE};
    struct err *told = err ? err : &own; /* the codes are looked at here */
    struct msg_parsed parsed;
    struct str payload;
    str_init(&payload, FRAME_PAYLOAD_MAX);
    msg_put_parse(&payload, request);
    bool ok = str_check(&payload, request->name, told) &&
              parse_and_decode(registry, &payload, "", request->name, wait, arena, &parsed, told);
    if (ok && wants_charset(&parsed)) {
        ok = parser_charset_valid(parsed.need_charset) || unknown_charset(request->name, told);
        ok = ok && parse_and_decode(registry, &payload, parsed.need_charset, request->name, wait,
                                    arena, &parsed, told);
        ok = ok && (!wants_charset(&parsed) || unknown_charset(request->name, told));
    }
    str_free(&payload);
    if (ok)
        *ret = parsed;
    return ok;
}

/* ---------------------------------------------------------------- files and the sandbox */

bool registry_inspect(struct registry *registry, const char *path, const struct wait *wait,
                      struct arena *arena, struct msg_inspected *ret, struct err *err)
{
    struct err own = {.code = ERR_NONE};
    struct err *told = err ? err : &own;
    struct worker *worker;
    if (!keeper_take_worker(registry, wait, &worker, told))
        return false;
    struct str payload;
    struct frame frame;
    str_init(&payload, FRAME_PAYLOAD_MAX);
    msg_put_path(&payload, path);
    bool ok =
        worker_ask(worker, FRAME_INSPECT, &payload, FRAME_INSPECTED, path, wait, &frame, told);
    str_free(&payload);
    worker_kill(
        worker); /* it has read a file of unknown origin, and nothing in it is worth a farewell */
    worker_free(worker, deadline_in_ms(0));
    if (ok) {
        ok = msg_get_inspected(frame.payload, frame.length, arena, ret, told);
        frame_free(&frame);
    } else if (told->code == ERR_WORKER_DIED) {
        err_set(told, ERR_MODEL_INVALID,
                "\"%s\" cannot be read as a model: the process that tried has ended; the file is "
                "probably damaged",
                path);
    }
    return ok;
}

bool registry_probe(struct registry *registry, const struct wait *wait, struct msg_probed *ret,
                    struct err *err)
{
    struct err own = {.code = ERR_NONE};
    struct err *told = err ? err : &own;
    struct parser *parser;
    if (!take(registry, "", wait, &parser, told))
        return false;
    struct frame frame;
    bool ok = worker_ask(parser->worker, FRAME_PROBE, NULL, FRAME_PROBED, "documents", wait, &frame,
                         told);
    if (!ok && spoils_worker(told->code))
        discard(parser);
    give_back(registry, parser);
    if (!ok)
        return false;
    struct arena none;
    arena_init(&none, 0);
    ok = msg_get_probed(frame.payload, frame.length, &none, ret, told);
    arena_free(&none);
    frame_free(&frame);
    return ok;
}
