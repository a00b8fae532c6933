/* How a file is written. The same walk over a shape's tensors is taken three times: to count them, to write the table,
 * and to write the data, each time with another function at each tensor. Random bytes are made into numbers that a
 * model can compute with: an F16 is random in sign and fraction and has a small exponent; a block of a quantised type
 * has a small scale and any bytes. */
#include "cli/bench_model.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"

enum {
    ALIGNMENT = 32,
    BUFFER_BYTES = 256 * 1024, /* a multiple of every block's size below */
    HEADER_MAX = 64 << 20,
    BYTES = 256, /* tokens of single bytes come first */
    BLOCK = 32,  /* numbers of a quantised block */
    KEY_MAX = 96,
    TYPES_OF_TEXT = 2, /* BERT's token types */
};

/* Value types of GGUF. */
enum {
    VALUE_U32 = 4,
    VALUE_I32 = 5,
    VALUE_F32 = 6,
    VALUE_BOOL = 7,
    VALUE_TEXT = 8,
    VALUE_LIST = 9
};

/* Token types of libllama. */
enum { TOKEN_NORMAL = 1, TOKEN_CONTROL = 3 };

const char *bench_type_name(enum bench_type type)
{
    switch (type) {
    case BENCH_F32: return "F32";
    case BENCH_F16: return "F16";
    case BENCH_Q4_0: return "Q4_0";
    case BENCH_Q8_0: break;
    }
    return "Q8_0";
}

static uint64_t bytes_of(enum bench_type type, uint64_t numbers)
{
    switch (type) {
    case BENCH_F32: return numbers * 4;
    case BENCH_F16: return numbers * 2;
    case BENCH_Q4_0: return numbers / BLOCK * (2 + BLOCK / 2);
    case BENCH_Q8_0: break;
    }
    return numbers / BLOCK * (2 + BLOCK);
}

static bool is_bert(const struct bench_shape *shape)
{
    return strcmp(shape->architecture, "bert") == 0;
}

/* ---------------------------------------------------------------- tensors */

struct walk {
    const struct bench_shape *shape;
    bool (*at)(struct walk *walk, const char *name, enum bench_type type, uint64_t columns,
               uint64_t rows);
    struct str *header; /* the table */
    uint64_t count;
    uint64_t bytes; /* of the data so far, padding included */
    int fd;
    uint64_t random;
    uint8_t *buffer; /* BUFFER_BYTES */
    struct err *err;
};

static bool vector(struct walk *walk, const char *name, uint64_t length)
{
    return walk->at(walk, name, BENCH_F32, length, 0);
}

static bool matrix(struct walk *walk, const char *name, uint64_t columns, uint64_t rows)
{
    return walk->at(walk, name, walk->shape->type, columns, rows);
}

/* "blk.LAYER.PART" */
static const char *in_layer(char out[KEY_MAX], uint32_t layer, const char *part)
{
    snprintf(out, KEY_MAX, "blk.%u.%s", layer, part);
    return out;
}

static bool walk_decoder_layer(struct walk *walk, uint32_t layer)
{
    const struct bench_shape *shape = walk->shape;
    uint64_t query = (uint64_t)shape->heads * shape->key_length;
    uint64_t key = (uint64_t)shape->heads_kv * shape->key_length;
    uint64_t width = shape->width, wide = shape->feed_forward;
    bool gemma = strcmp(shape->architecture, "gemma3") == 0;
    bool norms = gemma || strcmp(shape->architecture, "qwen3") == 0;
    char name[KEY_MAX];
    return vector(walk, in_layer(name, layer, "attn_norm.weight"), width) &&
           vector(walk, in_layer(name, layer, "ffn_norm.weight"), width) &&
           matrix(walk, in_layer(name, layer, "attn_q.weight"), width, query) &&
           matrix(walk, in_layer(name, layer, "attn_k.weight"), width, key) &&
           matrix(walk, in_layer(name, layer, "attn_v.weight"), width, key) &&
           matrix(walk, in_layer(name, layer, "attn_output.weight"), query, width) &&
           matrix(walk, in_layer(name, layer, "ffn_gate.weight"), width, wide) &&
           matrix(walk, in_layer(name, layer, "ffn_up.weight"), width, wide) &&
           matrix(walk, in_layer(name, layer, "ffn_down.weight"), wide, width) &&
           (!norms ||
            (vector(walk, in_layer(name, layer, "attn_q_norm.weight"), shape->key_length) &&
             vector(walk, in_layer(name, layer, "attn_k_norm.weight"), shape->key_length))) &&
           (!gemma || (vector(walk, in_layer(name, layer, "post_attention_norm.weight"), width) &&
                       vector(walk, in_layer(name, layer, "post_ffw_norm.weight"), width)));
}

