/* How it works: a pair is head + query + middle + document + tail. Head, middle and tail are the model's own, from
 * its template or its special tokens, and with the query they are the same for all documents of a request. */
#include "engine/rerank.h"

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

/* ---------------------------------------------------------------- pairs */

static llama_token *append(llama_token *to, const struct part *part)
{
    memcpy(to, part->tokens, part->length * sizeof(*to));
    return to + part->length;
}

/* Puts one pair into the job, cutting the document to the room that is left. */
static bool add_pair(struct encode_job *job, uint32_t index, size_t room,
                     const struct frame_of_pair *frame, const struct part *query,
                     struct part document, struct err *err)
{
    size_t around = frame->head.length + query->length + frame->middle.length + frame->tail.length;
    size_t left = room > around ? room - around : 0;
    if (document.length > left) {
        document.length = left;
        job->truncated++;
    }
    size_t length = around + document.length;
    llama_token *tokens = calloc(length ? length : 1, sizeof(*tokens));
    if (!tokens)
        return err_no_memory(err);
    llama_token *at = append(tokens, &frame->head);
    at = append(at, query);
    at = append(at, &frame->middle);
    at = append(at, &document);
    append(at, &frame->tail);
    encode_job_set(job, index, tokens, length < room ? length : room);
    return true;
}

static bool add_pairs(const struct encoder *encoder, const struct msg_rerank *request,
                      const struct frame_of_pair *frame, struct encode_job *job, struct err *err)
{
    const struct model *model = encoder->model;
    struct part query;
    if (!model_tokenize(model, request->query, false, false, &query.tokens, &query.length, err))
        return false;
    if (query.length > encoder->length_max / 2)
        query.length = encoder->length_max / 2;
    bool ok = true;
    for (uint32_t i = 0; ok && i < request->documents.count; i++) {
        struct part document;
        ok = model_tokenize(model, request->documents.texts[i], false, false, &document.tokens,
                            &document.length, err);
        if (!ok)
            break;
        ok = add_pair(job, i, encoder->length_max, frame, &query, document, err);
        part_free(&document);
    }
    part_free(&query);
    return ok;
}

bool rerank_start(const struct encoder *encoder, const struct msg_rerank *request,
                  struct encode_job *ret, struct err *err)
{
    struct frame_of_pair frame = {0};
    struct encode_job job = {0};
    bool ok = make_frame(encoder->model, &frame, err) &&
              encode_job_init(&job, encoder, request->documents.count, err) &&
              add_pairs(encoder, request, &frame, &job, err);
    frame_free_parts(&frame);
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
    float *scores = arena_array(arena, job->count, sizeof(*scores));
    if (!scores)
        return err_no_memory(err);
    for (uint32_t i = 0; i < job->count; i++)
        scores[i] = job->values[(size_t)i * job->dimensions];
    *ret = (struct msg_scores){.count = job->count,
                               .scores = scores,
                               .tokens = job->computed,
                               .truncated = job->truncated};
    return true;
}
