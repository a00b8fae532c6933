/* static_embed.h - the house embedder: a vector of a text is the sum of its pieces' vectors, brought to unit length.
 *
 * Purpose: embeds in microseconds, without libllama, from a file of a few megabytes: GGUF of the architecture
 *   "jarvis-static" (its keys are listed in tools/train/static_model.py, which writes it). Each piece has a row of int8
 *   and a scale; how much a piece weighs is in its scale, so the sum is the weighted mean that the model was trained
 *   for. No neighbour counts and no order.
 * Owner:   static_embed_close() frees what static_embed_open() made; the file is not kept open.
 * Threads: any number may use an open one.
 * Fails:   as gguf_check(); ERR_MODEL_INVALID names what is missing or wrong; ERR_UNSUPPORTED for another role than
 *          embedding; ERR_NO_MEMORY.
 */
#ifndef JARVIS_ENGINE_STATIC_EMBED_H
#define JARVIS_ENGINE_STATIC_EMBED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "engine/static_tokenizer.h"

#define STATIC_ARCHITECTURE "jarvis-static"

enum {
    STATIC_DIMENSIONS_MAX = 4096,
    STATIC_CONTEXT_MAX = 8192, /* pieces of a text that count, at most */
};

struct static_embed {
    struct static_tokenizer tokenizer;
    int8_t *rows; /* pieces x dimensions, row major */
    float *scale; /* of each piece */
    uint32_t pieces;
    uint32_t dimensions;
    uint32_t context_length; /* pieces of a text that count, <= STATIC_CONTEXT_MAX */
    uint64_t file_bytes;
};

/* Whether a file says at its beginning that it is of this architecture. False also when it cannot be read: whoever
 * opens it then says why. */
bool static_embed_is(const char *path);

bool static_embed_open(const char *path, struct static_embed *ret, struct err *err);
void static_embed_close(struct static_embed *model);

/* The unit vector of text[0..length) to out[0..dimensions); zeros for a text without any piece. Returns how many pieces
 * the text has: those past context_length did not count. */
size_t static_embed_text(const struct static_embed *model, const char *text, size_t length,
                         float *out);

#endif
