#include "engine/encoder.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---------------------------------------------------------------- opening */

static uint32_t larger(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

static bool warm_up(struct encoder *encoder, struct err *err)
{
    llama_token *tokens = NULL;
    size_t count = 0;
    struct encode_job job = {0};
    bool ok = model_tokenize(encoder->model, "a", true, false, &tokens, &count, err) &&
              encode_job_init(&job, encoder, 1, err);
    if (ok) {
        encode_job_set(&job, 0, tokens, count);
        ok = encoder_step(encoder, &job, err);
    } else {
        free(tokens);
    }
    encode_job_free(&job);
    return ok;
}

void encoder_set_threads(struct encoder *encoder, int32_t threads)
{
    llama_set_n_threads(encoder->context, threads, threads);
}

struct llama_context_params encoder_context_params(const struct model *model, struct pulse *pulse)
{
    struct llama_context_params params = model_context_params(model, pulse);
    uint32_t tokens = larger(model->context_length, ENCODER_BATCH_TOKENS);
    params.n_ctx = tokens;
    params.n_batch = tokens; /* a sequence is pooled within one physical batch */
    params.n_ubatch = tokens;
    params.n_seq_max = ENCODER_SEQUENCES_MAX;
    params.kv_unified = true; /* sequences of any length share the cells */
    return params;
}

bool encoder_open(const struct model *model, struct pulse *pulse, struct encoder *ret,
                  struct err *err)
{
    struct encoder encoder = {.model = model, .pulse = pulse, .length_max = model->context_length};
    bool rank = model->pooling == LLAMA_POOLING_TYPE_RANK;
    encoder.dimensions = rank ? llama_model_n_cls_out(model->handle)
                              : (uint32_t)llama_model_n_embd_out(model->handle);
    struct llama_context_params params = encoder_context_params(model, pulse);
    if (!model_context(model, &params, &encoder.context, err))
        return false;
    encoder.batch = llama_batch_init((int32_t)params.n_batch, 0, 1);
    if (!warm_up(&encoder, err)) {
        encoder_close(&encoder);
        return false;
    }
    *ret = encoder;
    return true;
}

void encoder_close(struct encoder *encoder)
{
    if (!encoder->context)
        return;
    llama_batch_free(encoder->batch);
    llama_free(encoder->context);
    encoder->context = NULL;
}

/* ---------------------------------------------------------------- jobs */

bool encode_job_init(struct encode_job *job, const struct encoder *encoder, uint32_t count,
                     struct err *err)
{
    size_t room = count ? count : 1;
    *job = (struct encode_job){.count = count, .dimensions = encoder->dimensions};
    job->tokens = calloc(room, sizeof(*job->tokens));
    job->lengths = calloc(room, sizeof(*job->lengths));
    job->order = calloc(room, sizeof(*job->order));
    job->values = calloc(room * job->dimensions, sizeof(*job->values));
    if (job->tokens && job->lengths && job->order && job->values)
        return true;
    encode_job_free(job);
    return err_no_memory(err);
}

void encode_job_set(struct encode_job *job, uint32_t index, llama_token *tokens, size_t length)
{
    free(job->tokens[index]);
    job->tokens[index] = tokens;
    job->lengths[index] = (uint32_t)length;
}

bool encode_job_done(const struct encode_job *job)
{
    return job->next >= job->count;
}

void encode_job_free(struct encode_job *job)
{
    for (uint32_t i = 0; job->tokens && i < job->count; i++)
        free(job->tokens[i]);
    free(job->tokens);
    free(job->lengths);
    free(job->order);
    free(job->values);
    free(job->begins);
    free(job->texts);
    *job = (struct encode_job){0};
}

/* Shortest first; equal lengths in the order of the input. */
static int by_length(const void *a, const void *b, void *user)
{
    const struct encode_job *job = user;
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    if (job->lengths[x] != job->lengths[y])
        return job->lengths[x] < job->lengths[y] ? -1 : 1;
    return x < y ? -1 : x > y;
}

static void sort(struct encode_job *job)
{
    for (uint32_t i = 0; i < job->count; i++)
        job->order[i] = i;
    qsort_r(job->order, job->count, sizeof(*job->order), by_length, job);
}

/* ---------------------------------------------------------------- computing */

static void add_sequence(struct llama_batch *batch, const llama_token *tokens, uint32_t length,
                         uint32_t begin, llama_seq_id sequence)
{
    for (uint32_t i = 0; i < length; i++) {
        int32_t at = batch->n_tokens++;
        batch->token[at] = tokens[i];
        batch->pos[at] = (llama_pos)(begin + i);
        batch->n_seq_id[at] = 1;
        batch->seq_id[at][0] = sequence;
        batch->logits[at] = true;
    }
}

/* Fills the batch from order[next..]. Returns how many sequences it took: at least one. */
static uint32_t pack(struct encoder *encoder, const struct encode_job *job)
{
    struct llama_batch *batch = &encoder->batch;
    batch->n_tokens = 0;
    uint32_t taken = 0;
    while (taken < ENCODER_SEQUENCES_MAX && job->next + taken < job->count) {
        uint32_t index = job->order[job->next + taken];
        uint32_t length = job->lengths[index];
        if (taken > 0 && (uint32_t)batch->n_tokens + length > ENCODER_BATCH_TOKENS)
            break;
        add_sequence(batch, job->tokens[index], length, job->begins ? job->begins[index] : 0,
                     (llama_seq_id)taken);
        taken++;
    }
    return taken;
}

/* Copies the outputs of a computed batch to where they belong. */
static bool collect(struct encoder *encoder, struct encode_job *job, uint32_t taken,
                    struct err *err)
{
    for (uint32_t i = 0; i < taken; i++) {
        const float *output = llama_get_embeddings_seq(encoder->context, (llama_seq_id)i);
        if (!output)
            return err_set(err, ERR_INTERNAL, "%s computed no output for a text; load it again",
                           encoder->model->path);
        for (uint32_t k = 0; k < job->dimensions; k++)
            if (!isfinite(output[k]))
                return err_set(err, ERR_MODEL_INVALID,
                               "%s computes values that are not numbers; fetch another conversion "
                               "of the model",
                               encoder->model->path);
        uint32_t index = job->order[job->next + i];
        memcpy(job->values + (size_t)index * job->dimensions, output,
               job->dimensions * sizeof(*output));
    }
    return true;
}

static bool interrupted(const struct encoder *encoder)
{
    return encoder->pulse && atomic_load(&encoder->pulse->interrupt);
}

bool encoder_step(struct encoder *encoder, struct encode_job *job, struct err *err)
{
    if (job->next == 0)
        sort(job);
    while (!encode_job_done(job) && job->lengths[job->order[job->next]] == 0)
        job->next++; /* its output stays zero */
    if (encode_job_done(job))
        return true;
    uint32_t taken = pack(encoder, job);
    llama_memory_t memory = llama_get_memory(encoder->context);
    if (memory)
        llama_memory_clear(memory, false);
    int32_t result = memory ? llama_decode(encoder->context, encoder->batch)
                            : llama_encode(encoder->context, encoder->batch);
    if (result != 0 && interrupted(encoder))
        return true;
    if (result != 0)
        return err_set(err, ERR_INTERNAL, "%s could not compute %d tokens (libllama returned %d)",
                       encoder->model->path, encoder->batch.n_tokens, result);
    if (!collect(encoder, job, taken, err))
        return false;
    job->next += taken;
    job->computed += (uint64_t)encoder->batch.n_tokens;
    return true;
}
