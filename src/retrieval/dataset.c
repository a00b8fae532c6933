#include "retrieval/dataset.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/json.h"
#include "base/vec.h"

/* ---------------------------------------------------------------- lines */

/* Takes one line, without its end; `number` counts from 1. */
typedef bool line_visitor(void *user, const char *line, size_t length, size_t number,
                          struct err *err);

static bool visit_lines(FILE *file, const char *path, line_visitor *visit, void *user,
                        struct err *err)
{
    char *line = NULL;
    size_t capacity = 0;
    bool ok = true;
    ssize_t got;
    errno = 0;
    for (size_t number = 1; ok && (got = getline(&line, &capacity, file)) >= 0; number++) {
        size_t length = (size_t)got;
        while (length > 0 && (line[length - 1] == '\n' || line[length - 1] == '\r'))
            line[--length] = '\0';
        if (length > 0)
            ok = visit(user, line, length, number, err);
    }
    if (ok && ferror(file))
        ok = err_set_errno(err, ERR_IO, errno, "cannot read \"%s\"", path);
    free(line);
    return ok;
}

static bool each_line(const char *path, line_visitor *visit, void *user, struct err *err)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return err_set_errno(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno,
                             "cannot read \"%s\"", path);
    bool ok = visit_lines(file, path, visit, user, err);
    fclose(file);
    return ok;
}

/* ---------------------------------------------------------------- texts */

struct text_reader {
    const char *path;
    struct arena *arena;
    struct dataset_text *items; /* on the heap while it grows */
    size_t count;
    size_t capacity;
};

static bool not_an_entry(const char *path, size_t number, struct err *err)
{
    return err_set(err, ERR_INVALID_REQUEST,
                   "\"%s\", line %zu: this is no entry; an entry is {\"_id\": \"…\", \"text\": "
                   "\"…\"}",
                   path, number);
}

static bool read_text(struct text_reader *reader, yyjson_val *root, size_t number, struct err *err)
{
    const char *id = yyjson_get_str(yyjson_obj_get(root, "_id"));
    const char *title = yyjson_get_str(yyjson_obj_get(root, "title"));
    const char *text = yyjson_get_str(yyjson_obj_get(root, "text"));
    if (!id || !text)
        return not_an_entry(reader->path, number, err);
    if (!vec_reserve(&reader->items, &reader->capacity, reader->count + 1, sizeof(*reader->items),
                     DATASET_LINES_MAX, err))
        return false;
    struct dataset_text item = {
        .id = arena_copy(reader->arena, id),
        .title = arena_copy(reader->arena, title ? title : ""),
        .text = arena_copy(reader->arena, text),
    };
    if (!item.id || !item.title || !item.text)
        return err_no_memory(err);
    reader->items[reader->count++] = item;
    return true;
}

static bool visit_text(void *user, const char *line, size_t length, size_t number, struct err *err)
{
    struct text_reader *reader = user;
    yyjson_doc *doc;
    struct err ignored;
    if (!json_parse(line, length, reader->path, &doc, &ignored))
        return not_an_entry(reader->path, number, err);
    bool ok = read_text(reader, yyjson_doc_get_root(doc), number, err);
    yyjson_doc_free(doc);
    return ok;
}

/* A copy in the arena of an array on the heap. */
static void *settle(struct arena *arena, const void *items, size_t count, size_t size,
                    struct err *err)
{
    void *copy = arena_array(arena, count + 1, size);
    if (!copy)
        err_no_memory(err);
    else if (count > 0)
        memcpy(copy, items, count * size);
    return copy;
}

bool dataset_read_texts(const char *path, struct arena *arena, struct dataset_texts *ret,
                        struct err *err)
{
    struct text_reader reader = {.path = path, .arena = arena};
    struct dataset_text *items = NULL;
    bool ok = each_line(path, visit_text, &reader, err);
    if (ok)
        items = settle(arena, reader.items, reader.count, sizeof(*items), err);
    free(reader.items);
    if (!items)
        return false;
    *ret = (struct dataset_texts){.items = items, .count = reader.count};
    return true;
}

/* ---------------------------------------------------------------- judgements */

struct qrel_reader {
    const char *path;
    struct arena *arena;
    struct dataset_qrel *items; /* on the heap while it grows */
    size_t count;
    size_t capacity;
};

