/* How it works: a model is a table of metadata and a list of float tensors, filled from one generator in the order
 * in which they are made, so equal seeds give equal files.
 *
 * How the embedder gets its meaning without being trained. Every token vector has 62 random coordinates and two
 * "anchors", +A and -A (their sum is zero, so that layer normalisation finds no mean to subtract). A word has small
 * anchors; a stop word has large ones and nearly nothing else. Layer normalisation gives all tokens the same
 * length; the layers between are too weak to mix them; and the last normalisation's weights drop the two anchors.
 * What remains of a word is long, of a stop word short, and mean pooling adds them up: a weighted bag of words. */
#include "helper/gguf_make.h"

#include <llama.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "helper/gguf_vocabulary.h"
#include "helper/testing.h"

enum {
    WIDTH = GGUF_MAKE_WIDTH,
    CONTEXT = GGUF_MAKE_CONTEXT,
    LAYERS = 2,
    HEADS = 4,
    KV_HEADS = 2,
    FEED_FORWARD = 128,
    ANCHORS = 2,
    TENSOR_BYTES = 4 << 20, /* all tensors of one model together */
    NAME_MAX_BYTES = 64,
};

struct model {
    struct gguf_context *gguf;
    struct ggml_context *tensors;
    struct testing_random random;
    const char *architecture;
};

/* About normally distributed, and the same on every machine: the sum of twelve uniform numbers, less six. */
static float gaussian(struct testing_random *random)
{
    float sum = -6.0F;
    for (int i = 0; i < 12; i++)
        sum += (float)(testing_next(random) >> 40) * 0x1p-24F;
    return sum;
}

/* ---------------------------------------------------------------- tensors */

/* A tensor of rows x columns (0 rows: a vector) whose values are mean + scale * gaussian. */
static float *add_tensor(struct model *model, const char *name, int64_t columns, int64_t rows,
                         float mean, float scale)
{
    struct ggml_tensor *tensor =
        rows > 0 ? ggml_new_tensor_2d(model->tensors, GGML_TYPE_F32, columns, rows)
                 : ggml_new_tensor_1d(model->tensors, GGML_TYPE_F32, columns);
    ggml_set_name(tensor, name);
    float *values = ggml_get_data_f32(tensor);
    for (int64_t i = 0; i < ggml_nelements(tensor); i++)
        values[i] = mean + (scale != 0.0F ? scale * gaussian(&model->random) : 0.0F);
    gguf_add_tensor(model->gguf, tensor);
    return values;
}

/* "blk.LAYER.PART" and what follows. */
static void layer_name(char out[NAME_MAX_BYTES], int layer, const char *part, const char *suffix)
{
    snprintf(out, NAME_MAX_BYTES, "blk.%d.%s%s", layer, part, suffix);
}

/* The weights of one matrix of a layer. `strength` 1 keeps the length of what goes through. */
static void add_matrix(struct model *model, int layer, const char *part, int64_t columns,
                       int64_t rows, float strength)
{
    char name[NAME_MAX_BYTES];
    layer_name(name, layer, part, ".weight");
    add_tensor(model, name, columns, rows, 0.0F, strength / (columns > WIDTH ? 11.3F : 8.0F));
}

/* "X.weight" of ones and "X.bias" of zeros. Returns the weights. */
static float *add_norm(struct model *model, const char *name)
{
    char part[2 * NAME_MAX_BYTES];
    snprintf(part, sizeof(part), "%s.weight", name);
    float *weights = add_tensor(model, part, WIDTH, 0, 1.0F, 0.0F);
    snprintf(part, sizeof(part), "%s.bias", name);
    add_tensor(model, part, WIDTH, 0, 0.0F, 0.0F);
    return weights;
}

/* ---------------------------------------------------------------- metadata */

static void set_u32(struct model *model, const char *key, uint32_t value)
{
    char full[NAME_MAX_BYTES];
    snprintf(full, sizeof(full), "%s.%s", model->architecture, key);
    gguf_set_val_u32(model->gguf, full, value);
}

