/* pair_cache.h - scores of question and passage that a rerank model has given before.
 *
 * Purpose: people ask again, and turn pages; a cross-encoder would read the same pairs once more. A score depends on
 *   the model's file, the question and the passage alone, and these are the key, so that nothing is ever stale.
 * Owner:   pair_cache_free() ends it. Its size is fixed: PAIR_CACHE_SLOTS scores, less than a mebibyte; the one that
 *   was used longest ago of a few makes room.
 * Threads: safe from any. Fails: only pair_cache_new(), with ERR_NO_MEMORY; a cache that is NULL holds nothing.
 */
#ifndef JARVIS_ASSISTANT_PAIR_CACHE_H
#define JARVIS_ASSISTANT_PAIR_CACHE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/hash.h"

enum {
    PAIR_CACHE_SLOTS = 16384,
    PAIR_CACHE_WAYS = 4, /* slots that one pair may be in */
};

struct pair_cache;

bool pair_cache_new(struct pair_cache **ret, struct err *err);
void pair_cache_free(struct pair_cache *cache); /* NULL is fine */

/* The key of a pair; false when there is no memory to make it. */
bool pair_cache_key(const struct hash *model, const char *question, const char *passage,
                    struct hash *ret);

bool pair_cache_get(struct pair_cache *cache, const struct hash *key, float *ret_score);
void pair_cache_put(struct pair_cache *cache, const struct hash *key, float score);

#endif
