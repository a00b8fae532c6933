/* The size of a KV cache from the file's numbers: what the dry run says is used where it says it, since it knows every
 * architecture; this is for versions of libllama that say it in other words, and the tests hold the two to be equal. */
#include <ggml.h>
#include <stdio.h>
#include <string.h>

#include "engine/forecast.h"

enum { KEY_MAX = 128, CELLS_STEP = 256, GEMMA3_EVERY = 6 };

static bool number(const struct gguf_context *gguf, const char *architecture, const char *key,
                   uint32_t *ret)
{
    char full[KEY_MAX];
    snprintf(full, sizeof(full), "%s.%s", architecture, key);
    int64_t id = gguf_find_key(gguf, full);
    if (id < 0 || gguf_get_kv_type(gguf, id) != GGUF_TYPE_UINT32)
        return false;
    *ret = gguf_get_val_u32(gguf, id);
    return true;
}

bool forecast_shape_read(const struct gguf_context *gguf, struct forecast_shape *ret)
{
    int64_t id = gguf_find_key(gguf, "general.architecture");
    if (id < 0 || gguf_get_kv_type(gguf, id) != GGUF_TYPE_STRING)
        return false;
    const char *architecture = gguf_get_val_str(gguf, id);
    struct forecast_shape shape = {0};
    uint32_t width, heads, other;
    if (number(gguf, architecture, "ssm.state_size", &other) ||
        number(gguf, architecture, "wkv.head_size", &other) ||
        number(gguf, architecture, "attention.kv_lora_rank", &other))
        return false;
    if (!number(gguf, architecture, "block_count", &shape.layers) ||
        !number(gguf, architecture, "embedding_length", &width) ||
        !number(gguf, architecture, "attention.head_count", &heads) || heads == 0)
        return false;
    if (!number(gguf, architecture, "attention.head_count_kv", &shape.heads_kv))
        shape.heads_kv = heads;
    if (!number(gguf, architecture, "attention.key_length", &shape.key_length))
        shape.key_length = width / heads;
    if (!number(gguf, architecture, "attention.value_length", &shape.value_length))
        shape.value_length = width / heads;
    if (strcmp(architecture, "gemma3") == 0) {
        number(gguf, architecture, "attention.sliding_window", &shape.window);
        shape.window_every = GEMMA3_EVERY;
    }
    *ret = shape;
    return true;
}

static uint32_t round_up(uint32_t value, uint32_t step)
{
    return (value + step - 1) / step * step;
}

uint64_t forecast_cache_bytes(const struct forecast_shape *shape, uint32_t cells, uint32_t slots,
                              uint32_t batch, enum ggml_type type_k, enum ggml_type type_v,
                              bool full)
{
    uint64_t row = ggml_row_size(type_k, (int64_t)shape->heads_kv * shape->key_length) +
                   ggml_row_size(type_v, (int64_t)shape->heads_kv * shape->value_length);
    uint64_t all = (uint64_t)round_up(cells, CELLS_STEP) * slots;
    if (shape->window == 0 || full)
        return row * all * shape->layers;
    uint32_t seeing_all = shape->window_every ? shape->layers / shape->window_every : 0;
    uint64_t near = (uint64_t)round_up(shape->window + batch, CELLS_STEP) * slots;
    if (near > all)
        near = all;
    return row * (all * seeing_all + near * (shape->layers - seeing_all));
}