static bool walk_encoder_layer(struct walk *walk, uint32_t layer)
{
    const struct bench_shape *shape = walk->shape;
    const struct {
        const char *name;
        uint64_t columns, rows;
    } parts[] = {
        {"attn_q", shape->width, shape->width},
        {"attn_k", shape->width, shape->width},
        {"attn_v", shape->width, shape->width},
        {"attn_output", shape->width, shape->width},
        {"ffn_up", shape->width, shape->feed_forward},
        {"ffn_down", shape->feed_forward, shape->width},
    };
    char part[KEY_MAX / 2], name[KEY_MAX];
    bool ok = true;
    for (size_t i = 0; ok && i < sizeof(parts) / sizeof(parts[0]); i++) {
        snprintf(part, sizeof(part), "%s.weight", parts[i].name);
        ok = matrix(walk, in_layer(name, layer, part), parts[i].columns, parts[i].rows);
        snprintf(part, sizeof(part), "%s.bias", parts[i].name);
        ok = ok && vector(walk, in_layer(name, layer, part), parts[i].rows);
    }
    return ok && vector(walk, in_layer(name, layer, "attn_output_norm.weight"), shape->width) &&
           vector(walk, in_layer(name, layer, "attn_output_norm.bias"), shape->width) &&
           vector(walk, in_layer(name, layer, "layer_output_norm.weight"), shape->width) &&
           vector(walk, in_layer(name, layer, "layer_output_norm.bias"), shape->width);
}

static bool walk_tensors(struct walk *walk)
{
    const struct bench_shape *shape = walk->shape;
    uint64_t width = shape->width;
    bool bert = is_bert(shape);
    bool ok = matrix(walk, "token_embd.weight", width, shape->vocabulary);
    if (bert)
        ok = ok && walk->at(walk, "position_embd.weight", BENCH_F32, width, shape->trained) &&
             walk->at(walk, "token_types.weight", BENCH_F32, width, TYPES_OF_TEXT) &&
             vector(walk, "token_embd_norm.weight", width) &&
             vector(walk, "token_embd_norm.bias", width);
    else
        ok = ok && vector(walk, "output_norm.weight", width) &&
             matrix(walk, "output.weight", width, shape->vocabulary);
    for (uint32_t layer = 0; ok && layer < shape->layers; layer++)
        ok = bert ? walk_encoder_layer(walk, layer) : walk_decoder_layer(walk, layer);
    return ok;
}

