/* vec.h - growing a plain array.
 *
 * Purpose: the one place where a dynamic array is made larger. The array stays an ordinary pointer, count and
 *   capacity in the structure that uses it.
 * Owner:   the caller owns the array (free()). Threads: one at a time. Fails: false with err; array unchanged.
 */
#ifndef JARVIS_BASE_VEC_H
#define JARVIS_BASE_VEC_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

/* Makes room in *items for at least `need` items of `size` bytes, at most `max` items: doubles, so appending
 * costs O(1) each. `items` is the address of the array's pointer. ERR_TOO_LARGE past max, ERR_NO_MEMORY. */
bool vec_reserve(void *items, size_t *capacity, size_t need, size_t size, size_t max,
                 struct err *err);

#endif