static bool visit_qrel(void *user, const char *line, size_t length, size_t number, struct err *err)
{
    struct qrel_reader *reader = user;
    char *copy = arena_copy_n(reader->arena, line, length);
    if (!copy)
        return err_no_memory(err);
    char *rest = copy;
    const char *query = strsep(&rest, "\t");
    const char *document = strsep(&rest, "\t");
    char *end = NULL;
    double grade = rest ? strtod(rest, &end) : 0;
    if (!rest || end == rest || *end != '\0') {
        if (number == 1 && rest)
            return true; /* the names of the columns */
        return err_set(err, ERR_INVALID_REQUEST,
                       "\"%s\", line %zu: this is no judgement; one is a question's id, a "
                       "document's id and a grade, with tabs between them",
                       reader->path, number);
    }
    if (!vec_reserve(&reader->items, &reader->capacity, reader->count + 1, sizeof(*reader->items),
                     DATASET_LINES_MAX, err))
        return false;
    reader->items[reader->count++] = (struct dataset_qrel){query, document, grade};
    return true;
}

bool dataset_read_qrels(const char *path, struct arena *arena, struct dataset_qrels *ret,
                        struct err *err)
{
    struct qrel_reader reader = {.path = path, .arena = arena};
    struct dataset_qrel *items = NULL;
    bool ok = each_line(path, visit_qrel, &reader, err);
    if (ok)
        items = settle(arena, reader.items, reader.count, sizeof(*items), err);
    free(reader.items);
    if (!items)
        return false;
    *ret = (struct dataset_qrels){.items = items, .count = reader.count};
    return true;
}

char *dataset_qrels_path(const char *folder)
{
    char *path = fs_join(folder, "qrels.tsv");
    if (!path || fs_exists(path))
        return path;
    char *other = fs_join(folder, "qrels/test.tsv");
    if (other && fs_exists(other)) {
        free(path);
        return other;
    }
    free(other);
    return path; /* reading it says that it is not there */
}

/* ---------------------------------------------------------------- joined */

bool dataset_index(const struct dataset_texts *texts, struct map *ret, struct err *err)
{
    for (size_t i = 0; i < texts->count; i++)
        if (!map_put(ret, texts->items[i].id, strlen(texts->items[i].id), i, err))
            return false;
    return true;
}

static size_t place_of(const struct map *map, const char *id)
{
    uint64_t place;
    return map_get(map, id, strlen(id), &place) ? (size_t)place : DATASET_NOT_THERE;
}

/* Keeps the answers ordered, largest grade first; a question has few. */
static void insert(struct dataset_answers *answers, size_t document, double grade)
{
    size_t at = answers->count++;
    for (; at > 0 && answers->grades[at - 1] < grade; at--) {
        answers->grades[at] = answers->grades[at - 1];
        answers->documents[at] = answers->documents[at - 1];
    }
    answers->grades[at] = grade;
    answers->documents[at] = document;
}

static bool fill_answers(const struct dataset_qrels *qrels, const struct map *queries,
                         const struct map *documents, size_t query_count, struct arena *arena,
                         struct dataset_answers *rows, struct err *err)
{
    size_t *room = arena_array(arena, query_count + 1, sizeof(*room));
    if (!room)
        return err_no_memory(err);
    for (size_t i = 0; i < qrels->count; i++) {
        size_t query = place_of(queries, qrels->items[i].query);
        if (query != DATASET_NOT_THERE && qrels->items[i].grade > 0)
            room[query]++;
    }
    for (size_t i = 0; i < query_count; i++) {
        rows[i].documents = arena_array(arena, room[i] + 1, sizeof(*rows[i].documents));
        rows[i].grades = arena_array(arena, room[i] + 1, sizeof(*rows[i].grades));
        if (!rows[i].documents || !rows[i].grades)
            return err_no_memory(err);
    }
    for (size_t i = 0; i < qrels->count; i++) {
        size_t query = place_of(queries, qrels->items[i].query);
        if (query != DATASET_NOT_THERE && qrels->items[i].grade > 0)
            insert(&rows[query], place_of(documents, qrels->items[i].document),
                   qrels->items[i].grade);
    }
    return true;
}

bool dataset_join(const struct dataset_qrels *qrels, const struct dataset_texts *queries,
                  const struct map *documents, struct arena *arena, struct dataset_answers **ret,
                  struct err *err)
{
    struct dataset_answers *rows = arena_array(arena, queries->count + 1, sizeof(*rows));
    if (!rows)
        return err_no_memory(err);
    struct map places;
    map_init(&places, DATASET_LINES_MAX);
    bool ok = dataset_index(queries, &places, err) &&
              fill_answers(qrels, &places, documents, queries->count, arena, rows, err);
    map_free(&places);
    if (ok)
        *ret = rows;
    return ok;
}

double dataset_grade(const struct dataset_answers *answers, size_t document)
{
    for (size_t i = 0; i < answers->count; i++)
        if (answers->documents[i] == document)
            return answers->grades[i];
    return 0;
}
