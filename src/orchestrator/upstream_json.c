#include "orchestrator/upstream_json.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"
#include "orchestrator/upstream_parts.h"

enum { DIMENSIONS_MAX = 65536, WHY_MAX = 300 };

#define SEED_MASK ((UINT64_C(1) << 53) - 1)

/* ---------------------------------------------------------------- requests */

static void put_text(struct str *out, const char *text)
{
    str_putc(out, '"');
    str_json(out, text, strlen(text));
    str_putc(out, '"');
}

static void put_member(struct str *out, const char *key, const char *text)
{
    str_printf(out, "\"%s\":", key);
    put_text(out, text);
}

static void put_number(struct str *out, const char *key, double value)
{
    str_printf(out, ",\"%s\":%.6g", key, value);
}

static void put_texts(struct str *out, const char *key, const char *prefix,
                      const char *const *texts, size_t count)
{
    str_printf(out, ",\"%s\":[", key);
    for (size_t i = 0; i < count; i++) {
        str_puts(out, i > 0 ? ",\"" : "\"");
        str_json(out, prefix, strlen(prefix));
        str_json(out, texts[i], strlen(texts[i]));
        str_putc(out, '"');
    }
    str_putc(out, ']');
}

static void put_sampling(struct str *out, const struct sampling *sampling)
{
    struct sampling usual;
    sampling_default(&usual);
    put_number(out, "temperature", (double)sampling->temperature);
    put_number(out, "top_p", (double)sampling->top_p);
    if (sampling->max_tokens > 0)
        str_printf(out, ",\"max_tokens\":%u", sampling->max_tokens);
    if (sampling->frequency_penalty != 0)
        put_number(out, "frequency_penalty", (double)sampling->frequency_penalty);
    if (sampling->presence_penalty != 0)
        put_number(out, "presence_penalty", (double)sampling->presence_penalty);
    if (sampling->has_seed) /* what JSON's readers can hold: 53 bits */
        str_printf(out, ",\"seed\":%llu", (unsigned long long)(sampling->seed & SEED_MASK));
    if (sampling->stop_count > 0)
        put_texts(out, "stop", "", sampling->stops, sampling->stop_count);
    if (sampling->top_k != usual.top_k)
        str_printf(out, ",\"top_k\":%u", sampling->top_k);
    if (sampling->min_p != usual.min_p)
        put_number(out, "min_p", (double)sampling->min_p);
    if (sampling->repeat_penalty != usual.repeat_penalty)
        put_number(out, "repeat_penalty", (double)sampling->repeat_penalty);
    if (sampling->grammar && sampling->grammar[0]) {
        str_putc(out, ',');
        put_member(out, "grammar", sampling->grammar);
    }
}

void upstream_put_generate(struct str *out, const char *model, const struct msg_generate *request)
{
    str_putc(out, '{');
    put_member(out, "model", model);
    str_puts(out, ",\"stream\":true,\"stream_options\":{\"include_usage\":true}");
    if (request->message_count == 0) {
        str_putc(out, ',');
        put_member(out, "prompt", request->prompt);
    } else {
        str_puts(out, ",\"messages\":[");
    }
    for (uint32_t i = 0; i < request->message_count; i++) {
        str_puts(out, i > 0 ? ",{" : "{");
        put_member(out, "role", request->messages[i].role);
        str_putc(out, ',');
        put_member(out, "content", request->messages[i].content);
        str_putc(out, '}');
    }
    if (request->message_count > 0)
        str_putc(out, ']');
    put_sampling(out, &request->sampling);
    str_putc(out, '}');
}

void upstream_put_embed(struct str *out, const char *model, const char *prefix,
                        const char *const *texts, size_t count)
{
    str_putc(out, '{');
    put_member(out, "model", model);
    str_puts(out, ",\"encoding_format\":\"float\"");
    put_texts(out, "input", prefix, texts, count);
    str_putc(out, '}');
}

void upstream_put_rerank(struct str *out, const char *model, const char *query,
                         const char *const *documents, size_t count)
{
    str_putc(out, '{');
    put_member(out, "model", model);
    str_putc(out, ',');
    put_member(out, "query", query);
    str_printf(out, ",\"top_n\":%zu,\"return_documents\":false", count);
    put_texts(out, "documents", "", documents, count);
    str_putc(out, '}');
}

/* ---------------------------------------------------------------- answers */

static bool nonsense(const char *what, struct err *err)
{
    return err_set(err, ERR_PROTOCOL, "the other server's answer has no valid \"%s\"", what);
}

