#include "engine/embed.h"

#include <math.h>
#include <stdlib.h>

/* Cuts a sequence to what the model can read. Returns its new length. A special token at the end stays the end:
 * models that pool the last token, and BERT, were trained to see it there. */
static size_t truncate(const struct encoder *encoder, llama_token *tokens, size_t length)
{
    const struct llama_vocab *vocab = encoder->model->vocab;
    size_t max = encoder->length_max;
    if (length <= max)
        return length;
    llama_token last = tokens[length - 1];
    bool special = (llama_vocab_get_add_eos(vocab) && last == llama_vocab_eos(vocab)) ||
                   (llama_vocab_get_add_sep(vocab) && last == llama_vocab_sep(vocab));
    if (special)
        tokens[max - 1] = last;
    return max;
}

bool embed_start(const struct encoder *encoder, const struct msg_texts *texts,
                 struct encode_job *ret, struct err *err)
{
    struct encode_job job;
    if (!encode_job_init(&job, encoder, texts->count, err))
        return false;
    for (uint32_t i = 0; i < texts->count; i++) {
        llama_token *tokens;
        size_t length;
        if (!model_tokenize(encoder->model, texts->texts[i], true, false, &tokens, &length, err)) {
            encode_job_free(&job);
            return false;
        }
        size_t fitting = truncate(encoder, tokens, length);
        job.truncated += fitting < length;
        encode_job_set(&job, i, tokens, fitting);
    }
    *ret = job;
    return true;
}

static void normalise(float *row, uint32_t dimensions)
{
    double sum = 0;
    for (uint32_t i = 0; i < dimensions; i++)
        sum += (double)row[i] * row[i];
    if (sum <= 0)
        return;
    double scale = 1.0 / sqrt(sum);
    for (uint32_t i = 0; i < dimensions; i++)
        row[i] = (float)(row[i] * scale);
}

void embed_finish(struct encode_job *job, struct msg_vectors *ret)
{
    for (uint32_t i = 0; i < job->count; i++)
        normalise(job->values + (size_t)i * job->dimensions, job->dimensions);
    *ret = (struct msg_vectors){
        .count = job->count,
        .dimensions = job->dimensions,
        .values = job->values,
        .tokens = job->computed,
        .truncated = job->truncated,
    };
}

bool embed_count(const struct model *model, const struct msg_texts *texts, struct arena *arena,
                 struct msg_counts *ret, struct err *err)
{
    uint32_t *counts = arena_array(arena, texts->count, sizeof(*counts));
    if (!counts)
        return err_no_memory(err);
    for (uint32_t i = 0; i < texts->count; i++) {
        llama_token *tokens;
        size_t length;
        if (!model_tokenize(model, texts->texts[i], false, false, &tokens, &length, err))
            return false;
        free(tokens);
        counts[i] = (uint32_t)length;
    }
    *ret = (struct msg_counts){.count = texts->count, .tokens = counts};
    return true;
}
