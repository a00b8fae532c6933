#include "server/sse.h"

void sse_begin(struct str *out, const char *event)
{
    if (event) {
        str_puts(out, "event: ");
        str_puts(out, event);
        str_putc(out, '\n');
    }
    str_puts(out, "data: ");
}

void sse_end(struct str *out)
{
    str_puts(out, "\n\n");
}

void sse_done(struct str *out)
{
    str_puts(out, "data: [DONE]\n\n");
}

void sse_keep_alive(struct str *out)
{
    str_puts(out, ": still here\n\n");
}
