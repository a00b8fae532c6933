/* Whether a model would fit, and how. */
#include "assistant/models.h"
#include "server/body.h"
#include "server/handlers.h"

enum { CONTEXT_MAX = 16 * 1024 * 1024, SLOTS_MAX = 64 };

static bool parse_options(struct http_request *request, struct fit_options *ret, struct err *err)
{
    yyjson_doc *doc = NULL;
    int64_t context = 0, slots = 0;
    const char *kv = NULL;
    if (!body_optional_object(request->body.data, request->body.length, &doc, err))
        return false;
    yyjson_val *root = yyjson_doc_get_root(doc);
    *ret = (struct fit_options){0};
    bool ok = json_opt_int(root, "context_length", 1, CONTEXT_MAX, &context, err) &&
              json_opt_int(root, "parallel", 1, SLOTS_MAX, &slots, err) &&
              json_opt_string(root, "kv_type", &kv, err);
    if (ok && kv && !kv_type_parse(kv, &ret->kv_type))
        ok = err_set_param(err, ERR_INVALID_REQUEST, "kv_type",
                           "\"kv_type\" must be f16, f32, bf16, q8_0, q5_1, q5_0, q4_1 or q4_0");
    ret->has_kv_type = ok && kv;
    ret->context = (uint32_t)context;
    ret->slots = (uint32_t)slots;
    yyjson_doc_free(doc);
    return ok;
}

static void write_parts(struct writer *writer, const struct memory_forecast *forecast)
{
    writer_array(writer, "parts");
    for (uint32_t i = 0; i < forecast->part_count; i++) {
        writer_object(writer, NULL);
        writer_text(writer, "part", memory_part_name(forecast->parts[i].part));
        writer_text(writer, "device", forecast->parts[i].device);
        writer_uint(writer, "bytes", forecast->parts[i].bytes);
        writer_end(writer);
    }
    writer_end(writer);
}

static void write_evictions(struct writer *writer, const struct model_fit *fit)
{
    writer_array(writer, "evict");
    for (uint32_t i = 0; i < fit->evict_count; i++) {
        writer_object(writer, NULL);
        writer_text(writer, "model", fit->evict[i].name);
        writer_uint(writer, "bytes", fit->evict[i].bytes);
        writer_end(writer);
    }
    writer_end(writer);
}

static void write_fit(struct writer *writer, const char *name, const struct model_fit *fit)
{
    writer_object(writer, NULL);
    writer_text(writer, "object", "jarvis.fit");
    writer_text(writer, "model", name);
    writer_uint(writer, "context_length", fit->forecast.context_length);
    writer_uint(writer, "parallel", fit->slots);
    writer_text(writer, "kv_type", kv_type_name(fit->kv_type));
    writer_bool(writer, "analysed", fit->forecast.analysed);
    writer_uint(writer, "samples", fit->forecast.samples);
    write_parts(writer, &fit->forecast);
    writer_uint(writer, "predicted_bytes", fit->forecast.bytes);
    writer_uint(writer, "bound_bytes", fit->forecast.bound);
    writer_uint(writer, "budget_bytes", fit->budget_bytes);
    writer_uint(writer, "used_bytes", fit->used_bytes);
    writer_uint(writer, "free_bytes", fit->free_bytes);
    writer_text(writer, "verdict", fit_verdict_name(fit->verdict));
    write_evictions(writer, fit);
    writer_uint(writer, "largest_context", fit->largest_context);
    writer_uint(writer, "train_context", fit->forecast.train_context);
    writer_end(writer);
}

bool handle_models_fit(struct http_request *request, struct err *err)
{
    struct fit_options options;
    struct model_fit fit;
    if (!parse_options(request, &options, err) ||
        !models_fit(request->runtime, &request->request, request->params[0], &options, &fit, err))
        return false;
    struct writer writer;
    writer_begin(&writer, &request->answer.body);
    write_fit(&writer, request->params[0], &fit);
    return true;
}
