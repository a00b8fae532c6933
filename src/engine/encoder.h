/* encoder.h - token sequences in, one vector each out: what embedding and reranking share.
 *
 * Purpose: computes pooled outputs in micro-batches. Sequences are sorted by length and packed up to
 *   ENCODER_BATCH_TOKENS a call, which is the best size on a CPU (attention over a packed batch costs the square of
 *   the whole batch); longer ones run alone. Results keep the order of the input.
 * Owner:   encoder_close() ends an encoder, encode_job_free() a job. A job owns the tokens given to it.
 * Threads: one at a time; only the interrupt flag may be set from another thread.
 * Fails:   ERR_NO_MEMORY, ERR_MODEL_INVALID when the model computes something that is no number, ERR_INTERNAL.
 *
 *     encode_job_init(&job, encoder, count, &err)
 *     encode_job_set(&job, i, tokens, length)       for each sequence
 *     while (!encode_job_done(&job)) encoder_step(encoder, &job, &err)
 *     job.values                                    count x dimensions
 */
#ifndef JARVIS_ENGINE_ENCODER_H
#define JARVIS_ENGINE_ENCODER_H

#include <llama.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "engine/model.h"

enum {
    ENCODER_BATCH_TOKENS = 256,
    ENCODER_SEQUENCES_MAX = 32, /* of one micro-batch */
};

struct encoder {
    const struct model *model;
    struct llama_context *context;
    struct llama_batch batch;
    struct pulse *pulse;
    uint32_t dimensions; /* of an output: of the embedding, or the number of scores */
    uint32_t length_max; /* tokens that a sequence may have */
};

/* `pulse` may be NULL. Computes once, so that all that is made at first use is there. */
bool encoder_open(const struct model *model, struct pulse *pulse, struct encoder *ret,
                  struct err *err);
void encoder_close(struct encoder *encoder);

/* Computes with so many threads from the next step on. */
void encoder_set_threads(struct encoder *encoder, int32_t threads);

/* The context that encoder_open() makes: for those who want to know before. */
struct llama_context_params encoder_context_params(const struct model *model, struct pulse *pulse);

struct encode_job {
    llama_token **tokens; /* by input order; each entry owned */
    uint32_t *lengths;
    uint32_t *order; /* shortest first */
    uint32_t count;
    uint32_t next; /* how many of `order` are computed */
    uint32_t dimensions;
    float *values;    /* count x dimensions, row major, in input order */
    uint32_t *begins; /* position of a sequence's first token; NULL: 0 */
    uint32_t *texts;  /* which text a sequence is a part of; NULL: each is a text of its own */
    uint32_t text_count;
    uint64_t computed; /* tokens */
    uint32_t
        truncated; /* texts of which something was not read; counted by those who make the sequences */
};

bool encode_job_init(struct encode_job *job, const struct encoder *encoder, uint32_t count,
                     struct err *err);

/* Takes over `tokens` (malloc'ed); length 0 gives an output of zeros. */
void encode_job_set(struct encode_job *job, uint32_t index, llama_token *tokens, size_t length);
bool encode_job_done(const struct encode_job *job);
void encode_job_free(struct encode_job *job);

/* Computes the next micro-batch. An interruption is no failure: nothing is computed and the step can be taken
 * again. */
bool encoder_step(struct encoder *encoder, struct encode_job *job, struct err *err);

#endif
