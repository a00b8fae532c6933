#include "server/jarvis_parse.h"

#include "server/body.h"
#include "server/openai_parse.h"

struct search_request jarvis_default_search(void)
{
    return (struct search_request){.query = "", .alpha = -1, .rerank = -1, .fusion = -1};
}

bool jarvis_parse_fusion(yyjson_val *object, int *fusion, struct err *err)
{
    const char *name = NULL;
    enum fusion_method method = FUSION_CONVEX;
    if (!json_opt_string(object, "fusion", &name, err))
        return false;
    if (name && !fusion_parse(name, &method))
        return err_set_param(err, ERR_INVALID_REQUEST, "fusion",
                             "\"fusion\" must be \"convex\", \"rrf\" or \"max\"");
    if (name)
        *fusion = (int)method;
    return true;
}

bool jarvis_parse_search_fields(yyjson_val *object, struct arena *arena,
                                struct search_request *search, struct err *err)
{
    int64_t top_k = (int64_t)search->top_k;
    bool rerank = search->rerank == 1;
    if (!body_texts(object, "stores", OPENAI_STORES_MAX, arena, &search->stores,
                    &search->store_count, err) ||
        !json_opt_int(object, "top_k", 1, JARVIS_TOP_K_MAX, &top_k, err) ||
        !json_opt_double(object, "alpha", 0, 1, &search->alpha, err) ||
        !jarvis_parse_fusion(object, &search->fusion, err) ||
        !json_opt_bool(object, "literal", &search->literal, err) ||
        !json_opt_bool(object, "rerank", &rerank, err))
        return false;
    search->top_k = (size_t)top_k;
    if (body_field(object, "rerank"))
        search->rerank = rerank;
    return true;
}

bool jarvis_parse_search(const char *body, size_t length, struct arena *arena,
                         struct search_request *ret, struct err *err)
{
    yyjson_doc *doc = NULL;
    struct search_request parsed = jarvis_default_search();
    if (!body_object(body, length, &doc, err))
        return false;
    yyjson_val *root = yyjson_doc_get_root(doc);
    bool ok = body_need_text(root, "query", arena, &parsed.query, err) &&
              jarvis_parse_search_fields(root, arena, &parsed, err);
    yyjson_doc_free(doc);
    if (ok)
        *ret = parsed;
    return ok;
}

bool jarvis_parse_ranking(const char *body, size_t length, struct tuning *ranking, struct err *err)
{
    yyjson_doc *doc = NULL;
    struct tuning parsed = *ranking;
    int64_t depth = (int64_t)parsed.rerank_depth;
    if (!body_object(body, length, &doc, err))
        return false;
    yyjson_val *root = yyjson_doc_get_root(doc);
    bool ok = json_opt_double(root, "alpha", 0, 1, &parsed.alpha, err) &&
              json_opt_int(root, "rerank_depth", 0, JARVIS_TOP_K_MAX, &depth, err);
    yyjson_doc_free(doc);
    parsed.rerank_depth = (size_t)depth;
    if (ok)
        *ranking = parsed;
    return ok;
}

bool jarvis_parse_sample(const char *body, size_t length, struct jarvis_sample *ret,
                         struct err *err)
{
    yyjson_doc *doc = NULL;
    int64_t count = 100;
    int64_t seed = 1;
    if (!body_object(body, length, &doc, err))
        return false;
    yyjson_val *root = yyjson_doc_get_root(doc);
    bool ok = json_opt_int(root, "count", 1, JARVIS_TOP_K_MAX, &count, err) &&
              json_opt_int(root, "seed", 0, INT64_MAX, &seed, err);
    yyjson_doc_free(doc);
    if (ok)
        *ret = (struct jarvis_sample){(size_t)count, (uint64_t)seed};
    return ok;
}

bool jarvis_parse_ingest(const char *body, size_t length, struct arena *arena,
                         struct jarvis_ingest *ret, struct err *err)
{
    yyjson_doc *doc = NULL;
    struct jarvis_ingest parsed = {0};
    if (!body_object(body, length, &doc, err))
        return false;
    yyjson_val *root = yyjson_doc_get_root(doc);
    bool ok = body_need_text_or_texts(root, "paths", JARVIS_PATHS_MAX, arena, &parsed.paths,
                                      &parsed.path_count, err) &&
              body_text(root, "store", arena, &parsed.store, err);
    yyjson_doc_free(doc);
    if (ok && parsed.store && *parsed.store == '\0')
        parsed.store = NULL;
    for (size_t i = 0; ok && i < parsed.path_count; i++)
        if (parsed.paths[i][0] != '/')
            ok = err_set_param(err, ERR_INVALID_REQUEST, "paths",
                               "\"%s\" is not an absolute path; write it from / on",
                               parsed.paths[i]);
    if (ok)
        *ret = parsed;
    return ok;
}

static bool parse_model_role(yyjson_val *root, int *ret, struct err *err)
{
    const char *name = NULL;
    enum model_role role = ROLE_COUNT;
    if (!json_opt_string(root, "role", &name, err))
        return false;
    if (name && (!model_role_parse(name, &role) || role == ROLE_PARSER))
        return err_set_param(err, ERR_INVALID_REQUEST, "role",
                             "\"role\" must be \"chat\", \"embedding\", \"rerank\" or \"speech\"");
    *ret = name ? (int)role : -1;
    return true;
}

bool jarvis_parse_model(const char *body, size_t length, struct arena *arena,
                        struct jarvis_model *ret, struct err *err)
{
    yyjson_doc *doc = NULL;
    struct jarvis_model parsed = {.name = ""};
    if (!body_object(body, length, &doc, err))
        return false;
    yyjson_val *root = yyjson_doc_get_root(doc);
    bool ok = body_need_text(root, "path", arena, &parsed.path, err) &&
              body_text(root, "name", arena, &parsed.name, err) &&
              parse_model_role(root, &parsed.role, err);
    yyjson_doc_free(doc);
    if (ok && parsed.path[0] != '/')
        ok = err_set_param(err, ERR_INVALID_REQUEST, "path",
                           "\"%s\" is not an absolute path; write it from / on", parsed.path);
    if (ok)
        *ret = parsed;
    return ok;
}

bool jarvis_parse_pull(const char *body, size_t length, struct arena *arena,
                       struct models_pull *ret, struct err *err)
{
    yyjson_doc *doc = NULL;
    struct models_pull parsed = {.name = "", .sha256 = ""};
    if (!body_object(body, length, &doc, err))
        return false;
    yyjson_val *root = yyjson_doc_get_root(doc);
    bool ok = body_need_text(root, "source", arena, &parsed.source, err) &&
              body_text(root, "name", arena, &parsed.name, err) &&
              body_text(root, "sha256", arena, &parsed.sha256, err) &&
              parse_model_role(root, &parsed.role, err);
    yyjson_doc_free(doc);
    if (ok)
        *ret = parsed;
    return ok;
}
