#include "config/jsonc.h"

#include <string.h>

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* The offset after the comment that begins at `at`; `at` itself when there is none. */
static size_t skip_comment(const char *text, size_t length, size_t at)
{
    if (at + 1 >= length || text[at] != '/')
        return at;
    const char *from = text + at + 2;
    size_t left = length - at - 2;
    const char *end;
    if (text[at + 1] == '/') {
        end = memchr(from, '\n', left);
        return end ? (size_t)(end - text) + 1 : length;
    }
    if (text[at + 1] == '*') {
        end = memmem(from, left, "*/", 2);
        return end ? (size_t)(end - text) + 2 : length;
    }
    return at;
}

static size_t skip_space(const char *text, size_t length, size_t at)
{
    for (;;) {
        while (at < length && is_space(text[at]))
            at++;
        size_t after = skip_comment(text, length, at);
        if (after == at)
            return at;
        at = after;
    }
}

static size_t skip_string(const char *text, size_t length, size_t at)
{
    for (at++; at < length && text[at] != '"'; at++)
        if (text[at] == '\\')
            at++;
    return at < length ? at + 1 : length;
}

/* The offset after the value that begins at `at`. Brackets are counted, so no recursion is needed. */
static size_t skip_value(const char *text, size_t length, size_t at)
{
    size_t depth = 0;
    do {
        at = skip_space(text, length, at);
        if (at >= length)
            return length;
        char c = text[at];
        if (c == '"') {
            at = skip_string(text, length, at);
        } else if (c == '{' || c == '[') {
            depth++;
            at++;
        } else if (c == '}' || c == ']') {
            if (depth == 0)
                return at;
            depth--;
            at++;
        } else if (c == ',' || c == ':') {
            at++;
        } else {
            at++;
            while (at < length && !is_space(text[at]) && !strchr(",:]}/", text[at]))
                at++;
        }
    } while (depth > 0);
    return at;
}

size_t jsonc_root(const char *text, size_t length)
{
    return skip_space(text, length, 0);
}

void jsonc_open(struct jsonc_walk *walk, const char *text, size_t length, size_t container)
{
    *walk = (struct jsonc_walk){
        .text = text,
        .length = length,
        .at = container + 1,
        .is_object = container < length && text[container] == '{',
        .close = length,
    };
}

bool jsonc_next(struct jsonc_walk *walk, struct jsonc_item *ret)
{
    const char *text = walk->text;
    size_t length = walk->length;
    size_t at = skip_space(text, length, walk->at);
    if (at >= length || text[at] == '}' || text[at] == ']') {
        walk->close = at;
        return false;
    }
    struct jsonc_item item = {.comma = length};
    if (walk->is_object) {
        item.key.begin = at;
        item.key.end = skip_string(text, length, at);
        at = skip_space(text, length, item.key.end);
        at = skip_space(text, length, at < length ? at + 1 : at); /* the colon */
    }
    item.value.begin = at;
    item.value.end = skip_value(text, length, at);
    at = skip_space(text, length, item.value.end);
    if (at < length && text[at] == ',') {
        item.comma = at;
        at++;
    } else if (at == walk->at) {
        return false; /* not JSON: do not stand still */
    }
    walk->at = at;
    *ret = item;
    return true;
}

size_t jsonc_before_space(const char *text, size_t at)
{
    while (at > 0 && is_space(text[at - 1]))
        at--;
    return at;
}
