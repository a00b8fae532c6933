/* The indexes of all collections, and how they follow the store.
 *
 * An index has a gate and a lock. Who loads or changes it passes the gate first, one at a time, and
 * reads the store inside: so the order in which changes arrive does not matter. If a document's
 * deletion was told before its addition, the addition finds it gone from the store; if the store
 * was loaded after a write, the write's notice finds the document there already. The lock is taken
 * for writing only while memory changes, in steps of a few passages, so that searches get in
 * between.
 *
 * When a change fails half-way, the index is marked as not loaded: it goes on serving what it has,
 * and who asks for it next reads it anew.
 */
#include <stdlib.h>
#include <string.h>

#include "retrieval/index_content.h"

enum {
    STEP_PASSAGES = 64,           /* added under one write lock */
    ANALYZERS_SPARE = 8,          /* kept for the next who needs one */
    GATE_WAIT_MS = 10 * 60 * 1000 /* for another thread's loading */
};

struct spare {
    struct text_analyzer *analyzers[ANALYZERS_SPARE];
    size_t count;
};

struct index_set {
    struct store *store;
    struct mutex lock; /* of the list, the counts of users, the spare analyzers */
    struct index *indexes;
    struct spare spare;
};

bool index_set_new(struct store *store, struct index_set **ret, struct err *err)
{
    struct index_set *set = calloc(1, sizeof(*set));
    if (!set)
        return err_no_memory(err);
    set->store = store;
    mutex_init(&set->lock);
    *ret = set;
    return true;
}

struct store *index_set_store(const struct index_set *set)
{
    return set->store;
}

bool index_analyzer_take(struct index_set *set, struct text_analyzer **ret, struct err *err)
{
    mutex_lock(&set->lock);
    struct text_analyzer *analyzer =
        set->spare.count > 0 ? set->spare.analyzers[--set->spare.count] : NULL;
    mutex_unlock(&set->lock);
    if (!analyzer)
        return text_analyzer_new(ret, err);
    *ret = analyzer;
    return true;
}

void index_analyzer_give(struct index_set *set, struct text_analyzer *analyzer)
{
    mutex_lock(&set->lock);
    bool kept = set->spare.count < ANALYZERS_SPARE;
    if (kept)
        set->spare.analyzers[set->spare.count++] = analyzer;
    mutex_unlock(&set->lock);
    if (!kept)
        text_analyzer_free(analyzer);
}

/* ---------------------------------------------------------------- life of an index */

static void free_index(struct index *index)
{
    content_free(index->content);
    cond_destroy(&index->gate_free);
    mutex_destroy(&index->gate);
    pthread_rwlock_destroy(&index->lock);
    free(index->collection);
    free(index->prefix);
    free(index->pooling);
    free(index);
}

/* NULL with err on failure. */
static struct index *new_index(struct index_set *set, const char *collection, struct err *err)
{
    struct index *index = calloc(1, sizeof(*index));
    if (!index) {
        err_no_memory(err);
        return NULL;
    }
    index->set = set;
    mutex_init(&index->gate);
    cond_init(&index->gate_free);
    /* Writers first: a stream of searches must not keep a document from being found. */
    pthread_rwlockattr_t attributes;
    pthread_rwlockattr_init(&attributes);
    pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&index->lock, &attributes);
    pthread_rwlockattr_destroy(&attributes);
    if (!content_new(&index->content, err) || !str_copy(collection, &index->collection, err)) {
        free_index(index);
        return NULL;
    }
    return index;
}

/* The index of a collection with one more user; NULL when it is not listed. Under set->lock. */
static struct index *listed(struct index_set *set, const char *collection)
{
    for (struct index *index = set->indexes; index; index = index->next)
        if (strcmp(index->collection, collection) == 0) {
            index->users++;
            return index;
        }
    return NULL;
}

static struct index *find_index(struct index_set *set, const char *collection)
{
    mutex_lock(&set->lock);
    struct index *index = listed(set, collection);
    mutex_unlock(&set->lock);
    return index;
}