static uint64_t tokens_of(yyjson_val *root)
{
    yyjson_val *usage = yyjson_obj_get(root, "usage");
    uint64_t tokens = yyjson_get_uint(yyjson_obj_get(usage, "prompt_tokens"));
    return tokens > 0 ? tokens : yyjson_get_uint(yyjson_obj_get(usage, "total_tokens"));
}

bool upstream_get_dimensions(yyjson_val *root, uint32_t *ret, struct err *err)
{
    yyjson_val *row = yyjson_arr_get_first(yyjson_obj_get(root, "data"));
    size_t length = yyjson_arr_size(yyjson_obj_get(row, "embedding"));
    if (length == 0 || length > DIMENSIONS_MAX)
        return nonsense("embedding", err);
    *ret = (uint32_t)length;
    return true;
}

/* One vector at its row, made as long as 1. */
static bool get_vector(yyjson_val *embedding, uint32_t dimensions, float *row)
{
    if (yyjson_arr_size(embedding) != dimensions)
        return false;
    double sum = 0;
    yyjson_arr_iter values = yyjson_arr_iter_with(embedding);
    for (uint32_t i = 0; i < dimensions; i++) {
        yyjson_val *value = yyjson_arr_iter_next(&values);
        double number = yyjson_get_num(value);
        if (!yyjson_is_num(value) || !isfinite(number) || fabs(number) > 1e18)
            return false;
        row[i] = (float)number;
        sum += (double)row[i] * (double)row[i];
    }
    double scale = sum > 0 ? 1 / sqrt(sum) : 0;
    for (uint32_t i = 0; i < dimensions; i++)
        row[i] = (float)((double)row[i] * scale);
    return true;
}

bool upstream_get_vectors(yyjson_val *root, size_t count, uint32_t dimensions, float *rows,
                          uint64_t *ret_tokens, struct err *err)
{
    yyjson_val *data = yyjson_obj_get(root, "data");
    if (yyjson_arr_size(data) != count)
        return nonsense("data", err);
    yyjson_arr_iter items = yyjson_arr_iter_with(data);
    for (size_t i = 0; i < count; i++) {
        yyjson_val *item = yyjson_arr_iter_next(&items);
        yyjson_val *index = yyjson_obj_get(item, "index");
        if (index && (!yyjson_is_uint(index) || yyjson_get_uint(index) != i))
            return nonsense("index", err); /* all servers keep the order of the texts */
        if (!get_vector(yyjson_obj_get(item, "embedding"), dimensions, rows + i * dimensions))
            return nonsense("embedding", err);
    }
    *ret_tokens = tokens_of(root);
    return true;
}

static void to_logits(float *scores, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (scores[i] < 0 || scores[i] > 1)
            return;
    for (size_t i = 0; i < count; i++) {
        float p = scores[i] < 1e-6F ? 1e-6F : scores[i] > 1 - 1e-6F ? 1 - 1e-6F : scores[i];
        scores[i] = logf(p / (1 - p));
    }
}

bool upstream_get_scores(yyjson_val *root, size_t count, float *scores, uint64_t *ret_tokens,
                         struct err *err)
{
    yyjson_val *results = yyjson_obj_get(root, "results");
    if (yyjson_arr_size(results) != count)
        return nonsense("results", err);
    for (size_t i = 0; i < count; i++)
        scores[i] = NAN;
    yyjson_arr_iter items = yyjson_arr_iter_with(results);
    yyjson_val *item;
    while ((item = yyjson_arr_iter_next(&items))) {
        yyjson_val *index = yyjson_obj_get(item, "index");
        yyjson_val *score = yyjson_obj_get(item, "relevance_score");
        double value = yyjson_get_num(score);
        if (!yyjson_is_uint(index) || yyjson_get_uint(index) >= count || !yyjson_is_num(score) ||
            !isfinite((float)value))
            return nonsense("relevance_score", err);
        scores[yyjson_get_uint(index)] = (float)value;
    }
    for (size_t i = 0; i < count; i++)
        if (isnan(scores[i]))
            return nonsense("index", err);
    to_logits(scores, count);
    *ret_tokens = tokens_of(root);
    return true;
}

/* ---------------------------------------------------------------- streams */

static uint32_t small_uint(yyjson_val *object, const char *key)
{
    uint64_t value = yyjson_get_uint(yyjson_obj_get(object, key));
    return value < UINT32_MAX ? (uint32_t)value : UINT32_MAX;
}

static void get_usage(yyjson_val *usage, struct msg_done *done)
{
    if (!yyjson_is_obj(usage))
        return;
    done->prompt_tokens = small_uint(usage, "prompt_tokens");
    done->completion_tokens = small_uint(usage, "completion_tokens");
    done->cached_tokens =
        small_uint(yyjson_obj_get(usage, "prompt_tokens_details"), "cached_tokens");
}

