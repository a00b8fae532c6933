/* hash.h - content identity (BLAKE3) and random identifiers.
 *
 * Threads: safe from any. Fails: hash_random_id() aborts only if the kernel has no randomness.
 */
#ifndef JARVIS_BASE_HASH_H
#define JARVIS_BASE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/thread.h"

enum { HASH_BYTES = 32, HASH_HEX = HASH_BYTES * 2 + 1, ID_MAX = 48 };

struct hash {
    uint8_t bytes[HASH_BYTES];
};

/* BLAKE3 of some bytes. */
struct hash hash_bytes(const void *bytes, size_t length);

/* BLAKE3 of a whole file, read in pieces. ERR_IO / ERR_NOT_FOUND. */
bool hash_file(const char *path, struct hash *ret, struct err *err);

/* The same, given up with ERR_CANCELLED soon after `cancel` (which may be NULL) has fired. */
bool hash_file_cancellable(const char *path, struct cancel *cancel, struct hash *ret,
                           struct err *err);

void hash_hex(const struct hash *hash, char out[HASH_HEX]);
bool hash_equal(const struct hash *a, const struct hash *b);

/* prefix followed by 24 random hexadecimal digits, e.g. "file-3f…": `out` holds ID_MAX bytes. */
void hash_random_id(const char *prefix, char out[ID_MAX]);

/* `length` bytes from the kernel's generator. */
void hash_random(void *out, size_t length);

/* Compares secrets without telling by time where they differ. */
bool hash_secret_equal(const void *a, const void *b, size_t length);

#endif
