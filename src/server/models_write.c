#include "server/models_write.h"

enum { US_PER_S = 1000000 };

void models_write_begin(struct writer *writer, const char *name)
{
    writer_object(writer, NULL);
    writer_text(writer, "id", name);
    writer_text(writer, "object", "model");
    writer_int(writer, "created", 0);
    writer_text(writer, "owned_by", "jarvis");
}

void models_write_why(struct writer *writer, const struct why *why, enum lang lang)
{
    char words[WHY_TEXT_MAX];
    why_render(why, lang, words);
    writer_text(writer, "why", words);
    writer_object(writer, "reason");
    writer_text(writer, "code", why_name(why->code));
    writer_number(writer, "at", (double)why->at_us / US_PER_S);
    if (why->other[0])
        writer_text(writer, "other", why->other);
    if (why->need > 0)
        writer_uint(writer, "need_bytes", why->need);
    if (why->have > 0 && why->code == WHY_CIRCUIT_OPEN)
        writer_uint(writer, "failures", why->have);
    else if (why->have > 0)
        writer_uint(writer, "have_bytes", why->have);
    if (why->context > 0)
        writer_uint(writer, "context_length", why->context);
    if (why->seconds > 0)
        writer_number(writer, "seconds", why->seconds);
    if (why->code == WHY_READING)
        writer_float(writer, "fraction", why->fraction);
    if (why->detail[lang][0])
        writer_text(writer, "detail", why->detail[lang]);
    writer_end(writer);
}

static void write_use(struct writer *writer, const struct model_status *model)
{
    writer_uint(writer, "in_flight", model->in_flight);
    writer_uint(writer, "queue", model->queue);
    writer_uint(writer, "overtaken", model->overtaken);
    writer_uint(writer, "uses", model->uses);
    writer_int(writer, "last_use", model->last_use_us / 1000000);
    writer_uint(writer, "order", model->order);
    writer_bool(writer, "pinned", model->pinned);
    writer_bool(writer, "preload", model->preload);
    writer_uint(writer, "ttl_s", model->ttl_s);
}

/* What keeps failing. */
static void write_trouble(struct writer *writer, const struct model_status *model)
{
    writer_bool(writer, "upstream", model->upstream);
    writer_text(writer, "circuit", model->circuit);
    writer_uint(writer, "retry_in_ms", model->retry_in_ms);
    writer_uint(writer, "failures", model->failures);
    writer_int(writer, "last_failure", model->failed_us / US_PER_S);
    writer_text(writer, "cause", model->cause);
    writer_text(writer, "last_words", model->last_words);
}

void models_write_jarvis(struct writer *writer, const struct model_status *model, enum lang lang)
{
    writer_object(writer, "jarvis");
    writer_text(writer, "role", model_role_name(model->role));
    writer_text(writer, "state", model_state_name(model->state));
    writer_text(writer, "stage", model->stage);
    writer_float(writer, "progress", model->progress);
    writer_uint(writer, "bytes_total", model->bytes_total);
    writer_text(writer, "path", model->path);
    writer_text(writer, "device", model->device);
    writer_uint(writer, "file_bytes", model->file_bytes);
    writer_uint(writer, "predicted_bytes", model->predicted_bytes);
    writer_uint(writer, "resident_bytes", model->resident_bytes);
    writer_uint(writer, "reserved_bytes", model->reserved_bytes);
    writer_uint(writer, "context_length", model->context_length);
    writer_uint(writer, "dimensions", model->dimensions);
    writer_number(writer, "load_ms", model->load_ms);
    writer_int(writer, "pid", model->pid);
    write_use(writer, model);
    models_write_why(writer, &model->why, lang);
    write_trouble(writer, model);
    writer_end(writer);
}

void models_write_model(struct writer *writer, const struct model_status *model, enum lang lang)
{
    models_write_begin(writer, model->name);
    models_write_jarvis(writer, model, lang);
    writer_end(writer);
}
