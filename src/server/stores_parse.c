#include <math.h>
#include <string.h>

#include "server/body.h"
#include "server/jarvis_parse.h"
#include "server/openai_parse.h"

enum { METADATA_PAIRS_MAX = 16, METADATA_KEY_MAX = 64, METADATA_VALUE_MAX = 512 };

/* OpenAI's metadata: up to 16 pairs of strings. */
static bool check_metadata(yyjson_val *object, struct err *err)
{
    if (yyjson_obj_size(object) > METADATA_PAIRS_MAX)
        return err_set_param(err, ERR_INVALID_REQUEST, "metadata",
                             "\"metadata\" may have at most %d entries", METADATA_PAIRS_MAX);
    yyjson_val *key;
    yyjson_val *value;
    size_t i;
    size_t count;
    yyjson_obj_foreach(object, i, count, key, value)
    {
        if (yyjson_get_len(key) > METADATA_KEY_MAX || !yyjson_is_str(value) ||
            yyjson_get_len(value) > METADATA_VALUE_MAX)
            return err_set_param(err, ERR_INVALID_REQUEST, "metadata",
                                 "\"metadata\" maps names of at most %d bytes to strings of at "
                                 "most %d",
                                 METADATA_KEY_MAX, METADATA_VALUE_MAX);
    }
    return true;
}

static bool parse_metadata(yyjson_val *root, struct arena *arena, const char **ret, struct err *err)
{
    yyjson_val *object = NULL;
    if (!body_opt_object(root, "metadata", &object, err))
        return false;
    if (!object)
        return true;
    if (!check_metadata(object, err))
        return false;
    size_t length = 0;
    char *text = yyjson_val_write(object, YYJSON_WRITE_NOFLAG, &length);
    const char *copy = text ? arena_copy_n(arena, text, length) : NULL;
    free(text);
    if (!copy)
        return err_no_memory(err);
    *ret = copy;
    return true;
}

bool openai_parse_store(const char *body, size_t length, struct arena *arena,
                        struct openai_store *ret, struct err *err)
{
    yyjson_doc *doc = NULL;
    struct openai_store parsed = {0};
    if (!body_optional_object(body, length, &doc, err))
        return false;
    yyjson_val *root = yyjson_doc_get_root(doc);
    bool ok = body_text(root, "name", arena, &parsed.name, err) &&
              parse_metadata(root, arena, &parsed.metadata, err) &&
              body_texts(root, "file_ids", OPENAI_FILES_MAX, arena, &parsed.file_ids,
                         &parsed.file_count, err);
    yyjson_doc_free(doc);
    if (ok && parsed.name && *parsed.name == '\0')
        parsed.name = NULL;
    if (ok)
        *ret = parsed;
    return ok;
}

bool openai_parse_file_id(const char *body, size_t length, struct arena *arena, const char **ret,
                          struct err *err)
{
    yyjson_doc *doc = NULL;
    if (!body_object(body, length, &doc, err))
        return false;
    bool ok = body_need_text(yyjson_doc_get_root(doc), "file_id", arena, ret, err);
    yyjson_doc_free(doc);
    return ok;
}

bool openai_parse_file_ids(const char *body, size_t length, struct arena *arena,
                           const char *const **ret, size_t *ret_count, struct err *err)
{
    yyjson_doc *doc = NULL;
    if (!body_object(body, length, &doc, err))
        return false;
    bool ok = body_need_text_or_texts(yyjson_doc_get_root(doc), "file_ids", OPENAI_FILES_MAX, arena,
                                      ret, ret_count, err);
    yyjson_doc_free(doc);
    return ok;
}

/* OpenAI's weights of the two lists, of which only the ratio matters. */
static bool parse_weights(yyjson_val *options, double *alpha, struct err *err)
{
    yyjson_val *hybrid = NULL;
    double meaning = 1;
    double words = 1;
    if (!body_opt_object(options, "hybrid_search", &hybrid, err) ||
        !json_opt_double(hybrid, "embedding_weight", 0, 1e9, &meaning, err) ||
        !json_opt_double(hybrid, "text_weight", 0, 1e9, &words, err))
        return false;
    if (!hybrid)
        return true;
    if (meaning + words <= 0)
        return err_set_param(err, ERR_INVALID_REQUEST, "hybrid_search",
                             "one of the two weights of \"hybrid_search\" must be above 0");
    *alpha = meaning / (meaning + words);
    return true;
}

/* {"ranker":"auto"|"none"|…,"score_threshold":X,"hybrid_search":{"embedding_weight":X,"text_weight":X}}, and our own
 * "alpha" and "fusion": "none" leaves the rerank model out. */
static bool parse_ranking(yyjson_val *root, struct openai_search *ret, struct err *err)
{
    yyjson_val *options = NULL;
    const char *ranker = "auto";
    if (!body_opt_object(root, "ranking_options", &options, err) ||
        !json_opt_string(options, "ranker", &ranker, err) ||
        !json_opt_double(options, "score_threshold", -1e9, 1e9, &ret->score_threshold, err) ||
        !parse_weights(options, &ret->alpha, err) ||
        !json_opt_double(options, "alpha", 0, 1, &ret->alpha, err) ||
        !jarvis_parse_fusion(options, &ret->fusion, err))
        return false;
    ret->rerank = strcmp(ranker, "none") == 0 ? 0 : -1;
    return true;
}

bool openai_parse_search(const char *body, size_t length, struct arena *arena,
                         struct openai_search *ret, struct err *err)
{
    yyjson_doc *doc = NULL;
    struct openai_search parsed = {.score_threshold = -INFINITY, .alpha = -1, .fusion = -1};
    int64_t max_results = 10;
    if (!body_object(body, length, &doc, err))
        return false;
    yyjson_val *root = yyjson_doc_get_root(doc);
    bool ok = body_need_text_or_texts(root, "query", OPENAI_QUERIES_MAX, arena, &parsed.queries,
                                      &parsed.count, err) &&
              json_opt_int(root, "max_num_results", 1, 50, &max_results, err) &&
              parse_ranking(root, &parsed, err);
    if (ok && body_field(root, "filters"))
        ok = err_set_param(err, ERR_UNSUPPORTED, "filters",
                           "\"filters\" are not supported; leave them out");
    yyjson_doc_free(doc);
    parsed.max_results = (size_t)max_results;
    if (ok)
        *ret = parsed;
    return ok;
}
