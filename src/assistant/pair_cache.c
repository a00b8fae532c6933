/* How it works: a set-associative table, as processors have them. A key's first bytes choose a set of PAIR_CACHE_WAYS
 * neighbouring slots; within it the least recently used one is replaced. No lists, no resizing, one short lock. */
#include "assistant/pair_cache.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/thread.h"

struct slot {
    struct hash key;
    float score;
    uint64_t used; /* the cache's clock then; 0: empty */
};

struct pair_cache {
    struct mutex lock;
    uint64_t clock;
    struct slot slots[PAIR_CACHE_SLOTS];
};

bool pair_cache_new(struct pair_cache **ret, struct err *err)
{
    struct pair_cache *cache = calloc(1, sizeof(*cache));
    if (!cache)
        return err_no_memory(err);
    mutex_init(&cache->lock);
    *ret = cache;
    return true;
}

void pair_cache_free(struct pair_cache *cache)
{
    if (!cache)
        return;
    mutex_destroy(&cache->lock);
    free(cache);
}

bool pair_cache_key(const struct hash *model, const char *question, const char *passage,
                    struct hash *ret)
{
    /* The question's final zero keeps "ab" + "c" and "a" + "bc" apart. */
    size_t question_bytes = strlen(question) + 1, passage_bytes = strlen(passage);
    size_t length = sizeof(*model) + question_bytes + passage_bytes;
    uint8_t *bytes = malloc(length);
    if (!bytes)
        return false;
    memcpy(bytes, model, sizeof(*model));
    memcpy(bytes + sizeof(*model), question, question_bytes);
    memcpy(bytes + sizeof(*model) + question_bytes, passage, passage_bytes);
    *ret = hash_bytes(bytes, length);
    free(bytes);
    return true;
}

static struct slot *set_of(struct pair_cache *cache, const struct hash *key)
{
    uint32_t number;
    memcpy(&number, key->bytes, sizeof(number));
    return cache->slots + (size_t)(number % (PAIR_CACHE_SLOTS / PAIR_CACHE_WAYS)) * PAIR_CACHE_WAYS;
}

static struct slot *find(struct slot *set, const struct hash *key)
{
    for (int i = 0; i < PAIR_CACHE_WAYS; i++)
        if (set[i].used && hash_equal(&set[i].key, key))
            return &set[i];
    return NULL;
}

static struct slot *oldest(struct slot *set)
{
    struct slot *found = set;
    for (int i = 1; i < PAIR_CACHE_WAYS; i++)
        if (set[i].used < found->used)
            found = &set[i];
    return found;
}

bool pair_cache_get(struct pair_cache *cache, const struct hash *key, float *ret_score)
{
    if (!cache)
        return false;
    mutex_lock(&cache->lock);
    struct slot *slot = find(set_of(cache, key), key);
    if (slot) {
        slot->used = ++cache->clock;
        *ret_score = slot->score;
    }
    mutex_unlock(&cache->lock);
    return slot != NULL;
}

void pair_cache_put(struct pair_cache *cache, const struct hash *key, float score)
{
    if (!cache)
        return;
    mutex_lock(&cache->lock);
    struct slot *set = set_of(cache, key);
    struct slot *slot = find(set, key);
    if (!slot)
        slot = oldest(set);
    *slot = (struct slot){.key = *key, .score = score, .used = ++cache->clock};
    mutex_unlock(&cache->lock);
}
