/* How it works: a pair is head + query + middle + document + tail. Head, middle and tail are the model's own, from
 * its template or its special tokens, and with the query they are the same for all documents of a request.
 *
 * What the model's context leaves for the document is its room. A longer document becomes several pairs, one for each
 * window of that room; neighbours share a quarter, so that a sentence that one window cuts is whole in the next. The
 * best window speaks for the document (MaxP of Dai and Callan, 2019). */
#include "engine/rerank.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A list of tokens. */
struct part {
    llama_token *tokens;
    size_t length;
};

struct frame_of_pair {
    struct part head, middle, tail;
};

static void part_free(struct part *part)
{
    free(part->tokens);
    *part = (struct part){0};
}

static void frame_free_parts(struct frame_of_pair *frame)
{
    part_free(&frame->head);
    part_free(&frame->middle);
    part_free(&frame->tail);
}

/* ---------------------------------------------------------------- what stands around query and document */

/* Tokens of a piece of the template, whose special tokens mean what they say. */
static bool template_part(const struct model *model, const char *from, const char *to,
                          struct part *ret, struct err *err)
{
    char *text;
    if (!str_copy_n(from, (size_t)(to - from), &text, err))
        return false;
    bool ok = model_tokenize(model, text, false, true, &ret->tokens, &ret->length, err);
    free(text);
    return ok;
}

static bool frame_by_template(const struct model *model, const char *text, const char *query,
                              const char *document, struct frame_of_pair *ret, struct err *err)
{
    const char *after_query = query + strlen("{query}");
    const char *after_document = document + strlen("{document}");
    return template_part(model, text, query, &ret->head, err) &&
           template_part(model, after_query, document, &ret->middle, err) &&
           template_part(model, after_document, after_document + strlen(after_document), &ret->tail,
                         err);
}

static bool single_tokens(const llama_token *tokens, size_t count, struct part *ret,
                          struct err *err)
{
    struct part part = {.tokens = calloc(count ? count : 1, sizeof(*tokens))};
    if (!part.tokens)
        return err_no_memory(err);
    for (size_t i = 0; i < count; i++)
        if (tokens[i] != LLAMA_TOKEN_NULL)
            part.tokens[part.length++] = tokens[i];
    *ret = part;
    return true;
}

static bool frame_by_vocabulary(const struct llama_vocab *vocab, struct frame_of_pair *ret,
                                struct err *err)
{
    llama_token begin = llama_vocab_get_add_bos(vocab) ? llama_vocab_bos(vocab) : LLAMA_TOKEN_NULL;
    llama_token end = llama_vocab_get_add_eos(vocab) ? llama_vocab_eos(vocab) : LLAMA_TOKEN_NULL;
    llama_token separator =
        llama_vocab_get_add_sep(vocab) ? llama_vocab_sep(vocab) : LLAMA_TOKEN_NULL;
    if (end == LLAMA_TOKEN_NULL && separator == LLAMA_TOKEN_NULL)
        separator = llama_vocab_sep(vocab);
    llama_token between[] = {end, separator};
    llama_token last = end != LLAMA_TOKEN_NULL ? end : separator;
    return single_tokens(&begin, 1, &ret->head, err) &&
           single_tokens(between, 2, &ret->middle, err) && single_tokens(&last, 1, &ret->tail, err);
}

static bool make_frame(const struct model *model, struct frame_of_pair *ret, struct err *err)
{
    const char *text = llama_model_chat_template(model->handle, "rerank");
    const char *query = text ? strstr(text, "{query}") : NULL;
    const char *document = query ? strstr(query, "{document}") : NULL;
    if (document)
        return frame_by_template(model, text, query, document, ret, err);
    return frame_by_vocabulary(model->vocab, ret, err);
}

/* The position at which the model wants documents to begin; 0 where it does not say. */
static size_t document_position(const struct model *model, uint32_t length_max)
{
    char architecture[64], key[128], value[16];
    if (llama_model_meta_val_str(model->handle, "general.architecture", architecture,
                                 sizeof(architecture)) < 0)
        return 0;
    snprintf(key, sizeof(key), "%s.rerank.document_position", architecture);
    if (llama_model_meta_val_str(model->handle, key, value, sizeof(value)) < 0)
        return 0;
    unsigned long position = strtoul(value, NULL, 10);
    return position < length_max ? position : 0;
}

/* ---------------------------------------------------------------- pairs */

/* A request in tokens. */
struct pairs {
    struct frame_of_pair frame;
    struct part query;
    struct part *documents; /* count of them */
    uint32_t count;
    size_t begin; /* position of a pair's first token */
    size_t room;  /* tokens of a document that a pair can hold */
    bool query_cut;
};

static void pairs_free(struct pairs *pairs)
{
    for (uint32_t i = 0; pairs->documents && i < pairs->count; i++)
        part_free(&pairs->documents[i]);
    free(pairs->documents);
    part_free(&pairs->query);
    frame_free_parts(&pairs->frame);
}

/* Decides how long the query may be, where a pair begins and what is left for the document. */
static void place(struct pairs *pairs, size_t document_at, size_t length_max)
{
    const struct frame_of_pair *frame = &pairs->frame;
    size_t fixed = frame->head.length + frame->middle.length;
    if (document_at <= fixed)
        document_at = 0;
    size_t query_max = document_at ? document_at - fixed : length_max / 2;
    pairs->query_cut = pairs->query.length > query_max;
    if (pairs->query_cut)
        pairs->query.length = query_max;
    size_t before = fixed + pairs->query.length;
    pairs->begin = document_at ? document_at - before : 0;
    size_t taken = pairs->begin + before + frame->tail.length;
    pairs->room = length_max > taken ? length_max - taken : 0;
}