/* Text ends at a NUL here, and models do write them: U+FFFD stands in. */
static void put_visible(struct str *out, const char *text, size_t length)
{
    while (length > 0) {
        const char *nul = memchr(text, '\0', length);
        size_t part = nul ? (size_t)(nul - text) : length;
        str_append(out, text, part);
        if (nul)
            str_puts(out, "\xef\xbf\xbd");
        text += part + (nul != NULL);
        length -= part + (nul != NULL);
    }
}

static bool get_choice(yyjson_val *choice, struct upstream_chunk *chunk, struct err *err)
{
    yyjson_val *delta = yyjson_obj_get(choice, "delta");
    yyjson_val *text = delta ? yyjson_obj_get(delta, "content") : yyjson_obj_get(choice, "text");
    if (text && !yyjson_is_str(text) && !yyjson_is_null(text))
        return nonsense("content", err);
    if (yyjson_is_str(text))
        put_visible(&chunk->text, yyjson_get_str(text), yyjson_get_len(text));
    const char *finish = yyjson_get_str(yyjson_obj_get(choice, "finish_reason"));
    if (finish) {
        chunk->finished = true;
        chunk->last.finish = strcmp(finish, "length") == 0 ? FINISH_LENGTH : FINISH_STOP;
    }
    return str_check(&chunk->text, "the answer", err);
}

bool upstream_get_chunk(const char *model, const char *data, size_t length,
                        struct upstream_chunk *chunk, struct err *err)
{
    if (length == 6 && memcmp(data, "[DONE]", 6) == 0) {
        chunk->done = true;
        return true;
    }
    yyjson_doc *doc;
    if (!json_parse(data, length, "the answer", &doc, NULL))
        return err_set(err, ERR_PROTOCOL, "an event of the other server's answer is no JSON");
    yyjson_val *root = yyjson_doc_get_root(doc);
    bool ok = true;
    if (yyjson_obj_get(root, "error"))
        ok = upstream_refusal(model, 500, data, length, 0, err);
    else if (!yyjson_is_obj(root))
        ok = nonsense("choices", err);
    yyjson_val *choice = yyjson_arr_get_first(yyjson_obj_get(root, "choices"));
    if (ok && choice)
        ok = get_choice(choice, chunk, err);
    if (ok)
        get_usage(yyjson_obj_get(root, "usage"), &chunk->last);
    yyjson_doc_free(doc);
    return ok;
}

/* ---------------------------------------------------------------- refusals */

static enum err_code code_of_status(long status, const char *code, const char *why)
{
    bool too_long = strcmp(code, "context_length_exceeded") == 0 ||
                    strcmp(code, "exceed_context_size_error") == 0 ||
                    strstr(why, "context length") || strstr(why, "context size");
    if (status == 400 || status == 413 || status == 422)
        return too_long ? ERR_CONTEXT_LENGTH : ERR_INVALID_REQUEST;
    if (status == 429)
        return ERR_RATE_LIMITED;
    if (status == 408 || status >= 500)
        return ERR_UPSTREAM;
    return ERR_UPSTREAM_REFUSED;
}

/* The message and the code of an error object, as most servers write them: {"error": {"message", "code"}}, or the
 * error as a string, or {"message"}, or {"detail"}. */
static void find_why(yyjson_val *root, char why[WHY_MAX], char code[64])
{
    yyjson_val *error = yyjson_obj_get(root, "error");
    yyjson_val *from = yyjson_is_obj(error) ? error : root;
    const char *text = yyjson_is_str(error) ? yyjson_get_str(error)
                                            : yyjson_get_str(yyjson_obj_get(from, "message"));
    if (!text)
        text = yyjson_get_str(yyjson_obj_get(root, "detail"));
    const char *name = yyjson_get_str(yyjson_obj_get(from, "code"));
    if (!name)
        name = yyjson_get_str(yyjson_obj_get(from, "type"));
    snprintf(why, WHY_MAX, "%s", text ? text : "");
    utf8_trim_partial(why);
    snprintf(code, 64, "%s", name ? name : "");
}

bool upstream_refusal(const char *model, long status, const char *body, size_t length,
                      uint32_t retry_after_ms, struct err *err)
{
    char why[WHY_MAX] = "";
    char code[64] = "";
    yyjson_doc *doc;
    if (json_parse(body, length, "the answer", &doc, NULL)) {
        find_why(yyjson_doc_get_root(doc), why, code);
        yyjson_doc_free(doc);
    }
    err_set_param(err, code_of_status(status, code, why), "model",
                  "the server of model \"%s\" answered with status %ld%s%s", model, status,
                  why[0] ? ": " : "", why);
    if (err)
        err->retry_after_ms = retry_after_ms;
    return false;
}
