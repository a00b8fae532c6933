#include "engine/llm_slot.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

enum { PIECE_BYTES = 512 };

bool slot_init(struct slot *slot, llama_seq_id sequence, uint32_t capacity, struct err *err)
{
    *slot = (struct slot){.sequence = sequence, .capacity = capacity};
    slot->tokens = calloc(capacity, sizeof(*slot->tokens));
    return slot->tokens ? true : err_no_memory(err);
}

static void free_stops(struct slot *slot)
{
    for (uint32_t i = 0; i < slot->stop_count; i++)
        free(slot->stops[i]);
    free(slot->stops);
    slot->stops = NULL;
    slot->stop_count = 0;
}

void slot_end(struct slot *slot)
{
    sampler_free(slot->sampler);
    slot->sampler = NULL;
    stream_text_free(&slot->text);
    free_stops(slot);
    slot->request = NULL;
    slot->count = slot->computed;
    slot->taken = 0;
}

void slot_free(struct slot *slot)
{
    slot_end(slot);
    free(slot->tokens);
    slot->tokens = NULL;
}

/* ---------------------------------------------------------------- choosing */

uint32_t slot_common_prefix(const struct slot *slot, const llama_token *prompt, uint32_t count)
{
    uint32_t most = slot->computed < count ? slot->computed : count - 1;
    uint32_t common = 0;
    while (common < most && slot->tokens[common] == prompt[common])
        common++;
    return common;
}

struct slot *slot_choose(struct slot *slots, uint32_t slot_count, const llama_token *prompt,
                         uint32_t count)
{
    struct slot *oldest = NULL, *closest = NULL;
    uint32_t common = 0;
    for (uint32_t i = 0; i < slot_count; i++) {
        struct slot *slot = &slots[i];
        if (slot->request)
            continue;
        if (!oldest || slot->used < oldest->used)
            oldest = slot;
        uint32_t shared = slot_common_prefix(slot, prompt, count);
        if (!closest || shared > common) {
            closest = slot;
            common = shared;
        }
    }
    bool worth = closest && (common >= count / 2 || common >= closest->computed / 2);
    return common > 0 && worth ? closest : oldest;
}

/* ---------------------------------------------------------------- beginning */

/* Copies the request's stop strings, and the format's own. */
static bool copy_stops(struct slot *slot, const struct sampling *sampling, const char *extra,
                       struct err *err)
{
    slot->stops = calloc((size_t)sampling->stop_count + 1, sizeof(*slot->stops));
    if (!slot->stops)
        return err_no_memory(err);
    for (uint32_t i = 0; i < sampling->stop_count; i++)
        if (!str_copy(sampling->stops[i], &slot->stops[slot->stop_count++], err))
            return false;
    return !extra || str_copy(extra, &slot->stops[slot->stop_count++], err);
}

bool slot_begin(struct slot *slot, const struct model *model, const struct msg_generate *generate,
                const char *extra_stop, const llama_token *prompt, uint32_t count, struct err *err)
{
    const struct sampling *sampling = &generate->sampling;
    if (!copy_stops(slot, sampling, extra_stop, err) ||
        !sampler_new(model->vocab, sampling, prompt, count, &slot->sampler, err)) {
        free_stops(slot);
        return false;
    }
    stream_text_init(&slot->text, (const char *const *)slot->stops, slot->stop_count);
    slot->max_tokens = sampling->max_tokens;
    slot->completed = 0;
    slot->first_ns = 0;
    slot->started_ns = clock_now_ns();
    return true;
}

void slot_set_prompt(struct slot *slot, const llama_token *prompt, uint32_t count)
{
    memcpy(slot->tokens, prompt, count * sizeof(*prompt));
    slot->count = count;
    slot->prompt = count;
    slot->cached = slot->computed;
}

/* ---------------------------------------------------------------- computing */

uint32_t slot_missing(const struct slot *slot)
{
    return slot->request ? slot->count - slot->computed : 0;
}

