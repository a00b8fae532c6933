#include "voice/subtitle.h"

#include <string.h>

/* "01:02:03,004", with the separator that the format wants before the milliseconds. */
static void put_time(struct str *out, int64_t ms, char separator)
{
    if (ms < 0)
        ms = 0;
    str_printf(out, "%02lld:%02lld:%02lld%c%03lld", (long long)(ms / 3600000),
               (long long)(ms / 60000 % 60), (long long)(ms / 1000 % 60), separator,
               (long long)(ms % 1000));
}

static void put_times(struct str *out, int64_t start_ms, int64_t end_ms, char separator)
{
    put_time(out, start_ms, separator);
    str_puts(out, " --> ");
    put_time(out, end_ms, separator);
    str_puts(out, "\n");
}

static bool is_break(char c)
{
    return c == '\n' || c == '\r';
}

void subtitle_srt(struct str *out, unsigned number, int64_t start_ms, int64_t end_ms,
                  const char *text)
{
    str_printf(out, "%u\n", number);
    put_times(out, start_ms, end_ms, ',');
    for (const char *c = text; *c; c++)
        str_putc(out, is_break(*c) ? ' ' : *c);
    str_puts(out, "\n\n");
}

void subtitle_vtt(struct str *out, int64_t start_ms, int64_t end_ms, const char *text)
{
    put_times(out, start_ms, end_ms, '.');
    for (const char *c = text; *c; c++) {
        if (*c == '&')
            str_puts(out, "&amp;");
        else if (*c == '<')
            str_puts(out, "&lt;");
        else if (*c == '>')
            str_puts(out, "&gt;"); /* "-->" would begin another cue */
        else
            str_putc(out, is_break(*c) ? ' ' : *c);
    }
    str_puts(out, "\n\n");
}
