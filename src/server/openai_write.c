#include "server/openai_write.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "server/base64.h"
#include "server/sse.h"

/* ---------------------------------------------------------------- errors */

static void write_error_object(struct writer *writer, const struct err *error, enum lang lang)
{
    const struct err_info *info = err_info(error->code);
    writer_object(writer, "error");
    writer_text(writer, "message", err_message(error, lang));
    writer_text(writer, "type", info->type);
    writer_text(writer, "param", error->param[0] ? error->param : NULL);
    writer_text(writer, "code", info->name);
    writer_text(writer, "category", err_category_name(error->category));
    writer_text(writer, "hint", err_hint(error->code, lang));
    if (err_retry_after_ms(error) > 0)
        writer_uint(writer, "retry_after_ms", err_retry_after_ms(error));
    writer_end(writer);
}

void openai_write_error(struct str *out, const struct err *error, enum lang lang)
{
    struct writer writer;
    writer_begin(&writer, out);
    writer_object(&writer, NULL);
    write_error_object(&writer, error, lang);
    writer_end(&writer);
}

void openai_write_error_chunk(struct str *out, const struct err *error, enum lang lang)
{
    sse_begin(out, NULL);
    openai_write_error(out, error, lang);
    sse_end(out);
}

/* ---------------------------------------------------------------- parts of an answer */

void openai_write_timings(struct writer *writer, const struct trace *trace)
{
    writer_object(writer, "timings_ms");
    for (int i = 0; i < trace->count; i++) {
        bool seen = trace->spans[i].parent >= 0;
        for (int before = 0; before < i && !seen; before++)
            seen = trace->spans[before].parent < 0 &&
                   strcmp(trace->spans[before].name, trace->spans[i].name) == 0;
        if (!seen)
            writer_ms(writer, trace->spans[i].name, trace_ms(trace, trace->spans[i].name));
    }
    writer_ms(writer, "total", trace_total_ms(trace));
    writer_end(writer);
}

void openai_write_house(struct writer *writer, unsigned roles)
{
    writer_array(writer, "house_models");
    for (unsigned role = 0; role < ROLE_COUNT; role++)
        if (roles & (1U << role))
            writer_text(writer, NULL, model_role_name((enum model_role)role));
    writer_end(writer);
}

static void write_source(struct writer *writer, const struct chat_source *source)
{
    writer_object(writer, NULL);
    writer_text(writer, "path", source->hit.path);
    writer_uint(writer, "offset", source->quote_offset);
    writer_uint(writer, "length", source->quote_length);
    writer_uint(writer, "line_start", source->quote_line_start);
    writer_uint(writer, "line_end", source->quote_line_end);
    writer_text(writer, "text", source->quote);
    writer_number(writer, "score", source->hit.score);
    writer_int(writer, "number", source->number);
    writer_text(writer, "document_id", source->hit.document_id);
    writer_text(writer, "title", source->hit.title);
    writer_bool(writer, "stale", source->stale);
    writer_object(writer, "passage");
    writer_uint(writer, "offset", source->hit.offset);
    writer_uint(writer, "length", source->hit.length);
    writer_uint(writer, "line_start", source->hit.line_start);
    writer_uint(writer, "line_end", source->hit.line_end);
    writer_text(writer, "text", source->hit.text);
    writer_end(writer);
    writer_end(writer);
}

static void write_extension(struct writer *writer, const struct chat_result *result,
                            const struct trace *trace)
{
    writer_object(writer, "jarvis");
    writer_text(writer, "model", result->model);
    writer_text(writer, "category", chat_category_name(result->category));
    writer_text(writer, "degraded", result->degraded);
    writer_text(writer, "notice", result->notice);
    openai_write_house(writer, result->house);
    writer_array(writer, "sources");
    for (size_t i = 0; i < result->source_count; i++)
        write_source(writer, &result->sources[i]);
    writer_end(writer);
    openai_write_timings(writer, trace);
    writer_end(writer);
}

/* The sources in OpenAI's words: "index" is the place in the list of sources. */
static void write_annotations(struct writer *writer, const struct chat_result *result)
{
    writer_array(writer, "annotations");
    for (size_t i = 0; i < result->source_count; i++) {
        const struct search_hit *hit = &result->sources[i].hit;
        writer_object(writer, NULL);
        writer_text(writer, "type", "file_citation");
        writer_uint(writer, "index", i);
        writer_text(writer, "file_id", hit->document_id);
        writer_text(writer, "filename", hit->path);
        writer_end(writer);
    }
    writer_end(writer);
}

