#include "observe/trace.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"

enum {
    TRACE_ID_BYTES = 16,
    TRACEPARENT_LENGTH = 55, /* version, trace id, parent id, flags: 2-32-16-2 digits */
};

/* True when text[0..length) is lower-case hexadecimal and not only zeros. */
static bool is_identifier(const char *text, size_t length)
{
    bool any = false;
    for (size_t i = 0; i < length; i++) {
        if (!strchr("0123456789abcdef", text[i]) || text[i] == '\0')
            return false;
        any = any || text[i] != '0';
    }
    return any;
}

static bool is_hex_pair(const char *text)
{
    return strspn(text, "0123456789abcdef") >= 2;
}

/* W3C Trace Context, section 3.2: versions above 00 may carry more after the part that is known. */
static bool traceparent_valid(const char *header)
{
    size_t length = strlen(header);
    if (length < TRACEPARENT_LENGTH || header[2] != '-' || header[35] != '-' || header[52] != '-')
        return false;
    if (!is_hex_pair(header) || memcmp(header, "ff", 2) == 0 || !is_hex_pair(header + 53))
        return false;
    if (memcmp(header, "00", 2) == 0 && length != TRACEPARENT_LENGTH)
        return false;
    if (length > TRACEPARENT_LENGTH && header[TRACEPARENT_LENGTH] != '-')
        return false;
    return is_identifier(header + 3, 32) && is_identifier(header + 36, 16);
}

static void random_id(char out[TRACE_ID_HEX])
{
    unsigned char bytes[TRACE_ID_BYTES];
    hash_random(bytes, sizeof(bytes));
    for (int i = 0; i < TRACE_ID_BYTES; i++) {
        out[2 * i] = "0123456789abcdef"[bytes[i] >> 4];
        out[2 * i + 1] = "0123456789abcdef"[bytes[i] & 15];
    }
    out[TRACE_ID_HEX - 1] = '\0';
}

void trace_init(struct trace *trace, const char *traceparent)
{
    if (!trace)
        return;
    *trace = (struct trace){.start_ns = clock_now_ns(), .open = -1};
    if (traceparent && traceparent_valid(traceparent))
        memcpy(trace->id, traceparent + 3, TRACE_ID_HEX - 1);
    else
        random_id(trace->id);
}

int trace_begin(struct trace *trace, const char *name)
{
    if (!trace)
        return -1;
    if (trace->count == TRACE_SPANS) {
        trace->dropped++;
        return -1;
    }
    int span = trace->count++;
    trace->spans[span] = (struct trace_span){
        .name = name, .parent = trace->open, .start_ns = clock_now_ns(), .length_ns = -1};
    trace->open = span;
    return span;
}

/* A step that returns early may leave spans open inside it: they end with it. */
void trace_end(struct trace *trace, int span)
{
    if (!trace || span < 0 || span >= trace->count || trace->spans[span].length_ns >= 0)
        return;
    int64_t now = clock_now_ns();
    int at = trace->open;
    while (at != span && at >= 0) {
        trace->spans[at].length_ns = now - trace->spans[at].start_ns;
        at = trace->spans[at].parent;
    }
    trace->spans[span].length_ns = now - trace->spans[span].start_ns;
    trace->open = trace->spans[span].parent;
}

static int64_t span_ns(const struct trace_span *span)
{
    return span->length_ns >= 0 ? span->length_ns : clock_now_ns() - span->start_ns;
}

double trace_ms(const struct trace *trace, const char *name)
{
    int64_t sum = 0;
    for (int i = 0; trace && i < trace->count; i++)
        if (strcmp(trace->spans[i].name, name) == 0)
            sum += span_ns(&trace->spans[i]);
    return (double)sum / 1e6;
}

double trace_total_ms(const struct trace *trace)
{
    return trace ? clock_ms_since(trace->start_ns) : 0;
}

/* With one decimal, whatever the locale. */
static void put_duration(struct str *out, const char *name, double ms)
{
    int64_t tenths = llround(ms * 10);
    str_printf(out, "%s%s;dur=%" PRId64 ".%d", out->length > 0 ? ", " : "", name, tenths / 10,
               (int)(tenths % 10));
}

/* The first top-level span of a name stands for all of that name. */
static bool is_first_of_name(const struct trace *trace, int span)
{
    for (int i = 0; i < span; i++)
        if (trace->spans[i].parent < 0 &&
            strcmp(trace->spans[i].name, trace->spans[span].name) == 0)
            return false;
    return true;
}

void trace_server_timing(const struct trace *trace, struct str *out)
{
    if (!trace)
        return;
    for (int i = 0; i < trace->count; i++) {
        if (trace->spans[i].parent >= 0 || !is_first_of_name(trace, i))
            continue;
        int64_t sum = 0;
        for (int k = i; k < trace->count; k++)
            if (trace->spans[k].parent < 0 &&
                strcmp(trace->spans[k].name, trace->spans[i].name) == 0)
                sum += span_ns(&trace->spans[k]);
        put_duration(out, trace->spans[i].name, (double)sum / 1e6);
    }
    put_duration(out, "total", trace_total_ms(trace));
}
