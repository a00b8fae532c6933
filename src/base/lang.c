#include "base/lang.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/lang_table.h"

static int compare_entry(const void *key, const void *entry)
{
    return strcmp(key, ((const struct lang_entry *)entry)->en);
}

const char *lang_text(enum lang lang, const char *english)
{
    if (lang != LANG_ES)
        return english;
    const struct lang_entry *found =
        bsearch(english, lang_es_table, lang_es_count, sizeof(*lang_es_table), compare_entry);
    return found ? found->es : english;
}

enum lang lang_from_environment(void)
{
    static const char *const names[] = {"LC_ALL", "LC_MESSAGES", "LANG"};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        const char *value = getenv(names[i]);
        if (value && *value)
            return strncmp(value, "es", 2) == 0 && (value[2] == '\0' || strchr("_.@-", value[2]))
                       ? LANG_ES
                       : LANG_EN;
    }
    return LANG_EN;
}

/* The q-value of one header element in thousandths; 1000 when there is none. */
static int header_quality(const char *element, size_t length)
{
    const char *q = memmem(element, length, "q=", 2);
    if (!q)
        return 1000;
    size_t left = length - (size_t)(q + 2 - element);
    int quality = 0;
    int scale = 1000;
    for (size_t i = 0; i < left && scale > 0; i++) {
        char c = q[2 + i];
        if (c == '.')
            continue;
        if (c < '0' || c > '9')
            break;
        quality += (c - '0') * scale;
        scale /= 10;
    }
    return quality;
}

enum lang lang_from_header(const char *accept_language)
{
    int best[LANG_COUNT] = {0, 0};
    const char *at = accept_language ? accept_language : "";
    while (*at) {
        at += strspn(at, " \t,");
        size_t length = strcspn(at, ",");
        int quality = header_quality(at, length);
        enum lang lang = length >= 2 && strncasecmp(at, "es", 2) == 0 ? LANG_ES : LANG_EN;
        bool known = lang == LANG_ES || (length >= 2 && strncasecmp(at, "en", 2) == 0);
        if (known && quality > best[lang])
            best[lang] = quality;
        at += length;
    }
    return best[LANG_ES] > best[LANG_EN] ? LANG_ES : LANG_EN;
}

const char *lang_code(enum lang lang)
{
    return lang == LANG_ES ? "es" : "en";
}
