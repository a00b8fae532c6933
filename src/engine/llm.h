/* llm.h - several conversations written at once by one model.
 *
 * Purpose: continuous batching. Each step is one call of libllama over the next token of every conversation that is
 *   writing, and a part of the prompts of those that have just begun, so that a long prompt holds nobody up. The
 *   memory of a slot outlives its conversation: the next prompt that begins the same way is not computed again.
 * Owner:   llm_close() ends everything. `request` pointers belong to the caller and are only handed back.
 * Threads: one at a time; only the interrupt flag may be set from another thread.
 * Fails:   llm_start() ERR_CONTEXT_LENGTH, ERR_INVALID_REQUEST, ERR_BUSY (no slot is free), ERR_NO_MEMORY; what goes
 *   wrong later is told through the events.
 *
 *     llm_start(llm, &generate, request, &err)
 *     while (llm_busy(llm)) llm_step(llm, &events)
 */
#ifndef JARVIS_ENGINE_LLM_H
#define JARVIS_ENGINE_LLM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "engine/model.h"
#include "ipc/protocol.h"

enum {
    LLM_SLOTS_MAX = 64,
    LLM_BATCH_TOKENS = 512, /* of one step */
    LLM_CHUNK_TOKENS = 64,  /* of prompts in one step, while another conversation is writing */
};

struct llm;

/* What a step tells. A request gets any number of texts and then exactly one of done and failed. */
struct llm_events {
    void *user;
    /* `text` is valid UTF-8, never empty; `completed` counts tokens so far. */
    void (*text)(void *user, void *request, const char *text, uint32_t completed);
    void (*done)(void *user, void *request, const struct msg_done *done);
    void (*failed)(void *user, void *request, const struct err *error);
};

/* `pulse` (may be NULL): its `interrupt` ends a step early when another thread sets it; the caller clears it, cancels what it
 * wants to cancel, and steps on: nothing is lost. */
bool llm_open(const struct model *model, uint32_t slots, struct pulse *pulse, struct llm **ret,
              struct err *err);
void llm_close(struct llm *llm); /* NULL is fine */

/* How many slots there will be when so many are asked for. */
uint32_t llm_slots_possible(uint32_t asked);

/* The context that llm_open() makes, and bytes of what it allocates itself: for those who want to know before. */
struct llama_context_params llm_context_params(const struct model *model, uint32_t slots,
                                               struct pulse *pulse);
uint64_t llm_own_bytes(const struct model *model, uint32_t slots);

uint32_t llm_slots(const struct llm *llm);
bool llm_has_template(const struct llm *llm);

/* True when llm_start() would find a slot. */
bool llm_has_room(const struct llm *llm);

/* From the next step on. */
void llm_set_threads(struct llm *llm, int32_t threads);

bool llm_busy(const struct llm *llm);

bool llm_start(struct llm *llm, const struct msg_generate *generate, void *request,
               struct err *err);

/* Ends a request without an event. Unknown requests are ignored. */
void llm_cancel(struct llm *llm, const void *request);

/* Computes one batch and tells what came of it; nothing when nobody is busy. */
void llm_step(struct llm *llm, const struct llm_events *events);

#endif
