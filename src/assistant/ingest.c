/* How it works: the roots are walked first, so that progress knows its end. Each file is then compared with what the
 * store knows (a stat, and where that differs a hash) and, when it is new or changed, brought in by document.c.
 * Documents that the walk did not meet below a root have vanished and are removed. Vectors come last: by then
 * everything can be found by its words. */
#include "assistant/ingest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "assistant/document.h"
#include "assistant/walk.h"
#include "base/fs.h"
#include "base/map.h"

enum { PAGE = 500, PAGE_ARENA_MAX = 64 * 1024 * 1024 };

struct ingest_run {
    struct runtime *runtime;
    struct request *request;
    const struct ingest_request *ingest;
    struct collection collection;
    struct document_embedder embedder;
    struct walk_list walk;
    struct map seen; /* the paths of walk.files */
    struct ingest_progress progress;
    struct ingest_summary summary;
};

static void report(struct ingest_run *run, const char *phase, size_t done, size_t total,
                   const char *path)
{
    run->progress.phase = phase;
    run->progress.done = done;
    run->progress.total = total;
    run->progress.path = path;
    if (run->ingest->progress)
        run->ingest->progress(run->ingest->user, &run->progress);
}

/* Errors of one file that leave the others possible. */
static bool is_the_files_own(const struct err *err)
{
    switch (err->code) {
    case ERR_DOCUMENT:
    case ERR_NOT_FOUND:
    case ERR_IO:
    case ERR_TOO_LARGE:
    case ERR_INVALID_REQUEST:
    case ERR_UNSUPPORTED:
    case ERR_WORKER_DIED: return true;
    default: return false;
    }
}

/* Counts a failure and keeps the first ones for the summary. */
static bool note_failure(struct ingest_run *run, const char *path, const struct err *failure,
                         struct err *err)
{
    struct ingest_summary *summary = &run->summary;
    summary->failed++;
    log_error(run->runtime->log, trace_id_of(run->request), path, failure);
    if (summary->failure_count == INGEST_FAILURES_MAX)
        return true;
    struct ingest_failure *row = &summary->failures[summary->failure_count];
    row->path = arena_copy(run->request->arena, path);
    row->reason = arena_copy(run->request->arena, err_message(failure, run->request->lang));
    row->code = err_info(failure->code)->name;
    if (!row->path || !row->reason)
        return err_no_memory(err);
    summary->failure_count++;
    return true;
}

/* What the store knows of a path. false: nothing. */
static bool known_document(struct ingest_run *run, const char *path, struct arena *arena,
                           struct document *ret, bool *ret_known, struct err *err)
{
    *ret_known =
        store_document_by_path(run->runtime->store, run->collection.id, path, arena, ret, err);
    return *ret_known || err->code == ERR_NOT_FOUND;
}

/* Reads a file that is new or looks changed, and brings it in when its bytes are others. */
static bool read_file(struct ingest_run *run, const struct walk_file *file,
                      const struct document *known, struct err *err)
{
    char *bytes;
    size_t length;
    size_t max = (size_t)run->runtime->config->ingest_max_file_mib << 20;
    if (!fs_read(file->path, max, &bytes, &length, err))
        return false;
    struct hash content = hash_bytes(bytes, length);
    bool ok;
    if (known && hash_equal(&known->content, &content)) {
        run->summary.unchanged++;
        ok = store_document_touch(run->runtime->store, known->number, file->mtime_ns, 0, err);
    } else {
        struct document_source source = {
            .collection = run->collection.id,
            .path = file->path,
            .bytes = bytes,
            .length = length,
            .content = content,
            .mtime_ns = file->mtime_ns,
        };
        struct document_written written;
        size_t passages;
        ok = document_put(run->runtime, run->request, &run->embedder, &source, &written, &passages,
                          err);
        if (ok) {
            run->summary.passages += passages;
            if (known)
                run->summary.changed++;
            else
                run->summary.added++;
        }
    }
    free(bytes);
    return ok;
}