static void write_usage(struct writer *writer, const struct msg_done *usage)
{
    writer_object(writer, "usage");
    writer_uint(writer, "prompt_tokens", usage->prompt_tokens);
    writer_uint(writer, "completion_tokens", usage->completion_tokens);
    writer_uint(writer, "total_tokens", (uint64_t)usage->prompt_tokens + usage->completion_tokens);
    writer_object(writer, "prompt_tokens_details");
    writer_uint(writer, "cached_tokens", usage->cached_tokens);
    writer_end(writer);
    writer_end(writer);
}

static const char *finish_name(enum finish_reason finish)
{
    return finish == FINISH_LENGTH ? "length" : "stop";
}

static void write_head(struct writer *writer, const struct openai_reply *reply, bool chunk,
                       const char *model)
{
    const char *chat_object = chunk ? "chat.completion.chunk" : "chat.completion";
    writer_object(writer, NULL);
    writer_text(writer, "id", reply->id);
    writer_text(writer, "object", reply->chat ? chat_object : "text_completion");
    writer_int(writer, "created", reply->created);
    writer_text(writer, "model", model);
}

/* ---------------------------------------------------------------- a whole answer */

void openai_write_answer(struct str *out, const struct openai_reply *reply,
                         const struct chat_result *result, const struct trace *trace)
{
    struct writer writer;
    writer_begin(&writer, out);
    write_head(&writer, reply, false, result->model);
    writer_array(&writer, "choices");
    writer_object(&writer, NULL);
    writer_int(&writer, "index", 0);
    if (reply->chat) {
        writer_object(&writer, "message");
        writer_text(&writer, "role", "assistant");
        writer_text(&writer, "content", result->text);
        writer_null(&writer, "refusal");
        write_annotations(&writer, result);
        writer_end(&writer);
    } else {
        writer_text(&writer, "text", result->text);
    }
    writer_null(&writer, "logprobs");
    writer_text(&writer, "finish_reason", finish_name(result->finish));
    writer_end(&writer);
    writer_end(&writer);
    write_usage(&writer, &result->usage);
    write_extension(&writer, result, trace);
    writer_end(&writer);
}

/* ---------------------------------------------------------------- chunks */

/* A chunk up to and with the open delta (chat) or the text (completion) of its only choice. */
static void begin_chunk(struct writer *writer, struct str *out, const struct openai_reply *reply)
{
    sse_begin(out, NULL);
    writer_begin(writer, out);
    write_head(writer, reply, true, reply->model);
    writer_array(writer, "choices");
    writer_object(writer, NULL);
    writer_int(writer, "index", 0);
    if (reply->chat)
        writer_object(writer, "delta");
}

/* Closes the delta and the choice. */
static void end_choice(struct writer *writer, const struct openai_reply *reply, const char *finish)
{
    if (reply->chat)
        writer_end(writer);
    writer_null(writer, "logprobs");
    writer_text(writer, "finish_reason", finish);
    writer_end(writer);
    writer_end(writer);
}

static void end_chunk(struct writer *writer)
{
    writer_end(writer);
    sse_end(writer->out);
}

void openai_write_first_chunk(struct str *out, const struct openai_reply *reply)
{
    struct writer writer;
    if (!reply->chat)
        return;
    begin_chunk(&writer, out, reply);
    writer_text(&writer, "role", "assistant");
    writer_text(&writer, "content", "");
    end_choice(&writer, reply, NULL);
    end_chunk(&writer);
}

void openai_write_text_chunk(struct str *out, const struct openai_reply *reply, const char *text)
{
    struct writer writer;
    begin_chunk(&writer, out, reply);
    writer_text(&writer, reply->chat ? "content" : "text", text);
    end_choice(&writer, reply, NULL);
    end_chunk(&writer);
}

void openai_write_last_chunk(struct str *out, const struct openai_reply *reply,
                             const struct chat_result *result, const struct trace *trace)
{
    struct writer writer;
    begin_chunk(&writer, out, reply);
    if (!reply->chat)
        writer_text(&writer, "text", "");
    else if (result->source_count > 0)
        write_annotations(&writer, result);
    end_choice(&writer, reply, finish_name(result->finish));
    write_extension(&writer, result, trace);
    end_chunk(&writer);
}

