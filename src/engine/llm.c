/* How it works. A slot is one sequence of libllama's memory. `tokens[0..count)` is the text of its conversation so
 * far, prompt and answer, and `computed` says how many of them the memory holds; the difference is what has to be
 * computed next: all of it for a new prompt, one token for a conversation that is writing. A step takes from every
 * busy slot as much as fits, computes it, and where a slot is then computed to its end, picks its next token.
 *
 * When a step is interrupted or fails, libllama may have computed a part of it. The memory of the slots in it is cut
 * back to `computed`, and the step can be repeated. Models whose memory cannot be cut (recurrent ones) forget the
 * slot and compute it from the beginning. */
#include "engine/llm.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "engine/llm_slot.h"
#include "engine/prompt.h"

enum {
    PROMPT_MAX = 256 << 20,
    TOKEN_BYTES_MAX = 64, /* longer tokens are rare */
};

struct llm {
    const struct model *model;
    struct llama_context *context;
    struct llama_batch batch;
    struct pulse *pulse;
    struct prompt_format format;
    struct slot *slots;
    llama_token_data *scratch; /* one entry a token of the vocabulary */
    uint64_t clock;            /* counts uses, for "least recently used" */
    uint32_t slot_count;
    uint32_t context_length; /* of a slot */
};

/* ---------------------------------------------------------------- opening */

uint32_t llm_slots_possible(uint32_t asked)
{
    return asked < 1 ? 1 : asked > LLM_SLOTS_MAX ? LLM_SLOTS_MAX : asked;
}

struct llama_context_params llm_context_params(const struct model *model, uint32_t slots,
                                               struct pulse *pulse)
{
    struct llama_context_params params = model_context_params(model, pulse);
    params.n_ctx = model->context_length * slots;
    params.n_seq_max = slots;
    params.n_batch = LLM_BATCH_TOKENS;
    params.n_ubatch = LLM_BATCH_TOKENS;
    params.n_outputs_max = slots;
    params.type_k = params.type_v = model_kv_type(model->kv_type);
    params.kv_unified = false; /* each slot has cells of its own */
    params.swa_full = true;    /* else a sliding window forgets what a shorter prefix needs */
    return params;
}

uint64_t llm_own_bytes(const struct model *model, uint32_t slots)
{
    uint64_t scratch = (uint64_t)llama_vocab_n_tokens(model->vocab) * sizeof(llama_token_data);
    return scratch + (uint64_t)slots * model->context_length * sizeof(llama_token);
}

static bool make_context(struct llm *llm, struct err *err)
{
    struct llama_context_params params =
        llm_context_params(llm->model, llm->slot_count, llm->pulse);
    if (!model_context(llm->model, &params, &llm->context, err))
        return false;
    llm->batch = llama_batch_init(LLM_BATCH_TOKENS, 0, 1);
    return true;
}

/* Computes one token, so that threads and buffers are there before the sandbox closes. */
static bool warm_up(struct llm *llm, struct err *err)
{
    llama_token token = llama_vocab_bos(llm->model->vocab);
    if (token == LLAMA_TOKEN_NULL)
        token = 0;
    llm->batch.n_tokens = 0;
    slot_add_to_batch(&llm->batch, token, 0, 0, true);
    int32_t result = llama_decode(llm->context, llm->batch);
    llama_memory_clear(llama_get_memory(llm->context), true);
    if (result != 0)
        return err_set(err, ERR_MODEL_INVALID,
                       "%s was loaded but cannot compute (libllama returned %d); fetch another "
                       "conversion of the model",
                       llm->model->path, result);
    return true;
}

static bool open_parts(struct llm *llm, struct err *err)
{
    llm->slots = calloc(llm->slot_count, sizeof(*llm->slots));
    llm->scratch = calloc((size_t)llama_vocab_n_tokens(llm->model->vocab), sizeof(*llm->scratch));
    if (!llm->slots || !llm->scratch)
        return err_no_memory(err);
    for (uint32_t i = 0; i < llm->slot_count; i++)
        if (!slot_init(&llm->slots[i], (llama_seq_id)i, llm->context_length, err))
            return false;
    return make_context(llm, err) && prompt_open(llm->model, &llm->format, err) &&
           warm_up(llm, err);
}

bool llm_open(const struct model *model, uint32_t slots, struct pulse *pulse, struct llm **ret,
              struct err *err)
{
    struct llm *llm = calloc(1, sizeof(*llm));
    if (!llm)
        return err_no_memory(err);
    llm->model = model;
    llm->pulse = pulse;
    llm->slot_count = llm_slots_possible(slots);
    llm->context_length = model->context_length;
    if (!open_parts(llm, err)) {
        llm_close(llm);
        return false;
    }
    *ret = llm;
    return true;
}

