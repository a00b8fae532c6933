#include "engine/inspect.h"

#include <gguf.h>
#include <llama.h>
#include <stdio.h>
#include <string.h>

#include "engine/gguf_check.h"
#include "engine/pooling.h"

enum { KEY_MAX = 128, LAYERS_MAX = 4096, WIDTH_MAX = 1 << 20, HEADS_MAX = 65536 };

/* ---------------------------------------------------------------- values, whatever type they have */

static const char *text_of(const struct gguf_context *gguf, const char *key)
{
    int64_t id = gguf_find_key(gguf, key);
    if (id < 0 || gguf_get_kv_type(gguf, id) != GGUF_TYPE_STRING)
        return NULL;
    return gguf_get_val_str(gguf, id);
}

/* A whole number that is not negative; `missing` when there is none. */
static uint64_t number_of(const struct gguf_context *gguf, const char *key, uint64_t missing)
{
    int64_t id = gguf_find_key(gguf, key);
    int64_t value = -1;
    switch (id < 0 ? GGUF_TYPE_COUNT : gguf_get_kv_type(gguf, id)) {
    case GGUF_TYPE_UINT8: value = gguf_get_val_u8(gguf, id); break;
    case GGUF_TYPE_INT8: value = (int64_t)gguf_get_val_i8(gguf, id); break;
    case GGUF_TYPE_UINT16: value = gguf_get_val_u16(gguf, id); break;
    case GGUF_TYPE_INT16: value = gguf_get_val_i16(gguf, id); break;
    case GGUF_TYPE_UINT32: value = gguf_get_val_u32(gguf, id); break;
    case GGUF_TYPE_INT32: value = gguf_get_val_i32(gguf, id); break;
    case GGUF_TYPE_UINT64: return gguf_get_val_u64(gguf, id);
    case GGUF_TYPE_INT64: value = gguf_get_val_i64(gguf, id); break;
    case GGUF_TYPE_BOOL: value = gguf_get_val_bool(gguf, id); break;
    default: break;
    }
    return value >= 0 ? (uint64_t)value : missing;
}

/* number_of() a key that begins with the model's architecture. */
static uint64_t shape_of(const struct gguf_context *gguf, const char *architecture, const char *key,
                         uint64_t missing)
{
    char full[KEY_MAX];
    snprintf(full, sizeof(full), "%s.%s", architecture, key);
    return number_of(gguf, full, missing);
}

/* ---------------------------------------------------------------- role */

/* Architectures that read a text at once, and so embed it even when the file names no pooling. */
static bool is_encoder(const struct gguf_context *gguf, const char *architecture)
{
    static const char *const encoders[] = {
        "bert",        "nomic-bert",      "nomic-bert-moe", "neo-bert",
        "modern-bert", "eurobert",        "jina-bert-v2",   "jina-bert-v3",
        "t5encoder",   "gemma-embedding", "llama-embed",
    };
    for (size_t i = 0; i < sizeof(encoders) / sizeof(encoders[0]); i++)
        if (strcmp(architecture, encoders[i]) == 0)
            return true;
    return shape_of(gguf, architecture, "attention.causal", 1) == 0;
}

/* The pooling that the file names, else the one that the worker would use. */
static enum llama_pooling_type pooling_of(const struct gguf_context *gguf, const char *architecture)
{
    uint64_t named = shape_of(gguf, architecture, "pooling_type", LLAMA_POOLING_TYPE_NONE);
    if (named == LLAMA_POOLING_TYPE_NONE && gguf_find_tensor(gguf, "cls.output.weight") >= 0)
        return LLAMA_POOLING_TYPE_RANK;
    if (named == LLAMA_POOLING_TYPE_NONE && is_encoder(gguf, architecture))
        return LLAMA_POOLING_TYPE_MEAN;
    return named <= LLAMA_POOLING_TYPE_RANK ? (enum llama_pooling_type)named
                                            : LLAMA_POOLING_TYPE_NONE;
}

