#include "base/utf8.h"

#include <string.h>

/* Length of a character by its first byte; 0 for a byte that cannot begin one. */
static int sequence_length(unsigned char first)
{
    if (first < 0x80)
        return 1;
    if (first >= 0xc2 && first <= 0xdf)
        return 2;
    if ((first & 0xf0) == 0xe0)
        return 3;
    if (first >= 0xf0 && first <= 0xf4)
        return 4;
    return 0;
}

/* Whether `second` may follow `first`: here overlong forms, surrogates and points above U+10FFFF end. */
static bool second_byte_ok(unsigned char first, unsigned char second)
{
    switch (first) {
    case 0xe0: return second >= 0xa0 && second <= 0xbf;
    case 0xed: return second >= 0x80 && second <= 0x9f;
    case 0xf0: return second >= 0x90 && second <= 0xbf;
    case 0xf4: return second >= 0x80 && second <= 0x8f;
    default: return (second & 0xc0) == 0x80;
    }
}

int utf8_decode(const char *text, size_t length, uint32_t *ret_point)
{
    if (length == 0)
        return -1;
    const unsigned char *bytes = (const unsigned char *)text;
    int size = sequence_length(bytes[0]);
    if (size == 0)
        return 0;
    if (size == 1) {
        *ret_point = bytes[0];
        return 1;
    }
    uint32_t point = bytes[0] & (0x7fU >> size);
    for (int i = 1; i < size; i++) {
        if ((size_t)i >= length)
            return -1;
        bool ok = i == 1 ? second_byte_ok(bytes[0], bytes[1]) : (bytes[i] & 0xc0) == 0x80;
        if (!ok)
            return 0;
        point = point << 6 | (bytes[i] & 0x3fU);
    }
    *ret_point = point;
    return size;
}

size_t utf8_encode(uint32_t point, char out[4])
{
    if (point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff))
        point = 0xfffd;
    if (point < 0x80) {
        out[0] = (char)point;
        return 1;
    }
    if (point < 0x800) {
        out[0] = (char)(0xc0 | point >> 6);
        out[1] = (char)(0x80 | (point & 0x3f));
        return 2;
    }
    if (point < 0x10000) {
        out[0] = (char)(0xe0 | point >> 12);
        out[1] = (char)(0x80 | (point >> 6 & 0x3f));
        out[2] = (char)(0x80 | (point & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | point >> 18);
    out[1] = (char)(0x80 | (point >> 12 & 0x3f));
    out[2] = (char)(0x80 | (point >> 6 & 0x3f));
    out[3] = (char)(0x80 | (point & 0x3f));
    return 4;
}

size_t utf8_valid_prefix(const char *text, size_t length)
{
    size_t at = 0;
    uint32_t point;
    while (at < length) {
        int size = utf8_decode(text + at, length - at, &point);
        if (size <= 0)
            break;
        at += (size_t)size;
    }
    return at;
}

bool utf8_valid(const char *text, size_t length)
{
    return utf8_valid_prefix(text, length) == length;
}

size_t utf8_floor(const char *text, size_t length, size_t at)
{
    if (at >= length)
        return length;
    while (at > 0 && ((unsigned char)text[at] & 0xc0) == 0x80)
        at--;
    return at;
}

void utf8_trim_partial(char *text)
{
    size_t length = strlen(text);
    size_t start = length;
    while (start > 0 && length - start < 4 && ((unsigned char)text[start - 1] & 0xc0) == 0x80)
        start--;
    if (start == 0)
        return;
    uint32_t point;
    if (utf8_decode(text + start - 1, length - start + 1, &point) == -1)
        text[start - 1] = '\0';
}
