/* llm_slot.h - one place for a conversation in llm.c: its tokens, its sampling, its text. Private to llm.c.
 *
 * Owner:   slot_free() ends what slot_init() made. `request` is the caller's; not NULL means busy.
 * Threads: one at a time. Fails: slot_init() and slot_begin() with err; slot_next() through its event.
 */
#ifndef JARVIS_ENGINE_LLM_SLOT_H
#define JARVIS_ENGINE_LLM_SLOT_H

#include <llama.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/model.h"
#include "engine/sampler.h"
#include "engine/stream_text.h"
#include "ipc/protocol.h"

struct slot {
    llama_seq_id sequence;
    void *request;       /* NULL: free, and tokens[0..computed) is what its memory holds */
    llama_token *tokens; /* room for `capacity` */
    uint32_t capacity;
    uint32_t count;
    uint32_t computed;
    uint32_t taken;  /* tokens in the batch that is being computed */
    int32_t output;  /* where in the batch the slot's last token stands */
    uint64_t used;   /* llm's clock */
    uint32_t prompt; /* tokens */
    uint32_t cached; /* of them: not computed for this request */
    uint32_t completed;
    uint32_t max_tokens; /* 0: none */
    int64_t started_ns;
    int64_t first_ns; /* of the first token; 0 before */
    struct sampler *sampler;
    struct stream_text text;
    char **stops; /* copies */
    uint32_t stop_count;
};

struct slot_event {
    const char *text; /* "" for none; valid until the next event of the slot */
    bool finished;
    struct msg_done done;
    bool failed;
    struct err error;
};

bool slot_init(struct slot *slot, llama_seq_id sequence, uint32_t capacity, struct err *err);
void slot_free(struct slot *slot);

/* Tokens at the beginning of a prompt that the slot's memory holds; never the whole prompt, since its last token must
 * be computed to go on. */
uint32_t slot_common_prefix(const struct slot *slot, const llama_token *prompt, uint32_t count);

/* The free slot to use for a prompt; NULL when all are busy. The one that shares the longest beginning, if that is
 * at least half of the prompt or of what the slot holds; else the least recently used, so that a common greeting
 * does not make one conversation push out another while an old slot lies idle. */
struct slot *slot_choose(struct slot *slots, uint32_t slot_count, const llama_token *prompt,
                         uint32_t count);

/* Makes sampler and text of a request. `extra_stop` may be NULL. On failure the slot is as it was. */
bool slot_begin(struct slot *slot, const struct model *model, const struct msg_generate *generate,
                const char *extra_stop, const llama_token *prompt, uint32_t count, struct err *err);

/* The prompt becomes the slot's tokens; `computed` of them are in the memory already. */
void slot_set_prompt(struct slot *slot, const llama_token *prompt, uint32_t count);

/* The slot is free again; its memory stays for the next prompt. */
void slot_end(struct slot *slot);

/* Tokens to compute before the next one can be picked; 0 for a free slot. */
uint32_t slot_missing(const struct slot *slot);

/* Puts the next `count` missing tokens into the batch. */
void slot_take(struct slot *slot, uint32_t count, struct llama_batch *batch);

void slot_add_to_batch(struct llama_batch *batch, llama_token token, llama_pos position,
                       llama_seq_id sequence, bool output);

/* Picks the next token, appends it, and says what that means. `logits` NULL is a failure. */
void slot_next(struct slot *slot, const struct llama_vocab *vocab, const float *logits,
               llama_token_data *scratch, struct slot_event *ret);

#endif
