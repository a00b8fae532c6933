/* bench_model.h - models for measuring memory: files of any shape, full of random weights.
 *
 * Purpose: `jarvis bench memory` needs models of many shapes and sizes, and nobody has them at hand. A model is written
 *   straight to its file, tensor by tensor, so that writing a gigabyte takes no memory. It babbles or embeds nonsense,
 *   and takes the memory of a real one.
 * Owner:   nothing is kept. Threads: safe from any.
 * Fails:   ERR_IO, ERR_DISK_FULL; the file is then incomplete.
 */
#ifndef JARVIS_CLI_BENCH_MODEL_H
#define JARVIS_CLI_BENCH_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "ipc/protocol.h"

/* Numbers as GGUF has them. */
enum bench_type { BENCH_F32 = 0, BENCH_F16 = 1, BENCH_Q4_0 = 2, BENCH_Q8_0 = 8 };

struct bench_shape {
    const char *name;
    const char *architecture; /* "llama", "qwen3", "gemma3", "bert" */
    enum model_role role;
    enum bench_type type; /* of the matrices */
    uint32_t width;       /* a multiple of 32, as are feed_forward and heads x key_length */
    uint32_t layers;
    uint32_t heads;
    uint32_t heads_kv;
    uint32_t key_length; /* of a head */
    uint32_t feed_forward;
    uint32_t vocabulary; /* >= 512 */
    uint32_t window;     /* sliding, gemma3; 0: none */
    uint32_t trained;    /* tokens of context */
};

const char *bench_type_name(enum bench_type type);

/* Bytes of the tensors of a model of this shape. */
uint64_t bench_model_bytes(const struct bench_shape *shape);

/* Writes it to a new file; equal seeds write equal files. */
bool bench_model_write(const struct bench_shape *shape, uint64_t seed, const char *path,
                       struct err *err);

#endif
