/* Passages drawn by chance, for questions made of them. */
#include "retrieval/evaluate.h"
#include "retrieval/index_content.h"

bool index_sample(struct index *index, uint64_t seed, size_t want, struct arena *arena,
                  struct index_drawn **ret, size_t *ret_count, struct err *err)
{
    struct index_drawn *drawn = arena_array(arena, want, sizeof(*drawn));
    if (!drawn)
        return err_no_memory(err);
    pthread_rwlock_rdlock(&index->lock);
    const struct content *content = index->content;
    size_t documents = content->documents.count;
    size_t cursor = 0;
    size_t seen = 0;
    const char *key;
    size_t length;
    uint64_t place;
    /* Reservoir sampling over the documents (Vitter 1985, algorithm R), then one passage of each. */
    while (documents > 0 && map_next(&content->documents, &cursor, &key, &length, &place)) {
        size_t passages = place & UINT32_MAX;
        if (passages == 0)
            continue;
        size_t at = seen < want ? seen : (size_t)(evaluate_random(&seed) % (seen + 1));
        seen++;
        if (at < want)
            drawn[at] = (struct index_drawn){
                .key = content->keys[(place >> 32) + evaluate_random(&seed) % passages],
                .siblings = passages};
    }
    pthread_rwlock_unlock(&index->lock);
    *ret = drawn;
    *ret_count = seen < want ? seen : want;
    return true;
}
