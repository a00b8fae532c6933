/* How it works. Every decoder walks the bytes once. What is the same in UTF-8 (ASCII, or valid UTF-8) is copied in
 * stretches; every other character is converted alone and gets a run of its own, so that its place in the file stays
 * known. iconv is asked for one character at a time for the same reason: it is given one byte, then two, and so on
 * until it takes them. */
#include "engine/charset.h"

#include <errno.h>
#include <iconv.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/utf8.h"
#include "config.h"

enum {
    REPLACEMENT = 0xfffd,
    ICONV_CHARACTER_MAX =
        16, /* bytes of one character with its shift sequences, and of what it becomes */
};

/* ---------------------------------------------------------------- what the decoders write */

struct sink {
    struct charset_text *out;
    size_t damage_end; /* where the last stretch of damage ends in the file */
};

static void put_same(struct sink *sink, const uint8_t *bytes, size_t from, size_t to)
{
    if (from == to)
        return;
    text_map_add(&sink->out->map, sink->out->text.length, from, true);
    str_append(&sink->out->text, bytes + from, to - from);
}

static void put_converted(struct sink *sink, const char *text, size_t length, size_t at)
{
    text_map_add(&sink->out->map, sink->out->text.length, at, false);
    str_append(&sink->out->text, text, length);
}

/* Bytes from..to have no meaning: one U+FFFD for all that stand together. */
static void put_damage(struct sink *sink, size_t from, size_t to)
{
    char text[4];
    if (sink->damage_end != from || from == 0)
        put_converted(sink, text, utf8_encode(REPLACEMENT, text), from);
    sink->damage_end = to;
    sink->out->damaged += to - from;
}

static void put_point(struct sink *sink, uint32_t point, size_t from, size_t to)
{
    char text[4];
    if (point == 0 || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff))
        put_damage(sink, from, to);
    else
        put_converted(sink, text, utf8_encode(point, text), from);
}

/* ---------------------------------------------------------------- Unicode */

static void decode_utf8(struct sink *sink, const uint8_t *bytes, size_t at, size_t length)
{
    size_t same = at;
    while (at < length) {
        uint32_t point = 0;
        int size = bytes[at] < 0x80 ? bytes[at] != 0
                                    : utf8_decode((const char *)bytes + at, length - at, &point);
        if (size > 0) {
            at += (size_t)size;
            continue;
        }
        put_same(sink, bytes, same, at);
        put_damage(sink, at, at + 1);
        same = ++at;
    }
    put_same(sink, bytes, same, length);
}

static uint32_t unit16(const uint8_t *bytes, bool big_endian)
{
    return big_endian ? (uint32_t)bytes[0] << 8 | bytes[1] : (uint32_t)bytes[1] << 8 | bytes[0];
}

static void decode_utf16(struct sink *sink, const uint8_t *bytes, size_t at, size_t length,
                         bool big_endian)
{
    while (length - at >= 2) {
        uint32_t point = unit16(bytes + at, big_endian);
        size_t size = 2;
        if ((point & 0xfc00) == 0xd800 && length - at >= 4) {
            uint32_t low = unit16(bytes + at + 2, big_endian);
            if ((low & 0xfc00) == 0xdc00) {
                point = 0x10000 + ((point & 0x3ff) << 10 | (low & 0x3ff));
                size = 4;
            }
        }
        put_point(sink, point, at, at + size);
        at += size;
    }
    if (at < length)
        put_damage(sink, at, length);
}

static void decode_utf32(struct sink *sink, const uint8_t *bytes, size_t at, size_t length,
                         bool big_endian)
{
    for (; length - at >= 4; at += 4) {
        uint32_t first = unit16(bytes + at, big_endian);
        uint32_t second = unit16(bytes + at + 2, big_endian);
        put_point(sink, big_endian ? first << 16 | second : second << 16 | first, at, at + 4);
    }
    if (at < length)
        put_damage(sink, at, length);
}

/* ---------------------------------------------------------------- Windows-1252 */

uint32_t charset_windows_1252(uint8_t byte)
{
    /* 0x80 to 0x9f, as the Unicode Consortium's CP1252.TXT has them; the rest is ISO-8859-1. */
    static const uint16_t points[32] = {
        0x20ac,      REPLACEMENT, 0x201a, 0x0192, 0x201e, 0x2026,      0x2020, 0x2021,
        0x02c6,      0x2030,      0x0160, 0x2039, 0x0152, REPLACEMENT, 0x017d, REPLACEMENT,
        REPLACEMENT, 0x2018,      0x2019, 0x201c, 0x201d, 0x2022,      0x2013, 0x2014,
        0x02dc,      0x2122,      0x0161, 0x203a, 0x0153, REPLACEMENT, 0x017e, 0x0178,
    };
    return byte >= 0x80 && byte < 0xa0 ? points[byte - 0x80] : byte;
}

