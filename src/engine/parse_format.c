#include "engine/parse_format.h"

#include <string.h>
#include <strings.h>

enum {
    NUL_SAMPLE = 8000,      /* a zero byte among the first so many bytes: not text */
    CONTROL_SAMPLE = 65536, /* more control characters than one in CONTROL_PART bytes: not text */
    CONTROL_PART = 50,
    SNIFF_MAX = 1024, /* bytes of a text that are looked at for its format */
};

/* ---------------------------------------------------------------- by name */

/* Endings and whole names, each after a '.' or alone; every list is in one string, with spaces around each word. */
struct name_format {
    enum document_format format;
    const char *names;
};

static const struct name_format endings[] = {
    {DOCUMENT_MARKDOWN, " md markdown mdown mkd mkdn mdx "},
    {DOCUMENT_HTML, " html htm xhtml xht shtml "},
    {DOCUMENT_TEXT, " txt text log rst adoc asciidoc org tex csv tsv srt vtt po pot "},
    {DOCUMENT_CODE, " c h cc cpp cxx hh hpp hxx inl m mm rs go java kt kts scala groovy clj cljs "
                    "cs fs fsx vb swift d zig nim "
                    "py pyi pyx rb pl pm php lua tcl r jl dart ex exs erl hrl hs lhs ml mli elm "
                    "lisp lsp cl el scm rkt "
                    "js mjs cjs jsx ts tsx vue svelte css scss sass less json jsonc json5 xml xsd "
                    "xsl xslt svg yaml yml toml ini "
                    "cfg conf sh bash zsh fish ksh awk sed bat cmd ps1 sql graphql proto thrift "
                    "cmake mk mak ninja meson gradle bzl "
                    "nix tf hcl asm s f f77 f90 f95 for pas pp ada adb ads cob v sv vhd vhdl glsl "
                    "hlsl cu cuh cl opencl wat diff patch "},
};

static const struct name_format whole_names[] = {
    {DOCUMENT_CODE, " makefile gnumakefile dockerfile containerfile jenkinsfile vagrantfile "
                    "rakefile gemfile meson.build "
                    "cmakelists.txt build.bazel .bashrc .zshrc .profile .vimrc .gitignore "
                    ".gitattributes .clang-format "},
    {DOCUMENT_TEXT, " readme license licence copying authors changelog news todo install notice "},
};

static enum document_format look_up(const struct name_format *table, size_t count, const char *word)
{
    size_t length = strlen(word);
    if (length == 0 || strchr(word, ' '))
        return DOCUMENT_AUTO;
    for (size_t i = 0; i < count; i++)
        for (const char *at = table[i].names; (at = strcasestr(at, word)) != NULL; at++)
            if (at[-1] == ' ' && at[length] == ' ')
                return table[i].format;
    return DOCUMENT_AUTO;
}

enum document_format parse_format_of_name(const char *name)
{
    const char *slash = strrchr(name, '/');
    const char *base = slash ? slash + 1 : name;
    enum document_format format =
        look_up(whole_names, sizeof(whole_names) / sizeof(*whole_names), base);
    const char *dot = strrchr(base, '.');
    if (format == DOCUMENT_AUTO && dot)
        format = look_up(endings, sizeof(endings) / sizeof(*endings), dot + 1);
    return format;
}

/* ---------------------------------------------------------------- by content */

static bool begins(const char *text, size_t length, const char *word)
{
    size_t size = strlen(word);
    return length >= size && strncasecmp(text, word, size) == 0;
}

/* Past white space, XML declarations, comments and document types other than HTML's. */
static size_t skip_prolog(const char *text, size_t length)
{
    size_t at = 0;
    for (;;) {
        while (at < length && text[at] && strchr(" \t\r\n\f", text[at]))
            at++;
        const char *end = NULL;
        size_t size = 0;
        if (begins(text + at, length - at, "<?xml"))
            end = memmem(text + at, length - at, "?>", size = 2);
        else if (begins(text + at, length - at, "<!--"))
            end = memmem(text + at, length - at, "-->", size = 3);
        if (!end)
            return at;
        at = (size_t)(end - text) + size;
    }
}

enum document_format parse_format_of_text(const char *text, size_t length)
{
    static const char *const html[] = {"<!doctype html", "<html",  "<head",
                                       "<body",          "<title", "<meta"};
    if (length > SNIFF_MAX)
        length = SNIFF_MAX;
    size_t at = skip_prolog(text, length);
    for (size_t i = 0; i < sizeof(html) / sizeof(*html); i++)
        if (begins(text + at, length - at, html[i]))
            return DOCUMENT_HTML;
    if (begins(text, length, "#!") || begins(text, length, "<?xml") ||
        begins(text, length, "<?php"))
        return DOCUMENT_CODE;
    return DOCUMENT_TEXT;
}