/* The same, listing a new one when there is none. */
static bool find_or_list(struct index_set *set, const char *collection, struct index **ret,
                         struct err *err)
{
    mutex_lock(&set->lock);
    struct index *index = listed(set, collection);
    if (!index) {
        index = new_index(set, collection, err);
        if (index) {
            index->users = 2;
            index->next = set->indexes;
            set->indexes = index;
        }
    }
    mutex_unlock(&set->lock);
    if (!index)
        return false;
    *ret = index;
    return true;
}

void index_release(struct index *index)
{
    if (!index)
        return;
    mutex_lock(&index->set->lock);
    bool last = --index->users == 0;
    mutex_unlock(&index->set->lock);
    if (last)
        free_index(index);
}

void index_set_drop(struct index_set *set, const char *collection)
{
    mutex_lock(&set->lock);
    struct index **link = &set->indexes;
    while (*link && strcmp((*link)->collection, collection) != 0)
        link = &(*link)->next;
    struct index *index = *link;
    if (index)
        *link = index->next;
    mutex_unlock(&set->lock);
    index_release(index);
}

void index_set_free(struct index_set *set)
{
    if (!set)
        return;
    while (set->indexes) {
        struct index *index = set->indexes;
        set->indexes = index->next;
        index_release(index);
    }
    while (set->spare.count > 0)
        text_analyzer_free(set->spare.analyzers[--set->spare.count]);
    mutex_destroy(&set->lock);
    free(set);
}

/* ---------------------------------------------------------------- the gate */

static void wake_waiters(void *user)
{
    struct index *index = user;
    mutex_lock(&index->gate);
    cond_broadcast(&index->gate_free);
    mutex_unlock(&index->gate);
}

static bool enter_gate(struct index *index, struct cancel *cancel, struct err *err)
{
    deadline until = deadline_in_ms(GATE_WAIT_MS);
    struct cancel_hook hook = {.fire = wake_waiters, .argument = index};
    cancel_watch(cancel, &hook);
    mutex_lock(&index->gate);
    while (index->gate_taken && !cancel_is_set(cancel) && !deadline_passed(until))
        cond_wait(&index->gate_free, &index->gate, until);
    bool entered = !index->gate_taken;
    if (entered)
        index->gate_taken = true;
    mutex_unlock(&index->gate);
    cancel_unwatch(cancel, &hook);
    if (entered)
        return true;
    if (cancel_is_set(cancel))
        return cancel_error(err);
    return err_set(err, ERR_BUSY, "the search index is being read; try again later");
}

static void leave_gate(struct index *index)
{
    mutex_lock(&index->gate);
    index->gate_taken = false;
    cond_signal(&index->gate_free);
    mutex_unlock(&index->gate);
}

/* ---------------------------------------------------------------- loading */

struct loader {
    struct content *content;
    struct text_analyzer *analyzer;
    const struct index_load *load;
};

static bool load_document(void *user, const struct document_view *document, size_t done,
                          size_t total, struct err *err)
{
    struct loader *loader = user;
    if (loader->load->progress)
        loader->load->progress(loader->load->user, done, total);
    return content_add(loader->content, loader->analyzer, document, 0, document->passage_count,
                       err) &&
           bm25_upkeep(loader->content->bm25, err);
}

static bool load_vector(void *user, struct passage_key key, const float *values,
                        uint32_t dimensions, struct err *err)
{
    struct content *content = user;
    uint32_t slot;
    return !content_slot(content, key, &slot) ||
           vectors_set(content->vectors, slot, values, dimensions, err);
}

static bool same_embedder(const struct index *index, const struct embedder_key *key)
{
    return index->has_embedder && hash_equal(&index->model, &key->model) &&
           strcmp(index->prefix, key->prefix) == 0 && strcmp(index->pooling, key->pooling) == 0;
}

static bool remember_embedder(struct index *index, const struct embedder_key *key, struct err *err)
{
    char *prefix = NULL;
    char *pooling = NULL;
    if (!str_copy(key->prefix, &prefix, err) || !str_copy(key->pooling, &pooling, err)) {
        free(prefix);
        return false;
    }
    free(index->prefix);
    free(index->pooling);
    index->model = key->model;
    index->prefix = prefix;
    index->pooling = pooling;
    index->has_embedder = true;
    return true;
}

