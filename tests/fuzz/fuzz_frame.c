/* Fuzzes what crosses the socketpair: frame headers and every decoder.
 *
 * The first byte of the input chooses the decoder, the rest are its bytes. Whatever a decoder takes must encode
 * back to the same bytes (errors excepted: their texts are cut to a fixed size). */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/protocol.h"
#include "ipc/wire.h"

enum { ARENA_MAX = 1 << 22, OUT_MAX = 1 << 22 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Aborts, which is what the fuzzer looks for. */
static void must_equal(const struct str *out, const uint8_t *bytes, size_t length)
{
    if (!str_ok(out) || out->length != length || memcmp(str_text(out), bytes, length) != 0)
        abort();
}

#define CODEC(name)                                                                  \
    static void try_##name(const uint8_t *bytes, size_t length, struct arena *arena) \
    {                                                                                \
        struct msg_##name message;                                                   \
        if (!msg_get_##name(bytes, length, arena, &message, NULL))                   \
            return;                                                                  \
        struct str out;                                                              \
        str_init(&out, OUT_MAX);                                                     \
        msg_put_##name(&out, &message);                                              \
        must_equal(&out, bytes, length);                                             \
        str_free(&out);                                                              \
    }
CODEC(hello)
CODEC(load)
CODEC(progress)
CODEC(loaded)
CODEC(inspected)
CODEC(texts)
CODEC(vectors)
CODEC(counts)
CODEC(rerank)
CODEC(scores)
CODEC(generate)
CODEC(tokens)
CODEC(done)
CODEC(parse)
CODEC(parsed)
CODEC(stats)
CODEC(probed)
CODEC(forecast)
CODEC(devices)
CODEC(threads)
#undef CODEC

static void try_path(const uint8_t *bytes, size_t length, struct arena *arena)
{
    const char *path;
    if (!msg_get_path(bytes, length, arena, &path, NULL))
        return;
    struct str out;
    str_init(&out, OUT_MAX);
    msg_put_path(&out, path);
    must_equal(&out, bytes, length);
    str_free(&out);
}

static void try_err(const uint8_t *bytes, size_t length, struct arena *arena)
{
    (void)arena;
    struct err error;
    if (msg_get_err(bytes, length, &error, NULL) && error.code >= ERR_CODE_COUNT)
        abort();
}

static void try_header(const uint8_t *bytes, size_t length, struct arena *arena)
{
    (void)arena;
    struct frame frame;
    if (length < FRAME_HEADER || !frame_parse_header(bytes, &frame, NULL))
        return;
    uint8_t again[FRAME_HEADER];
    frame_format_header(again, frame.type, frame.id, frame.length);
    if (memcmp(again, bytes, FRAME_HEADER) != 0)
        abort();
}

static void (*const targets[])(const uint8_t *, size_t, struct arena *) = {
    try_header, try_hello,   try_load,   try_progress, try_loaded,  try_inspected,
    try_texts,  try_vectors, try_counts, try_rerank,   try_scores,  try_generate,
    try_tokens, try_done,    try_parse,  try_parsed,   try_stats,   try_forecast,
    try_probed, try_path,    try_err,    try_devices,  try_threads,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct arena arena;
    arena_init(&arena, ARENA_MAX);
    targets[data[0] % (sizeof(targets) / sizeof(targets[0]))](data + 1, size - 1, &arena);
    arena_free(&arena);
    return 0;
}