static void set_f32(struct model *model, const char *key, float value)
{
    char full[NAME_MAX_BYTES];
    snprintf(full, sizeof(full), "%s.%s", model->architecture, key);
    gguf_set_val_f32(model->gguf, full, value);
}

static void set_shape(struct model *model, const char *name)
{
    gguf_set_val_str(model->gguf, "general.architecture", model->architecture);
    gguf_set_val_str(model->gguf, "general.name", name);
    gguf_set_val_u32(model->gguf, "general.file_type", LLAMA_FTYPE_ALL_F32);
    set_u32(model, "context_length", CONTEXT);
    set_u32(model, "embedding_length", WIDTH);
    set_u32(model, "block_count", LAYERS);
    set_u32(model, "feed_forward_length", FEED_FORWARD);
    set_u32(model, "attention.head_count", HEADS);
}

static void set_vocabulary(struct model *model, const char *kind, const char *pre,
                           const struct gguf_vocabulary *vocabulary)
{
    struct gguf_context *gguf = model->gguf;
    gguf_set_val_str(gguf, "tokenizer.ggml.model", kind);
    gguf_set_val_str(gguf, "tokenizer.ggml.pre", pre);
    gguf_set_arr_str(gguf, "tokenizer.ggml.tokens", vocabulary->tokens, vocabulary->count);
    gguf_set_arr_data(gguf, "tokenizer.ggml.token_type", GGUF_TYPE_INT32, vocabulary->types,
                      vocabulary->count);
    if (vocabulary->merge_count > 0)
        gguf_set_arr_str(gguf, "tokenizer.ggml.merges", vocabulary->merges,
                         vocabulary->merge_count);
    set_u32(model, "vocab_size", (uint32_t)vocabulary->count);
}

/* ---------------------------------------------------------------- writing */

static bool begin(struct model *model, const char *architecture, uint64_t seed, struct err *err)
{
    *model = (struct model){.architecture = architecture, .random = {.state = seed}};
    model->gguf = gguf_init_empty();
    model->tensors = ggml_init((struct ggml_init_params){.mem_size = TENSOR_BYTES});
    if (model->gguf && model->tensors)
        return true;
    return err_no_memory(err);
}

/* Writes the file and frees the model. */
static bool end(struct model *model, bool ok, const char *path, struct err *err)
{
    if (ok && !gguf_write_to_file(model->gguf, path, false))
        ok = err_set(err, ERR_IO, "cannot write %s", path);
    ggml_free(model->tensors);
    gguf_free(model->gguf);
    return ok;
}

/* ---------------------------------------------------------------- chat */

static const char chat_template[] =
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + "
    "message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

static void fill_chat(struct model *model, const struct gguf_vocabulary *vocabulary)
{
    set_shape(model, "tiny chat");
    set_u32(model, "attention.head_count_kv", KV_HEADS);
    set_f32(model, "attention.layer_norm_rms_epsilon", 1e-5F);
    set_u32(model, "rope.dimension_count", WIDTH / HEADS);
    set_f32(model, "rope.freq_base", 10000.0F);
    set_vocabulary(model, "gpt2", "gpt-2", vocabulary);
    gguf_set_val_u32(model->gguf, "tokenizer.ggml.bos_token_id", BPE_END_OF_TEXT);
    gguf_set_val_u32(model->gguf, "tokenizer.ggml.eos_token_id", BPE_IM_END);
    gguf_set_val_bool(model->gguf, "tokenizer.ggml.add_bos_token", false);
    gguf_set_val_str(model->gguf, "tokenizer.chat_template", chat_template);

    int64_t count = (int64_t)vocabulary->count;
    add_tensor(model, "token_embd.weight", WIDTH, count, 0.0F, 1.0F);
    add_tensor(model, "output_norm.weight", WIDTH, 0, 1.0F, 0.0F);
    add_tensor(model, "output.weight", WIDTH, count, 0.0F, 0.25F);
    for (int layer = 0; layer < LAYERS; layer++) {
        char name[NAME_MAX_BYTES];
        layer_name(name, layer, "attn_norm", ".weight");
        add_tensor(model, name, WIDTH, 0, 1.0F, 0.0F);
        layer_name(name, layer, "ffn_norm", ".weight");
        add_tensor(model, name, WIDTH, 0, 1.0F, 0.0F);
        add_matrix(model, layer, "attn_q", WIDTH, WIDTH, 1.0F);
        add_matrix(model, layer, "attn_k", WIDTH, WIDTH * KV_HEADS / HEADS, 1.0F);
        add_matrix(model, layer, "attn_v", WIDTH, WIDTH * KV_HEADS / HEADS, 1.0F);
        add_matrix(model, layer, "attn_output", WIDTH, WIDTH, 1.0F);
        add_matrix(model, layer, "ffn_gate", WIDTH, FEED_FORWARD, 1.0F);
        add_matrix(model, layer, "ffn_up", WIDTH, FEED_FORWARD, 1.0F);
        add_matrix(model, layer, "ffn_down", FEED_FORWARD, WIDTH, 1.0F);
    }
}