static void decode_windows_1252(struct sink *sink, const uint8_t *bytes, size_t at, size_t length)
{
    size_t same = at;
    for (; at < length; at++) {
        if (bytes[at] != 0 && bytes[at] < 0x80)
            continue;
        put_same(sink, bytes, same, at);
        uint32_t point = charset_windows_1252(bytes[at]);
        put_point(sink, point == REPLACEMENT ? 0 : point, at, at + 1);
        same = at + 1;
    }
    put_same(sink, bytes, same, length);
}

/* ---------------------------------------------------------------- iconv */

struct charset_converter {
    iconv_t handle;
    bool same[128]; /* the byte stands for itself wherever a character begins */
    bool holds;     /* keeps a character back until it sees whether an accent follows */
    char name[CHARSET_NAME_MAX];
};

/* Converts the character at bytes[0..left). Returns how many bytes it takes, 0 when they are no character; the text
 * (none for a shift sequence alone) goes to out[0..*ret_length). */
static size_t convert_one(const struct charset_converter *converter, const uint8_t *bytes,
                          size_t left, char out[ICONV_CHARACTER_MAX], size_t *ret_length)
{
    size_t most = left < ICONV_CHARACTER_MAX ? left : ICONV_CHARACTER_MAX;
    *ret_length = 0;
    for (size_t give = 1; give <= most; give++) {
        char *in = (char *)(uintptr_t)bytes;
        char *to = out;
        size_t in_left = give;
        size_t room = ICONV_CHARACTER_MAX;
        size_t result = iconv(converter->handle, &in, &in_left, &to, &room);
        int reason = errno;
        if (in_left < give) {
            *ret_length = ICONV_CHARACTER_MAX - room;
            return give - in_left;
        }
        if (result == (size_t)-1 && reason != EINVAL)
            break;
    }
    return 0;
}

/* Finds which bytes of ASCII stand for themselves. In encodings that shift between tables with escapes none can be
 * trusted: any byte may be part of another character. */
static void find_same(struct charset_converter *converter)
{
    static const char *const shifting[] = {"iso-2022", "iso2022", "csiso2022",        "hz",
                                           "utf-7",    "utf7",    "unicode-1-1-utf-7"};
    for (size_t i = 0; i < sizeof(shifting) / sizeof(*shifting); i++)
        if (strncasecmp(converter->name, shifting[i], strlen(shifting[i])) == 0)
            return;
    for (int byte = 1; byte < 128; byte++) {
        uint8_t in = (uint8_t)byte;
        char out[ICONV_CHARACTER_MAX];
        size_t length = 0;
        iconv(converter->handle, NULL, NULL, NULL, NULL);
        size_t taken = convert_one(converter, &in, 1, out, &length);
        converter->same[byte] = taken == 1 && length == 1 && out[0] == byte;
        converter->holds |= taken == 1 && length == 0;
    }
    if (converter->holds)
        memset(converter->same, 0, sizeof(converter->same));
}

/* Names go to iconv_open(), which gives '/' a meaning. */
static bool name_is_plain(const char *name)
{
    size_t length = strlen(name);
    return length > 0 && length < CHARSET_NAME_MAX &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.+") ==
               length;
}

void charset_find_modules(void)
{
    if (*JARVIS_GCONV_PATH)
        setenv("GCONV_PATH", JARVIS_GCONV_PATH, 0); /* allow(setenv): no other thread yet */
}

bool charset_open(const char *name, struct charset_converter **ret, struct err *err)
{
    iconv_t handle = name_is_plain(name) ? iconv_open("UTF-8", name) : (iconv_t)-1;
    if (handle == (iconv_t)-1)
        return err_set(err, ERR_DOCUMENT,
                       "the document is in the encoding \"%.40s\", which this system's iconv does "
                       "not know; convert the file to UTF-8",
                       name);
    struct charset_converter *converter = calloc(1, sizeof(*converter));
    if (!converter) {
        iconv_close(handle);
        return err_no_memory(err);
    }
    converter->handle = handle;
    memcpy(converter->name, name, strlen(name) + 1);
    find_same(converter);
    *ret = converter;
    return true;
}