static bool ingest_file(struct ingest_run *run, const struct walk_file *file, struct err *err)
{
    struct arena arena;
    arena_init(&arena, 256 * 1024);
    struct document known;
    bool is_known;
    bool ok = known_document(run, file->path, &arena, &known, &is_known, err);
    if (ok && is_known && known.bytes == file->size && known.mtime_ns == file->mtime_ns) {
        run->summary.unchanged++;
    } else if (ok) {
        struct err failure;
        if (!read_file(run, file, is_known ? &known : NULL, &failure)) {
            ok = is_the_files_own(&failure);
            if (ok)
                ok = note_failure(run, file->path, &failure, err);
            else
                *err = failure;
        }
    }
    arena_free(&arena);
    return ok;
}

static bool ingest_files(struct ingest_run *run, struct err *err)
{
    for (size_t i = 0; i < run->walk.count; i++) {
        const struct walk_file *file = &run->walk.files[i];
        report(run, "read", i, run->walk.count, file->path);
        if (!request_check(run->request, err) || !ingest_file(run, file, err))
            return false;
        run->progress.bytes_done += file->size;
    }
    report(run, "read", run->walk.count, run->walk.count, "");
    return true;
}

/* Whether `path` lies below a directory that could not be read: then nobody knows whether it still exists. */
static bool is_unreadable(const struct walk_list *walk, const char *path)
{
    for (size_t i = 0; i < walk->unreadable_count; i++) {
        size_t length = strlen(walk->unreadable[i]);
        if (strncmp(path, walk->unreadable[i], length) == 0 && path[length] == '/')
            return true;
    }
    return false;
}

static bool remove_if_vanished(struct ingest_run *run, const struct document *document,
                               struct err *err)
{
    uint64_t ignored;
    struct stat status;
    if (document->file_id[0] ||
        map_get(&run->seen, document->path, strlen(document->path), &ignored) ||
        is_unreadable(&run->walk, document->path))
        return true;
    bool there = lstat(document->path, &status) == 0;
    if (there ? S_ISREG(status.st_mode) : errno != ENOENT && errno != ENOTDIR)
        return true;
    int64_t number;
    if (!store_document_delete(run->runtime->store, run->collection.id, document->id, &number, err))
        return err->code == ERR_NOT_FOUND;
    index_set_forget(run->runtime->indexes, run->collection.id, number);
    run->summary.removed++;
    return true;
}

/* Removes what the store has at or below `root` and the disk no longer. */
static bool remove_vanished(struct ingest_run *run, const char *root, struct err *err)
{
    char *after;
    if (!str_copy("", &after, err))
        return false;
    size_t count = PAGE;
    bool ok = true;
    while (ok && count == PAGE) {
        struct arena arena;
        arena_init(&arena, PAGE_ARENA_MAX);
        struct document *documents;
        ok = request_check(run->request, err) &&
             store_document_list(run->runtime->store, run->collection.id, root, after, PAGE, &arena,
                                 &documents, &count, err);
        for (size_t i = 0; ok && i < count; i++)
            ok = remove_if_vanished(run, &documents[i], err);
        if (ok && count == PAGE) {
            free(after);
            after = NULL;
            ok = str_copy(documents[count - 1].path, &after, err);
        }
        arena_free(&arena);
    }
    free(after);
    return ok;
}

/* Lists the files of every root. A root that is not there is a failure of its own, unless the store knew it: then
 * it has vanished. */
