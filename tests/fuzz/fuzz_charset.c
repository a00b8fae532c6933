/* Fuzzes encodings: the first byte chooses a decoder (our own ones and some of iconv's), the rest are its bytes. Then
 * the bytes are given to the whole parser, which has to find out by itself. */
#include <stdlib.h>

#include "base/err.h"
#include "engine/charset.h"
#include "parsed_check.h"

enum { KINDS = CHARSET_ICONV, TEXT_MAX = 1 << 24 };

static const char *const names[] = {"shift_jis",  "koi8-r",      "euc-jp",      "gb18030",
                                    "big5-hkscs", "iso-2022-jp", "iso-2022-kr", "utf-7",
                                    "cp1258",     "tcvn",        "euc-jisx0213"};
enum { NAMES = sizeof(names) / sizeof(*names) };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    charset_find_modules();
    return 0;
}

/* A converter is made anew for each input, so that one input cannot leave another a half-read character. */
static void try_decoder(unsigned choice, const uint8_t *bytes, size_t length)
{
    struct charset_guess guess = {.kind =
                                      choice < KINDS ? (enum charset_kind)choice : CHARSET_ICONV};
    struct charset_converter *converter = NULL;
    if (choice >= KINDS && !charset_open(names[choice - KINDS], &converter, NULL))
        abort();
    struct charset_text text;
    if (!charset_decode(&guess, converter, bytes, length, TEXT_MAX, &text, NULL))
        abort();
    struct msg_parsed parsed = {.title = "",
                                .text = str_text(&text.text),
                                .text_length = text.text.length,
                                .runs = text.map.runs,
                                .run_count = (uint32_t)text.map.count,
                                .file_length = (uint32_t)length};
    parsed_check(&parsed, bytes, length);
    charset_text_free(&text);
    if (converter)
        parsed_try("page", DOCUMENT_AUTO, bytes, length, converter);
    charset_close(converter);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    try_decoder(data[0] % (KINDS + NAMES), data + 1, size - 1);
    parsed_try("page", DOCUMENT_AUTO, data + 1, size - 1, NULL);
    return 0;
}
