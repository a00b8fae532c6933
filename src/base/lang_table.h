/* lang_table.h - the shape of the generated message catalogue; only lang.c and the generated file include it. */
#ifndef JARVIS_BASE_LANG_TABLE_H
#define JARVIS_BASE_LANG_TABLE_H

#include <stddef.h>

struct lang_entry {
    const char *en;
    const char *es;
};

/* Sorted by strcmp of `en`. */
extern const struct lang_entry lang_es_table[];
extern const size_t lang_es_count;

#endif
