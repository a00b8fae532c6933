/* gguf_make.h - tiny models for tests, written through gguf.h: the whole path from a text to an answer runs with
 * them offline, in milliseconds.
 *
 * tiny-chat.gguf    llama, 2 layers of 64, context 512, seeded random weights. Byte-level BPE whose 256 bytes are
 *                   tokens and whose few merges are ASCII, so that every other character is split over tokens.
 *                   ChatML template. It babbles; equal seeds babble equally.
 * tiny-embed.gguf   BERT, 2 weak layers of 64, mean pooling, context 512. WordPiece over some hundred English and
 *                   Spanish words (translations share a vector) and pieces of two letters for all others. Texts
 *                   that share words, or their translations, have the higher cosine; stop words hardly count.
 * tiny-rerank.gguf  BERT cross-encoder, pooling RANK, same vocabulary, random weights: scores mean nothing, but are
 *                   equal for equal pairs.
 *
 * Owner:   nothing is kept. Threads: one at a time. Fails: false with err (no memory, disk).
 */
#ifndef JARVIS_TESTS_GGUF_MAKE_H
#define JARVIS_TESTS_GGUF_MAKE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum { GGUF_MAKE_WIDTH = 64, GGUF_MAKE_CONTEXT = 512 };

#define GGUF_MAKE_CHAT   "tiny-chat.gguf"
#define GGUF_MAKE_EMBED  "tiny-embed.gguf"
#define GGUF_MAKE_RERANK "tiny-rerank.gguf"

bool gguf_make_chat(const char *path, uint64_t seed, struct err *err);
bool gguf_make_embed(const char *path, uint64_t seed, struct err *err);
bool gguf_make_rerank(const char *path, uint64_t seed, struct err *err);

/* All three, under the names above, in a folder that exists. */
bool gguf_make_all(const char *directory, struct err *err);

#endif
