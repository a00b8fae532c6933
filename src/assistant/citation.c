#include "assistant/citation.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void citation_filter_init(struct citation_filter *filter, int passages)
{
    *filter = (struct citation_filter){
        .passages = passages < CITATION_MAX ? passages : CITATION_MAX,
    };
}

/* Whether the held bytes followed by `c` may still become a mark: "[", digits, commas and spaces. */
static bool may_continue(const struct citation_filter *filter, char c)
{
    if (filter->held_length + 1 >= CITATION_HELD_MAX)
        return false;
    bool digit = isdigit((unsigned char)c);
    const char *bracket = memchr(filter->held, '[', filter->held_length);
    if (!bracket)
        return c == '[' || (c == ' ' && filter->held_length == 0);
    bool first = bracket == filter->held + filter->held_length - 1;
    return digit || (!first && (c == ',' || c == ' ' || c == ']'));
}

/* Passes one byte on. */
static void pass(struct citation_filter *filter, char c, struct str *out)
{
    str_putc(out, c);
    filter->open =
        c == '[' || (filter->open && (isdigit((unsigned char)c) || c == ',' || c == ' '));
}

static void flush(struct citation_filter *filter, struct str *out)
{
    for (size_t i = 0; i < filter->held_length; i++)
        pass(filter, filter->held[i], out);
    filter->held_length = 0;
}

/* The held bytes are a whole mark, with an optional space before it: writes the numbers that exist. */
static void emit_mark(struct citation_filter *filter, struct str *out)
{
    filter->held[filter->held_length] = '\0';
    bool space = filter->held[0] == ' ';
    bool any = false;
    for (char *at = filter->held; *at; at++) {
        if (!isdigit((unsigned char)*at))
            continue;
        char *end;
        long number = strtol(at, &end, 10);
        if (number >= 1 && number <= filter->passages) {
            str_printf(out, "%s[%ld]", space && !any ? " " : "", number);
            filter->used[number] = true;
            any = true;
        } else {
            filter->dropped++;
        }
        at = end - 1;
    }
    /* "[1[9]]" must not become "[1]" by what is left out. */
    if (!any && filter->open)
        str_putc(out, ' ');
    filter->open = false;
    filter->held_length = 0;
}

void citation_filter_feed(struct citation_filter *filter, const char *text, struct str *out)
{
    for (const char *at = text; *at; at++) {
        if (filter->held_length > 0 && !may_continue(filter, *at))
            flush(filter, out);
        if (!may_continue(filter, *at)) {
            pass(filter, *at, out);
            continue;
        }
        filter->held[filter->held_length++] = *at;
        if (*at == ']')
            emit_mark(filter, out);
    }
}

void citation_filter_finish(struct citation_filter *filter, struct str *out)
{
    flush(filter, out);
}

/* A byte after which a new claim begins. A point ends one only before a space, so that "3.1" does not. */
static bool ends_claim(const char *answer, size_t at)
{
    if (answer[at] == '\n')
        return true;
    bool stop = answer[at] == '.' || answer[at] == '!' || answer[at] == '?';
    return stop && (answer[at + 1] == ' ' || answer[at + 1] == '\n' || answer[at + 1] == '\0');
}

bool citation_claim(const char *answer, int number, size_t *ret_start, size_t *ret_length)
{
    char mark[16];
    snprintf(mark, sizeof(mark), "[%d]", number);
    const char *found = strstr(answer, mark);
    if (!found)
        return false;
    size_t mark_at = (size_t)(found - answer);
    size_t end = mark_at;
    /* "The claim. [1]": what the mark supports stands before the point. */
    while (end > 0 &&
           (isspace((unsigned char)answer[end - 1]) || strchr(".!?]", answer[end - 1]) ||
            (isdigit((unsigned char)answer[end - 1]) && end > 1 && answer[end - 2] == '[') ||
            answer[end - 1] == '['))
        end--;
    size_t start = end;
    while (start > 0 && !ends_claim(answer, start - 1))
        start--;
    while (start < end && isspace((unsigned char)answer[start]))
        start++;
    *ret_start = start;
    *ret_length = end - start;
    return end > start;
}
