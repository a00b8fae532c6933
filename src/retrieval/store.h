/* store.h - the one truth on disk: collections, uploaded files, documents, passages, vectors.
 *
 * Purpose: a database (SQLite) from which everything else is derived. A document is written with
 *   its passages in one transaction, so that a crash at any point leaves whole documents only.
 *   Vectors are kept by what they were computed from and shared by all passages of the same text.
 * Owner:   store_open() gives a store that store_close() ends; results live in the caller's arena.
 * Threads: all functions are safe from any thread; readers do not wait for the writer, writers
 *   take turns. A visitor must not call the store: it would hold one connection and want another.
 * Fails:   ERR_NOT_FOUND, ERR_CONFLICT (a name in use); ERR_STORE: the file is damaged or of a
 *   newer version, with what to do; ERR_DISK_FULL: nothing of the transaction is kept; ERR_BUSY:
 *   another process holds the database; ERR_TOO_LARGE: the arena is full.
 *
 * Numbers of documents ascend for ever and are never given again, so a (document number, ordinal)
 * names one passage of one version of a document, also after it is gone.
 */
#ifndef JARVIS_RETRIEVAL_STORE_H
#define JARVIS_RETRIEVAL_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/lang.h"
#include "base/thread.h"
#include "ipc/protocol.h"
#include "retrieval/chunk.h"
#include "retrieval/place.h"

struct store;

enum {
    STORE_NAME_MAX = 256,           /* bytes of a collection's name */
    STORE_METADATA_MAX = 64 * 1024, /* bytes of a collection's metadata */
    STORE_PAGE_MAX = 10000,         /* rows that one call of a paged function returns */
};

/* Opens the database at `path`, creates it when absent, and brings an older one to this version. */
bool store_open(const char *path, struct store **ret, struct err *err);
void store_close(struct store *store); /* NULL is fine; no other call may be running */

/* A small read: does the database answer? */
bool store_ping(struct store *store, struct err *err);

/* Reads the whole database for damage, as `jarvis doctor` wants it. ERR_STORE with the first
 * finding. */
bool store_check(struct store *store, struct err *err);

/* ---------------------------------------------------------------- collections: the users' stores
 */

struct collection {
    const char *id; /* "vs_…" */
    const char *name;
    const char *metadata; /* a JSON object */
    int64_t created_at;   /* seconds since 1970 */
};

/* `name` NULL or "": the id. `metadata` NULL: "{}". ERR_CONFLICT when the name is taken. */
bool store_collection_create(struct store *store, const char *name, const char *metadata,
                             struct arena *arena, struct collection *ret, struct err *err);

/* The collection of that name or id, created (by that name) when there is none. */
bool store_collection_ensure(struct store *store, const char *id_or_name, struct arena *arena,
                             struct collection *ret, struct err *err);
bool store_collection_find(struct store *store, const char *id_or_name, struct arena *arena,
                           struct collection *ret, struct err *err);
bool store_collection_list(struct store *store, struct arena *arena, struct collection **ret,
                           size_t *ret_count, struct err *err); /* oldest first */

/* NULL name or metadata: unchanged. */
bool store_collection_update(struct store *store, const char *id, const char *name,
                             const char *metadata, struct arena *arena, struct collection *ret,
                             struct err *err);

/* With its documents and passages; uploaded files stay. */
bool store_collection_delete(struct store *store, const char *id, struct err *err);

/* How a collection wants to be searched. */
struct ranking {
    double alpha;        /* 0..1, kept to a thousandth */
    size_t rerank_depth; /* 0: no reranking */
    int64_t tuned_at;    /* seconds since 1970; set by store_ranking_put() */
};

/* *ret_found false: nobody has chosen one, or there is no such collection; *ret is untouched then. */
bool store_ranking_get(struct store *store, const char *id_or_name, struct ranking *ret,
                       bool *ret_found, struct err *err);

/* `collection`: its id. */
bool store_ranking_put(struct store *store, const char *collection, const struct ranking *ranking,
                       struct err *err);
bool store_ranking_clear(struct store *store, const char *collection, struct err *err);

/* What a vector was computed with. */
struct embedder_key {
    struct hash model;   /* of the model's file */
    const char *prefix;  /* that was put before the text; "" */
    const char *pooling; /* "mean", … */
};

