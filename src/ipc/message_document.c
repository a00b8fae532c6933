/* Encoders and decoders of protocol.h, second part: documents, the state of a worker, errors. What a parser
 * worker says of a document was made from bytes that nobody trusts, so its map is checked here. */
#include <string.h>

#include "base/utf8.h"
#include "ipc/protocol.h"
#include "ipc/wire.h"

enum { RUN_BYTES = 9 }; /* of a text_run in a message */

void msg_put_parse(struct str *out, const struct msg_parse *message)
{
    wire_put_text(out, message->name);
    wire_put_u8(out, (uint8_t)message->format);
    wire_put_bytes(out, message->bytes, message->length);
}

bool msg_get_parse(const void *bytes, size_t length, struct arena *arena, struct msg_parse *ret,
                   struct err *err)
{
    struct wire_reader in;
    wire_reader_init(&in, bytes, length);
    struct msg_parse message = {.name = wire_get_text(&in, arena)};
    message.format = (enum document_format)wire_get_choice(&in, DOCUMENT_FORMATS);
    const uint8_t *content = wire_get_bytes(&in, &message.length);
    message.bytes = content ? (uint8_t *)arena_copy_n(arena, content, message.length) : NULL;
    if (!message.bytes)
        in.failed = true;
    if (!wire_done(&in, "PARSE", err))
        return false;
    *ret = message;
    return true;
}

static void put_runs(struct str *out, const struct msg_parsed *message)
{
    wire_put_u32(out, message->run_count);
    for (uint32_t i = 0; i < message->run_count; i++) {
        wire_put_u32(out, message->runs[i].text_offset);
        wire_put_u32(out, message->runs[i].file_offset);
        wire_put_u8(out, message->runs[i].identical);
    }
}

void msg_put_parsed(struct str *out, const struct msg_parsed *message)
{
    wire_put_u8(out, (uint8_t)message->format);
    wire_put_text(out, message->title);
    wire_put_text(out, message->charset);
    wire_put_text(out, message->need_charset);
    wire_put_bytes(out, message->text, message->text_length);
    put_runs(out, message);
    wire_put_u32(out, message->file_length);
}

static const struct text_run *get_runs(struct wire_reader *in, struct arena *arena,
                                       uint32_t *ret_count)
{
    uint32_t count = wire_get_count(in, RUN_BYTES, UINT32_MAX);
    struct text_run *runs = arena_array(arena, count, sizeof(*runs));
    if (!runs)
        in->failed = true;
    for (uint32_t i = 0; runs && i < count; i++) {
        runs[i].text_offset = wire_get_u32(in);
        runs[i].file_offset = wire_get_u32(in);
        runs[i].identical = wire_get_bool(in);
    }
    *ret_count = count;
    return runs;
}

/* Whether the map covers the whole text in ascending order and points into the file only. */
static bool runs_fit(const struct msg_parsed *message)
{
    if (message->text_length > 0 && message->run_count == 0)
        return false;
    for (uint32_t i = 0; i < message->run_count; i++) {
        const struct text_run *run = &message->runs[i];
        bool last = i + 1 == message->run_count;
        uint64_t end = last ? message->text_length : run[1].text_offset;
        if ((i == 0 && run->text_offset != 0) || run->text_offset >= end ||
            end > message->text_length || run->file_offset > message->file_length ||
            (!last && run[1].file_offset < run->file_offset))
            return false;
        uint64_t file_end = (uint64_t)run->file_offset + (end - run->text_offset);
        if (run->identical && file_end > message->file_length)
            return false;
    }
    return true;
}

bool msg_get_parsed(const void *bytes, size_t length, struct arena *arena, struct msg_parsed *ret,
                    struct err *err)
{
    struct wire_reader in;
    wire_reader_init(&in, bytes, length);
    struct msg_parsed message = {.format =
                                     (enum document_format)wire_get_choice(&in, DOCUMENT_FORMATS)};
    message.title = wire_get_text(&in, arena);
    message.charset = wire_get_text(&in, arena);
    message.need_charset = wire_get_text(&in, arena);
    message.text = wire_get_text(&in, arena);
    message.text_length = strlen(message.text);
    message.runs = get_runs(&in, arena, &message.run_count);
    message.file_length = wire_get_u32(&in);
    if (in.failed || !runs_fit(&message))
        in.failed = true;
    if (!wire_done(&in, "PARSED", err))
        return false;
    *ret = message;
    return true;
}