void slot_add_to_batch(struct llama_batch *batch, llama_token token, llama_pos position,
                       llama_seq_id sequence, bool output)
{
    int32_t at = batch->n_tokens++;
    batch->token[at] = token;
    batch->pos[at] = position;
    batch->n_seq_id[at] = 1;
    batch->seq_id[at][0] = sequence;
    batch->logits[at] = output;
}

void slot_take(struct slot *slot, uint32_t count, struct llama_batch *batch)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = slot->computed + i;
        bool last = at + 1 == slot->count;
        if (last)
            slot->output = batch->n_tokens;
        slot_add_to_batch(batch, slot->tokens[at], (llama_pos)at, slot->sequence, last);
    }
    slot->taken = count;
}

/* Adds a token's bytes to the text. True when that met a stop string. */
static bool add_piece(struct slot *slot, const struct llama_vocab *vocab, llama_token token)
{
    char small[PIECE_BYTES];
    int32_t length = llama_token_to_piece(vocab, token, small, sizeof(small), 0, false);
    if (length >= 0)
        return stream_text_feed(&slot->text, small, (size_t)length);
    char *large = malloc((size_t)-length);
    if (!large)
        return stream_text_feed(&slot->text, "", 0);
    length = llama_token_to_piece(vocab, token, large, -length, 0, false);
    bool stopped = stream_text_feed(&slot->text, large, length > 0 ? (size_t)length : 0);
    free(large);
    return stopped;
}

static double ms_between(int64_t from_ns, int64_t to_ns)
{
    return (double)(to_ns - from_ns) / 1e6;
}

static void finish(struct slot *slot, enum finish_reason reason, struct slot_event *ret)
{
    ret->finished = true;
    ret->done = (struct msg_done){
        .finish = reason,
        .prompt_tokens = slot->prompt,
        .cached_tokens = slot->cached,
        .completion_tokens = slot->completed,
        .prompt_ms = ms_between(slot->started_ns, slot->first_ns),
        .generate_ms = ms_between(slot->first_ns, clock_now_ns()),
    };
}

static void fail(struct slot_event *ret, bool no_memory)
{
    ret->failed = true;
    ret->finished = false;
    if (no_memory)
        err_no_memory(&ret->error);
    else
        err_set(&ret->error, ERR_INTERNAL,
                "the model computed nothing for a token; try again, and load it anew if it stays");
}

/* The token that was picked is part of the answer. */
static void take_token(struct slot *slot, const struct llama_vocab *vocab, llama_token token,
                       struct slot_event *ret)
{
    slot->completed++;
    bool stopped = add_piece(slot, vocab, token);
    bool enough = slot->max_tokens > 0 && slot->completed >= slot->max_tokens;
    if (stopped || enough || slot->count == slot->capacity) {
        stream_text_finish(&slot->text);
        finish(slot, slot->text.stopped ? FINISH_STOP : FINISH_LENGTH, ret);
    } else {
        slot->tokens[slot->count++] = token;
    }
}

void slot_next(struct slot *slot, const struct llama_vocab *vocab, const float *logits,
               llama_token_data *scratch, struct slot_event *ret)
{
    *ret = (struct slot_event){.text = ""};
    if (slot->first_ns == 0)
        slot->first_ns = clock_now_ns();
    if (!logits) {
        fail(ret, false);
        return;
    }
    llama_token token = sampler_pick(slot->sampler, logits, scratch);
    if (token == LLAMA_TOKEN_NULL || llama_vocab_is_eog(vocab, token)) {
        stream_text_feed(&slot->text, "", 0);
        stream_text_finish(&slot->text);
        finish(slot, FINISH_STOP, ret);
    } else {
        take_token(slot, vocab, token, ret);
    }
    if (!stream_text_ok(&slot->text))
        fail(ret, true);
    ret->text = stream_text_ready(&slot->text);
}