void llm_close(struct llm *llm)
{
    if (!llm)
        return;
    for (uint32_t i = 0; llm->slots && i < llm->slot_count; i++)
        slot_free(&llm->slots[i]);
    free(llm->slots);
    free(llm->scratch);
    prompt_close(&llm->format);
    if (llm->context) {
        llama_batch_free(llm->batch);
        llama_free(llm->context);
    }
    free(llm);
}

uint32_t llm_slots(const struct llm *llm)
{
    return llm->slot_count;
}

bool llm_has_template(const struct llm *llm)
{
    return llm->format.own_template;
}

bool llm_has_room(const struct llm *llm)
{
    for (uint32_t i = 0; i < llm->slot_count; i++)
        if (!llm->slots[i].request)
            return true;
    return false;
}

void llm_set_threads(struct llm *llm, int32_t threads)
{
    llama_set_n_threads(llm->context, threads, threads);
}

bool llm_busy(const struct llm *llm)
{
    for (uint32_t i = 0; i < llm->slot_count; i++)
        if (llm->slots[i].request)
            return true;
    return false;
}

/* ---------------------------------------------------------------- starting */

/* A prompt that is certainly too long is refused by its beginning: tokens of megabytes take seconds to make. */
static bool check_bytes(const struct llm *llm, const char *prompt, struct err *err)
{
    size_t length = strlen(prompt), most = (size_t)llm->context_length * TOKEN_BYTES_MAX;
    if (length <= most)
        return true;
    char *beginning;
    if (!str_copy_n(prompt, utf8_floor(prompt, length, most), &beginning, err))
        return false;
    llama_token *tokens;
    size_t count = 0;
    bool ok = model_tokenize(llm->model, beginning, true, true, &tokens, &count, err);
    free(beginning);
    if (!ok)
        return false;
    free(tokens);
    if (count > llm->context_length)
        return err_set_param(
            err, ERR_CONTEXT_LENGTH, "messages",
            "the prompt has more than %zu tokens and the context holds %u; shorten "
            "the conversation or set a larger context_length for the model",
            count, llm->context_length);
    return true; /* unusually long tokens: blanks, or the like */
}

/* The tokens of a request's prompt, malloc'ed. */
static bool make_prompt(const struct llm *llm, const struct msg_generate *generate,
                        llama_token **ret, size_t *ret_count, struct err *err)
{
    struct str text;
    str_init(&text, PROMPT_MAX);
    bool ok = true;
    if (generate->message_count > 0)
        ok = prompt_render(&llm->format, generate->messages, generate->message_count, &text, err);
    const char *prompt = generate->message_count > 0 ? str_text(&text) : generate->prompt;
    ok = ok && check_bytes(llm, prompt, err) &&
         model_tokenize(llm->model, prompt, true, true, ret, ret_count, err);
    str_free(&text);
    if (!ok)
        return false;
    const struct llama_vocab *vocab = llm->model->vocab;
    bool closed = *ret_count > 0 && llama_vocab_get_add_eos(vocab) &&
                  (*ret)[*ret_count - 1] == llama_vocab_eos(vocab);
    *ret_count -= closed; /* an end after the prompt would leave nothing to say */
    return true;
}

static bool check_prompt(const struct llm *llm, size_t count, struct err *err)
{
    if (count == 0)
        return err_set_param(err, ERR_INVALID_REQUEST, "prompt",
                             "the prompt is empty; send some text");
    if (count > llm->context_length)
        return err_set_param(err, ERR_CONTEXT_LENGTH, "messages",
                             "the prompt has %zu tokens and the context holds %u; shorten the "
                             "conversation or set a larger context_length for the model",
                             count, llm->context_length);
    return true;
}

/* Cuts the slot's memory to its first `keep` tokens, or to none where that cannot be done. */
static void cut_memory(struct llm *llm, struct slot *slot, uint32_t keep)
{
    llama_memory_t memory = llama_get_memory(llm->context);
    if (keep == 0 || !llama_memory_seq_rm(memory, slot->sequence, (llama_pos)keep, -1)) {
        llama_memory_seq_rm(memory, slot->sequence, -1, -1);
        keep = 0;
    }
    slot->computed = keep;
}

