#include "cli/term.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <utf8proc.h>

#include "base/utf8.h"

enum { WIDTH_DEFAULT = 80, WIDTH_MIN = 20, WIDTH_MAX = 500 };

static bool locale_is_utf8(void)
{
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        const char *value = getenv(names[i]);
        if (value && *value)
            return strcasestr(value, "utf-8") || strcasestr(value, "utf8");
    }
    return false;
}

void term_measure(struct term *term)
{
    struct winsize size;
    const char *columns = getenv("COLUMNS");
    long width = columns ? strtol(columns, NULL, 10) : 0;
    if (width <= 0 && term->tty && ioctl(fileno(term->file), TIOCGWINSZ, &size) == 0)
        width = size.ws_col;
    if (width <= 0)
        width = WIDTH_DEFAULT;
    term->width = width < WIDTH_MIN ? WIDTH_MIN : width > WIDTH_MAX ? WIDTH_MAX : (int)width;
}

void term_init(struct term *term, FILE *file, bool allow_colour)
{
    const char *type = getenv("TERM");
    const char *no_colour = getenv("NO_COLOR");
    bool dumb = !type || !*type || strcmp(type, "dumb") == 0;
    *term = (struct term){.file = file};
    term->tty = isatty(fileno(file));
    term->colour = term->tty && !dumb && allow_colour && !(no_colour && *no_colour);
    term->utf8 = locale_is_utf8();
    term_measure(term);
}

const char *term_on(const struct term *term, enum term_style style)
{
    static const char *const codes[] = {
        [STYLE_BOLD] = "\033[1m",   [STYLE_DIM] = "\033[2m",     [STYLE_RED] = "\033[31m",
        [STYLE_GREEN] = "\033[32m", [STYLE_YELLOW] = "\033[33m", [STYLE_CYAN] = "\033[36m",
    };
    return term->colour ? codes[style] : "";
}

const char *term_off(const struct term *term)
{
    return term->colour ? "\033[0m" : "";
}

static bool is_harmful(uint32_t point)
{
    bool control =
        (point < 0x20 && point != '\n' && point != '\t') || (point >= 0x7f && point < 0xa0);
    bool reorders = (point >= 0x202a && point <= 0x202e) || (point >= 0x2066 && point <= 0x2069);
    return control || reorders;
}

void term_write(const struct term *term, const char *text, size_t length)
{
    if (!term->tty) {
        fwrite(text, 1, length, term->file);
        return;
    }
    for (size_t at = 0; at < length;) {
        uint32_t point;
        int size = utf8_decode(text + at, length - at, &point);
        if (size > 0 && !is_harmful(point))
            fwrite(text + at, 1, (size_t)size, term->file);
        at += size > 0 ? (size_t)size : 1;
    }
}

/* Whether a pipe has lost its reader. An earlier write may have met that, and its errno is long
 * gone. */
static bool reader_has_left(FILE *file)
{
    struct pollfd pipe_end = {.fd = fileno(file), .events = POLLOUT};
    return poll(&pipe_end, 1, 0) == 1 && (pipe_end.revents & POLLERR);
}

bool term_flush(const struct term *term, struct err *err)
{
    errno = 0;
    if (fflush(term->file) == 0 && !ferror(term->file))
        return true;
    int errnum = errno ? errno : EIO;
    if (errnum == EPIPE || reader_has_left(term->file))
        return err_set(err, ERR_CANCELLED, "the reader of the output has left");
    return err_set_errno(err, ERR_IO, errnum, "cannot write the output");
}

/* Columns of the character at text[0..length), and its size in bytes; bytes that are no UTF-8 take
 * one. */
static size_t char_width(const char *text, size_t length, size_t *ret_size)
{
    uint32_t point;
    int size = utf8_decode(text, length, &point);
    *ret_size = size > 0 ? (size_t)size : 1;
    if (size <= 0)
        return 1;
    int width = utf8proc_charwidth((utf8proc_int32_t)point);
    return width > 0 ? (size_t)width : 0;
}