struct collection_counts {
    size_t documents;
    size_t passages;
    size_t embedded; /* passages that have a vector of the embedder asked for */
    uint64_t bytes;  /* of the documents' files */
};

/* `embedder` NULL: embedded is 0. */
bool store_collection_counts(struct store *store, const char *id,
                             const struct embedder_key *embedder, struct collection_counts *ret,
                             struct err *err);

/* ---------------------------------------------------------------- uploaded files */

struct stored_file {
    const char *id; /* "file-…" */
    const char *name;
    const char *purpose;
    int64_t created_at; /* seconds since 1970 */
    uint64_t bytes;
};

bool store_file_create(struct store *store, const char *name, const char *purpose,
                       const void *bytes, size_t length, struct arena *arena,
                       struct stored_file *ret, struct err *err);
bool store_file_find(struct store *store, const char *id, struct arena *arena,
                     struct stored_file *ret, struct err *err);
bool store_file_content(struct store *store, const char *id, struct arena *arena,
                        const void **ret_bytes, size_t *ret_length, struct err *err);
bool store_file_list(struct store *store, struct arena *arena, struct stored_file **ret,
                     size_t *ret_count, struct err *err); /* oldest first */

/* Documents made of the file stay, as OpenAI's API has it for a file in a vector store; they lose
 * their file. */
bool store_file_delete(struct store *store, const char *id, struct err *err);

/* ---------------------------------------------------------------- documents */

/* A document to be written. */
struct document_new {
    const char *collection; /* id */
    const char *path; /* its name in the collection: an absolute path, or an uploaded file's name */
    const char
        *file_id; /* of the uploaded file, which gives its id to the document; NULL: a path */
    struct hash content; /* of the file's bytes */
    uint64_t bytes;      /* of the file */
    int64_t mtime_ns;    /* 0: unknown */
    uint64_t inode;      /* 0: unknown */
    enum document_format format;
    const char *charset;
    const char *title;
    enum lang lang;
    const char *text;
    size_t text_length;
    const struct place_map *places; /* of the text; NULL: the text is the file */
    const struct chunk *chunks;     /* of the text, ascending */
    size_t chunk_count;
};

/* What a write did, for the search index. */
struct document_written {
    char id[ID_MAX];  /* "file-…"; a document that is replaced keeps its id */
    int64_t number;   /* of the new version */
    int64_t replaced; /* number of the version that is gone; 0: there was none */
};

/* A document as stored, without its text. */
struct document {
    const char *id;
    int64_t number;
    const char *path;
    const char *file_id; /* "" */
    struct hash content;
    uint64_t bytes;
    int64_t mtime_ns;
    uint64_t inode;
    enum document_format format;
    const char *charset;
    const char *title;
    enum lang lang;
    int64_t created_at; /* seconds since 1970, of this version */
    size_t text_length;
    size_t passages;
};

/* Writes a document with its passages in one transaction. It replaces the one of the same path or,
 * with file_id, the one made of the same file; uploaded files may share a name (path) with each
 * other and with a path. ERR_NOT_FOUND when the collection or the file is gone. */
bool store_document_put(struct store *store, const struct document_new *document,
                        struct document_written *ret, struct err *err);

/* After a look at an unchanged file: its new time and inode, so that the next look is a stat only.
 */
bool store_document_touch(struct store *store, int64_t number, int64_t mtime_ns, uint64_t inode,
                          struct err *err);

bool store_document_by_path(struct store *store, const char *collection, const char *path,
                            struct arena *arena, struct document *ret, struct err *err);
bool store_document_by_id(struct store *store, const char *collection, const char *id,
                          struct arena *arena, struct document *ret, struct err *err);

/* Documents in the order of their paths, after the path `after` ("" for the beginning): at most
 * `limit` (STORE_PAGE_MAX), and beyond it those that share the last one's path, as uploaded files
 * of one name may. `prefix`: only those whose path is it or lies below it as a directory ("/a"
 * takes "/a" and "/a/b", not
 * "/ab"); "": all. */
bool store_document_list(struct store *store, const char *collection, const char *prefix,
                         const char *after, size_t limit, struct arena *arena,
                         struct document **ret, size_t *ret_count, struct err *err);