bool llm_start(struct llm *llm, const struct msg_generate *generate, void *request, struct err *err)
{
    llama_token *prompt = NULL;
    size_t count = 0;
    if (!make_prompt(llm, generate, &prompt, &count, err))
        return false;
    bool ok = check_prompt(llm, count, err);
    struct slot *slot =
        ok ? slot_choose(llm->slots, llm->slot_count, prompt, (uint32_t)count) : NULL;
    if (ok && !slot)
        ok = err_set(err, ERR_BUSY, "all %u conversations of the model are in use; try again soon",
                     llm->slot_count);
    if (ok)
        ok = slot_begin(slot, llm->model, generate, prompt_stop(&llm->format), prompt,
                        (uint32_t)count, err);
    if (ok) {
        cut_memory(llm, slot, slot_common_prefix(slot, prompt, (uint32_t)count));
        slot_set_prompt(slot, prompt, (uint32_t)count);
        slot->request = request;
        slot->used = ++llm->clock;
    }
    free(prompt);
    return ok;
}

void llm_cancel(struct llm *llm, const void *request)
{
    for (uint32_t i = 0; i < llm->slot_count; i++)
        if (request && llm->slots[i].request == request)
            slot_end(&llm->slots[i]);
}

/* ---------------------------------------------------------------- stepping */

/* How many tokens of prompts a step may take: few while somebody is being read to. */
static uint32_t prompt_budget(const struct llm *llm, uint32_t *ret_prompts)
{
    uint32_t writing = 0, prompts = 0;
    for (uint32_t i = 0; i < llm->slot_count; i++) {
        uint32_t missing = slot_missing(&llm->slots[i]);
        writing += missing == 1;
        prompts += missing > 1;
    }
    *ret_prompts = prompts;
    uint32_t room = LLM_BATCH_TOKENS - writing;
    return writing > 0 && room > LLM_CHUNK_TOKENS ? LLM_CHUNK_TOKENS : room;
}

/* Takes from every busy slot: its one token, or its share of the prompts' budget. */
static void fill_batch(struct llm *llm)
{
    uint32_t prompts;
    uint32_t budget = prompt_budget(llm, &prompts);
    llm->batch.n_tokens = 0;
    for (uint32_t i = 0; i < llm->slot_count; i++) {
        struct slot *slot = &llm->slots[i];
        uint32_t missing = slot_missing(slot);
        uint32_t take = missing;
        if (missing > 1) {
            uint32_t share = budget / (prompts > 1 ? prompts : 1);
            take = share < 1 ? 1 : missing < share ? missing : share;
            budget -= take < budget ? take : budget;
            prompts--;
        }
        slot_take(slot, take, &llm->batch);
    }
}

/* Picks the next token of a slot whose last token has just been computed. */
static void advance(struct llm *llm, struct slot *slot, const struct llm_events *events)
{
    const float *logits = llama_get_logits_ith(llm->context, slot->output);
    struct slot_event event;
    void *request = slot->request;
    slot_next(slot, llm->model->vocab, logits, llm->scratch, &event);
    if (event.failed) {
        slot_end(slot);
        events->failed(events->user, request, &event.error);
        return;
    }
    if (event.text[0])
        events->text(events->user, request, event.text, slot->completed);
    if (event.finished) {
        slot_end(slot);
        events->done(events->user, request, &event.done);
    }
}

/* After a batch that did not come through: forgets what may be half computed. */
static void roll_back(struct llm *llm)
{
    for (uint32_t i = 0; i < llm->slot_count; i++)
        if (llm->slots[i].taken > 0)
            cut_memory(llm, &llm->slots[i], llm->slots[i].computed);
}

static void fail_all(struct llm *llm, int32_t result, const struct llm_events *events)
{
    struct err err;
    err_set(&err, ERR_INTERNAL, "%s could not compute %d tokens (libllama returned %d)",
            llm->model->path, llm->batch.n_tokens, result);
    for (uint32_t i = 0; i < llm->slot_count; i++) {
        struct slot *slot = &llm->slots[i];
        void *request = slot->request;
        if (!request || slot->taken == 0)
            continue;
        slot_end(slot);
        events->failed(events->user, request, &err);
    }
}

void llm_step(struct llm *llm, const struct llm_events *events)
{
    fill_batch(llm);
    if (llm->batch.n_tokens == 0)
        return;
    int32_t result = llama_decode(llm->context, llm->batch);
    if (result != 0) {
        roll_back(llm);
        if (!llm->pulse || !atomic_load(&llm->pulse->interrupt))
            fail_all(llm, result, events);
        return;
    }
    for (uint32_t i = 0; i < llm->slot_count; i++) {
        struct slot *slot = &llm->slots[i];
        slot->computed += slot->taken;
        if (slot->taken > 0 && slot->computed == slot->count)
            advance(llm, slot, events);
    }
}