size_t text_width(const char *text, size_t length)
{
    size_t width = 0;
    size_t size;
    for (size_t at = 0; at < length; at += size)
        width += char_width(text + at, length - at, &size);
    return width;
}

size_t text_prefix(const char *text, size_t length, size_t columns)
{
    size_t width = 0;
    size_t at = 0;
    while (at < length) {
        size_t size;
        width += char_width(text + at, length - at, &size);
        if (width > columns)
            break;
        at += size;
    }
    return at;
}

/* The shortest end of text so that it takes at most `columns`: where it begins. */
static size_t text_suffix(const char *text, size_t length, size_t columns)
{
    size_t width = text_width(text, length);
    size_t at = 0;
    while (width > columns && at < length) {
        size_t size;
        width -= char_width(text + at, length - at, &size);
        at += size;
    }
    return at;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
}

static void squeeze(struct str *out, const char *text)
{
    bool gap = false;
    for (const char *at = text; *at; at++) {
        if (is_blank(*at)) {
            gap = true;
            continue;
        }
        if (gap && out->length > 0)
            str_putc(out, ' ');
        gap = false;
        str_putc(out, *at);
    }
}

void text_fit(struct str *out, const char *text, size_t columns, bool cut_front, bool utf8)
{
    struct str line;
    str_init(&line, 1 << 20);
    squeeze(&line, text);
    const char *squeezed = str_text(&line);
    const char *ellipsis = utf8 ? "…" : "...";
    size_t ellipsis_width = utf8 ? 1 : 3;
    if (text_width(squeezed, line.length) <= columns) {
        str_append(out, squeezed, line.length);
    } else if (columns <= ellipsis_width) {
        str_append(out, "...", columns < 3 ? columns : 3);
    } else if (cut_front) {
        str_puts(out, ellipsis);
        str_puts(out, squeezed + text_suffix(squeezed, line.length, columns - ellipsis_width));
    } else {
        str_append(out, squeezed, text_prefix(squeezed, line.length, columns - ellipsis_width));
        str_puts(out, ellipsis);
    }
    str_free(&line);
}

void text_wrap(struct str *out, const char *text, size_t columns, size_t column, size_t indent)
{
    bool gap = false; /* a blank goes before the next word */
    for (text += strspn(text, " "); *text; text += strspn(text, " ")) {
        size_t length = strcspn(text, " \n");
        size_t width = text_width(text, length);
        bool fits = column + gap + width <= columns || column <= indent;
        if (*text == '\n' || !fits) {
            bool empty_line = *text == '\n' && (text[1] == '\n' || text[1] == '\0');
            str_putc(out, '\n');
            text_pad(out, empty_line ? 0 : indent);
            column = indent;
            gap = false;
            text += *text == '\n';
            continue;
        }
        str_puts(out, gap ? " " : "");
        str_append(out, text, length);
        column += gap + width;
        gap = true;
        text += length;
    }
}

void text_pad(struct str *out, size_t count)
{
    while (count-- > 0)
        str_putc(out, ' ');
}

void text_bytes(struct str *out, uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    size_t unit = 0;
    double value = (double)bytes;
    while (value >= 1024 && unit + 1 < sizeof(units) / sizeof(*units)) {
        value /= 1024;
        unit++;
    }
    str_printf(out, unit == 0 || value >= 99.95 ? "%.0f %s" : "%.1f %s", value, units[unit]);
}

void text_duration(struct str *out, double milliseconds)
{
    if (milliseconds < 1000) {
        str_printf(out, milliseconds < 10 ? "%.1f ms" : "%.0f ms", milliseconds);
        return;
    }
    double seconds = milliseconds / 1000;
    if (seconds < 60) {
        str_printf(out, "%.1f s", seconds);
        return;
    }
    long whole = (long)seconds;
    str_printf(out, "%ld min %02ld s", whole / 60, whole % 60);
}
