/* upstream_stream.c - a generation by another server, event by event.
 *
 * The thread that wants the text pulls it: libcurl reads what has come, the event reader cuts it into events, and what
 * they say is handed out before more is read. So nothing waits in a buffer, and a client that reads slowly slows the
 * other server down through TCP. Before the first text an attempt that fails is made at the next address.
 */
#include <stdlib.h>
#include <string.h>

#include "base/event_reader.h"
#include "orchestrator/upstream_json.h"
#include "orchestrator/upstream_parts.h"

enum { EVENT_MAX = 1024 * 1024, TEXT_MAX = 4 * 1024 * 1024, BODY_MAX = 128 * 1024 * 1024 };
enum { DRAIN_MS = 20, DRAIN_READS = 4 };

struct upstream_stream {
    struct upstream *upstream;
    struct wait wait;
    struct str body;
    struct attempt attempt;
    bool attempting;
    struct event_reader reader;
    struct str bytes; /* as they came */
    struct upstream_chunk chunk;
    struct err failed; /* in the middle of what has come: told after the text before it */
    bool ended;        /* the body has */
    bool told;         /* chunk.text was handed out */
    int64_t started_ns;
    int64_t first_ns;
};

static bool on_event(void *user, const struct event *event, struct err *err)
{
    struct upstream_stream *stream = user;
    if (stream->chunk.done)
        return true;
    return upstream_get_chunk(stream->upstream->entry->name, event->data, event->length,
                              &stream->chunk, err);
}

static void forget_answer(struct upstream_stream *stream)
{
    event_reader_free(&stream->reader);
    str_free(&stream->chunk.text);
    event_reader_init(&stream->reader, EVENT_MAX, on_event, stream);
    stream->chunk = (struct upstream_chunk){0};
    str_init(&stream->chunk.text, TEXT_MAX);
    stream->failed.code = ERR_NONE;
    stream->ended = false;
}

/* Reads until there is text to tell, the answer is complete, or it fails. */
static bool read_on(struct upstream_stream *stream, struct err *err)
{
    struct upstream_chunk *chunk = &stream->chunk;
    while (chunk->text.length == 0 && !chunk->done) {
        if (stream->failed.code != ERR_NONE) {
            *err = stream->failed;
            return false;
        }
        if (stream->ended)
            return chunk->finished ||
                   err_set(err, ERR_UPSTREAM, "the other server broke off its answer");
        str_truncate(&stream->bytes, 0);
        if (!exchange_read(stream->attempt.exchange, &stream->wait, &stream->bytes, &stream->ended,
                           err))
            return chunk->finished && err->code == ERR_UPSTREAM; /* all that counts has come */
        bool finished = chunk->finished;
        event_reader_feed(&stream->reader, str_text(&stream->bytes), stream->bytes.length,
                          &stream->failed);
        if (chunk->text.length > 0 || chunk->finished != finished)
            exchange_alive(stream->attempt.exchange);
    }
    return true;
}

static void end_attempt(struct upstream_stream *stream, const struct err *err)
{
    if (stream->attempting)
        attempt_end(&stream->attempt, err);
    stream->attempting = false;
}

/* After "[DONE]": takes what ends the body, which is mostly there already, so that the connection can be kept. */
static void drain(struct upstream_stream *stream)
{
    const struct wait wait = {.cancel = stream->wait.cancel, .until = deadline_in_ms(DRAIN_MS)};
    struct err ignored;
    bool ok = true;
    for (int reads = 0; ok && !stream->ended && reads < DRAIN_READS; reads++) {
        str_truncate(&stream->bytes, 0);
        ok = exchange_read(stream->attempt.exchange, &wait, &stream->bytes, &stream->ended,
                           &ignored);
    }
}

/* Tries the addresses until one has begun to answer. */
static bool begin(struct upstream_stream *stream, const char *path, struct err *err)
{
    address_set tried = 0;
    struct err first = {.code = ERR_NONE};
    for (bool again = true; again;) {
        struct err failed;
        forget_answer(stream);
        stream->attempting = attempt_begin(stream->upstream, &tried, path, &stream->body, true,
                                           &stream->attempt, &failed);
        if (!stream->attempting) {
            *err = first.code != ERR_NONE ? first : failed;
            return false;
        }
        if (attempt_accepted(&stream->attempt, &stream->wait, &failed) && read_on(stream, &failed))
            return true;
        again = attempt_end(&stream->attempt, &failed);
        stream->attempting = false;
        if (first.code == ERR_NONE || !again)
            first = failed;
    }
    *err = first;
    return false;
}

bool upstream_generate(struct upstream *upstream, const struct msg_generate *request,
                       const struct wait *wait, struct upstream_stream **ret, struct err *err)
{
    struct upstream_stream *stream = calloc(1, sizeof(*stream));
    if (!stream)
        return err_no_memory(err);
    stream->upstream = upstream;
    stream->wait = *wait;
    stream->started_ns = clock_now_ns();
    str_init(&stream->body, BODY_MAX);
    str_init(&stream->bytes, EXCHANGE_BUFFER_MAX);
    forget_answer(stream);
    upstream_put_generate(&stream->body, upstream->entry->upstream->model, request);
    const char *path = request->message_count > 0 ? "/chat/completions" : "/completions";
    if (!str_check(&stream->body, "the request", err) || !begin(stream, path, err)) {
        upstream_stream_end(stream);
        return false;
    }
    stream->first_ns = clock_now_ns();
    *ret = stream;
    return true;
}

bool upstream_stream_next(struct upstream_stream *stream, struct generation_event *ret,
                          struct err *err)
{
    struct upstream_chunk *chunk = &stream->chunk;
    if (stream->told)
        str_truncate(&chunk->text, 0);
    stream->told = false;
    if (!read_on(stream, err)) {
        end_attempt(stream, err);
        return false;
    }
    if (chunk->text.length > 0) {
        stream->told = true;
        *ret = (struct generation_event){.text = str_text(&chunk->text)};
        return true;
    }
    chunk->last.prompt_ms = (double)(stream->first_ns - stream->started_ns) / 1e6;
    chunk->last.generate_ms = clock_ms_since(stream->first_ns);
    drain(stream);
    end_attempt(stream, NULL);
    *ret = (struct generation_event){.done = true, .last = chunk->last};
    return true;
}

void upstream_stream_end(struct upstream_stream *stream)
{
    if (!stream)
        return;
    struct err cancelled;
    cancel_error(&cancelled);
    end_attempt(stream, &cancelled);
    event_reader_free(&stream->reader);
    str_free(&stream->chunk.text);
    str_free(&stream->bytes);
    str_free(&stream->body);
    free(stream);
}