/* The key of the embedder whose vectors the index holds; NULL: of none. */
static const struct embedder_key *own_embedder(const struct index *index,
                                               struct embedder_key *storage)
{
    if (!index->has_embedder)
        return NULL;
    *storage = (struct embedder_key){index->model, index->prefix, index->pooling};
    return storage;
}

static void put_content(struct index *index, struct content *content)
{
    pthread_rwlock_wrlock(&index->lock);
    struct content *old = index->content;
    index->content = content;
    index->generation++;
    pthread_rwlock_unlock(&index->lock);
    content_free(old);
}

/* Reads everything from the store into a new content. */
static bool load_content(struct index *index, const struct index_load *load,
                         const struct embedder_key *embedder, struct err *err)
{
    struct loader loader = {.load = load};
    if (!content_new(&loader.content, err))
        return false;
    bool ok = index_analyzer_take(index->set, &loader.analyzer, err);
    if (ok) {
        ok = store_each_document(index->set->store, index->collection, load->cancel, load_document,
                                 &loader, err) &&
             (!embedder || store_each_vector(index->set->store, index->collection, embedder,
                                             load->cancel, load_vector, loader.content, err));
        index_analyzer_give(index->set, loader.analyzer);
    }
    if (!ok) {
        content_free(loader.content);
        return false;
    }
    put_content(index, loader.content);
    return true;
}

/* Reads the vectors of another embedder beside the words that are there. */
static bool load_vectors(struct index *index, const struct index_load *load, struct err *err)
{
    struct vectors *fresh;
    if (!vectors_new(&fresh, err))
        return false;
    struct content view = *index->content; /* only the gate's holder changes it */
    view.vectors = fresh;
    if (!store_each_vector(index->set->store, index->collection, load->embedder, load->cancel,
                           load_vector, &view, err)) {
        vectors_free(fresh);
        return false;
    }
    pthread_rwlock_wrlock(&index->lock);
    struct vectors *old = index->content->vectors;
    index->content->vectors = fresh;
    index->generation++;
    pthread_rwlock_unlock(&index->lock);
    vectors_free(old);
    return true;
}

/* Makes the index hold what `load` asks for. Behind the gate. */
static bool ensure_loaded(struct index *index, const struct index_load *load, struct err *err)
{
    bool new_embedder = load->embedder && !same_embedder(index, load->embedder);
    if (index->loaded && !new_embedder)
        return true;
    if (index->loaded)
        return load_vectors(index, load, err) && remember_embedder(index, load->embedder, err);
    struct embedder_key storage;
    const struct embedder_key *embedder =
        load->embedder ? load->embedder : own_embedder(index, &storage);
    if (!load_content(index, load, embedder, err) ||
        (new_embedder && !remember_embedder(index, load->embedder, err)))
        return false;
    index->loaded = true;
    return true;
}

bool index_set_acquire(struct index_set *set, const char *collection, const struct index_load *load,
                       struct index **ret, struct err *err)
{
    struct index *index;
    if (!find_or_list(set, collection, &index, err))
        return false;
    struct err failure;
    bool ok = enter_gate(index, load->cancel, &failure);
    if (ok) {
        ok = ensure_loaded(index, load, &failure);
        leave_gate(index);
    }
    if (!ok) {
        /* Ids are not given twice, so nobody will want this one again. */
        if (failure.code == ERR_NOT_FOUND)
            index_set_drop(set, collection);
        index_release(index);
        if (err)
            *err = failure;
        return false;
    }
    *ret = index;
    return true;
}

/* ---------------------------------------------------------------- following the store */

struct addition {
    struct index *index;
    struct text_analyzer *analyzer;
};

/* Packs what has come and joins what is packed; only putting it in place holds searches up. */
static bool keep_up(struct index *index, struct err *err)
{
    struct bm25 *bm25 = index->content->bm25;
    bool ok = true;
    while (ok && bm25_upkeep_due(bm25)) {
        struct bm25_change *change;
        ok = bm25_upkeep_begin(bm25, &change, err);
        if (!ok)
            break;
        pthread_rwlock_wrlock(&index->lock);
        ok = bm25_upkeep_end(bm25, change, err);
        pthread_rwlock_unlock(&index->lock);
    }
    return ok;
}