/* The extracted text, NUL-terminated, and its place map (NULL: not wanted). */
bool store_document_text(struct store *store, int64_t number, struct arena *arena,
                         const char **ret_text, size_t *ret_length, struct place_map *ret_places,
                         struct err *err);

/* ret_number: which version is gone. ERR_NOT_FOUND when there is none. */
bool store_document_delete(struct store *store, const char *collection, const char *id,
                           int64_t *ret_number, struct err *err);

/* ---------------------------------------------------------------- passages */

/* Names a passage. */
struct passage_key {
    int64_t document; /* number */
    uint32_t ordinal; /* 0.. within the document */
};

struct passage {
    struct passage_key key;
    const char *document_id;
    const char *collection; /* id */
    const char *path;
    const char *title;
    enum lang lang;
    const char *text;   /* NUL-terminated */
    size_t text_offset; /* in the extracted text */
    size_t text_length;
    struct place place; /* in the file as ingested */
    uint32_t tokens;
    struct hash text_hash;
};

/* Reads passages with what a citation needs, from one snapshot and in the order asked. Those that
 * are gone are left out: *ret_count may be smaller than `count`. */
bool store_passages(struct store *store, const struct passage_key *keys, size_t count,
                    struct arena *arena, struct passage **ret, size_t *ret_count, struct err *err);

/* The passages of a document from ordinal `first` on, at most `limit`. */
bool store_document_passages(struct store *store, int64_t number, uint32_t first, size_t limit,
                             struct arena *arena, struct passage **ret, size_t *ret_count,
                             struct err *err);

struct passage_span {
    uint32_t offset; /* in the text */
    uint32_t length;
};

/* A document with all its text, given to the visitor of store_each_document(); valid during the
 * call. */
struct document_view {
    int64_t number;
    enum lang lang;
    const char *text;
    size_t text_length;
    const struct passage_span *passages; /* by ordinal */
    size_t passage_count;
};

/* Every document of a collection by ascending number, and the number of them beforehand; one
 * snapshot. The visitor returns false with err to stop. */
bool store_each_document(struct store *store, const char *collection, struct cancel *cancel,
                         bool (*visit)(void *user, const struct document_view *document,
                                       size_t done, size_t total, struct err *err),
                         void *user, struct err *err);

/* One document in the same shape, to add it to an index. ERR_NOT_FOUND when it is gone. */
bool store_view_document(struct store *store, int64_t number,
                         bool (*visit)(void *user, const struct document_view *document,
                                       size_t done, size_t total, struct err *err),
                         void *user, struct err *err);

/* ---------------------------------------------------------------- vectors */

/* The vectors of some texts: ret_values[i] points to ret_dimensions floats in the arena, or is NULL
 * when there is none. */
bool store_vectors_get(struct store *store, const struct embedder_key *embedder,
                       const struct hash *texts, size_t count, struct arena *arena,
                       const float ***ret_values, uint32_t *ret_dimensions, struct err *err);

/* Keeps vectors (count x dimensions, row major); one transaction; those that are there stay as they
 * are. */
bool store_vectors_put(struct store *store, const struct embedder_key *embedder,
                       const struct hash *texts, size_t count, const float *values,
                       uint32_t dimensions, struct err *err);

/* Passages without a vector of this embedder, by ascending key, after `after` (zeros for the
 * beginning), at most `limit`. They come with their text; the same text may come more than once. */
bool store_pending(struct store *store, const char *collection, const struct embedder_key *embedder,
                   struct passage_key after, size_t limit, struct arena *arena,
                   struct passage **ret, size_t *ret_count, struct err *err);

/* Every vector of a collection's passages by ascending key; one snapshot. */
bool store_each_vector(struct store *store, const char *collection,
                       const struct embedder_key *embedder, struct cancel *cancel,
                       bool (*visit)(void *user, struct passage_key key, const float *values,
                                     uint32_t dimensions, struct err *err),
                       void *user, struct err *err);

/* Drops the vectors whose text no passage has any more; how many into *ret_dropped. */
bool store_vectors_prune(struct store *store, size_t *ret_dropped, struct err *err);

#endif