void openai_write_usage_chunk(struct str *out, const struct openai_reply *reply,
                              const struct chat_result *result)
{
    struct writer writer;
    sse_begin(out, NULL);
    writer_begin(&writer, out);
    write_head(&writer, reply, true, reply->model);
    writer_array(&writer, "choices");
    writer_end(&writer);
    write_usage(&writer, &result->usage);
    end_chunk(&writer);
}

/* ---------------------------------------------------------------- embeddings and rerank */

/* What a row is multiplied with after it was cut, so that its length is 1 again. */
static float cut_scale(const float *row, uint32_t dimensions, bool cut)
{
    double sum = 0;
    for (uint32_t i = 0; cut && i < dimensions; i++)
        sum += (double)row[i] * (double)row[i];
    return sum > 0 ? (float)(1 / sqrt(sum)) : 1;
}

/* Little-endian float32, whatever this machine has. */
static void put_float(float value, unsigned char out[4])
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    for (int i = 0; i < 4; i++)
        out[i] = (unsigned char)(bits >> (8 * i));
}

static void write_base64_row(struct writer *writer, const float *row, uint32_t dimensions,
                             float scale)
{
    unsigned char *bytes = malloc((size_t)dimensions * 4 + 1);
    if (!bytes) {
        writer->out->failed = true;
        return;
    }
    for (uint32_t i = 0; i < dimensions; i++)
        put_float(row[i] * scale, bytes + (size_t)4 * i);
    writer_json(writer, "embedding", "\"");
    base64_encode(bytes, (size_t)dimensions * 4, writer->out);
    str_putc(writer->out, '"');
    free(bytes);
}

static void write_float_row(struct writer *writer, const float *row, uint32_t dimensions,
                            float scale)
{
    writer_array(writer, "embedding");
    for (uint32_t i = 0; i < dimensions; i++)
        writer_float(writer, NULL, row[i] * scale);
    writer_end(writer);
}

void openai_write_embeddings(struct str *out, const struct msg_vectors *vectors, const char *model,
                             uint32_t dimensions, bool base64)
{
    struct writer writer;
    writer_begin(&writer, out);
    writer_object(&writer, NULL);
    writer_text(&writer, "object", "list");
    writer_array(&writer, "data");
    for (uint32_t i = 0; i < vectors->count; i++) {
        const float *row = vectors->values + (size_t)i * vectors->dimensions;
        float scale = cut_scale(row, dimensions, dimensions < vectors->dimensions);
        writer_object(&writer, NULL);
        writer_text(&writer, "object", "embedding");
        writer_uint(&writer, "index", i);
        if (base64)
            write_base64_row(&writer, row, dimensions, scale);
        else
            write_float_row(&writer, row, dimensions, scale);
        writer_end(&writer);
    }
    writer_end(&writer);
    writer_text(&writer, "model", model);
    writer_object(&writer, "usage");
    writer_uint(&writer, "prompt_tokens", vectors->tokens);
    writer_uint(&writer, "total_tokens", vectors->tokens);
    writer_end(&writer);
    writer_object(&writer, "jarvis");
    writer_uint(&writer, "truncated", vectors->truncated);
    writer_end(&writer);
    writer_end(&writer);
}

void openai_write_rerank(struct str *out, const struct openai_rerank *request,
                         const struct rerank_answer *answer, const uint32_t *order, const char *id)
{
    struct writer writer;
    writer_begin(&writer, out);
    writer_object(&writer, NULL);
    writer_text(&writer, "id", id);
    writer_text(&writer, "model", answer->model);
    writer_array(&writer, "results");
    for (size_t i = 0; i < request->top_n; i++) {
        writer_object(&writer, NULL);
        writer_uint(&writer, "index", order[i]);
        writer_float(&writer, "relevance_score", answer->scores[order[i]]);
        if (request->return_documents) {
            writer_object(&writer, "document");
            writer_text(&writer, "text", request->documents[order[i]]);
            writer_end(&writer);
        }
        writer_end(&writer);
    }
    writer_end(&writer);
    writer_object(&writer, "usage");
    writer_uint(&writer, "prompt_tokens", answer->tokens);
    writer_uint(&writer, "total_tokens", answer->tokens);
    writer_end(&writer);
    writer_object(&writer, "jarvis");
    writer_uint(&writer, "truncated", answer->truncated);
    writer_uint(&writer, "cached", answer->cached);
    writer_end(&writer);
    writer_end(&writer);
}
