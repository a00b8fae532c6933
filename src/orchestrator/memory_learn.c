#include "orchestrator/memory_learn.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"
#include "base/thread.h"
#include "config.h"

enum {
    HEAD_BYTES = 16 << 20,
    WAY_MAX = 128,
    KEPT_OF_A_WAY = 32,
    KEPT_MAX = 20000, /* samples of all ways together */
    BUSY_MS = 2000,   /* another service of the same user may be writing */
};

#define MIB (UINT64_C(1) << 20)

struct memory_learn {
    struct mutex lock;
    sqlite3 *db; /* NULL: nothing can be kept */
    struct log *log;
};

/* ---------------------------------------------------------------- the file */

static const char schema[] =
    "CREATE TABLE IF NOT EXISTS samples (id INTEGER PRIMARY KEY, path TEXT NOT NULL,"
    " hash BLOB NOT NULL, way TEXT NOT NULL, held INTEGER NOT NULL, at INTEGER NOT NULL);"
    "CREATE INDEX IF NOT EXISTS samples_of_way ON samples (hash, way, id);"
    "CREATE INDEX IF NOT EXISTS samples_of_path ON samples (path);"
    "PRAGMA user_version = 1;";

static bool run(sqlite3 *db, const char *sql)
{
    return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK;
}

static int is_ok(void *user, int columns, char **values, char **names)
{
    (void)names;
    bool *ok = user;
    *ok = columns == 1 && values[0] && strcmp(values[0], "ok") == 0;
    return 0;
}

/* Opens and checks; NULL when it is damaged, of a later version, or not to be had. */
static sqlite3 *open_file(const char *path)
{
    sqlite3 *db = NULL;
    bool ok = false;
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                        NULL) == SQLITE_OK) {
        sqlite3_busy_timeout(db, BUSY_MS);
        ok = run(db, "PRAGMA trusted_schema = OFF; PRAGMA journal_mode = WAL; PRAGMA synchronous = "
                     "OFF;") &&
             sqlite3_exec(db, "PRAGMA quick_check(1)", is_ok, &ok, NULL) == SQLITE_OK && ok &&
             run(db, schema);
    }
    if (ok)
        return db;
    sqlite3_close(db);
    return NULL;
}

/* Removes FILE-wal or FILE-shm, which belong to what was set aside. */
static void remove_beside(const char *path, const char *ending)
{
    char *beside = str_format(strlen(path) + 16, "%s%s", path, ending);
    if (beside)
        unlink(beside);
    free(beside);
}

static void set_aside(const char *path, struct log *log)
{
    char *aside = str_format(strlen(path) + 16, "%s.damaged", path);
    if (aside && rename(path, aside) == 0)
        log_write(log, LOG_WARN, LOG_EVENT_MODEL, NULL,
                  (struct log_field[]){log_text("path", aside)}, 1,
                  "what was learned of models' memory is damaged: set aside, begun anew");
    free(aside);
    remove_beside(path, "-wal");
    remove_beside(path, "-shm");
}

bool memory_learn_open(const char *path, struct log *log, struct memory_learn **ret,
                       struct err *err)
{
    struct memory_learn *learn = calloc(1, sizeof(*learn));
    if (!learn)
        return err_no_memory(err);
    mutex_init(&learn->lock);
    learn->log = log;
    if (path && !(learn->db = open_file(path))) {
        set_aside(path, log);
        learn->db = open_file(path);
    }
    if (!learn->db)
        learn->db = open_file(":memory:");
    *ret = learn;
    return true;
}

void memory_learn_close(struct memory_learn *learn)
{
    if (!learn)
        return;
    sqlite3_close(learn->db);
    mutex_destroy(&learn->lock);
    free(learn);
}

/* ---------------------------------------------------------------- samples */

/* What distinguishes ways of loading one file. Another version of the program may take another amount. */
static void way_text(const struct memory_way *way, char out[WAY_MAX])
{
    snprintf(out, WAY_MAX, "%s %" PRIu32 "x%" PRIu32 " %s gpu=%" PRId32 " " JARVIS_VERSION,
             model_role_name(way->role), way->context, way->slots, kv_type_name(way->kv_type),
             way->gpu_layers);
}

