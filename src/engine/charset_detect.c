/* How it works. The order of the questions is what makes the answer good: bytes that are valid UTF-8 and hold
 * characters beyond ASCII are practically never anything else, whatever the document declares; zero bytes in a
 * regular pattern are UTF-16 or UTF-32; only then is a declaration believed, and only for an encoding in which it
 * could have been read. */
#include "engine/charset.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/utf8.h"

enum {
    HEAD_MAX = 4096,    /* bytes at the beginning that may hold a declaration */
    TAIL_MAX = 1024,    /* bytes at the end that may hold Vim's */
    SAMPLE_MAX = 65536, /* bytes looked at for the pattern of zero bytes */
    FORGIVEN_PART =
        8, /* damaged UTF-8 is still UTF-8 when one in so many characters is damaged, or fewer */
    ZERO_PART =
        200, /* UTF-16 has at least one zero byte in so many characters: spaces and line ends */
};

/* ---------------------------------------------------------------- byte order marks */

struct mark {
    const char *bytes;
    size_t length;
    enum charset_kind kind;
    const char *name;
};

/* The longer marks first: UTF-32's begins with UTF-16's. */
static const struct mark marks[] = {
    {"\xef\xbb\xbf", 3, CHARSET_UTF8, "UTF-8"},
    {"\xff\xfe\0\0", 4, CHARSET_UTF32_LE, "UTF-32LE"},
    {"\0\0\xfe\xff", 4, CHARSET_UTF32_BE, "UTF-32BE"},
    {"\xff\xfe", 2, CHARSET_UTF16_LE, "UTF-16LE"},
    {"\xfe\xff", 2, CHARSET_UTF16_BE, "UTF-16BE"},
};

static void set(struct charset_guess *ret, enum charset_kind kind, const char *name, size_t skip)
{
    *ret = (struct charset_guess){.kind = kind, .skip = skip};
    snprintf(ret->name, sizeof(ret->name), "%s", name);
}

static bool detect_mark(const uint8_t *bytes, size_t length, struct charset_guess *ret)
{
    for (size_t i = 0; i < sizeof(marks) / sizeof(*marks); i++) {
        if (length < marks[i].length || memcmp(bytes, marks[i].bytes, marks[i].length) != 0)
            continue;
        if (marks[i].kind == CHARSET_UTF32_LE && length % 4 != 0)
            continue; /* UTF-16 that begins with a NUL */
        set(ret, marks[i].kind, marks[i].name, marks[i].length);
        return true;
    }
    return false;
}

/* ---------------------------------------------------------------- UTF-16 and UTF-32 without a mark */

static bool is_text_point(uint32_t point)
{
    bool control = point < 0x20 && point != '\t' && point != '\n' && point != '\r' && point != '\f';
    bool nothing = (point & 0xfffe) == 0xfffe || (point >= 0xfdd0 && point <= 0xfdef);
    return !control && !nothing && point != 0x7f && point <= 0x10ffff;
}

static uint32_t read_unit(const uint8_t *bytes, size_t size, bool big_endian)
{
    uint32_t unit = 0;
    for (size_t i = 0; i < size; i++)
        unit |= (uint32_t)bytes[i] << 8 * (big_endian ? size - 1 - i : i);
    return unit;
}

static bool looks_like_utf32(const uint8_t *bytes, size_t length, bool big_endian)
{
    size_t units = length / 4;
    for (size_t i = 0; i < units; i++) {
        uint32_t point = read_unit(bytes + 4 * i, 4, big_endian);
        if (!is_text_point(point) || (point >= 0xd800 && point <= 0xdfff))
            return false;
    }
    return units > 1;
}

/* Zero bytes in the upper halves and nearly none in the lower, surrogates in pairs, nearly no control characters. */
static bool looks_like_utf16(const uint8_t *bytes, size_t length, bool big_endian)
{
    size_t units = length / 2;
    size_t upper = 0;
    size_t lower = 0;
    size_t odd = 0;
    bool high_before = false;
    for (size_t i = 0; i < units; i++) {
        uint32_t unit = read_unit(bytes + 2 * i, 2, big_endian);
        upper += unit >> 8 == 0;
        lower += (unit & 0xff) == 0;
        bool low = (unit & 0xfc00) == 0xdc00;
        if (low != high_before)
            return false;
        high_before = (unit & 0xfc00) == 0xd800;
        odd += !is_text_point(unit);
    }
    return units > 1 && upper > units / ZERO_PART && lower * 10 <= upper && odd * 50 <= units;
}