static bool add_document(void *user, const struct document_view *document, size_t done,
                         size_t total, struct err *err)
{
    (void)done;
    (void)total;
    struct addition *addition = user;
    struct index *index = addition->index;
    if (content_has(index->content, document->number))
        return true;
    size_t at = 0;
    bool ok = true;
    do {
        size_t left = document->passage_count - at;
        size_t count = left < STEP_PASSAGES ? left : STEP_PASSAGES;
        pthread_rwlock_wrlock(&index->lock);
        ok = content_add(index->content, addition->analyzer, document, at, count, err);
        index->generation++;
        pthread_rwlock_unlock(&index->lock);
        at += count;
    } while (ok && at < document->passage_count);
    return ok && keep_up(index, err);
}

static bool remove_document(struct index *index, int64_t number, struct err *err)
{
    pthread_rwlock_wrlock(&index->lock);
    bool ok = content_remove(index->content, number, err);
    index->generation++;
    pthread_rwlock_unlock(&index->lock);
    return ok;
}

static bool follow_write(struct index *index, const struct document_written *written,
                         struct err *err)
{
    struct addition addition = {.index = index};
    if (!index_analyzer_take(index->set, &addition.analyzer, err))
        return false;
    struct err missing;
    bool ok =
        store_view_document(index->set->store, written->number, add_document, &addition, &missing);
    if (!ok && missing.code == ERR_NOT_FOUND)
        ok = true;
    else if (!ok && err)
        *err = missing;
    index_analyzer_give(index->set, addition.analyzer);
    return ok && (written->replaced == 0 || remove_document(index, written->replaced, err));
}

bool index_set_document(struct index_set *set, const char *collection,
                        const struct document_written *written, struct err *err)
{
    struct index *index = find_index(set, collection);
    if (!index)
        return true;
    bool ok = enter_gate(index, NULL, err);
    if (ok) {
        ok = !index->loaded || follow_write(index, written, err);
        index->loaded = index->loaded && ok;
        leave_gate(index);
    }
    index_release(index);
    return ok;
}

void index_set_forget(struct index_set *set, const char *collection, int64_t number)
{
    struct index *index = find_index(set, collection);
    if (!index)
        return;
    if (enter_gate(index, NULL, NULL)) {
        if (index->loaded)
            index->loaded = remove_document(index, number, NULL);
        leave_gate(index);
    }
    index_release(index);
}

static bool add_vectors(struct index *index, const struct passage_key *keys, size_t count,
                        const float *values, uint32_t dimensions, struct err *err)
{
    bool ok = true;
    pthread_rwlock_wrlock(&index->lock);
    for (size_t i = 0; ok && i < count; i++)
        ok = load_vector(index->content, keys[i], values + i * dimensions, dimensions, err);
    index->generation++;
    pthread_rwlock_unlock(&index->lock);
    return ok;
}

bool index_set_vectors(struct index_set *set, const char *collection,
                       const struct embedder_key *embedder, const struct passage_key *keys,
                       size_t count, const float *values, uint32_t dimensions, struct err *err)
{
    struct index *index = find_index(set, collection);
    if (!index)
        return true;
    bool ok = enter_gate(index, NULL, err);
    if (ok) {
        if (index->loaded && same_embedder(index, embedder))
            ok = add_vectors(index, keys, count, values, dimensions, err);
        leave_gate(index);
    }
    index_release(index);
    return ok;
}

void index_stats(struct index *index, struct index_stats *ret)
{
    pthread_rwlock_rdlock(&index->lock);
    const struct content *content = index->content;
    *ret = (struct index_stats){
        .documents = content->documents.count,
        .passages = bm25_count(content->bm25),
        .vectors = vectors_count(content->vectors),
        .dimensions = vectors_dimensions(content->vectors),
        .generation = index->generation,
    };
    pthread_rwlock_unlock(&index->lock);
}
