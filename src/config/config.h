/* config.h - the configuration: jarvis.json read once into an immutable struct.
 *
 * Purpose: JSON with comments and trailing commas; every setting is declared once in the table of schema.c
 *   (name, type, range, unit, default, help). The models are a list of entries.
 * Owner:   config_load() gives a struct config to the caller; config_free() ends it and every string in it.
 * Threads: immutable after loading: safe to read from any.
 * Fails:   ERR_CONFIG with file, line, column, and the nearest known name for a misspelt one.
 */
#ifndef JARVIS_CONFIG_CONFIG_H
#define JARVIS_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "ipc/protocol.h"

/* What may be tried, in the order in which the configuration names it, when a model does not fit as it is configured. */
enum model_alternative {
    ALTERNATIVE_SMALLER_CONTEXT,  /* "smaller_context": half of it, a quarter, … */
    ALTERNATIVE_FEWER_GPU_LAYERS, /* "fewer_gpu_layers" */
    ALTERNATIVE_FALLBACK,         /* "fallback": another model answers at once, instead of a wait */
    ALTERNATIVE_COUNT,
};

/* Another server that speaks OpenAI's API and answers in the place of a file. In the file: an object "upstream" with
 * the fields' names as keys; urls and model must be there. */
struct upstream_entry {
    char **
        urls; /* "http://host:port/v1": what comes before "/chat/completions"; 1 to UPSTREAM_URLS_MAX */
    size_t url_count;
    char *model;                /* its name there */
    char *api_key_file;         /* "" or a file whose first line is the key */
    char *api_key_env;          /* "" or the environment variable that holds it */
    uint32_t timeout_s;         /* longest silence, before the first word and between two */
    uint32_t connect_timeout_s; /* longest until a connection stands */
};

enum { UPSTREAM_URLS_MAX = 16, FALLBACK_MAX = 8 };

/* One model of the configuration's "models". In the file the keys have the fields' names; name, role and one of path
 * and upstream must be there. Names are unique, 1 to 127 bytes, without spaces, quotes or backslashes. */
struct model_entry {
    char *name;
    char *
        path; /* absolute, or below the models directory as written in the file; "" for an upstream */
    enum model_role role;
    uint32_t context_length; /* 0: the model's own, at most 8192 (chat) or 2048 (the others) */
    uint32_t slots;          /* chat: conversations at once; 2 when the file does not say */
    int32_t gpu_layers;      /* -1: all that fit */
    char *query_prefix;      /* put before a question that is embedded, e.g. "query: "; "" */
    char *passage_prefix;    /* put before a passage; "" */
    bool preload;            /* loaded when the service starts */
    bool pin;                /* never unloaded to make room, nor for being idle */
    uint32_t ttl_s;          /* unloaded when nobody has used it for so long; 0: never */
    enum model_alternative alternatives[ALTERNATIVE_COUNT];
    uint32_t alternative_count;
    /* Devices to put it on, with their shares, as in struct msg_load: "Vulkan0:3,Vulkan1:1"; "": every GPU. */
    char *devices;
    enum kv_type kv_type; /* chat: how the KV cache is stored: less than f16 takes less memory */
    char **fallback;      /* models that answer when this one cannot, best first; chat and rerank */
    size_t fallback_count;           /* 0..FALLBACK_MAX */
    struct upstream_entry *upstream; /* NULL: a file */
};

/* CONFIG_TABLE: field, "key", type, default, minimum, maximum, help. Types: INT, DOUBLE, BOOL, TEXT (default as
 * text, minimum and maximum are lengths). The struct below, the parser, `config get` and the documentation are
 * made of it. */
