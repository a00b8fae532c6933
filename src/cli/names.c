#include "cli/names.h"

#include <stdint.h>
#include <string.h>

#include "config/schema.h"

enum { PREFIX_MIN = 3 };

const char *names_nearest(const char *word, const char *const *names, size_t count)
{
    const char *best = NULL;
    size_t best_distance = SIZE_MAX;
    for (size_t i = 0; i < count; i++) {
        size_t distance = name_distance(word, names[i]);
        if (distance < best_distance && name_is_near(word, distance)) {
            best = names[i];
            best_distance = distance;
        }
    }
    size_t length = strlen(word);
    for (size_t i = 0; !best && length >= PREFIX_MIN && i < count; i++)
        if (strncmp(names[i], word, length) == 0)
            best = names[i];
    return best;
}