bool gguf_make_chat(const char *path, uint64_t seed, struct err *err)
{
    struct gguf_vocabulary vocabulary;
    if (!gguf_vocabulary_bpe(&vocabulary, err))
        return false;
    struct model model;
    bool ok = begin(&model, "llama", seed, err);
    if (ok)
        fill_chat(&model, &vocabulary);
    ok = end(&model, ok, path, err);
    gguf_vocabulary_free(&vocabulary);
    return ok;
}

/* ---------------------------------------------------------------- BERT */

/* A vector for each token: random for each meaning, as long as the token's weight says once it is normalised. */
static void fill_token_vectors(struct model *model, const struct gguf_vocabulary *vocabulary)
{
    float *values =
        add_tensor(model, "token_embd.weight", WIDTH, (int64_t)vocabulary->count, 0.0F, 1.0F);
    static const float scales[] = {
        [GGUF_WEIGHT_NONE] = 0.02F, [GGUF_WEIGHT_PIECE] = 0.25F, [GGUF_WEIGHT_WORD] = 1.0F};
    static const float anchors[] = {
        [GGUF_WEIGHT_NONE] = 4.0F, [GGUF_WEIGHT_PIECE] = 2.0F, [GGUF_WEIGHT_WORD] = 0.0F};
    for (size_t token = 0; token < vocabulary->count; token++) {
        float *row = values + token * WIDTH;
        size_t meaning = (size_t)vocabulary->meanings[token];
        if (meaning != token) { /* an earlier row, which is finished */
            memcpy(row, values + meaning * WIDTH, WIDTH * sizeof(*row));
            continue;
        }
        enum gguf_weight weight = vocabulary->weights[token];
        for (size_t i = ANCHORS; i < WIDTH; i++)
            row[i] *= scales[weight];
        row[0] = anchors[weight];
        row[1] = -anchors[weight];
    }
}

static void fill_bert_layer(struct model *model, int layer, float strength)
{
    static const struct {
        const char *name;
        int64_t columns, rows;
        bool into_stream; /* what it makes is added to the tokens' vectors */
    } parts[] = {
        {"attn_q", WIDTH, WIDTH, false},        {"attn_k", WIDTH, WIDTH, false},
        {"attn_v", WIDTH, WIDTH, false},        {"attn_output", WIDTH, WIDTH, true},
        {"ffn_up", WIDTH, FEED_FORWARD, false}, {"ffn_down", FEED_FORWARD, WIDTH, true},
    };
    char name[NAME_MAX_BYTES];
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        add_matrix(model, layer, parts[i].name, parts[i].columns, parts[i].rows,
                   parts[i].into_stream ? strength : 1.0F);
        layer_name(name, layer, parts[i].name, ".bias");
        add_tensor(model, name, parts[i].rows, 0, 0.0F, 0.0F);
    }
    layer_name(name, layer, "attn_output_norm", "");
    add_norm(model, name);
    layer_name(name, layer, "layer_output_norm", "");
    float *weights = add_norm(model, name);
    for (int i = 0; layer == LAYERS - 1 && i < ANCHORS; i++)
        weights[i] = 0.0F;
}