static uint64_t padded(uint64_t bytes)
{
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static uint64_t tensor_bytes(enum bench_type type, uint64_t columns, uint64_t rows)
{
    return bytes_of(type, columns * (rows ? rows : 1));
}

static bool count_tensor(struct walk *walk, const char *name, enum bench_type type,
                         uint64_t columns, uint64_t rows)
{
    (void)name;
    walk->count++;
    walk->bytes += padded(tensor_bytes(type, columns, rows));
    return true;
}

uint64_t bench_model_bytes(const struct bench_shape *shape)
{
    struct walk walk = {.shape = shape, .at = count_tensor};
    walk_tensors(&walk);
    return walk.bytes;
}

/* ---------------------------------------------------------------- the header */

static void put(struct str *out, const void *bytes, size_t length)
{
    str_append(out, bytes, length);
}

static void put_u32(struct str *out, uint32_t value)
{
    put(out, &value, sizeof(value));
}

static void put_u64(struct str *out, uint64_t value)
{
    put(out, &value, sizeof(value));
}

static void put_text(struct str *out, const char *text)
{
    put_u64(out, strlen(text));
    put(out, text, strlen(text));
}

struct header {
    struct str *out;
    const char *architecture;
    uint64_t pairs;
};

static void key(struct header *header, const char *name, uint32_t type)
{
    put_text(header->out, name);
    put_u32(header->out, type);
    header->pairs++;
}

/* A key that begins with the architecture. */
static void own_key(struct header *header, const char *name, uint32_t type)
{
    char full[KEY_MAX];
    snprintf(full, sizeof(full), "%s.%s", header->architecture, name);
    key(header, full, type);
}

static void set_u32(struct header *header, const char *name, uint32_t value)
{
    own_key(header, name, VALUE_U32);
    put_u32(header->out, value);
}

static void set_f32(struct header *header, const char *name, float value)
{
    own_key(header, name, VALUE_F32);
    put(header->out, &value, sizeof(value));
}

static void set_text(struct header *header, const char *name, const char *value)
{
    key(header, name, VALUE_TEXT);
    put_text(header->out, value);
}

static void put_shape(struct header *header, const struct bench_shape *shape)
{
    set_text(header, "general.architecture", shape->architecture);
    set_text(header, "general.name", shape->name);
    set_u32(header, "context_length", shape->trained);
    set_u32(header, "embedding_length", shape->width);
    set_u32(header, "block_count", shape->layers);
    set_u32(header, "feed_forward_length", shape->feed_forward);
    set_u32(header, "attention.head_count", shape->heads);
    set_u32(header, "vocab_size", shape->vocabulary);
    if (is_bert(shape)) {
        set_f32(header, "attention.layer_norm_epsilon", 1e-12F);
        own_key(header, "attention.causal", VALUE_BOOL);
        str_putc(header->out, 0);
        set_u32(header, "pooling_type", 1); /* the mean */
        return;
    }
    set_u32(header, "attention.head_count_kv", shape->heads_kv);
    set_u32(header, "attention.key_length", shape->key_length);
    set_u32(header, "attention.value_length", shape->key_length);
    set_u32(header, "rope.dimension_count", shape->key_length);
    set_f32(header, "attention.layer_norm_rms_epsilon", 1e-5F);
    if (shape->window > 0)
        set_u32(header, "attention.sliding_window", shape->window);
}

/* GPT-2's name of a byte: itself where it is visible, else a character from U+0100 on. */
static void byte_token(uint32_t byte, char out[8])
{
    bool visible = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    uint32_t hidden = byte <= 32 ? byte : byte <= 160 ? byte - 127 + 33 : 67;
    uint32_t code = visible ? byte : 256 + hidden;
    if (code < 128)
        snprintf(out, 8, "%c", (char)code);
    else
        snprintf(out, 8, "%c%c", (char)(0xc0 | (code >> 6)), (char)(0x80 | (code & 0x3f)));
}

/* A decoder's first tokens are the bytes, an encoder's are BERT's special ones and the letters; then fillers. */
static void token_name(const struct bench_shape *shape, uint32_t token, char out[24])
{
    static const char *const special[] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
    enum { SPECIAL = sizeof(special) / sizeof(special[0]), LETTERS = 26 };
    if (!is_bert(shape)) {
        if (token < BYTES)
            byte_token(token, out);
        else
            snprintf(out, 24, "t%u", token);
    } else if (token < SPECIAL) {
        snprintf(out, 24, "%s", special[token]);
    } else if (token < SPECIAL + LETTERS) {
        snprintf(out, 24, "\xe2\x96\x81%c", (char)('a' + token - SPECIAL));
    } else {
        snprintf(out, 24, "\xe2\x96\x81t%u", token);
    }
}

static bool is_control(const struct bench_shape *shape, uint32_t token)
{
    return is_bert(shape) ? token < 5 : token == BYTES || token == BYTES + 1;
}

static void put_vocabulary(struct header *header, const struct bench_shape *shape)
{
    char name[24];
    set_text(header, "tokenizer.ggml.model", is_bert(shape) ? "bert" : "gpt2");
    set_text(header, "tokenizer.ggml.pre", is_bert(shape) ? "default" : "gpt-2");
    key(header, "tokenizer.ggml.tokens", VALUE_LIST);
    put_u32(header->out, VALUE_TEXT);
    put_u64(header->out, shape->vocabulary);
    for (uint32_t i = 0; i < shape->vocabulary; i++) {
        token_name(shape, i, name);
        put_text(header->out, name);
    }
    key(header, "tokenizer.ggml.token_type", VALUE_LIST);
    put_u32(header->out, VALUE_I32);
    put_u64(header->out, shape->vocabulary);
    for (uint32_t i = 0; i < shape->vocabulary; i++)
        put_u32(header->out, is_control(shape, i) ? TOKEN_CONTROL : TOKEN_NORMAL);
}

static void put_special(struct header *header, const struct bench_shape *shape)
{
    static const struct {
        const char *name;
        uint32_t bert, decoder;
    } tokens[] = {
        {"tokenizer.ggml.bos_token_id", 2, BYTES},
        {"tokenizer.ggml.eos_token_id", 3, BYTES + 1},
        {"tokenizer.ggml.padding_token_id", 0, BYTES},
        {"tokenizer.ggml.unknown_token_id", 1, BYTES},
        {"tokenizer.ggml.cls_token_id", 2, UINT32_MAX},
        {"tokenizer.ggml.seperator_token_id", 3, UINT32_MAX},
        {"tokenizer.ggml.mask_token_id", 4, UINT32_MAX},
        {"tokenizer.ggml.token_type_count", TYPES_OF_TEXT, UINT32_MAX},
    };
    for (size_t i = 0; i < sizeof(tokens) / sizeof(tokens[0]); i++) {
        uint32_t value = is_bert(shape) ? tokens[i].bert : tokens[i].decoder;
        if (value == UINT32_MAX)
            continue;
        key(header, tokens[i].name, VALUE_U32);
        put_u32(header->out, value);
    }
    if (is_bert(shape))
        return;
    key(header, "tokenizer.ggml.merges", VALUE_LIST);
    put_u32(header->out, VALUE_TEXT);
    put_u64(header->out, 1);
    put_text(header->out, "t 3");
}

static bool describe_tensor(struct walk *walk, const char *name, enum bench_type type,
                            uint64_t columns, uint64_t rows)
{
    put_text(walk->header, name);
    put_u32(walk->header, rows ? 2 : 1);
    put_u64(walk->header, columns);
    if (rows)
        put_u64(walk->header, rows);
    put_u32(walk->header, (uint32_t)type);
    put_u64(walk->header, walk->bytes);
    walk->bytes += padded(tensor_bytes(type, columns, rows));
    return true;
}

/* The whole of the file up to its data. */
static void put_header(const struct bench_shape *shape, struct str *out)
{
    struct walk count = {.shape = shape, .at = count_tensor};
    struct str pairs;
    str_init(&pairs, HEADER_MAX);
    struct header header = {.out = &pairs, .architecture = shape->architecture};
    put_shape(&header, shape);
    put_vocabulary(&header, shape);
    put_special(&header, shape);
    walk_tensors(&count);
    put(out, "GGUF", 4);
    put_u32(out, 3);
    put_u64(out, count.count);
    put_u64(out, header.pairs);
    put(out, str_text(&pairs), str_ok(&pairs) ? pairs.length : 0);
    struct walk table = {.shape = shape, .at = describe_tensor, .header = out};
    walk_tensors(&table);
    while (str_ok(out) && out->length % ALIGNMENT != 0)
        str_putc(out, 0);
    str_free(&pairs);
}

/* ---------------------------------------------------------------- the data */

/* splitmix64: fast, and good enough to be incompressible. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* Fills the buffer's first `bytes`, whole blocks of the type, with numbers that a model can compute with. */
static void fill(struct walk *walk, enum bench_type type, size_t bytes)
{
    static const float one = 1.0F;
    static const uint8_t scale[] = {0x00, 0x14}; /* 2^-10 as F16 */
    uint8_t *at = walk->buffer;
    if (type == BENCH_F32) {
        for (size_t i = 0; i < bytes; i += sizeof(one))
            memcpy(at + i, &one, sizeof(one));
        return;
    }
    for (size_t i = 0; i + 8 <= bytes; i += 8) {
        uint64_t random = next_random(&walk->random);
        memcpy(at + i, &random, 8);
    }
    if (type == BENCH_F16) /* sign and fraction are random, the exponent is that of 2^-6 */
        for (size_t i = 1; i < bytes; i += 2)
            at[i] = (uint8_t)((at[i] & 0x83) | 0x24);
    size_t block = (size_t)bytes_of(type, BLOCK);
    for (size_t i = 0; type != BENCH_F16 && i + block <= bytes; i += block)
        memcpy(at + i, scale, sizeof(scale));
}

static bool write_tensor(struct walk *walk, const char *name, enum bench_type type,
                         uint64_t columns, uint64_t rows)
{
    (void)name;
    static const uint8_t zeros[ALIGNMENT] = {0};
    size_t block = (size_t)bytes_of(type, BLOCK);
    size_t piece = BUFFER_BYTES / block * block;
    uint64_t left = tensor_bytes(type, columns, rows);
    size_t padding = (size_t)(padded(left) - left);
    while (left > 0) {
        size_t bytes = left < piece ? (size_t)left : piece;
        fill(walk, type, bytes);
        if (!fs_write_all(walk->fd, walk->buffer, bytes, walk->err))
            return false;
        left -= bytes;
    }
    return padding == 0 || fs_write_all(walk->fd, zeros, padding, walk->err);
}

static bool write_file(const struct bench_shape *shape, uint64_t seed, int fd, struct err *err)
{
    struct str header;
    str_init(&header, HEADER_MAX);
    put_header(shape, &header);
    bool ok = str_check(&header, shape->name, err) &&
              fs_write_all(fd, str_text(&header), header.length, err);
    str_free(&header);
    if (!ok)
        return false;
    uint8_t *buffer = malloc(BUFFER_BYTES);
    if (!buffer)
        return err_no_memory(err);
    struct walk data = {
        .shape = shape, .at = write_tensor, .fd = fd, .random = seed, .buffer = buffer, .err = err};
    ok = walk_tensors(&data);
    free(buffer);
    return ok;
}

bool bench_model_write(const struct bench_shape *shape, uint64_t seed, const char *path,
                       struct err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_set_errno(err, ERR_IO, errno, "cannot write the model file %s", path);
    bool ok = write_file(shape, seed, fd, err);
    if (close(fd) != 0 && ok)
        ok = err_set_errno(err, ERR_IO, errno, "cannot write the model file %s", path);
    return ok;
}