static bool detect_wide(const uint8_t *bytes, size_t length, struct charset_guess *ret)
{
    size_t sample = length < SAMPLE_MAX ? length : SAMPLE_MAX;
    if (!memchr(bytes, 0, sample))
        return false;
    if (length % 4 == 0 && looks_like_utf32(bytes, sample, false))
        set(ret, CHARSET_UTF32_LE, "UTF-32LE", 0);
    else if (length % 4 == 0 && looks_like_utf32(bytes, sample, true))
        set(ret, CHARSET_UTF32_BE, "UTF-32BE", 0);
    else if (looks_like_utf16(bytes, sample, false))
        set(ret, CHARSET_UTF16_LE, "UTF-16LE", 0);
    else if (looks_like_utf16(bytes, sample, true))
        set(ret, CHARSET_UTF16_BE, "UTF-16BE", 0);
    else
        return false;
    return true;
}

/* ---------------------------------------------------------------- UTF-8 */

struct census {
    size_t wide;    /* valid characters beyond ASCII */
    size_t damaged; /* bytes that are none */
    bool windows;   /* some byte is 0x80 to 0x9f, where ISO-8859-1 has no characters */
};

static struct census count_utf8(const uint8_t *bytes, size_t length)
{
    struct census out = {0};
    size_t at = 0;
    while (at < length) {
        uint32_t point;
        int size =
            bytes[at] < 0x80 ? 1 : utf8_decode((const char *)bytes + at, length - at, &point);
        out.wide += size > 1;
        out.damaged += size <= 0;
        out.windows |= bytes[at] >= 0x80 && bytes[at] < 0xa0;
        at += size > 0 ? (size_t)size : 1;
    }
    return out;
}

/* ---------------------------------------------------------------- declarations */

/* A piece of the document that is looked at for a declaration. */
struct piece {
    const char *at;
    size_t length;
};

/* Where `word` (in letters of any case) begins in a piece; SIZE_MAX when it is not there. */
static size_t find(struct piece in, const char *word)
{
    size_t length = strlen(word);
    for (size_t i = 0; i + length <= in.length; i++)
        if (strncasecmp(in.at + i, word, length) == 0)
            return i;
    return SIZE_MAX;
}

/* What follows `word`; an empty piece when it is not there. */
static struct piece after(struct piece in, const char *word)
{
    size_t at = find(in, word);
    size_t from = at == SIZE_MAX ? in.length : at + strlen(word);
    return (struct piece){in.at + from, in.length - from};
}

/* What stands before `word`; all when it is not there. */
static struct piece before(struct piece in, const char *word)
{
    size_t at = find(in, word);
    return (struct piece){in.at, at == SIZE_MAX ? in.length : at};
}

static struct piece skip(struct piece in, const char *characters)
{
    while (in.length > 0 && *in.at && strchr(characters, *in.at)) {
        in.at++;
        in.length--;
    }
    return in;
}