static enum model_role role_of(enum llama_pooling_type pooling)
{
    if (pooling == LLAMA_POOLING_TYPE_RANK)
        return ROLE_RERANK;
    return pooling == LLAMA_POOLING_TYPE_NONE ? ROLE_CHAT : ROLE_EMBEDDING;
}

/* ---------------------------------------------------------------- the file */

static uint64_t count_parameters(const struct gguf_context *gguf)
{
    uint64_t sum = 0;
    for (int64_t i = 0; i < gguf_get_n_tensors(gguf); i++) {
        enum ggml_type type = gguf_get_tensor_type(gguf, i);
        sum +=
            gguf_get_tensor_size(gguf, i) / ggml_type_size(type) * (uint64_t)ggml_blck_size(type);
    }
    return sum;
}

/* Numbers that libllama divides by or allocates with. */
static bool check_shape(const struct gguf_context *gguf, const char *architecture, const char *path,
                        struct err *err)
{
    static const struct {
        const char *key;
        uint64_t max;
    } numbers[] = {
        {"block_count", LAYERS_MAX},
        {"embedding_length", WIDTH_MAX},
        {"context_length", INT32_MAX},
        {"attention.head_count", HEADS_MAX},
    };
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        uint64_t value =
            shape_of(gguf, architecture, numbers[i].key, 1); /* may be an array, or absent */
        if (value == 0 || value > numbers[i].max)
            return err_set(err, ERR_MODEL_INVALID,
                           "the model file %s says %s.%s = %zu, which no model has; fetch it again",
                           path, architecture, numbers[i].key, (size_t)value);
    }
    return true;
}

static bool fill(const struct gguf_context *gguf, const char *path, struct arena *arena,
                 struct msg_inspected *ret, struct err *err)
{
    const char *architecture = text_of(gguf, "general.architecture");
    const char *kind = text_of(gguf, "general.type");
    if (!architecture || !architecture[0])
        return err_set(err, ERR_MODEL_INVALID,
                       "the file %s does not name a model architecture; fetch it again", path);
    if ((kind && strcmp(kind, "model") != 0) || strcmp(architecture, "clip") == 0)
        return err_set(err, ERR_UNSUPPORTED,
                       "the file %s holds a part of a model (%s), not a whole one; choose the file "
                       "of the model itself",
                       path, kind ? kind : architecture);
    if (!check_shape(gguf, architecture, path, err))
        return false;
    const char *name = text_of(gguf, "general.name");
    enum llama_pooling_type pooling = pooling_of(gguf, architecture);
    *ret = (struct msg_inspected){
        .architecture = arena_copy(arena, architecture),
        .name = arena_copy(arena, name ? name : ""),
        .role = role_of(pooling),
        .parameters = count_parameters(gguf),
        .train_context = (uint32_t)shape_of(gguf, architecture, "context_length", 0),
        .layers = (uint32_t)shape_of(gguf, architecture, "block_count", 0),
        .pooling = pooling_name(pooling),
        .file_type = arena_copy(arena, llama_ftype_name((enum llama_ftype)number_of(
                                           gguf, "general.file_type", LLAMA_FTYPE_GUESSED))),
        .has_template = text_of(gguf, "tokenizer.chat_template") != NULL,
    };
    if (ret->role == ROLE_EMBEDDING)
        ret->dimensions = (uint32_t)shape_of(gguf, architecture, "embedding_length", 0);
    return arena_ok(arena) ? true : err_no_memory(err);
}

bool inspect_file(const char *path, struct arena *arena, struct msg_inspected *ret, struct err *err)
{
    uint64_t file_bytes;
    if (!gguf_check(path, &file_bytes, err))
        return false;
    struct gguf_context *gguf =
        gguf_init_from_file(path, (struct gguf_init_params){.no_alloc = true});
    if (!gguf)
        return err_set(err, ERR_MODEL_INVALID,
                       "the model file %s is damaged: its table of contents cannot be read; fetch "
                       "it again",
                       path);
    struct msg_inspected found;
    bool ok = fill(gguf, path, arena, &found, err);
    gguf_free(gguf);
    if (!ok)
        return false;
    found.file_bytes = file_bytes;
    *ret = found;
    return true;
}
