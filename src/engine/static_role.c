#include "engine/static_role.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

bool static_role_open(const struct msg_load *load, struct static_embed *ret_table,
                      struct model *ret_model, struct err *err)
{
    if (load->role != ROLE_EMBEDDING)
        return err_set_param(
            err, ERR_UNSUPPORTED, "role",
            "%s cannot be used for the role %s; in the configuration, set its role to "
            "%s",
            load->path, model_role_name(load->role), model_role_name(ROLE_EMBEDDING));
    struct static_embed table;
    if (!static_embed_open(load->path, &table, err))
        return false;
    *ret_table = table;
    *ret_model = (struct model){
        .role = ROLE_EMBEDDING,
        .pooling = LLAMA_POOLING_TYPE_MEAN,
        .file_bytes = table.file_bytes,
        .parameters = (uint64_t)table.pieces * table.dimensions,
        .train_context = table.context_length,
        .context_length = table.context_length,
        .threads = 1,
    };
    snprintf(ret_model->path, sizeof(ret_model->path), "%s", load->path);
    snprintf(ret_model->description, sizeof(ret_model->description),
             STATIC_ARCHITECTURE " %" PRIu32 " x %" PRIu32 " I8", table.pieces, table.dimensions);
    return true;
}

bool static_role_embed(const struct static_embed *table, const struct encoder *encoder,
                       const struct msg_texts *texts, struct encode_job *ret, struct err *err)
{
    struct encode_job job;
    if (!encode_job_init(&job, encoder, texts->count, err))
        return false;
    for (uint32_t i = 0; i < texts->count; i++) {
        const char *text = texts->texts[i];
        float *row = job.values + (size_t)i * table->dimensions;
        size_t count = static_embed_text(table, text, strlen(text), row);
        bool cut = count > table->context_length;
        job.truncated += cut;
        job.computed += cut ? table->context_length : count;
    }
    job.next = job.count;
    *ret = job;
    return true;
}

bool static_role_count(const struct static_embed *table, const struct msg_texts *texts,
                       struct arena *arena, struct msg_counts *ret, struct err *err)
{
    uint32_t *counts = arena_array(arena, texts->count, sizeof(*counts));
    if (!counts)
        return err_no_memory(err);
    for (uint32_t i = 0; i < texts->count; i++) {
        const char *text = texts->texts[i];
        counts[i] = (uint32_t)static_tokenize(&table->tokenizer, text, strlen(text), NULL, 0);
    }
    *ret = (struct msg_counts){.count = texts->count, .tokens = counts};
    return true;
}
