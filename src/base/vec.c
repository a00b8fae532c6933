#include "base/vec.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

bool vec_reserve(void *items, size_t *capacity, size_t need, size_t size, size_t max,
                 struct err *err)
{
    if (need <= *capacity)
        return true;
    if (need > max || max > SIZE_MAX / size)
        return err_set(err, ERR_TOO_LARGE,
                       "a list of %zu items is over the limit of %zu; send fewer at a time", need,
                       max);
    size_t grown = *capacity < 8 ? 8 : *capacity * 2;
    if (grown < need)
        grown = need;
    if (grown > max)
        grown = max;
    void *old;
    memcpy(&old, items, sizeof(old));
    void *bigger = realloc(old, grown * size);
    if (!bigger)
        return err_no_memory(err);
    memcpy(items, &bigger, sizeof(bigger));
    *capacity = grown;
    return true;
}
