#include "orchestrator/why.h"

#include <stdio.h>

#include "orchestrator/memory.h"

struct row {
    const char *name;
    enum log_level level;
};

static const struct row *row_of(enum why_code code)
{
#define WHY_ROW(symbol, name, level) {name, level},
    static const struct row rows[] = {WHY_TABLE(WHY_ROW)};
#undef WHY_ROW
    return &rows[code < WHY_CODE_COUNT ? code : WHY_NONE];
}

const char *why_name(enum why_code code)
{
    return row_of(code)->name;
}

enum log_level why_level(enum why_code code)
{
    return row_of(code)->level;
}

void why_put_error(struct why *why, const struct err *err)
{
    for (int lang = 0; lang < LANG_COUNT; lang++)
        snprintf(why->detail[lang], WHY_DETAIL_MAX, "%.*s", WHY_DETAIL_MAX - 1,
                 err_message(err, (enum lang)lang));
}

void why_put_cause(struct why *why, const char *cause)
{
    for (int lang = 0; lang < LANG_COUNT; lang++)
        snprintf(why->detail[lang], WHY_DETAIL_MAX, "%.*s", WHY_DETAIL_MAX - 1, cause);
}

/* The sentences with numbers of bytes in them. */
static void render_memory(const struct why *why, enum lang lang, char out[WHY_TEXT_MAX])
{
    char need[MEMORY_TEXT];
    char have[MEMORY_TEXT];
    memory_format(why->need, need);
    memory_format(why->have, have);
    switch (why->code) {
    case WHY_LOADING:
        snprintf(out, WHY_TEXT_MAX, TR(lang, "is being loaded: %s on %s"), need, why->other);
        break;
    case WHY_LOADING_SMALLER:
        snprintf(out, WHY_TEXT_MAX,
                 TR(lang, "is being loaded with a context of %u tokens, because more does not fit: "
                          "%s on %s"),
                 why->context, need, why->other);
        break;
    case WHY_READING:
        snprintf(out, WHY_TEXT_MAX, TR(lang, "%.0f%% of %s are read"), (double)why->fraction * 100,
                 need);
        break;
    case WHY_LOADED:
        snprintf(out, WHY_TEXT_MAX, TR(lang, "loaded in %.0f ms, takes %s"), why->seconds * 1000,
                 need);
        break;
    case WHY_WAITS_BUSY:
        if (why->other[0])
            snprintf(out, WHY_TEXT_MAX,
                     TR(lang, "waits for memory: needs %s, %s can be freed while \"%s\" is in use"),
                     need, have, why->other);
        else
            snprintf(out, WHY_TEXT_MAX, TR(lang, "waits for memory: needs %s, %s can be freed now"),
                     need, have);
        break;
    default: break;
    }
}

void why_render(const struct why *why, enum lang lang, char out[WHY_TEXT_MAX])
{
    out[0] = '\0';
    switch (why->code) {
    case WHY_NONE: break;
    case WHY_LOADING:
    case WHY_LOADING_SMALLER:
    case WHY_READING:
    case WHY_LOADED:
    case WHY_WAITS_BUSY: render_memory(why, lang, out); break;
    case WHY_WANTED: snprintf(out, WHY_TEXT_MAX, "%s", TR(lang, "somebody asks for it")); break;
    case WHY_FAILED:
        snprintf(out, WHY_TEXT_MAX, TR(lang, "not loaded: %s"), why->detail[lang]);
        break;
    case WHY_CALLED_OFF:
        snprintf(out, WHY_TEXT_MAX, "%s",
                 TR(lang, "its load was called off: nobody waits for it any more"));
        break;
    case WHY_WAITS_TURN:
        snprintf(out, WHY_TEXT_MAX,
                 TR(lang, "waits for memory: \"%s\" has waited longer and comes first"),
                 why->other);
        break;
    case WHY_WAITS_LEAVING:
        snprintf(out, WHY_TEXT_MAX, "%s",
                 TR(lang, "waits for memory: what made room for it is about to end"));
        break;
    case WHY_REFUSED:
        snprintf(out, WHY_TEXT_MAX, TR(lang, "refused: %s"), why->detail[lang]);
        break;
    case WHY_EVICTED_FOR:
        snprintf(out, WHY_TEXT_MAX, TR(lang, "unloaded to make room for \"%s\""), why->other);
        break;
    case WHY_EVICTED_SHORT:
        snprintf(out, WHY_TEXT_MAX, "%s",
                 TR(lang, "unloaded because other programs need the memory"));
        break;
    case WHY_EVICTED_IDLE:
        snprintf(out, WHY_TEXT_MAX, TR(lang, "unloaded: nobody has used it for %.0f s"),
                 why->seconds);
        break;
    case WHY_UNLOADED: snprintf(out, WHY_TEXT_MAX, "%s", TR(lang, "unloaded on request")); break;
    case WHY_DIED:
        snprintf(out, WHY_TEXT_MAX, TR(lang, "its worker process ended: %s"), why->detail[lang]);
        break;
    case WHY_PINNED:
        snprintf(out, WHY_TEXT_MAX, "%s", TR(lang, "pinned: it will not be unloaded by itself"));
        break;
    case WHY_UNPINNED: snprintf(out, WHY_TEXT_MAX, "%s", TR(lang, "no longer pinned")); break;
    case WHY_CIRCUIT_OPEN:
        snprintf(out, WHY_TEXT_MAX,
                 TR(lang, "left alone for %.0f s after %u failures in a row; the last: %s"),
                 why->seconds, (unsigned)why->have, why->detail[lang]);
        break;
    case WHY_ELSEWHERE:
        snprintf(out, WHY_TEXT_MAX, TR(lang, "another server: %u of %u addresses can be used"),
                 (unsigned)why->have, (unsigned)why->need);
        break;
    case WHY_CODE_COUNT: break;
    }
}
