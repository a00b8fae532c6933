/* Where each tensor of a file will lie, as libllama decides it.
 *
 * On the CPU a tensor stays in the mapped file, unless one of the CPU's extra buffer types can multiply by it faster:
 * then it is copied there, in an order that suits the instructions of this machine (ggml calls that repacking; AMX has a
 * type of its own). Which tensors that are depends on the CPU, the tensor's type and its shape, so it is not guessed: a
 * buffer of no bytes of each type is made, and ggml is asked whether it could run the operation on a tensor in it, in
 * the same way and order as libllama asks. What the copy takes is asked as well.
 *
 * libllama unmaps what lies before the first and after the last tensor that stayed; what is between them stays
 * resident, copied or not. Where layers go to GPUs their tensors are copied to those, and the CPU's stay mapped (its
 * extra types come after the GPU's host memory, which is not used with a mapped file). */
#include <ggml-backend.h>
#include <ggml.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/forecast.h"

enum {
    TENSORS_AT_ONCE = 8, /* made to ask one question */
    BATCH = 512,         /* as libllama asks: rows of the other operand */
    EXPERTS_USED = 1,    /* does not change the answer */
    EXTRA_TYPES_MAX = 8,
};

struct asking {
    const struct gguf_context *gguf;
    const struct ggml_context *tensors; /* shapes and types, without data */
    const struct forecast_log *log;
    struct forecast_parts *parts;
    ggml_backend_dev_t cpu;
    ggml_backend_buffer_t extra[EXTRA_TYPES_MAX]; /* of no bytes */
    uint32_t extra_count;
    uint64_t mapped_from; /* of the file; from == to: nothing */
    uint64_t mapped_to;
    uint64_t row_bytes; /* the longest row that is turned into another type to be multiplied */
};

static void find_extra_types(struct asking *asking)
{
    asking->cpu = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
    if (!asking->cpu)
        return;
    void *address = ggml_backend_reg_get_proc_address(ggml_backend_dev_backend_reg(asking->cpu),
                                                      "ggml_backend_dev_get_extra_bufts");
    ggml_backend_dev_get_extra_bufts_t get;
    memcpy(&get, &address,
           sizeof(get)); /* C has no cast from the one kind of pointer to the other */
    ggml_backend_buffer_type_t *types = get ? get(asking->cpu) : NULL;
    for (; types && *types && asking->extra_count < EXTRA_TYPES_MAX; types++) {
        ggml_backend_buffer_t buffer = ggml_backend_buft_alloc_buffer(*types, 0);
        if (buffer)
            asking->extra[asking->extra_count++] = buffer;
    }
}

static void free_extra_types(struct asking *asking)
{
    for (uint32_t i = 0; i < asking->extra_count; i++)
        ggml_backend_buffer_free(asking->extra[i]);
}

/* Whether the model multiplies by this tensor: the others are looked up in, added, or scale something. */
static bool is_multiplied(const struct ggml_tensor *tensor)
{
    static const char *const others[] = {
        "token_embd", "position_embd", "token_types", "norm", "bias", "ssm_conv1d", "rope_freqs",
    };
    if (tensor->ne[1] < 2)
        return false;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        if (strstr(tensor->name, others[i]))
            return false;
    return true;
}

static struct ggml_tensor *make_operation(struct ggml_context *context, struct ggml_tensor *weight)
{
    if (weight->ne[2] > 1 && strstr(weight->name, "_exps")) {
        struct ggml_tensor *rows =
            ggml_new_tensor_3d(context, GGML_TYPE_F32, weight->ne[0], EXPERTS_USED, BATCH);
        struct ggml_tensor *ids = ggml_new_tensor_2d(context, GGML_TYPE_I32, EXPERTS_USED, BATCH);
        return ggml_mul_mat_id(context, weight, rows, ids);
    }
    struct ggml_tensor *rows = ggml_new_tensor_4d(context, GGML_TYPE_F32, weight->ne[0], BATCH,
                                                  weight->ne[2], weight->ne[3]);
    return ggml_mul_mat(context, weight, rows);
}

/* Bytes of the copy that ggml would make of the tensor for multiplying by it; 0: none. */
static uint64_t copy_bytes(const struct asking *asking, const struct ggml_tensor *tensor)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < asking->extra_count && bytes == 0; i++) {
        struct ggml_context *context = ggml_init((struct ggml_init_params){
            .mem_size = TENSORS_AT_ONCE * ggml_tensor_overhead(), .no_alloc = true});
        if (!context)
            return 0;
        struct ggml_tensor *weight =
            ggml_new_tensor(context, tensor->type, GGML_MAX_DIMS, tensor->ne);
        ggml_set_name(weight, tensor->name);
        struct ggml_tensor *operation = make_operation(context, weight);
        weight->buffer = asking->extra[i];
        if (ggml_backend_dev_supports_op(asking->cpu, operation))
            bytes = ggml_backend_buft_get_alloc_size(ggml_backend_buffer_get_type(asking->extra[i]),
                                                     weight);
        ggml_free(context);
    }
    return bytes;
}