void charset_close(struct charset_converter *converter)
{
    if (!converter)
        return;
    iconv_close(converter->handle);
    free(converter);
}

bool charset_is(const struct charset_converter *converter, const char *name)
{
    return converter && strcasecmp(converter->name, name) == 0;
}

/* Where iconv is in the file. What it gives may come from bytes that it took before: of a shift sequence, or of a
 * character that it held back. */
struct progress {
    size_t at;
    size_t begin;  /* of the bytes that it has taken since it last gave something */
    size_t before; /* of the character that it took before */
};

/* Takes over what iconv made of bytes up to `to`; its text is not trusted to be UTF-8. */
static void put_iconv(struct sink *sink, const struct charset_converter *converter,
                      const struct progress *progress, const char *text, size_t length, size_t to)
{
    size_t from = converter->holds ? progress->before : progress->begin;
    if (memchr(text, 0, length) || !utf8_valid(text, length))
        put_damage(sink, progress->at, to);
    else
        put_converted(sink, text, length, from);
}

/* Converts the character at progress->at, or passes a byte that is none. */
static void step_iconv(struct sink *sink, const struct charset_converter *converter,
                       const uint8_t *bytes, size_t length, struct progress *progress)
{
    char text[ICONV_CHARACTER_MAX];
    size_t text_length = 0;
    size_t at = progress->at;
    size_t size = convert_one(converter, bytes + at, length - at, text, &text_length);
    if (size == 0)
        put_damage(sink, at, at + 1);
    else if (text_length > 0)
        put_iconv(sink, converter, progress, text, text_length, at + size);
    progress->at += size > 0 ? size : 1;
    if (size == 0 || text_length > 0)
        progress->begin = progress->at;
    progress->before = at;
}

static void decode_iconv(struct sink *sink, const struct charset_converter *converter,
                         const uint8_t *bytes, size_t length)
{
    struct progress progress = {0};
    size_t same = 0;
    iconv(converter->handle, NULL, NULL, NULL, NULL);
    while (progress.at < length) {
        uint8_t byte = bytes[progress.at];
        if (byte < 128 && converter->same[byte]) {
            progress.begin = ++progress.at;
            continue;
        }
        put_same(sink, bytes, same, progress.at);
        step_iconv(sink, converter, bytes, length, &progress);
        same = progress.at;
    }
    put_same(sink, bytes, same, length);
    char text[ICONV_CHARACTER_MAX];
    char *to = text;
    size_t room = sizeof(text);
    if (iconv(converter->handle, NULL, NULL, &to, &room) != (size_t)-1 && room < sizeof(text)) {
        progress.begin = progress.before;
        put_iconv(sink, converter, &progress, text, sizeof(text) - room, length);
    }
}

/* ---------------------------------------------------------------- the whole */

static void decode(struct sink *sink, const struct charset_guess *guess,
                   const struct charset_converter *converter, const uint8_t *bytes, size_t length)
{
    size_t at = guess->skip < length ? guess->skip : length;
    switch (guess->kind) {
    case CHARSET_UTF8: decode_utf8(sink, bytes, at, length); break;
    case CHARSET_UTF16_LE: decode_utf16(sink, bytes, at, length, false); break;
    case CHARSET_UTF16_BE: decode_utf16(sink, bytes, at, length, true); break;
    case CHARSET_UTF32_LE: decode_utf32(sink, bytes, at, length, false); break;
    case CHARSET_UTF32_BE: decode_utf32(sink, bytes, at, length, true); break;
    case CHARSET_WINDOWS_1252: decode_windows_1252(sink, bytes, at, length); break;
    case CHARSET_ICONV: decode_iconv(sink, converter, bytes, length); break;
    }
}

bool charset_decode(const struct charset_guess *guess, const struct charset_converter *converter,
                    const uint8_t *bytes, size_t length, size_t max, struct charset_text *ret,
                    struct err *err)
{
    struct charset_text out = {0};
    str_init(&out.text, max);
    text_map_init(&out.map, TEXT_MAP_RUNS_MAX);
    struct sink sink = {.out = &out};
    decode(&sink, guess, converter, bytes, length);
    if (str_ok(&out.text) && !out.map.failed) {
        *ret = out;
        return true;
    }
    bool too_large = out.text.overflowed;
    charset_text_free(&out);
    if (!too_large)
        return err_no_memory(err);
    return err_set(err, ERR_TOO_LARGE, "the text of the document is larger than %zu MiB; split it",
                   max >> 20);
}

void charset_text_free(struct charset_text *text)
{
    str_free(&text->text);
    text_map_free(&text->map);
}