#define CONFIG_TABLE(INT, DOUBLE, BOOL, TEXT)                                                      \
    TEXT(server_listen, "server.listen", "127.0.0.1:8317", 0, 255,                                 \
         "address and port for HTTP; empty: socket only")                                          \
    INT(server_max_body_mib, "server.max_body_mib", 64, 1, 1024, "largest request body, in MiB")   \
    INT(server_max_connections, "server.max_connections", 256, 4, 10000, "connections at once")    \
    INT(server_request_timeout_s, "server.request_timeout_s", 600, 1, 86400,                       \
        "longest a request may take, in seconds")                                                  \
    INT(server_idle_timeout_s, "server.idle_timeout_s", 30, 1, 3600,                               \
        "a silent connection is closed after this, in seconds")                                    \
    TEXT(server_api_key_file, "server.api_key_file", "", 0, 4095,                                  \
         "file with the API key that clients must send")                                           \
    DOUBLE(retrieval_alpha, "retrieval.alpha", 0.5, 0, 1,                                          \
           "weight of meaning against words: 0 only BM25, 1 only embeddings")                      \
    TEXT(retrieval_fusion, "retrieval.fusion", "convex", 1, 10,                                    \
         "how words and meaning are joined: convex, rrf or max")                                   \
    INT(retrieval_top_k, "retrieval.top_k", 8, 1, 1000, "passages that a search returns")          \
    BOOL(retrieval_rerank, "retrieval.rerank", true, "use a rerank model when there is one")       \
    INT(retrieval_rerank_depth, "retrieval.rerank_depth", 20, 1, 1000,                             \
        "candidates given to the rerank model")                                                    \
    DOUBLE(retrieval_rerank_weight, "retrieval.rerank_weight", 0.75, 0, 1,                         \
           "weight of the rerank model against the search: 1 only the model")                      \
    INT(retrieval_rerank_budget_ms, "retrieval.rerank_budget_ms", 2000, 0, 600000,                 \
        "time for reranking, in milliseconds: the best candidates first; 0: no limit")             \
    INT(chunk_tokens, "chunk.tokens", 200, 16, 4096, "aimed length of a passage, in tokens")       \
    INT(chunk_overlap, "chunk.overlap", 30, 0, 1024, "tokens that neighbouring passages share")    \
    INT(ingest_max_file_mib, "ingest.max_file_mib", 32, 1, 60, "larger files are skipped, in MiB") \
    INT(memory_limit_mib, "memory.limit_mib", 0, 0, 16777216,                                      \
        "memory for models, in MiB; 0: what the machine can spare")                                \
    INT(memory_reserve_mib, "memory.reserve_mib", 512, 0, 16777216,                                \
        "memory left to other programs, in MiB")                                                   \
    INT(worker_threads, "worker.threads", 0, 0, 1024,                                              \
        "compute threads of a model; 0: as many as cores")                                         \
    INT(worker_load_timeout_s, "worker.load_timeout_s", 600, 1, 86400,                             \
        "longest a model may take to load, in seconds")                                            \
    TEXT(devices, "devices", "", 0, 2047,                                                          \
         "compute devices to count on instead of those found, as \"gpu0:16384MiB,gpu1:8192MiB\"")  \
    TEXT(                                                                                          \
        worker_rpc_hosts, "worker.rpc_hosts", "", 0, 1023,                                         \
        "hosts with ggml-rpc-server whose GPUs may be used, as \"10.0.0.2:50052,10.0.0.3:50052\"") \
    TEXT(pull_hub_url, "pull.hub_url", "https://huggingface.co", 1, 1023,                          \
         "where \"jarvis pull hf:…\" finds models")                                                \
    TEXT(pull_token_file, "pull.token_file", "", 0, 4095,                                          \
         "file with the hub's token for models that ask for one; empty: HF_TOKEN")                 \
    INT(pull_max_gib, "pull.max_gib", 200, 1, 16384, "largest model to download, in GiB")          \
    INT(worker_heartbeat_s, "worker.heartbeat_s", 10, 1, 3600,                                     \
        "a worker process that says nothing for three times this long is ended, in seconds")       \
    INT(worker_hang_timeout_s, "worker.hang_timeout_s", 120, 1, 86400,                             \
        "a model whose computation does not move for so long is ended, in seconds")                \
    INT(errors_retries, "errors.retries", 2, 0, 10,                                                \
        "how often a request that may work later is tried again before its first word")            \
    INT(errors_circuit_failures, "errors.circuit_failures", 5, 1, 1000,                            \
        "failures in a row after which a model or an upstream is left alone for a while")          \
    INT(errors_circuit_open_s, "errors.circuit_open_s", 30, 1, 86400,                              \
        "how long it is left alone the first time, in seconds")                                    \
    TEXT(errors_critical_hook, "errors.critical_hook", "", 0, 4095,                                \
         "program and arguments, split at blanks, run when somebody must act; empty: none")        \
    INT(upstream_health_interval_s, "upstream.health_interval_s", 15, 1, 86400,                    \
        "how often upstreams are asked whether they are there, in seconds")                        \
    TEXT(log_level, "log.level", "info", 1, 10, "debug, info, warn or error")                      \
    BOOL(log_query_text, "log.query_text", false, "write the text of questions to the log")

struct config {
#define CONFIG_INT(field, key, value, min, max, help)    int64_t field;
#define CONFIG_DOUBLE(field, key, value, min, max, help) double field;
#define CONFIG_BOOL(field, key, value, help)             bool field;
#define CONFIG_TEXT(field, key, value, min, max, help)   char *field;
    CONFIG_TABLE(CONFIG_INT, CONFIG_DOUBLE, CONFIG_BOOL, CONFIG_TEXT)
#undef CONFIG_INT
#undef CONFIG_DOUBLE
#undef CONFIG_BOOL
#undef CONFIG_TEXT
    struct model_entry *models;
    size_t model_count;
};

/* Reads `path`; a file that does not exist gives the defaults. Environment variables come after the file:
 * JARVIS_SERVER_LISTEN for "server.listen", and so for every key of the table. */
bool config_load(const char *path, struct config **ret, struct err *err);

/* The same from text, without the environment; `path` is for messages. */
bool config_parse(const char *text, size_t length, const char *path, struct config **ret,
                  struct err *err);
void config_free(struct config *config);

/* The value of a key ("server.listen") as JSON text (a string without quotes); "models" is the whole list.
 * ERR_NOT_FOUND names the nearest key. */
bool config_get(const struct config *config, const char *key, struct str *out, struct err *err);

/* Calls `each` for every key in the table's order. `help` is English and known to the catalogue. */
void config_each(const struct config *config,
                 void (*each)(void *user, const char *key, const char *value, const char *help),
                 void *user);

/* Adds (or replaces, by name) a model in the file: the rest of it, comments included, stays as it is. A file that
 * does not exist is made, with every setting explained in comments. ERR_BUSY when another program is editing it. */
bool config_add_model(const char *path, const struct model_entry *entry, struct err *err);
bool config_remove_model(const char *path, const char *name, struct err *err);

bool model_entry_copy(const struct model_entry *from, struct model_entry *ret, struct err *err);
void model_entry_free(struct model_entry *entry);

#endif
