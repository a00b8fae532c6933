/* charset.h - from bytes of some encoding to UTF-8, with the way back to the file's bytes.
 *
 * Purpose: finds the encoding of a document and converts it. UTF-8, UTF-16, UTF-32 and Windows-1252 (which holds
 *   ISO-8859-1) are converted here; what a document declares beyond them is converted by libc's iconv, which must
 *   have been opened before the sandbox was closed, because it reads its tables from files.
 * Owner:   a converter is the caller's (charset_close()); a struct charset_text owns its buffers.
 * Threads: a converter by one thread at a time; the rest is pure.
 * Fails:   ERR_DOCUMENT for a name that iconv does not know, ERR_TOO_LARGE, ERR_NO_MEMORY. Damaged bytes do not fail.
 */
#ifndef JARVIS_ENGINE_CHARSET_H
#define JARVIS_ENGINE_CHARSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "engine/parse_map.h"
#include "ipc/protocol.h"

enum { CHARSET_NAME_MAX = 48 };

enum charset_kind {
    CHARSET_UTF8,
    CHARSET_UTF16_LE,
    CHARSET_UTF16_BE,
    CHARSET_UTF32_LE,
    CHARSET_UTF32_BE,
    CHARSET_WINDOWS_1252,
    CHARSET_ICONV, /* `name` is what iconv_open() is to be given */
};

struct charset_guess {
    enum charset_kind kind;
    char name[CHARSET_NAME_MAX]; /* "UTF-8", "ISO-8859-1", or as the document declares it */
    size_t skip;                 /* bytes of the byte order mark */
};

/* Looks, in this order, for a byte order mark; for bytes that are UTF-8 (a few damaged places are forgiven), unless
 * the document declares a 7-bit encoding with escapes; for the pattern of zero bytes of UTF-16 and UTF-32; for what
 * the document declares (HTML's meta, the XML declaration, the coding cookies of Emacs, Vim and Python). What is
 * left is Windows-1252. `format` tells where declarations may stand; DOCUMENT_AUTO looks for all. */
void charset_detect(const uint8_t *bytes, size_t length, enum document_format format,
                    struct charset_guess *ret);

/* The name that the document's first bytes declare, in lower case and only of letters, digits and "-_.+"; ""
 * for none. Part of charset_detect(). */
void charset_declared(const uint8_t *bytes, size_t length, enum document_format format,
                      char ret[CHARSET_NAME_MAX]);

/* The code point of a byte of Windows-1252; U+FFFD for the five that it does not have. */
uint32_t charset_windows_1252(uint8_t byte);

struct charset_converter;

/* Tells libc where iconv's modules are when the build names a folder (JARVIS_GCONV_PATH) and the environment names
 * none. At the beginning of a process, while it has one thread. */
void charset_find_modules(void);

/* Opens iconv from `name`, after charset_find_modules() and before the sandbox is closed. */
bool charset_open(const char *name, struct charset_converter **ret, struct err *err);
void charset_close(struct charset_converter *converter); /* NULL is fine */

/* Whether `converter` (NULL: none) is the one for `name`, in letters of any case. */
bool charset_is(const struct charset_converter *converter, const char *name);

struct charset_text {
    struct str text;     /* UTF-8 without NUL */
    struct text_map map; /* from `text` to the bytes */
    size_t
        damaged; /* bytes that could not be converted, NULs included: each stretch became one U+FFFD */
};

/* Converts bytes[0..length). `converter` is used (and must be for guess->name) for CHARSET_ICONV only. At most `max`
 * bytes of text, else ERR_TOO_LARGE. */
bool charset_decode(const struct charset_guess *guess, const struct charset_converter *converter,
                    const uint8_t *bytes, size_t length, size_t max, struct charset_text *ret,
                    struct err *err);
void charset_text_free(struct charset_text *text);

#endif
