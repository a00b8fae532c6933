#include "server/page.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool parse_limit(const char *text, size_t max, size_t *ret, struct err *err)
{
    char *end = NULL;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value < 1 || (unsigned long)value > max)
        return err_set_param(err, ERR_INVALID_REQUEST, "limit",
                             "\"limit\" must be a whole number from 1 to %zu", max);
    *ret = (size_t)value;
    return true;
}

static bool parse_order(const char *text, bool *ret_newest_first, struct err *err)
{
    if (strcmp(text, "asc") != 0 && strcmp(text, "desc") != 0)
        return err_set_param(err, ERR_INVALID_REQUEST, "order",
                             "\"order\" must be \"asc\" or \"desc\"");
    *ret_newest_first = strcmp(text, "desc") == 0;
    return true;
}

/* What is needed to find an id at a place of the walk, not of the list. */
struct walk {
    const char *(*id_of)(const void *list, size_t index);
    const void *list;
    size_t count;
    bool newest_first;
};

static size_t list_index(const struct walk *walk, size_t place)
{
    return walk->newest_first ? walk->count - 1 - place : place;
}

static bool find(const struct walk *walk, const char *param, const char *id, size_t *ret_place,
                 struct err *err)
{
    for (size_t place = 0; place < walk->count; place++) {
        if (strcmp(walk->id_of(walk->list, list_index(walk, place)), id) == 0) {
            *ret_place = place;
            return true;
        }
    }
    return err_set_param(err, ERR_INVALID_REQUEST, param, "\"%s\" names \"%s\", which is not there",
                         param, id);
}

bool page_cut(const struct page_query *query, size_t default_limit, size_t max_limit,
              const char *(*id_of)(const void *list, size_t index), const void *list, size_t count,
              struct page *ret, struct err *err)
{
    size_t limit = default_limit;
    struct walk walk = {.id_of = id_of, .list = list, .count = count, .newest_first = true};
    if (query->limit && !parse_limit(query->limit, max_limit, &limit, err))
        return false;
    if (query->order && !parse_order(query->order, &walk.newest_first, err))
        return false;
    size_t begin = 0;
    size_t end = count;
    if (query->after) {
        if (!find(&walk, "after", query->after, &begin, err))
            return false;
        begin++;
    }
    if (query->before && !find(&walk, "before", query->before, &end, err))
        return false;
    size_t left = end > begin ? end - begin : 0;
    size_t taken = left < limit ? left : limit;
    /* A page before an id is the one that ends right there. */
    if (query->before && !query->after)
        begin = end - taken;
    *ret = (struct page){.first = taken > 0 ? list_index(&walk, begin) : 0,
                         .count = taken,
                         .step = walk.newest_first ? -1 : 1,
                         .has_more = taken < left};
    return true;
}