/* ---------------------------------------------------------------- what is no text */

/* The first bytes of well-known formats. Those that are printable could begin a text as well, and count only when a
 * zero byte follows soon. */
struct magic {
    size_t offset;
    size_t length;
    const char *bytes;
    const char *name; /* the same in every language */
    bool needs_nul;
};

static const struct magic magics[] = {
    {0, 8, "\x89PNG\r\n\x1a\n", "PNG", false},
    {0, 3, "\xff\xd8\xff", "JPEG", false},
    {0, 4, "GIF8", "GIF", true},
    {8, 4, "WEBP", "WebP", true},
    {8, 4, "WAVE", "WAV", true},
    {8, 4, "AVI ", "AVI", true},
    {0, 2, "BM", "BMP", true},
    {0, 4, "II*\0", "TIFF", false},
    {0, 4, "MM\0*", "TIFF", false},
    {0, 4, "\0\0\1\0", "ICO", false},
    {0, 5, "%PDF-", "PDF", false},
    {0, 11, "%!PS-Adobe-", "PostScript", false},
    {0, 5, "{\\rtf", "RTF", false},
    {0, 4, "PK\3\4", "ZIP: docx, odt, epub, jar…", false},
    {0, 4, "PK\5\6", "ZIP", false},
    {0, 2, "\x1f\x8b", "gzip", false},
    {0, 3, "BZh", "bzip2", true},
    {0, 6,
     "\xfd"
     "7zXZ\0",
     "xz", false},
    {0, 4, "\x28\xb5\x2f\xfd", "zstd", false},
    {0, 6, "7z\xbc\xaf\x27\x1c", "7z", false},
    {0, 6, "Rar!\x1a\7", "RAR", false},
    {257, 5, "ustar", "tar", true},
    {0, 4,
     "\x7f"
     "ELF",
     "ELF", false},
    {0, 2, "MZ", "PE", true},
    {0, 4, "\xcf\xfa\xed\xfe", "Mach-O", false},
    {0, 4, "\xca\xfe\xba\xbe", "Java/Mach-O", false},
    {0, 4, "\0asm", "WebAssembly", false},
    {0, 16, "SQLite format 3\0", "SQLite", false},
    {0, 4, "GGUF", "GGUF", true},
    {0, 4, "OggS", "Ogg", true},
    {0, 4, "fLaC", "FLAC", true},
    {0, 3, "ID3", "MP3", true},
    {4, 4, "ftyp", "MP4", true},
    {0, 4, "\x1a\x45\xdf\xa3", "Matroska/WebM", false},
    {0, 8, "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "doc, xls, ppt", false},
    {0, 4, "wOFF", "WOFF", true},
    {0, 4, "wOF2", "WOFF2", true},
    {0, 4, "OTTO", "OpenType", true},
    {0, 5, "\0\1\0\0\0", "TrueType", false},
};

static const char *known_binary(const uint8_t *bytes, size_t length)
{
    bool nul = memchr(bytes, 0, length < NUL_SAMPLE ? length : NUL_SAMPLE) != NULL;
    for (size_t i = 0; i < sizeof(magics) / sizeof(*magics); i++) {
        const struct magic *magic = &magics[i];
        if (length >= magic->offset + magic->length && (nul || !magic->needs_nul) &&
            memcmp(bytes + magic->offset, magic->bytes, magic->length) == 0)
            return magic->name;
    }
    return NULL;
}

/* Control characters that texts have: tab, line feed, vertical tab, form feed, carriage return, backspace (in
 * formatted manual pages) and escape (colours, and the shifts of ISO-2022). */
static bool is_odd_control(uint8_t byte)
{
    return byte < 0x20 && !(byte >= '\b' && byte <= '\r') && byte != 0x1b;
}

static bool many_controls(const uint8_t *bytes, size_t length)
{
    size_t sample = length < CONTROL_SAMPLE ? length : CONTROL_SAMPLE;
    size_t odd = 0;
    for (size_t i = 0; i < sample; i++)
        odd += is_odd_control(bytes[i]) || bytes[i] == 0x7f;
    return odd * CONTROL_PART > sample;
}

bool parse_reject_binary(const uint8_t *bytes, size_t length, bool wide, struct err *err)
{
    if (length == 0 || wide)
        return true;
    const char *name = known_binary(bytes, length);
    if (name)
        return err_set(
            err, ERR_DOCUMENT,
            "the file seems to be binary (%s); only text, Markdown, HTML and source code "
            "can be read for now",
            name);
    bool nul = memchr(bytes, 0, length < NUL_SAMPLE ? length : NUL_SAMPLE) != NULL;
    if (nul || many_controls(bytes, length))
        return err_set(err, ERR_DOCUMENT,
                       "the file seems to be binary; only text, Markdown, HTML and source code can "
                       "be read for now");
    return true;
}
