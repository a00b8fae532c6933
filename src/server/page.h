/* page.h - a part of a list, as OpenAI's list endpoints cut it: limit, order, after, before.
 *
 * Threads: safe from any. Fails: ERR_INVALID_REQUEST naming the parameter.
 */
#ifndef JARVIS_SERVER_PAGE_H
#define JARVIS_SERVER_PAGE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct page_query {
    const char *limit; /* the query's parameters as text; NULL: absent */
    const char *order; /* "asc" or "desc" */
    const char *after; /* the id that the page begins behind */
    const char *before;
};

/* Which items of a list of `count`, oldest first, make the page, and in which direction they are walked. */
struct page {
    size_t first; /* index of the first item to write */
    size_t count;
    int step; /* +1 oldest first, -1 newest first */
    bool has_more;
};

/* `id_of(list, i)` is the id of item i. An id in after/before that is not in the list is an error. */
bool page_cut(const struct page_query *query, size_t default_limit, size_t max_limit,
              const char *(*id_of)(const void *list, size_t index), const void *list, size_t count,
              struct page *ret, struct err *err);

#endif
