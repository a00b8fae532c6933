/* How long a search by words takes, against SQLite's FTS5 on the same passages in the same run, and how that grows.
 *
 * The text is drawn from a Zipf distribution (seeded), which is what makes posting lists long for a few words and short
 * for most; questions have three words each. FTS5 is asked for any of the words, ranked by its bm25(), the best ten,
 * from a database in memory; ours goes through the store and the live index, as the service does it. Times are medians
 * over the questions, with the 10th and the 90th percentile; nothing is asserted.
 *
 *     build/tests/bench/bench_search [passages…]        default: 2000 8000 32000
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <sqlite3.h>

#include "base/clock.h"
#include "helper/testing.h"
#include "retrieval/index.h"
#include "retrieval/store.h"

enum {
    VOCABULARY = 20000,
    PASSAGE_WORDS = 120,
    PASSAGES_A_DOCUMENT = 20,
    QUESTIONS = 60,
    TOP_K = 10,
};

static void must(bool ok, const struct err *err)
{
    if (ok)
        return;
    fprintf(stderr, "bench_search: %s\n", err->message[LANG_EN]);
    exit(1);
}

static void must_sqlite(int result, sqlite3 *database)
{
    if (result == SQLITE_OK || result == SQLITE_DONE || result == SQLITE_ROW)
        return;
    fprintf(stderr, "bench_search: FTS5: %s\n", sqlite3_errmsg(database));
    exit(1);
}

/* The number of a word: Zipf with exponent 1 by inverting its (approximated) distribution. */
static unsigned zipf(struct testing_random *random)
{
    double u = (double)(testing_next(random) >> 11) / 9007199254740992.0;
    return (unsigned)(exp(u * log(VOCABULARY))) - 1;
}

/* Letters only, so that neither side's tokenizer has anything to decide. */
static void write_word(struct str *out, unsigned number)
{
    char word[8] = "q";
    size_t length = 1;
    do {
        word[length++] = (char)('a' + number % 26);
        number /= 26;
    } while (number > 0);
    str_append(out, word, length);
    str_putc(out, 'x');
}

static void write_words(struct str *out, struct testing_random *random, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            str_putc(out, ' ');
        write_word(out, zipf(random));
    }
}

/* ---------------------------------------------------------------- both sides */

struct sides {
    struct store *store;
    struct index_set *set;
    struct index *index;
    struct collection collection;
    struct arena arena;
    sqlite3 *fts;
    sqlite3_stmt *ask;
};

static void put_document(struct sides *sides, sqlite3_stmt *insert, size_t number,
                         const struct str *text, const struct chunk *chunks, size_t count)
{
    char path[32];
    snprintf(path, sizeof(path), "/bench/%zu", number);
    struct document_new document = {
        .collection = sides->collection.id,
        .path = path,
        .content = hash_bytes(text->data, text->length),
        .bytes = text->length,
        .format = DOCUMENT_TEXT,
        .charset = "UTF-8",
        .title = "",
        .lang = LANG_EN,
        .text = text->data,
        .text_length = text->length,
        .chunks = chunks,
        .chunk_count = count,
    };
    struct document_written written;
    struct err err;
    must(store_document_put(sides->store, &document, &written, &err), &err);
    for (size_t i = 0; i < count; i++) {
        sqlite3_bind_text(insert, 1, text->data + chunks[i].offset, (int)chunks[i].length,
                          SQLITE_STATIC);
        must_sqlite(sqlite3_step(insert), sides->fts);
        sqlite3_reset(insert);
    }
}

static void fill(struct sides *sides, struct testing_random *random, size_t passages)
{
    sqlite3_stmt *insert;
    must_sqlite(sqlite3_open(":memory:", &sides->fts), sides->fts);
    must_sqlite(sqlite3_exec(sides->fts, "CREATE VIRTUAL TABLE p USING fts5(text); BEGIN", NULL,
                             NULL, NULL),
                sides->fts);
    must_sqlite(sqlite3_prepare_v2(sides->fts, "INSERT INTO p(text) VALUES (?)", -1, &insert, NULL),
                sides->fts);
    for (size_t done = 0; done < passages;) {
        struct str text;
        struct chunk chunks[PASSAGES_A_DOCUMENT] = {{0}};
        size_t count = 0;
        str_init(&text, 1 << 20);
        for (; count < PASSAGES_A_DOCUMENT && done < passages; count++, done++) {
            chunks[count].offset = (uint32_t)text.length;
            write_words(&text, random, PASSAGE_WORDS);
            chunks[count].length = (uint32_t)text.length - chunks[count].offset;
            chunks[count].line_start = chunks[count].line_end = (uint32_t)count + 1;
            chunks[count].heading = CHUNK_HEADING_NONE;
            str_putc(&text, '\n');
        }
        put_document(sides, insert, done, &text, chunks, count);
        str_free(&text);
    }
    sqlite3_finalize(insert);
    must_sqlite(
        sqlite3_exec(sides->fts, "COMMIT; INSERT INTO p(p) VALUES ('optimize')", NULL, NULL, NULL),
        sides->fts);
    must_sqlite(sqlite3_prepare_v2(sides->fts,
                                   "SELECT rowid FROM p WHERE p MATCH ? ORDER BY rank LIMIT ?", -1,
                                   &sides->ask, NULL),
                sides->fts);
}