static bool scan(struct ingest_run *run, struct err *err)
{
    for (size_t i = 0; i < run->ingest->path_count; i++) {
        const char *root = run->ingest->paths[i];
        report(run, "scan", run->walk.count, 0, root);
        struct err failure;
        if (root[0] != '/')
            err_set_param(&failure, ERR_INVALID_REQUEST, "paths", "\"%s\" is not an absolute path",
                          root);
        else if (walk_add(&run->walk, root, run->request->cancel, &failure))
            continue;
        if (!is_the_files_own(&failure)) {
            *err = failure;
            return false;
        }
        size_t removed = run->summary.removed;
        if (failure.code == ERR_NOT_FOUND && !remove_vanished(run, root, err))
            return false;
        if (run->summary.removed == removed && !note_failure(run, root, &failure, err))
            return false;
    }
    run->summary.skipped = run->walk.skipped;
    for (size_t i = 0; i < run->walk.unreadable_count; i++) {
        struct err failure;
        err_set(&failure, ERR_IO, "the directory \"%s\" cannot be read; check its permissions",
                run->walk.unreadable[i]);
        if (!note_failure(run, run->walk.unreadable[i], &failure, err))
            return false;
    }
    for (size_t i = 0; i < run->walk.count; i++)
        if (!map_put(&run->seen, run->walk.files[i].path, strlen(run->walk.files[i].path), 1, err))
            return false;
    return true;
}

static void report_embedding(void *user, size_t done, size_t total)
{
    report(user, "embed", done, total, "");
}

static bool do_ingest(struct ingest_run *run, struct err *err)
{
    int span = trace_begin(run->request->trace, "scan");
    bool ok = scan(run, err);
    trace_end(run->request->trace, span);
    if (!ok)
        return false;
    if (run->walk.count > 0 &&
        !document_embedder_open(run->runtime, run->request, &run->embedder, err))
        return false;
    span = trace_begin(run->request->trace, "read");
    ok = ingest_files(run, err);
    for (size_t i = 0; ok && i < run->ingest->path_count; i++)
        ok = remove_vanished(run, run->ingest->paths[i], err);
    trace_end(run->request->trace, span);
    if (!ok)
        return false;
    span = trace_begin(run->request->trace, "embed");
    ok = document_embed_pending(run->runtime, run->request, &run->embedder, run->collection.id,
                                report_embedding, run, &run->summary.embedded, err);
    trace_end(run->request->trace, span);
    return ok;
}

static void log_summary(struct ingest_run *run)
{
    const struct ingest_summary *summary = &run->summary;
    struct log_field fields[] = {
        log_text("store", run->collection.name),
        log_int("added", (int64_t)summary->added),
        log_int("changed", (int64_t)summary->changed),
        log_int("unchanged", (int64_t)summary->unchanged),
        log_int("removed", (int64_t)summary->removed),
        log_int("failed", (int64_t)summary->failed),
        log_int("passages", (int64_t)summary->passages),
        log_int("embedded", (int64_t)summary->embedded),
    };
    log_write(run->runtime->log, LOG_INFO, LOG_EVENT_INGEST, trace_id_of(run->request), fields,
              sizeof(fields) / sizeof(*fields), "ingested");
}

bool ingest_run(struct runtime *runtime, struct request *request,
                const struct ingest_request *ingest, struct ingest_summary *ret, struct err *err)
{
    if (ingest->path_count == 0)
        return err_set_param(err, ERR_INVALID_REQUEST, "paths",
                             "\"paths\" is empty; name a file or a directory");
    struct ingest_run run = {
        .runtime = runtime,
        .request = request,
        .ingest = ingest,
        .embedder = {.notice = ""},
        .summary = {.notice = ""},
    };
    run.summary.failures =
        arena_array(request->arena, INGEST_FAILURES_MAX, sizeof(*run.summary.failures));
    if (!run.summary.failures)
        return err_no_memory(err);
    const char *store = ingest->store ? ingest->store : STORE_DEFAULT;
    if (!store_collection_ensure(runtime->store, store, request->arena, &run.collection, err) ||
        !gate_enter(&runtime->gate, run.collection.id, request, err))
        return false;
    map_init(&run.seen, INGEST_FILES_MAX);
    bool ok = do_ingest(&run, err);
    gate_leave(&runtime->gate, run.collection.id);
    document_embedder_close(&run.embedder);
    map_free(&run.seen);
    walk_list_free(&run.walk);
    if (!ok)
        return false;
    run.summary.notice = run.embedder.notice;
    log_summary(&run);
    *ret = run.summary;
    return true;
}
