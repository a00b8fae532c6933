#include "engine/static_embed.h"

#include <errno.h>
#include <fcntl.h>
#include <ggml.h>
#include <gguf.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/gguf_check.h"

/* ---------------------------------------------------------------- what the file says */

/* Everything that this version finds wrong with a file is told by the name of the key or tensor. */
static bool wrong(const char *path, const char *what, struct err *err)
{
    return err_set(err, ERR_MODEL_INVALID,
                   "%s is no embedding model that this version can read: its %s is missing or "
                   "wrong; use the file that came with this version",
                   path, what);
}

static bool number(const struct gguf_context *gguf, const char *key, uint32_t max, uint32_t *ret)
{
    int64_t id = gguf_find_key(gguf, key);
    if (id < 0 || gguf_get_kv_type(gguf, id) != GGUF_TYPE_UINT32)
        return false;
    uint32_t value = gguf_get_val_u32(gguf, id);
    if (value == 0 || value > max)
        return false;
    *ret = value;
    return true;
}

/* The key of an array of `type` with 1..max entries; -1 when it is not that. */
static int64_t array(const struct gguf_context *gguf, const char *key, enum gguf_type type,
                     size_t max, size_t *ret_count)
{
    int64_t id = gguf_find_key(gguf, key);
    if (id < 0 || gguf_get_kv_type(gguf, id) != GGUF_TYPE_ARRAY ||
        gguf_get_arr_type(gguf, id) != type)
        return -1;
    *ret_count = gguf_get_arr_n(gguf, id);
    return *ret_count > 0 && *ret_count <= max ? id : -1;
}

static bool is_text(const struct gguf_context *gguf, const char *key, const char *text)
{
    int64_t id = gguf_find_key(gguf, key);
    return id >= 0 && gguf_get_kv_type(gguf, id) == GGUF_TYPE_STRING &&
           strcmp(gguf_get_val_str(gguf, id), text) == 0;
}

static bool read_fold(const struct gguf_context *gguf, struct static_tokenizer *tokenizer)
{
    size_t from_count, to_count;
    int64_t from = array(gguf, STATIC_ARCHITECTURE ".fold_from", GGUF_TYPE_UINT32,
                         STATIC_FOLD_POINTS, &from_count);
    int64_t to = array(gguf, STATIC_ARCHITECTURE ".fold_to", GGUF_TYPE_STRING, STATIC_FOLD_POINTS,
                       &to_count);
    if (from < 0 || to < 0 || from_count != to_count)
        return false;
    const uint32_t *points = gguf_get_arr_data(gguf, from);
    for (size_t i = 0; i < from_count; i++)
        if (!static_tokenizer_add_fold(tokenizer, points[i], gguf_get_arr_str(gguf, to, i)))
            return false;
    return true;
}

static bool read_tokenizer(const struct gguf_context *gguf, const char *path,
                           struct static_embed *model, struct err *err)
{
    size_t count;
    int64_t pieces =
        array(gguf, "tokenizer.ggml.tokens", GGUF_TYPE_STRING, STATIC_PIECES_MAX, &count);
    if (pieces < 0)
        return wrong(path, "tokenizer.ggml.tokens", err);
    if (!is_text(gguf, "tokenizer.ggml.model", "jarvis-wordpiece"))
        return wrong(path, "tokenizer.ggml.model", err);
    model->pieces = (uint32_t)count;
    if (!static_tokenizer_init(&model->tokenizer, model->pieces, err))
        return false;
    for (uint32_t i = 0; i < model->pieces; i++)
        if (!static_tokenizer_add_piece(&model->tokenizer, i, gguf_get_arr_str(gguf, pieces, i)))
            return wrong(path, "tokenizer.ggml.tokens", err);
    if (!static_tokenizer_complete(&model->tokenizer))
        return wrong(path, "tokenizer.ggml.tokens", err);
    if (!read_fold(gguf, &model->tokenizer))
        return wrong(path, STATIC_ARCHITECTURE ".fold_from", err);
    return true;
}

/* ---------------------------------------------------------------- the vectors */

static bool read_all(int fd, void *out, size_t size, uint64_t offset)
{
    uint8_t *to = out;
    while (size > 0) {
        ssize_t count = pread(fd, to, size, (off_t)offset);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return false;
        to += count;
        size -= (size_t)count;
        offset += (uint64_t)count;
    }
    return true;
}

/* A tensor of exactly this type and size, in memory of its own; NULL when it is not that. */
static void *read_tensor(const struct gguf_context *gguf, int fd, const char *name,
                         enum ggml_type type, size_t size)
{
    int64_t id = gguf_find_tensor(gguf, name);
    if (id < 0 || gguf_get_tensor_type(gguf, id) != type || gguf_get_tensor_size(gguf, id) != size)
        return NULL;
    void *data = malloc(size);
    if (data &&
        !read_all(fd, data, size, gguf_get_data_offset(gguf) + gguf_get_tensor_offset(gguf, id))) {
        free(data);
        return NULL;
    }
    return data;
}

