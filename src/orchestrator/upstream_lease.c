/* upstream_lease.c - what is done with a lease of a model that another server answers for.
 *
 * Such a lease holds no worker and no memory: it only keeps the model from being removed. The functions of a lease come
 * here when lease->model->upstream is set. Lists go out in parts, so that no request is larger than servers take.
 */
#include <stdlib.h>
#include <string.h>

#include "orchestrator/internal.h"
#include "orchestrator/upstream_json.h"

enum {
    PART_TEXTS = 64,
    PART_BYTES = 512 * 1024,
    BODY_MAX = 64 * 1024 * 1024,
    BYTES_PER_TOKEN = 3, /* on the safe side for any tokenizer over Latin scripts */
};

static bool no_room(struct err *err)
{
    return err_set(err, ERR_TOO_LARGE,
                   "the answer is larger than one request may hold; send less at a time");
}

static const char *name_there(const struct lease *lease)
{
    return lease->model->entry.upstream->model;
}

/* upstream_ask(), tried again as the table of errors says. */
static bool ask(struct lease *lease, const char *path, const struct str *body,
                const struct wait *wait, yyjson_doc **ret, struct err *err)
{
    struct retry retry = {0};
    if (!str_check(body, "the request", err))
        return false;
    do
        if (upstream_ask(lease->model->upstream, path, body, wait, ret, err))
            return true;
    while (lease_retry(lease, &retry, wait, err));
    return false;
}

/* How many texts from `from` on make the next part. */
static size_t part_size(const char *const *texts, size_t from, size_t count)
{
    size_t bytes = 0;
    size_t part = 0;
    while (part < PART_TEXTS && from + part < count) {
        bytes += strlen(texts[from + part]);
        if (part > 0 && bytes > PART_BYTES)
            break;
        part++;
    }
    return part;
}

/* Reads one part's answer; the first one tells how long vectors are, and makes room for all. */
static bool take_vectors(struct lease *lease, yyjson_val *root, size_t from, size_t part,
                         size_t count, struct arena *arena, struct msg_vectors *out,
                         struct err *err)
{
    if (from == 0) {
        if (!upstream_get_dimensions(root, &out->dimensions, err))
            return false;
        out->values = arena_array(arena, count, out->dimensions * sizeof(float));
        if (!out->values)
            return no_room(err);
        lease->remote.dimensions = out->dimensions;
        upstream_learn_dimensions(lease->model->upstream, out->dimensions);
    }
    uint64_t tokens;
    float *rows = (float *)(uintptr_t)out->values + from * out->dimensions;
    if (!upstream_get_vectors(root, part, out->dimensions, rows, &tokens, err))
        return false;
    out->tokens += tokens;
    return true;
}

bool upstream_lease_embed(struct lease *lease, const char *prefix, const char *const *texts,
                          size_t count, const struct wait *wait, struct arena *arena,
                          struct msg_vectors *ret, struct err *err)
{
    struct msg_vectors out = {.dimensions = lease->remote.dimensions};
    for (size_t from = 0, part; from < count; from += part) {
        struct str body;
        yyjson_doc *doc;
        part = part_size(texts, from, count);
        str_init(&body, BODY_MAX);
        upstream_put_embed(&body, name_there(lease), prefix, texts + from, part);
        bool ok = ask(lease, "/embeddings", &body, wait, &doc, err);
        str_free(&body);
        if (!ok)
            return false;
        ok = take_vectors(lease, yyjson_doc_get_root(doc), from, part, count, arena, &out, err);
        yyjson_doc_free(doc);
        if (!ok)
            return false;
    }
    out.count = (uint32_t)count;
    *ret = out;
    return true;
}

/* No server tells the tokens of a text in a way that others share: an estimate, rather too high. */
bool upstream_lease_count(const char *const *texts, size_t count, struct arena *arena,
                          struct msg_counts *ret, struct err *err)
{
    uint32_t *tokens = arena_array(arena, count, sizeof(*tokens));
    if (!tokens && count > 0)
        return no_room(err);
    for (size_t i = 0; i < count; i++)
        tokens[i] = (uint32_t)(strlen(texts[i]) / BYTES_PER_TOKEN + 1);
    *ret = (struct msg_counts){.count = (uint32_t)count, .tokens = tokens};
    return true;
}

/* All at once: some servers make the scores of one request comparable with each other only. */
bool upstream_lease_rerank(struct lease *lease, const char *query, const char *const *documents,
                           size_t count, const struct wait *wait, struct arena *arena,
                           struct msg_scores *ret, struct err *err)
{
    float *scores = arena_array(arena, count, sizeof(*scores));
    if (!scores && count > 0)
        return no_room(err);
    struct msg_scores out = {.count = (uint32_t)count, .scores = scores};
    if (count > 0) {
        struct str body;
        yyjson_doc *doc;
        str_init(&body, BODY_MAX);
        upstream_put_rerank(&body, name_there(lease), query, documents, count);
        bool ok = ask(lease, "/rerank", &body, wait, &doc, err);
        str_free(&body);
        if (!ok)
            return false;
        ok = upstream_get_scores(yyjson_doc_get_root(doc), count, scores, &out.tokens, err);
        yyjson_doc_free(doc);
        if (!ok)
            return false;
    }
    *ret = out;
    return true;
}

/* What vectors are stored under: the name there. Two servers that give one name to different models are told apart by
 * their entries' prefixes at most; docs/GUIDE.md says so. */
static struct hash identity(const struct model_entry *entry)
{
    struct str text;
    str_init(&text, MODEL_IDENTITY_MAX);
    str_printf(&text, "upstream model: %s", entry->upstream->model);
    struct hash hash = hash_bytes(str_text(&text), text.length);
    str_free(&text);
    return hash;
}

bool upstream_acquire(struct registry *registry, struct model *model, struct lease **ret,
                      struct err *err)
{
    struct lease *lease = calloc(1, sizeof(*lease));
    if (!lease)
        return err_no_memory(err);
    lease->registry = registry;
    lease->model = model;
    lease->remote_hash = identity(&model->entry);
    upstream_describe(model->upstream, &lease->remote);
    model->uses++;
    model_used(registry, model,
               scheduler_lend(&registry->scheduler, &model->plan, registry_now_us()));
    *ret = lease;
    return true;
}

void upstream_release(struct lease *lease)
{
    struct registry *registry = lease->registry;
    mutex_lock(&registry->lock);
    model_used(registry, lease->model,
               scheduler_release(&registry->scheduler, &lease->model->plan, registry_now_us()));
    registry_decide(registry);
    mutex_unlock(&registry->lock);
    free(lease);
}

void upstream_status(struct model *model, struct model_status *row)
{
    struct upstream_status status;
    struct msg_loaded described;
    upstream_look(model->upstream, &status);
    upstream_describe(model->upstream, &described);
    row->upstream = true;
    row->state = status.circuit == BREAKER_OPEN ? MODEL_FAILED : MODEL_READY;
    row->circuit = breaker_state_name(status.circuit);
    row->retry_in_ms = status.retry_in_ms;
    row->failures = status.failures;
    row->failed_us = status.failed_us;
    row->context_length = described.context_length;
    row->dimensions = described.dimensions;
    snprintf(row->path, sizeof(row->path), "%.500s", model->entry.upstream->urls[0]);
    snprintf(row->cause, sizeof(row->cause), "%s", status.cause);
    row->why = (struct why){.code = WHY_ELSEWHERE, .have = status.usable, .need = status.addresses};
}