static bool pairs_init(struct pairs *pairs, const struct encoder *encoder,
                       const struct msg_rerank *request, struct err *err)
{
    const struct model *model = encoder->model;
    pairs->count = request->documents.count;
    pairs->documents = calloc(pairs->count ? pairs->count : 1, sizeof(*pairs->documents));
    if (!pairs->documents)
        return err_no_memory(err);
    struct part *query = &pairs->query;
    if (!make_frame(model, &pairs->frame, err) ||
        !model_tokenize(model, request->query, false, false, &query->tokens, &query->length, err))
        return false;
    place(pairs, document_position(model, encoder->length_max), encoder->length_max);
    for (uint32_t i = 0; i < pairs->count; i++) {
        struct part *document = &pairs->documents[i];
        if (!model_tokenize(model, request->documents.texts[i], false, false, &document->tokens,
                            &document->length, err))
            return false;
    }
    return true;
}

/* Tokens from one window's beginning to the next. */
static size_t window_step(size_t room)
{
    return room > 3 ? room - room / 4 : 1;
}

/* Windows that cover a document, at least one. */
static size_t windows_needed(size_t length, size_t room)
{
    if (length <= room || room == 0)
        return 1;
    size_t step = window_step(room);
    return 1 + (length - room + step - 1) / step;
}

static size_t windows_read(size_t length, size_t room)
{
    size_t needed = windows_needed(length, room);
    return needed < RERANK_WINDOWS_MAX ? needed : RERANK_WINDOWS_MAX;
}

static bool cut(const struct pairs *pairs, uint32_t document)
{
    size_t length = pairs->documents[document].length;
    return pairs->query_cut || (pairs->room == 0 && length > 0) ||
           windows_needed(length, pairs->room) > RERANK_WINDOWS_MAX;
}

static llama_token *append(llama_token *to, const struct part *part)
{
    memcpy(to, part->tokens, part->length * sizeof(*to));
    return to + part->length;
}

/* Makes sequence `index` of the job: the query beside one window of a document. */
static bool add_window(struct encode_job *job, uint32_t index, const struct pairs *pairs,
                       uint32_t document, size_t window, size_t length_max, struct err *err)
{
    const struct frame_of_pair *frame = &pairs->frame;
    struct part part = pairs->documents[document]; /* a view of it */
    size_t skipped = window * window_step(pairs->room);
    part.tokens += skipped;
    part.length -= skipped;
    if (part.length > pairs->room)
        part.length = pairs->room;
    size_t length = frame->head.length + pairs->query.length + frame->middle.length + part.length +
                    frame->tail.length;
    llama_token *tokens = calloc(length ? length : 1, sizeof(*tokens));
    if (!tokens)
        return err_no_memory(err);
    llama_token *at = append(tokens, &frame->head);
    at = append(at, &pairs->query);
    at = append(at, &frame->middle);
    at = append(at, &part);
    append(at, &frame->tail);
    encode_job_set(job, index, tokens, length < length_max ? length : length_max);
    job->texts[index] = document;
    job->begins[index] = (uint32_t)pairs->begin;
    return true;
}

static bool add_pairs(const struct encoder *encoder, const struct pairs *pairs,
                      struct encode_job *job, struct err *err)
{
    size_t total = 0;
    for (uint32_t i = 0; i < pairs->count; i++)
        total += windows_read(pairs->documents[i].length, pairs->room);
    if (!encode_job_init(job, encoder, (uint32_t)total, err))
        return false;
    job->text_count = pairs->count;
    job->texts = calloc(total ? total : 1, sizeof(*job->texts));
    job->begins = calloc(total ? total : 1, sizeof(*job->begins));
    if (!job->texts || !job->begins)
        return err_no_memory(err);
    uint32_t index = 0;
    for (uint32_t i = 0; i < pairs->count; i++) {
        size_t windows = windows_read(pairs->documents[i].length, pairs->room);
        for (size_t w = 0; w < windows; w++)
            if (!add_window(job, index++, pairs, i, w, encoder->length_max, err))
                return false;
        job->truncated += cut(pairs, i);
    }
    return true;
}

bool rerank_start(const struct encoder *encoder, const struct msg_rerank *request,
                  struct encode_job *ret, struct err *err)
{
    struct pairs pairs = {0};
    struct encode_job job = {0};
    bool ok = pairs_init(&pairs, encoder, request, err) && add_pairs(encoder, &pairs, &job, err);
    pairs_free(&pairs);
    if (!ok) {
        encode_job_free(&job);
        return false;
    }
    *ret = job;
    return true;
}

bool rerank_finish(const struct encode_job *job, struct arena *arena, struct msg_scores *ret,
                   struct err *err)
{
    float *scores = arena_array(arena, job->text_count, sizeof(*scores));
    if (!scores)
        return err_no_memory(err);
    for (uint32_t i = 0; i < job->text_count; i++)
        scores[i] = -INFINITY;
    for (uint32_t i = 0; i < job->count; i++) {
        float score = job->values[(size_t)i * job->dimensions];
        if (score > scores[job->texts[i]])
            scores[job->texts[i]] = score;
    }
    *ret = (struct msg_scores){.count = job->text_count,
                               .scores = scores,
                               .tokens = job->computed,
                               .truncated = job->truncated};
    return true;
}
