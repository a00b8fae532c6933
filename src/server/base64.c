#include "server/base64.h"

#include <stdint.h>

static void encode_group(const uint8_t *bytes, size_t count, char out[4])
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t bits = (uint32_t)bytes[0] << 16;
    if (count > 1)
        bits |= (uint32_t)bytes[1] << 8;
    if (count > 2)
        bits |= bytes[2];
    out[0] = alphabet[bits >> 18];
    out[1] = alphabet[(bits >> 12) & 63];
    out[2] = count > 1 ? alphabet[(bits >> 6) & 63] : '=';
    out[3] = count > 2 ? alphabet[bits & 63] : '=';
}

void base64_encode(const void *bytes, size_t length, struct str *out)
{
    const uint8_t *at = bytes;
    char group[4];
    for (; length >= 3; at += 3, length -= 3) {
        encode_group(at, 3, group);
        str_append(out, group, sizeof(group));
    }
    if (length > 0) {
        encode_group(at, length, group);
        str_append(out, group, sizeof(group));
    }
}