/* Prepares a statement whose ?1 is the hash and ?2 the way; NULL on failure. */
static sqlite3_stmt *prepare(const struct memory_learn *learn, const char *sql,
                             const struct memory_way *way)
{
    sqlite3_stmt *statement = NULL;
    char text[WAY_MAX];
    if (!learn->db || sqlite3_prepare_v2(learn->db, sql, -1, &statement, NULL) != SQLITE_OK)
        return NULL;
    way_text(way, text);
    sqlite3_bind_blob(statement, 1, way->hash.bytes, HASH_BYTES, SQLITE_TRANSIENT);
    sqlite3_bind_text(statement, 2, text, -1, SQLITE_TRANSIENT);
    return statement;
}

static void finish(sqlite3_stmt *statement)
{
    if (statement)
        sqlite3_step(statement);
    sqlite3_finalize(statement);
}

static void replace_smaller(struct memory_learn *learn, const struct memory_way *way, uint64_t held,
                            int64_t sample)
{
    sqlite3_stmt *statement = prepare(
        learn, "UPDATE samples SET held = max(held, ?3) WHERE id = ?4 AND hash = ?1 AND way = ?2",
        way);
    if (statement) {
        sqlite3_bind_int64(statement, 3, (sqlite3_int64)held);
        sqlite3_bind_int64(statement, 4, sample);
    }
    finish(statement);
}

/* Of this path only this hash stays, of this way only the newest samples, and of all no more than KEPT_MAX. */
static void forget(struct memory_learn *learn, const struct memory_way *way)
{
    sqlite3_stmt *statement =
        prepare(learn, "DELETE FROM samples WHERE path = ?3 AND hash <> ?1 AND ?2 = ?2", way);
    if (statement)
        sqlite3_bind_text(statement, 3, way->path, -1, SQLITE_TRANSIENT);
    finish(statement);
    statement = prepare(learn,
                        "DELETE FROM samples WHERE hash = ?1 AND way = ?2 AND id NOT IN (SELECT id "
                        "FROM samples WHERE hash = ?1 AND way = ?2 ORDER BY id DESC LIMIT ?3)",
                        way);
    if (statement)
        sqlite3_bind_int(statement, 3, KEPT_OF_A_WAY);
    finish(statement);
    statement = prepare(learn,
                        "DELETE FROM samples WHERE id <= (SELECT max(id) FROM samples) - ?3 AND "
                        "?1 = ?1 AND ?2 = ?2",
                        way);
    if (statement)
        sqlite3_bind_int(statement, 3, KEPT_MAX);
    finish(statement);
}

static int64_t insert(struct memory_learn *learn, const struct memory_way *way, uint64_t held)
{
    sqlite3_stmt *statement = prepare(
        learn, "INSERT INTO samples (hash, way, path, held, at) VALUES (?1, ?2, ?3, ?4, ?5)", way);
    if (!statement)
        return 0;
    sqlite3_bind_text(statement, 3, way->path, -1, SQLITE_TRANSIENT);
    sqlite3_bind_int64(statement, 4, (sqlite3_int64)held);
    sqlite3_bind_int64(statement, 5, clock_wall_us() / 1000000);
    int64_t id = sqlite3_step(statement) == SQLITE_DONE ? sqlite3_last_insert_rowid(learn->db) : 0;
    sqlite3_finalize(statement);
    return id;
}

void memory_learn_note(struct memory_learn *learn, const struct memory_way *way, uint64_t held,
                       int64_t *sample)
{
    if (held == 0 || held > INT64_MAX)
        return;
    mutex_lock(&learn->lock);
    if (*sample != 0) {
        replace_smaller(learn, way, held, *sample);
    } else {
        *sample = insert(learn, way, held);
        forget(learn, way);
    }
    mutex_unlock(&learn->lock);
}

uint32_t memory_learn_samples(struct memory_learn *learn, const struct memory_way *way,
                              uint64_t *ret)
{
    uint32_t count = 0;
    mutex_lock(&learn->lock);
    sqlite3_stmt *statement = prepare(
        learn, "SELECT held FROM samples WHERE hash = ?1 AND way = ?2 ORDER BY id DESC", way);
    while (statement && count < MEMORY_SAMPLES_MAX && sqlite3_step(statement) == SQLITE_ROW)
        ret[count++] = (uint64_t)sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    mutex_unlock(&learn->lock);
    return count;
}