static double ask_ours(struct sides *sides, const struct str *question)
{
    struct arena arena;
    arena_init(&arena, 16 << 20);
    struct index_query query = {
        .text = question->data,
        .length = question->length,
        .top_k = TOP_K,
        .method = FUSION_CONVEX,
    };
    struct index_hit *hits;
    size_t count;
    struct err err;
    int64_t start = clock_now_ns();
    must(index_search(&sides->index, 1, &query, &arena, &hits, &count, &err), &err);
    double ms = clock_ms_since(start);
    arena_free(&arena);
    return ms;
}

static double ask_fts(struct sides *sides, const struct str *question)
{
    struct str match;
    str_init(&match, 1024);
    for (const char *at = question->data; *at; at++)
        str_printf(&match, *at == ' ' ? " OR " : "%c", *at);
    int64_t start = clock_now_ns();
    sqlite3_bind_text(sides->ask, 1, match.data, (int)match.length, SQLITE_STATIC);
    sqlite3_bind_int(sides->ask, 2, TOP_K);
    int result;
    while ((result = sqlite3_step(sides->ask)) == SQLITE_ROW)
        ;
    must_sqlite(result, sides->fts);
    sqlite3_reset(sides->ask);
    double ms = clock_ms_since(start);
    str_free(&match);
    return ms;
}

/* ---------------------------------------------------------------- numbers */

static int compare_double(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return x < y ? -1 : x > y;
}

struct times {
    double p10;
    double median;
    double p90;
};

static struct times summarise(double *values, size_t count)
{
    qsort(values, count, sizeof(*values), compare_double);
    return (struct times){values[count / 10], values[count / 2], values[count * 9 / 10]};
}

static void open_sides(struct sides *sides, const char *directory)
{
    struct err err;
    char *path = testing_path(directory, "bench.db");
    arena_init(&sides->arena, 1 << 20);
    must(store_open(path, &sides->store, &err), &err);
    must(store_collection_ensure(sides->store, "bench", &sides->arena, &sides->collection, &err),
         &err);
    must(index_set_new(sides->store, &sides->set, &err), &err);
    free(path);
}

static void close_sides(struct sides *sides)
{
    index_release(sides->index);
    index_set_free(sides->set);
    store_close(sides->store);
    arena_free(&sides->arena);
    sqlite3_finalize(sides->ask);
    sqlite3_close(sides->fts);
}

static void measure(struct testing_random *random, size_t passages)
{
    char *directory = testing_directory();
    struct sides sides = {0};
    open_sides(&sides, directory);
    int64_t start = clock_now_ns();
    fill(&sides, random, passages);
    double fill_ms = clock_ms_since(start);
    struct index_load load = {0};
    struct err err;
    start = clock_now_ns();
    must(index_set_acquire(sides.set, sides.collection.id, &load, &sides.index, &err), &err);
    double load_ms = clock_ms_since(start);
    double ours[QUESTIONS];
    double fts[QUESTIONS];
    for (size_t i = 0; i < QUESTIONS; i++) {
        struct str question;
        str_init(&question, 256);
        write_words(&question, random, 3);
        /* Taking turns in going first evens out what the other leaves in the caches. */
        if (i % 2)
            fts[i] = ask_fts(&sides, &question);
        ours[i] = ask_ours(&sides, &question);
        if (i % 2 == 0)
            fts[i] = ask_fts(&sides, &question);
        str_free(&question);
    }
    struct times a = summarise(ours, QUESTIONS);
    struct times b = summarise(fts, QUESTIONS);
    printf("%8zu  %7.3f (%7.3f … %7.3f)  %8.3f (%7.3f … %8.3f)  %6.1fx  %9.0f  %8.0f\n", passages,
           a.median, a.p10, a.p90, b.median, b.p10, b.p90, b.median / a.median, fill_ms, load_ms);
    close_sides(&sides);
    testing_remove(directory);
}

int main(int argc, char **argv)
{
    static const size_t sizes[] = {2000, 8000, 32000};
    struct testing_random random;
    testing_seed(&random);
    struct utsname machine;
    uname(&machine);
    printf("machine: %s, %ld cores; SQLite %s\n", machine.machine, sysconf(_SC_NPROCESSORS_ONLN),
           sqlite3_libversion());
    printf("top %d of three-word questions, milliseconds: median (10%% … 90%%) of %d\n", TOP_K,
           QUESTIONS);
    printf("passages  Jarvis                       FTS5                          ratio    fill ms  "
           " load ms\n");
    if (argc > 1)
        for (int i = 1; i < argc; i++)
            measure(&random, (size_t)strtoull(argv[i], NULL, 10));
    else
        for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
            measure(&random, sizes[i]);
    return 0;
}
