#include "ipc/wire.h"

#include <string.h>

#include "base/utf8.h"

/* ---------------------------------------------------------------- writing */

static void put_le(struct str *out, uint64_t value, size_t size)
{
    uint8_t bytes[8];
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(value >> (8 * i));
    str_append(out, bytes, size);
}

void wire_put_u8(struct str *out, uint8_t value)
{
    put_le(out, value, 1);
}

void wire_put_u32(struct str *out, uint32_t value)
{
    put_le(out, value, 4);
}

void wire_put_u64(struct str *out, uint64_t value)
{
    put_le(out, value, 8);
}

void wire_put_i32(struct str *out, int32_t value)
{
    put_le(out, (uint32_t)value, 4);
}

void wire_put_f32(struct str *out, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    put_le(out, bits, 4);
}

void wire_put_f64(struct str *out, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    put_le(out, bits, 8);
}

/* The u32 in front of bytes and arrays; what no u32 holds is past every limit anyway. */
static bool put_length(struct str *out, size_t length)
{
    if (length > UINT32_MAX) {
        out->failed = out->overflowed = true;
        return false;
    }
    wire_put_u32(out, (uint32_t)length);
    return true;
}

void wire_put_bytes(struct str *out, const void *bytes, size_t length)
{
    if (put_length(out, length))
        str_append(out, bytes, length);
}

/* Appends text with each byte that is not UTF-8 replaced, and its length, known only afterwards, before it. */
static void put_repaired(struct str *out, const char *text, size_t length)
{
    size_t length_at = out->length;
    wire_put_u32(out, 0);
    size_t start = out->length;
    for (size_t at = 0; at < length;) {
        size_t valid = utf8_valid_prefix(text + at, length - at);
        str_append(out, text + at, valid);
        at += valid;
        if (at < length) {
            str_append(out, "\xef\xbf\xbd", 3);
            at++;
        }
    }
    size_t written = out->length - start;
    if (written > UINT32_MAX)
        out->failed = out->overflowed = true;
    if (!str_ok(out))
        return;
    for (size_t i = 0; i < 4; i++)
        out->data[length_at + i] = (char)(written >> (8 * i));
}

void wire_put_text(struct str *out, const char *text)
{
    size_t length = text ? strlen(text) : 0;
    if (utf8_valid(text ? text : "", length))
        wire_put_bytes(out, text, length);
    else
        put_repaired(out, text, length);
}

void wire_put_f32s(struct str *out, const float *values, size_t count)
{
    if (!put_length(out, count))
        return;
    if (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__) {
        str_append(out, values, count * sizeof(float));
        return;
    }
    for (size_t i = 0; i < count; i++)
        wire_put_f32(out, values[i]);
}

/* ---------------------------------------------------------------- reading */

void wire_reader_init(struct wire_reader *in, const void *bytes, size_t length)
{
    static const uint8_t nothing[1] = {0};
    const uint8_t *at = bytes ? bytes : nothing;
    *in = (struct wire_reader){.at = at, .end = at + (bytes ? length : 0)};
}

static size_t left(const struct wire_reader *in)
{
    return (size_t)(in->end - in->at);
}

/* The next `size` bytes; NULL and failed when there are fewer. */
static const uint8_t *take(struct wire_reader *in, size_t size)
{
    if (in->failed || left(in) < size) {
        in->failed = true;
        return NULL;
    }
    const uint8_t *bytes = in->at;
    in->at += size;
    return bytes;
}

static uint64_t get_le(struct wire_reader *in, size_t size)
{
    const uint8_t *bytes = take(in, size);
    uint64_t value = 0;
    for (size_t i = 0; bytes && i < size; i++)
        value |= (uint64_t)bytes[i] << (8 * i);
    return value;
}

uint8_t wire_get_u8(struct wire_reader *in)
{
    return (uint8_t)get_le(in, 1);
}

bool wire_get_bool(struct wire_reader *in)
{
    uint8_t value = wire_get_u8(in);
    if (value > 1)
        in->failed = true;
    return value == 1;
}

uint32_t wire_get_u32(struct wire_reader *in)
{
    return (uint32_t)get_le(in, 4);
}

uint32_t wire_get_choice(struct wire_reader *in, uint32_t count)
{
    uint32_t value = wire_get_u8(in);
    if (value < count)
        return value;
    in->failed = true;
    return 0;
}

uint64_t wire_get_u64(struct wire_reader *in)
{
    return get_le(in, 8);
}

int32_t wire_get_i32(struct wire_reader *in)
{
    uint32_t bits = wire_get_u32(in);
    int32_t value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

float wire_get_f32(struct wire_reader *in)
{
    uint32_t bits = wire_get_u32(in);
    float value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

double wire_get_f64(struct wire_reader *in)
{
    uint64_t bits = wire_get_u64(in);
    double value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

const uint8_t *wire_get_bytes(struct wire_reader *in, size_t *ret_length)
{
    uint32_t length = wire_get_u32(in);
    const uint8_t *bytes = take(in, length);
    *ret_length = bytes ? length : 0;
    return bytes;
}

const char *wire_get_text(struct wire_reader *in, struct arena *arena)
{
    size_t length;
    const char *bytes = (const char *)wire_get_bytes(in, &length);
    if (!bytes)
        return "";
    if (memchr(bytes, '\0', length) || !utf8_valid(bytes, length)) {
        in->failed = true;
        return "";
    }
    const char *copy = arena_copy_n(arena, bytes, length);
    if (!copy)
        in->failed = true;
    return copy ? copy : "";
}

uint32_t wire_get_count(struct wire_reader *in, size_t item_size, uint32_t max)
{
    uint32_t count = wire_get_u32(in);
    if (count > max || (item_size > 0 && count > left(in) / item_size))
        in->failed = true;
    return in->failed ? 0 : count;
}

const float *wire_get_f32s(struct wire_reader *in, struct arena *arena, uint32_t *ret_count)
{
    *ret_count = 0;
    uint32_t count = wire_get_count(in, sizeof(float), UINT32_MAX);
    float *values = in->failed ? NULL : arena_array(arena, count, sizeof(float));
    if (!values) {
        in->failed = true;
        return NULL;
    }
    for (uint32_t i = 0; i < count; i++)
        values[i] = wire_get_f32(in);
    *ret_count = count;
    return values;
}

bool wire_done(const struct wire_reader *in, const char *what, struct err *err)
{
    if (!in->failed && in->at == in->end)
        return true;
    return err_set(err, ERR_PROTOCOL,
                   "the other process sent a malformed %s message; try again, and report it if it "
                   "stays",
                   what);
}
