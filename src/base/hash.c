#include "base/hash.h"

#include <blake3.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

struct hash hash_bytes(const void *bytes, size_t length)
{
    struct hash out;
    blake3_hasher hasher;
    blake3_hasher_init(&hasher);
    blake3_hasher_update(&hasher, bytes, length);
    blake3_hasher_finalize(&hasher, out.bytes, sizeof(out.bytes));
    return out;
}

bool hash_file(const char *path, struct hash *ret, struct err *err)
{
    return hash_file_cancellable(path, NULL, ret, err);
}

bool hash_file_cancellable(const char *path, struct cancel *cancel, struct hash *ret,
                           struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set_errno(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno,
                             "cannot open \"%s\"", path);
    blake3_hasher hasher;
    blake3_hasher_init(&hasher);
    char buffer[64 * 1024];
    ssize_t got = 0;
    while (!cancel_is_set(cancel) && (got = read(fd, buffer, sizeof(buffer))) > 0)
        blake3_hasher_update(&hasher, buffer, (size_t)got);
    int failed = errno;
    close(fd);
    if (got < 0)
        return err_set_errno(err, ERR_IO, failed, "cannot read \"%s\"", path);
    if (cancel_is_set(cancel))
        return cancel_error(err);
    blake3_hasher_finalize(&hasher, ret->bytes, sizeof(ret->bytes));
    return true;
}

static void hex(const uint8_t *bytes, size_t count, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < count; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[2 * count] = '\0';
}

void hash_hex(const struct hash *hash, char out[HASH_HEX])
{
    hex(hash->bytes, HASH_BYTES, out);
}

bool hash_equal(const struct hash *a, const struct hash *b)
{
    return memcmp(a->bytes, b->bytes, HASH_BYTES) == 0;
}

void hash_random(void *out, size_t length)
{
    uint8_t *to = out;
    while (length > 0) {
        ssize_t got = getrandom(to, length, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            fputs("jarvis: the kernel gives no random bytes\n", stderr);
            abort();
        }
        to += got;
        length -= (size_t)got;
    }
}

void hash_random_id(const char *prefix, char out[ID_MAX])
{
    uint8_t bytes[12];
    hash_random(bytes, sizeof(bytes));
    char digits[2 * sizeof(bytes) + 1];
    hex(bytes, sizeof(bytes), digits);
    snprintf(out, ID_MAX, "%.20s%s", prefix, digits);
}

bool hash_secret_equal(const void *a, const void *b, size_t length)
{
    const volatile uint8_t *x = a;
    const volatile uint8_t *y = b;
    uint8_t difference = 0;
    for (size_t i = 0; i < length; i++)
        difference |= x[i] ^ y[i];
    return difference == 0;
}
