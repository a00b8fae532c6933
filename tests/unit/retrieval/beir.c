#include "unit/retrieval/beir.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <yyjson.h>

#include "base/map.h"
#include "base/vec.h"
#include "helper/testing.h"
#include "unit/retrieval/fixture.h"

enum { LINES_MAX = 1 << 20 };

static char *copy_field(yyjson_val *object, const char *key)
{
    const char *text = yyjson_get_str(yyjson_obj_get(object, key));
    return text ? strdup(text) : NULL;
}

static char *first_answer(yyjson_val *object)
{
    yyjson_val *answers = yyjson_obj_get(object, "answers");
    if (!answers)
        answers = yyjson_obj_get(yyjson_obj_get(object, "metadata"), "answers");
    yyjson_val *first = yyjson_is_arr(answers) ? yyjson_arr_get_first(answers) : answers;
    const char *text = yyjson_get_str(first);
    return text ? strdup(text) : NULL;
}

static struct beir_text read_text(const char *line, size_t length)
{
    yyjson_doc *json = yyjson_read(line, length, 0);
    assert_non_null(json);
    yyjson_val *root = yyjson_doc_get_root(json);
    struct beir_text text = {.id = copy_field(root, "_id"), .answer = first_answer(root)};
    char *title = copy_field(root, "title");
    char *body = copy_field(root, "text");
    assert_non_null(text.id);
    assert_non_null(body);
    text.text = title && *title ? str_format(1 << 20, "%s\n\n%s", title, body) : strdup(body);
    free(title);
    free(body);
    yyjson_doc_free(json);
    return text;
}

/* Reads a .jsonl file; `numbers` gets id -> place. */
static bool read_texts(const char *folder, const char *name, struct beir_text **ret,
                       size_t *ret_count, struct map *numbers)
{
    char *relative = str_format(4096, "%s/%s", folder, name);
    char *path = testing_data(relative);
    FILE *file = path ? fopen(path, "re") : NULL;
    free(relative);
    free(path);
    if (!file)
        return false;
    size_t capacity = 0;
    char *line = NULL;
    size_t size = 0;
    for (ssize_t length; (length = getline(&line, &size, file)) > 0;) {
        assert_true(vec_reserve(ret, &capacity, *ret_count + 1, sizeof(**ret), LINES_MAX, NULL));
        struct beir_text text = read_text(line, (size_t)length);
        assert_true(map_put(numbers, text.id, strlen(text.id), *ret_count, NULL));
        (*ret)[(*ret_count)++] = text;
    }
    free(line);
    fclose(file);
    return true;
}

static bool read_judgements(const char *folder, struct beir *beir, const struct map *queries,
                            const struct map *documents)
{
    char *relative = str_format(4096, "%s/qrels.tsv", folder);
    char *path = testing_data(relative);
    FILE *file = path ? fopen(path, "re") : NULL;
    free(relative);
    free(path);
    if (!file)
        return false;
    size_t capacity = 0;
    char *line = NULL;
    size_t size = 0;
    while (getline(&line, &size, file) > 0) {
        char *rest = line;
        const char *query = strsep(&rest, "\t");
        const char *document = strsep(&rest, "\t");
        uint64_t q;
        uint64_t d;
        if (!rest || !map_get(queries, query, strlen(query), &q) ||
            !map_get(documents, document, strlen(document), &d))
            continue; /* the line of names */
        assert_true(vec_reserve(&beir->judgements, &capacity, beir->judgement_count + 1,
                                sizeof(*beir->judgements), LINES_MAX, NULL));
        beir->judgements[beir->judgement_count++] =
            (struct beir_judgement){q, d, (int)strtol(rest, NULL, 10)};
    }
    free(line);
    fclose(file);
    return true;
}

bool beir_load(const char *name, struct beir *ret)
{
    *ret = (struct beir){.documents = NULL};
    struct map queries;
    struct map documents;
    map_init(&queries, LINES_MAX);
    map_init(&documents, LINES_MAX);
    bool ok = read_texts(name, "corpus.jsonl", &ret->documents, &ret->document_count, &documents) &&
              read_texts(name, "queries.jsonl", &ret->queries, &ret->query_count, &queries) &&
              read_judgements(name, ret, &queries, &documents);
    map_free(&queries);
    map_free(&documents);
    if (!ok)
        beir_free(ret);
    return ok;
}

static void free_texts(struct beir_text *texts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(texts[i].id);
        free(texts[i].text);
        free(texts[i].answer);
    }
    free(texts);
}

void beir_free(struct beir *beir)
{
    free_texts(beir->documents, beir->document_count);
    free_texts(beir->queries, beir->query_count);
    free(beir->judgements);
    *beir = (struct beir){.documents = NULL};
}

int beir_grade(const struct beir *beir, size_t query, size_t document)
{
    for (size_t i = 0; i < beir->judgement_count; i++)
        if (beir->judgements[i].query == query && beir->judgements[i].document == document)
            return beir->judgements[i].grade;
    return 0;
}

static int compare_grades(const void *left, const void *right)
{
    return *(const int *)right - *(const int *)left;
}

double beir_ndcg(const struct beir *beir, size_t query, const size_t *ranking, size_t count,
                 size_t k)
{
    int ideal[4096];
    size_t relevant = 0;
    for (size_t i = 0; i < beir->judgement_count; i++)
        if (beir->judgements[i].query == query && beir->judgements[i].grade > 0 && relevant < 4096)
            ideal[relevant++] = beir->judgements[i].grade;
    if (relevant == 0)
        return -1;
    qsort(ideal, relevant, sizeof(*ideal), compare_grades);
    double best = 0;
    double gained = 0;
    for (size_t i = 0; i < k; i++) {
        best += i < relevant ? ideal[i] / log2((double)i + 2) : 0;
        gained += i < count ? beir_grade(beir, query, ranking[i]) / log2((double)i + 2) : 0;
    }
    return gained / best;
}