/* A scale that is no number, or huge, would make every vector with that piece worthless. */
static bool scales_are_sound(const float *scale, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (!(scale[i] >= 0.0F && scale[i] < 1e6F))
            return false;
    return true;
}

static bool read_vectors(const struct gguf_context *gguf, int fd, const char *path,
                         struct static_embed *model, struct err *err)
{
    size_t cells = (size_t)model->pieces * model->dimensions;
    model->rows = read_tensor(gguf, fd, "token_embd.weight", GGML_TYPE_I8, cells);
    if (!model->rows)
        return wrong(path, "token_embd.weight", err);
    model->scale = read_tensor(gguf, fd, "token_embd.scale", GGML_TYPE_F32,
                               model->pieces * sizeof(*model->scale));
    if (!model->scale || !scales_are_sound(model->scale, model->pieces))
        return wrong(path, "token_embd.scale", err);
    return true;
}

/* ---------------------------------------------------------------- opening */

bool static_embed_is(const char *path)
{
    /* GGUF's header (magic, version, two counts), then by convention this pair first: key, type, text. */
    static const char key[] = "general.architecture";
    enum { HEADER = 24, LENGTH = 8, TYPE = 4 };
    char head[HEADER + LENGTH + sizeof(key) - 1 + TYPE + LENGTH + sizeof(STATIC_ARCHITECTURE) - 1];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return false;
    bool ok = read_all(fd, head, sizeof(head), 0);
    close(fd);
    const char *pair = head + HEADER + LENGTH;
    return ok && memcmp(head, "GGUF", 4) == 0 && memcmp(pair, key, sizeof(key) - 1) == 0 &&
           memcmp(pair + sizeof(key) - 1 + TYPE + LENGTH, STATIC_ARCHITECTURE,
                  sizeof(STATIC_ARCHITECTURE) - 1) == 0;
}

static bool read_model(const struct gguf_context *gguf, int fd, const char *path,
                       struct static_embed *model, struct err *err)
{
    if (!is_text(gguf, "general.architecture", STATIC_ARCHITECTURE))
        return wrong(path, "general.architecture", err);
    if (!number(gguf, STATIC_ARCHITECTURE ".embedding_length", STATIC_DIMENSIONS_MAX,
                &model->dimensions))
        return wrong(path, STATIC_ARCHITECTURE ".embedding_length", err);
    if (!number(gguf, STATIC_ARCHITECTURE ".context_length", STATIC_CONTEXT_MAX,
                &model->context_length))
        return wrong(path, STATIC_ARCHITECTURE ".context_length", err);
    return read_tokenizer(gguf, path, model, err) && read_vectors(gguf, fd, path, model, err);
}

bool static_embed_open(const char *path, struct static_embed *ret, struct err *err)
{
    struct static_embed model = {0};
    if (!gguf_check(path, &model.file_bytes, err))
        return false;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set_errno(err, ERR_IO, errno, "cannot read the model file %s", path);
    struct gguf_context *gguf =
        gguf_init_from_file(path, (struct gguf_init_params){.no_alloc = true});
    bool ok =
        gguf ? read_model(gguf, fd, path, &model, err) : wrong(path, "table of contents", err);
    gguf_free(gguf);
    close(fd);
    if (!ok) {
        static_embed_close(&model);
        return false;
    }
    *ret = model;
    return true;
}

void static_embed_close(struct static_embed *model)
{
    static_tokenizer_free(&model->tokenizer);
    free(model->rows);
    free(model->scale);
    *model = (struct static_embed){0};
}

/* ---------------------------------------------------------------- embedding */

static void normalise(float *out, uint32_t dimensions)
{
    double sum = 0;
    for (uint32_t i = 0; i < dimensions; i++)
        sum += (double)out[i] * out[i];
    if (sum <= 0)
        return;
    float scale = (float)(1.0 / sqrt(sum));
    for (uint32_t i = 0; i < dimensions; i++)
        out[i] *= scale;
}

size_t static_embed_text(const struct static_embed *model, const char *text, size_t length,
                         float *out)
{
    uint32_t ids[STATIC_CONTEXT_MAX];
    size_t dimensions = model->dimensions;
    size_t count = static_tokenize(&model->tokenizer, text, length, ids, model->context_length);
    size_t used = count < model->context_length ? count : model->context_length;
    memset(out, 0, dimensions * sizeof(*out));
    for (size_t i = 0; i < used; i++) {
        const int8_t *row = model->rows + ids[i] * dimensions;
        float scale = model->scale[ids[i]];
        for (size_t j = 0; j < dimensions; j++)
            out[j] += scale * row[j];
    }
    normalise(out, model->dimensions);
    return count;
}
