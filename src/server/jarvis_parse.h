/* jarvis_parse.h - request bodies of the endpoints that are Jarvis's own.
 *
 * Owner:   everything in a result lives in the arena. Threads: safe from any (pure functions).
 * Fails:   ERR_INVALID_JSON, ERR_INVALID_REQUEST; err->param names the field.
 */
#ifndef JARVIS_SERVER_JARVIS_PARSE_H
#define JARVIS_SERVER_JARVIS_PARSE_H

#include <stdbool.h>
#include <stddef.h>

#include "assistant/pull.h"
#include "assistant/search.h"
#include "assistant/tuning.h"
#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"

enum { JARVIS_PATHS_MAX = 10000, JARVIS_TOP_K_MAX = 1000 };

/* A search with everything as configured. */
struct search_request jarvis_default_search(void);

/* The field "fusion" of an object, as enum fusion_method; absent, *fusion stays as it is. */
bool jarvis_parse_fusion(yyjson_val *object, int *fusion, struct err *err);

/* The fields "stores", "top_k", "alpha", "fusion", "literal" and "rerank" of an object; absent ones stay as they are. */
bool jarvis_parse_search_fields(yyjson_val *object, struct arena *arena,
                                struct search_request *search, struct err *err);

/* POST /v1/jarvis/search. */
bool jarvis_parse_search(const char *body, size_t length, struct arena *arena,
                         struct search_request *ret, struct err *err);

/* POST /v1/jarvis/stores/{id}/ranking: {"alpha"?,"rerank_depth"?}; absent, *ranking keeps its own. */
bool jarvis_parse_ranking(const char *body, size_t length, struct tuning *ranking, struct err *err);

struct jarvis_sample {
    size_t count;
    uint64_t seed;
};
/* POST /v1/jarvis/stores/{id}/sample: {"count"?,"seed"?}. */
bool jarvis_parse_sample(const char *body, size_t length, struct jarvis_sample *ret,
                         struct err *err);

struct jarvis_ingest {
    const char *const *paths;
    size_t path_count;
    const char *store; /* NULL: the default */
};
/* POST /v1/jarvis/ingest. Paths must be absolute: the service has another working directory than its client. */
bool jarvis_parse_ingest(const char *body, size_t length, struct arena *arena,
                         struct jarvis_ingest *ret, struct err *err);

struct jarvis_model {
    const char *path;
    const char *name; /* "": choose */
    int role;         /* enum model_role; -1: guess */
};
/* POST /v1/models. */
bool jarvis_parse_model(const char *body, size_t length, struct arena *arena,
                        struct jarvis_model *ret, struct err *err);

/* POST /v1/models/pull: all but the callback. */
bool jarvis_parse_pull(const char *body, size_t length, struct arena *arena,
                       struct models_pull *ret, struct err *err);

#endif
