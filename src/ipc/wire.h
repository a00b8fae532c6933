/* wire.h - numbers and strings in payloads, little-endian, bounds checked.
 *
 * Owner:   a writer is a struct str of the caller's; a reader only points into the caller's bytes.
 * Threads: one at a time.
 * Fails:   a reader that runs past the end, or meets a string that is not NUL-free UTF-8 where one is required,
 *          turns `failed` and returns zeros from then on; check once with wire_done().
 */
#ifndef JARVIS_IPC_WIRE_H
#define JARVIS_IPC_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

void wire_put_u8(struct str *out, uint8_t value);
void wire_put_u32(struct str *out, uint32_t value);
void wire_put_u64(struct str *out, uint64_t value);
void wire_put_i32(struct str *out, int32_t value);
void wire_put_f32(struct str *out, float value);
void wire_put_f64(struct str *out, double value);
void wire_put_bytes(struct str *out, const void *bytes, size_t length); /* u32 length, bytes */

/* As bytes, without the NUL; NULL as "". Bytes that are not UTF-8 (a file name may hold any) become U+FFFD, so
 * that a decoder takes whatever an encoder made. */
void wire_put_text(struct str *out, const char *text);

void wire_put_f32s(struct str *out, const float *values, size_t count); /* u32 count, values */

struct wire_reader {
    const uint8_t *at;
    const uint8_t *end;
    bool failed;
};

void wire_reader_init(struct wire_reader *in, const void *bytes, size_t length);
uint8_t wire_get_u8(struct wire_reader *in);
bool wire_get_bool(struct wire_reader *in); /* a u8 that must be 0 or 1 */
uint32_t wire_get_u32(struct wire_reader *in);
uint32_t wire_get_choice(struct wire_reader *in, uint32_t count); /* a u8 that must be < count */
uint64_t wire_get_u64(struct wire_reader *in);
int32_t wire_get_i32(struct wire_reader *in);
float wire_get_f32(struct wire_reader *in);
double wire_get_f64(struct wire_reader *in);

/* Points into the reader's bytes; NULL (and length 0) on failure. */
const uint8_t *wire_get_bytes(struct wire_reader *in, size_t *ret_length);

/* A NUL-terminated copy in the arena; "" on failure. Fails on bytes that are not UTF-8 or hold a NUL, and when
 * the arena is full. */
const char *wire_get_text(struct wire_reader *in, struct arena *arena);

/* A count of items that each take at least `item_size` bytes: fails when so many cannot be left. */
uint32_t wire_get_count(struct wire_reader *in, size_t item_size, uint32_t max);

/* Copies `count` floats announced by wire_put_f32s; NULL on failure. In the arena. */
const float *wire_get_f32s(struct wire_reader *in, struct arena *arena, uint32_t *ret_count);

/* True when nothing failed and nothing is left; else ERR_PROTOCOL naming `what`. */
bool wire_done(const struct wire_reader *in, const char *what, struct err *err);

#endif