/* ---------------------------------------------------------------- the worker itself */

void msg_put_pong(struct str *out, const struct msg_pong *message)
{
    wire_put_u8(out, message->busy);
    wire_put_u64(out, message->beats);
    wire_put_u64(out, message->step_ms);
}

bool msg_get_pong(const void *bytes, size_t length, struct arena *arena, struct msg_pong *ret,
                  struct err *err)
{
    (void)arena;
    struct wire_reader in;
    wire_reader_init(&in, bytes, length);
    struct msg_pong message = {.busy = wire_get_bool(&in)};
    message.beats = wire_get_u64(&in);
    message.step_ms = wire_get_u64(&in);
    if (!wire_done(&in, "PONG", err))
        return false;
    *ret = message;
    return true;
}

void msg_put_stats(struct str *out, const struct msg_stats *message)
{
    wire_put_u64(out, message->resident_bytes);
    wire_put_u64(out, message->peak_bytes);
    wire_put_u64(out, message->held_bytes);
    wire_put_u32(out, message->busy);
}

bool msg_get_stats(const void *bytes, size_t length, struct arena *arena, struct msg_stats *ret,
                   struct err *err)
{
    (void)arena;
    struct wire_reader in;
    wire_reader_init(&in, bytes, length);
    struct msg_stats message = {.resident_bytes = wire_get_u64(&in)};
    message.peak_bytes = wire_get_u64(&in);
    message.held_bytes = wire_get_u64(&in);
    message.busy = wire_get_u32(&in);
    if (!wire_done(&in, "STATED", err))
        return false;
    *ret = message;
    return true;
}

void msg_put_probed(struct str *out, const struct msg_probed *message)
{
    wire_put_i32(out, message->open_errno);
    wire_put_i32(out, message->socket_errno);
    wire_put_i32(out, message->exec_errno);
    wire_put_u8(out, message->no_new_privileges);
}

bool msg_get_probed(const void *bytes, size_t length, struct arena *arena, struct msg_probed *ret,
                    struct err *err)
{
    (void)arena;
    struct wire_reader in;
    wire_reader_init(&in, bytes, length);
    struct msg_probed message = {.open_errno = wire_get_i32(&in)};
    message.socket_errno = wire_get_i32(&in);
    message.exec_errno = wire_get_i32(&in);
    message.no_new_privileges = wire_get_bool(&in);
    if (!wire_done(&in, "PROBED", err))
        return false;
    *ret = message;
    return true;
}

/* ---------------------------------------------------------------- errors */

void msg_put_err(struct str *out, const struct err *error)
{
    wire_put_u32(out, error->code);
    for (int lang = 0; lang < LANG_COUNT; lang++)
        wire_put_text(out, error->message[lang]);
    wire_put_text(out, error->param);
    wire_put_u32(out, error->retry_after_ms);
}

bool msg_get_err(const void *bytes, size_t length, struct err *ret_error, struct err *err)
{
    struct arena arena;
    arena_init(&arena, 8 * ERR_MESSAGE_MAX);
    struct wire_reader in;
    wire_reader_init(&in, bytes, length);
    uint32_t code = wire_get_u32(&in);
    const char *english = wire_get_text(&in, &arena);
    const char *spanish = wire_get_text(&in, &arena);
    const char *param = wire_get_text(&in, &arena);
    uint32_t retry_after_ms = wire_get_u32(&in);
    bool done = wire_done(&in, "ERROR", err);
    if (done)
        err_restore(ret_error, code, english, spanish, param, retry_after_ms);
    arena_free(&arena);
    return done;
}