/* ---------------------------------------------------------------- what samples teach */

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Of sorted values. */
static uint64_t median(const uint64_t *values, uint32_t count)
{
    return count % 2 ? values[count / 2]
                     : values[count / 2 - 1] / 2 + values[count / 2] / 2 +
                           (values[count / 2 - 1] % 2 + values[count / 2] % 2) / 2;
}

static uint64_t distance(uint64_t a, uint64_t b)
{
    return a > b ? a - b : b - a;
}

/* Drops from sorted samples what is further from the median than five times the usual distance (the median of all
 * distances), and no less than 2% and 2 MiB. Returns how many are left. */
static uint32_t drop_absurd(uint64_t *samples, uint32_t count)
{
    uint64_t middle = median(samples, count);
    uint64_t distances[MEMORY_SAMPLES_MAX] = {0};
    for (uint32_t i = 0; i < count; i++)
        distances[i] = distance(samples[i], middle);
    qsort(distances, count, sizeof(*distances), by_size);
    uint64_t allowed = 5 * median(distances, count) + middle / 50 + 2 * MIB;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++)
        if (distance(samples[i], middle) <= allowed)
            samples[kept++] = samples[i];
    return kept;
}

/* Makes the parts add up to `bytes` again: what is more is "learned"; what is less are buffers that were never filled. */
static void balance(struct memory_forecast *forecast, uint64_t bytes)
{
    uint64_t missing = forecast->bytes > bytes ? forecast->bytes - bytes : 0;
    static const enum memory_part shrinking[] = {PART_COMPUTE, PART_PROCESS, PART_WEIGHTS,
                                                 PART_CACHE, PART_REPACKED};
    for (size_t k = 0; k < sizeof(shrinking) / sizeof(shrinking[0]); k++)
        for (uint32_t i = 0; i < forecast->part_count; i++) {
            struct memory_forecast_part *part = &forecast->parts[i];
            if (part->part != shrinking[k] || strcmp(part->device, "CPU") != 0)
                continue;
            uint64_t less = missing < part->bytes ? missing : part->bytes;
            part->bytes -= less;
            missing -= less;
        }
    if (bytes > forecast->bytes && forecast->part_count < MEMORY_PARTS_MAX)
        forecast->parts[forecast->part_count++] = (struct memory_forecast_part){
            .part = PART_LEARNED, .device = "CPU", .bytes = bytes - forecast->bytes};
    forecast->bytes = bytes;
}

void memory_learn_apply(struct memory_forecast *forecast, const uint64_t *samples, uint32_t count)
{
    uint64_t told = forecast->bytes;
    uint64_t margin = forecast->analysed ? told / 100 * 3 + 6 * MIB : told / 100 * 15;
    forecast->samples = count;
    if (count == 0) {
        forecast->bound = told + margin;
        return;
    }
    uint64_t sorted[MEMORY_SAMPLES_MAX];
    memcpy(sorted, samples, count * sizeof(*sorted));
    qsort(sorted, count, sizeof(*sorted), by_size);
    uint32_t kept = drop_absurd(sorted, count);
    balance(forecast, median(sorted, kept));
    uint64_t high = sorted[(kept * 9 - 1) / 10]; /* nine of ten are no larger */
    /* A load that was hardly used has not filled its buffers: what the dry run told remains possible. */
    if (forecast->analysed && high < told)
        high = told;
    forecast->bound = high + margin / (1 + count);
}

/* ---------------------------------------------------------------- the identity of a file */

bool memory_file_hash(const char *path, struct hash *ret, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat info;
    uint8_t *head = malloc(HEAD_BYTES + sizeof(uint64_t));
    ssize_t length = -1;
    if (head && fd >= 0 && fstat(fd, &info) == 0) {
        size_t used = 0;
        while (used < HEAD_BYTES && (length = read(fd, head + used, HEAD_BYTES - used)) > 0)
            used += (size_t)length;
        uint64_t size = (uint64_t)info.st_size;
        memcpy(head + used, &size, sizeof(size));
        if (length >= 0)
            *ret = hash_bytes(head, used + sizeof(size));
    }
    free(head);
    if (fd >= 0)
        close(fd);
    return length >= 0 ? true : err_set(err, ERR_IO, "cannot read the model file %s", path);
}