/* Copies the name at the beginning of a piece, in lower case; false when there is none or it is too long. */
static bool copy_name(struct piece in, char ret[CHARSET_NAME_MAX])
{
    size_t length = 0;
    while (
        length < in.length && in.at[length] &&
        strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.+", in.at[length]))
        length++;
    if (length == 0 || length >= CHARSET_NAME_MAX)
        return false;
    for (size_t i = 0; i < length; i++) {
        char c = in.at[i];
        ret[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    ret[length] = '\0';
    return true;
}

/* word = name, with or without quotes. */
static bool copy_setting(struct piece in, const char *word, char ret[CHARSET_NAME_MAX])
{
    struct piece value = skip(after(in, word), " \t\r\n");
    if (value.length == 0 || *value.at != '=')
        return false;
    return copy_name(skip(value, "= \t\r\n\"'"), ret);
}

static bool declared_in_xml(struct piece head, char ret[CHARSET_NAME_MAX])
{
    if (head.length < 5 || memcmp(head.at, "<?xml", 5) != 0)
        return false;
    return copy_setting(before(head, "?>"), "encoding", ret);
}

/* The first <meta> outside a comment that says charset=: as an attribute or inside of http-equiv's content. */
static bool declared_in_html(struct piece head, char ret[CHARSET_NAME_MAX])
{
    for (;;) {
        struct piece tag = after(head, "<meta");
        struct piece comment = after(head, "<!--");
        if (tag.length == 0)
            return false;
        if (comment.length > tag.length) {
            head = after(comment, "-->");
            continue;
        }
        if (copy_setting(before(tag, ">"), "charset", ret))
            return true;
        head = tag;
    }
}

/* "coding: NAME" or "coding=NAME" in a line: Emacs between -*-, Python and Ruby in a comment. */
static bool declared_in_line(struct piece line, enum document_format format,
                             char ret[CHARSET_NAME_MAX])
{
    bool emacs = after(line, "-*-").length > 0;
    struct piece start = skip(line, " \t\f");
    bool comment = start.length > 0 && *start.at == '#' && format != DOCUMENT_MARKDOWN &&
                   format != DOCUMENT_TEXT;
    if (!emacs && !comment)
        return false;
    struct piece value = after(line, "coding");
    if (value.length == 0 || (*value.at != ':' && *value.at != '='))
        return false;
    return copy_name(skip(value, ":= \t"), ret);
}

static bool declared_in_cookie(struct piece head, struct piece tail, enum document_format format,
                               char ret[CHARSET_NAME_MAX])
{
    struct piece first = before(head, "\n");
    struct piece second = before(after(head, "\n"), "\n");
    if (declared_in_line(first, format, ret) || declared_in_line(second, format, ret))
        return true;
    struct piece vim = before(after(tail, "vim:"), "\n");
    return copy_setting(vim, "fileencoding", ret) || copy_setting(vim, "fenc", ret);
}

void charset_declared(const uint8_t *bytes, size_t length, enum document_format format,
                      char ret[CHARSET_NAME_MAX])
{
    const char *text = (const char *)bytes;
    struct piece head = {text, length < HEAD_MAX ? length : HEAD_MAX};
    struct piece tail = {text, length};
    if (length > TAIL_MAX)
        tail = (struct piece){text + length - TAIL_MAX, TAIL_MAX};
    bool markup = format == DOCUMENT_HTML || format == DOCUMENT_AUTO;
    bool found =
        length > 0 && (declared_in_xml(head, ret) || (markup && declared_in_html(head, ret)) ||
                       (format != DOCUMENT_HTML && declared_in_cookie(head, tail, format, ret)));
    if (!found)
        ret[0] = '\0';
}

/* ---------------------------------------------------------------- what a declared name means */

/* Emacs appends the kind of line ends. */
static void cut_line_end_kind(char *name)
{
    static const char *const kinds[] = {"-unix", "-dos", "-mac"};
    size_t length = strlen(name);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
        size_t size = strlen(kinds[i]);
        if (length > size && strcmp(name + length - size, kinds[i]) == 0)
            name[length - size] = '\0';
    }
}

static bool one_of(const char *name, const char *const *names)
{
    for (; *names; names++)
        if (strcmp(name, *names) == 0)
            return true;
    return false;
}

/* The names of Windows-1252 and what it holds, as the WHATWG Encoding Standard groups them. */
static bool means_windows_1252(const char *name)
{
    static const char *const names[] = {"windows-1252", "cp1252",     "x-cp1252", "iso-8859-1",
                                        "iso8859-1",    "iso_8859-1", "iso88591", "iso-latin-1",
                                        "latin-1",      "latin1",     "l1",       "us-ascii",
                                        "ascii",        "cp819",      "ibm819",   "csisolatin1",
                                        "8859_1",       "ansi",       NULL};
    return one_of(name, names);
}

/* Names that say nothing about bytes that are not UTF-8: UTF-8 itself is believed, the others cannot be meant,
 * because the declaration was read as ASCII. */
static bool means_utf8(const char *name)
{
    static const char *const names[] = {"utf-8",           "utf8",       "unicode-1-1-utf-8",
                                        "x-unicode20utf8", "mule-utf-8", NULL};
    return one_of(name, names);
}

static bool means_nothing(const char *name)
{
    static const char *const names[] = {"undecided",  "raw-text", "no-conversion",  "binary",
                                        "emacs-mule", "unicode",  "x-user-defined", NULL};
    return one_of(name, names) || strncmp(name, "utf-16", 6) == 0 ||
           strncmp(name, "utf16", 5) == 0 || strncmp(name, "utf-32", 6) == 0 ||
           strncmp(name, "ucs-", 4) == 0 || strncmp(name, "utf-7", 5) == 0;
}

/* 7-bit encodings that are valid UTF-8 byte by byte and still something else: by declaration and by their escapes. */
static bool is_escaped(const uint8_t *bytes, size_t length, const char *declared)
{
    if (strncmp(declared, "iso-2022-", 9) == 0)
        return memchr(bytes, 0x1b, length) != NULL;
    if (strcmp(declared, "hz-gb-2312") == 0 || strcmp(declared, "hz") == 0)
        return memmem(bytes, length, "~{", 2) != NULL;
    return false;
}

void charset_detect(const uint8_t *bytes, size_t length, enum document_format format,
                    struct charset_guess *ret)
{
    set(ret, CHARSET_UTF8, "UTF-8", 0);
    if (length == 0 || detect_mark(bytes, length, ret) || detect_wide(bytes, length, ret))
        return;
    char declared[CHARSET_NAME_MAX];
    charset_declared(bytes, length, format, declared);
    cut_line_end_kind(declared);
    struct census census = count_utf8(bytes, length);
    bool utf8 = census.damaged == 0 || census.wide / FORGIVEN_PART >= census.damaged ||
                means_utf8(declared);
    if (utf8 && !is_escaped(bytes, length, declared))
        set(ret, CHARSET_UTF8, "UTF-8", 0);
    else if (!*declared || means_windows_1252(declared) || means_nothing(declared))
        set(ret, CHARSET_WINDOWS_1252, census.windows ? "windows-1252" : "ISO-8859-1", 0);
    else
        set(ret, CHARSET_ICONV, declared, 0);
}
