#include "cli/names.h"

#include <stdint.h>
#include <string.h>

#include "config/schema.h"

enum { PREFIX_MIN = 3 };

const char *names_nearest(const char *word, const char *const *names, size_t count)
{
    size_t best = count;
    size_t best_distance = SIZE_MAX;
    for (size_t i = 0; i < count; i++) {
        size_t distance = name_distance(word, names[i]);
        if (distance < best_distance && name_is_near(word, distance)) {
            best = i;
            best_distance = distance;
        }
    }
    size_t length = strlen(word);
    for (size_t i = 0; best == count && length >= PREFIX_MIN && i < count; i++)
        if (strncmp(names[i], word, length) == 0)
            best = i;
    return best < count ? names[best] : NULL;
}