/* `strength`: how much a layer changes the tokens' vectors. */
static void fill_bert(struct model *model, const char *name,
                      const struct gguf_vocabulary *vocabulary, enum llama_pooling_type pooling,
                      float strength)
{
    set_shape(model, name);
    set_f32(model, "attention.layer_norm_epsilon", 1e-12F);
    gguf_set_val_bool(model->gguf, "bert.attention.causal", false);
    set_u32(model, "pooling_type", (uint32_t)pooling);
    set_vocabulary(model, "bert", "default", vocabulary);
    gguf_set_val_u32(model->gguf, "tokenizer.ggml.token_type_count", 2);
    gguf_set_val_u32(model->gguf, "tokenizer.ggml.padding_token_id", WORDPIECE_PAD);
    gguf_set_val_u32(model->gguf, "tokenizer.ggml.unknown_token_id", WORDPIECE_UNKNOWN);
    gguf_set_val_u32(model->gguf, "tokenizer.ggml.bos_token_id", WORDPIECE_CLS);
    gguf_set_val_u32(model->gguf, "tokenizer.ggml.cls_token_id", WORDPIECE_CLS);
    gguf_set_val_u32(model->gguf, "tokenizer.ggml.eos_token_id", WORDPIECE_SEP);
    gguf_set_val_u32(model->gguf, "tokenizer.ggml.seperator_token_id", WORDPIECE_SEP);
    gguf_set_val_u32(model->gguf, "tokenizer.ggml.mask_token_id", WORDPIECE_MASK);

    fill_token_vectors(model, vocabulary);
    add_tensor(model, "position_embd.weight", WIDTH, CONTEXT, 0.0F, 0.01F);
    add_tensor(model, "token_types.weight", WIDTH, 2, 0.0F, 0.01F);
    add_norm(model, "token_embd_norm");
    for (int layer = 0; layer < LAYERS; layer++)
        fill_bert_layer(model, layer, strength);
}

bool gguf_make_embed(const char *path, uint64_t seed, struct err *err)
{
    struct gguf_vocabulary vocabulary;
    if (!gguf_vocabulary_wordpiece(&vocabulary, err))
        return false;
    struct model model;
    bool ok = begin(&model, "bert", seed, err);
    if (ok)
        fill_bert(&model, "tiny embedder", &vocabulary, LLAMA_POOLING_TYPE_MEAN, 0.05F);
    ok = end(&model, ok, path, err);
    gguf_vocabulary_free(&vocabulary);
    return ok;
}

bool gguf_make_rerank(const char *path, uint64_t seed, struct err *err)
{
    struct gguf_vocabulary vocabulary;
    if (!gguf_vocabulary_wordpiece(&vocabulary, err))
        return false;
    struct model model;
    bool ok = begin(&model, "bert", seed, err);
    if (ok) {
        fill_bert(&model, "tiny cross-encoder", &vocabulary, LLAMA_POOLING_TYPE_RANK, 1.0F);
        add_tensor(&model, "cls.weight", WIDTH, WIDTH, 0.0F, 0.125F);
        add_tensor(&model, "cls.bias", WIDTH, 0, 0.0F, 0.02F);
        add_tensor(&model, "cls.output.weight", WIDTH, 1, 0.0F, 0.25F);
        add_tensor(&model, "cls.output.bias", 1, 0, 0.0F, 0.02F);
    }
    ok = end(&model, ok, path, err);
    gguf_vocabulary_free(&vocabulary);
    return ok;
}

bool gguf_make_all(const char *directory, struct err *err)
{
    static const struct {
        const char *name;
        bool (*make)(const char *path, uint64_t seed, struct err *err);
    } models[] = {
        {GGUF_MAKE_CHAT, gguf_make_chat},
        {GGUF_MAKE_EMBED, gguf_make_embed},
        {GGUF_MAKE_RERANK, gguf_make_rerank},
    };
    for (size_t i = 0; i < sizeof(models) / sizeof(models[0]); i++) {
        char *path = str_format(4096, "%s/%s", directory, models[i].name);
        if (!path)
            return err_no_memory(err);
        bool ok = models[i].make(path, i + 1, err);
        free(path);
        if (!ok)
            return false;
    }
    return true;
}