/* The device of the layer that a tensor belongs to; what is before the layers is the CPU's. */
static const char *device_of(const struct asking *asking, const char *name, uint32_t layers)
{
    unsigned layer;
    if (sscanf(name, "blk.%u.", &layer) != 1) {
        if (strncmp(name, "output", 6) != 0)
            return "CPU";
        layer = layers;
    }
    const char *device = layer < FORECAST_LAYERS_MAX ? asking->log->layer_device[layer] : "";
    return device[0] ? device : "CPU";
}

static void keep_mapped(struct asking *asking, int64_t index)
{
    uint64_t from =
        gguf_get_data_offset(asking->gguf) + gguf_get_tensor_offset(asking->gguf, index);
    uint64_t to = from + gguf_get_tensor_size(asking->gguf, index);
    if (asking->mapped_to == 0 || from < asking->mapped_from)
        asking->mapped_from = from;
    if (to > asking->mapped_to)
        asking->mapped_to = to;
}

/* Rows are multiplied in a type near to the weights': with F16 in F16, with quantised weights in eight bits and a
 * scale, with F32 as they are. */
static void note_row(struct asking *asking, const struct ggml_tensor *tensor)
{
    if (tensor->type == GGML_TYPE_F32)
        return;
    enum ggml_type type = ggml_is_quantized(tensor->type) ? GGML_TYPE_Q8_0 : GGML_TYPE_F16;
    uint64_t bytes = ggml_row_size(type, tensor->ne[0]);
    if (bytes > asking->row_bytes)
        asking->row_bytes = bytes;
}

static void place(struct asking *asking, const struct ggml_tensor *tensor, int64_t index,
                  uint32_t layers)
{
    const char *device = device_of(asking, tensor->name, layers);
    uint64_t copy = 0;
    if (strcmp(device, "CPU") != 0)
        copy = gguf_get_tensor_size(asking->gguf, index);
    else if (is_multiplied(tensor))
        copy = copy_bytes(asking, tensor);
    if (is_multiplied(tensor))
        note_row(asking, tensor);
    forecast_add(asking->parts, PART_REPACKED, device, copy);
    if (copy == 0)
        keep_mapped(asking, index);
    if (strcmp(tensor->name, "token_embd.weight") == 0 && asking->log->embeddings > 1) {
        const char *output = device_of(asking, "output.weight", layers);
        bool cpu = strcmp(output, "CPU") == 0;
        forecast_add(asking->parts, PART_REPACKED, output,
                     cpu ? copy_bytes(asking, tensor) : gguf_get_tensor_size(asking->gguf, index));
    }
}

static void place_all(struct asking *asking)
{
    uint32_t layers = 0;
    int64_t count = gguf_get_n_tensors(asking->gguf);
    for (int64_t i = 0; i < count; i++) {
        unsigned layer;
        if (sscanf(gguf_get_tensor_name(asking->gguf, i), "blk.%u.", &layer) == 1 &&
            layer >= layers)
            layers = layer + 1;
    }
    for (int64_t i = 0; i < count; i++)
        place(asking,
              ggml_get_tensor((struct ggml_context *)(uintptr_t)asking->tensors,
                              gguf_get_tensor_name(asking->gguf, i)),
              i, layers);
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t from = asking->mapped_from / page * page;
    uint64_t to = (asking->mapped_to + page - 1) / page * page;
    forecast_add(asking->parts, PART_WEIGHTS, "CPU", to - from);
}

bool forecast_weights(const char *path, const struct forecast_log *log, bool on_gpu, uint32_t batch,
                      struct forecast_parts *parts, struct err *err)
{
    struct ggml_context *tensors = NULL;
    struct gguf_context *gguf =
        gguf_init_from_file(path, (struct gguf_init_params){.no_alloc = true, .ctx = &tensors});
    if (!gguf)
        return err_set(err, ERR_MODEL_INVALID,
                       "the model file %s is damaged: its table of contents cannot be read; fetch "
                       "it again",
                       path);
    struct asking asking = {.gguf = gguf, .tensors = tensors, .log = log, .parts = parts};
    if (!on_gpu)
        find_extra_types(&asking);
    place_all(&asking);
    forecast_add(parts, PART_COMPUTE, "CPU", asking.row_bytes * batch);
    free_extra_types(&asking);
    ggml_free(tensors);
    gguf_free(gguf);
    return true;
}
