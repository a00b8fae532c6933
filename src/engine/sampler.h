/* sampler.h - choosing the next token from what the model computed.
 *
 * Purpose: the chain of one request: suppressed tokens, penalties over the last 64 tokens, grammar, top_k, top_p,
 *   min_p, temperature, then a draw with the request's seed; at temperature 0 the likeliest token.
 * Owner:   sampler_free(). Threads: one at a time.
 * Fails:   ERR_INVALID_REQUEST for a grammar that cannot be read, ERR_NO_MEMORY.
 */
#ifndef JARVIS_ENGINE_SAMPLER_H
#define JARVIS_ENGINE_SAMPLER_H

#include <llama.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "ipc/protocol.h"

enum { SAMPLER_PENALTY_TOKENS = 64 };

struct sampler;

/* The prompt's last tokens count for the penalties. */
bool sampler_new(const struct llama_vocab *vocab, const struct sampling *sampling,
                 const llama_token *prompt, size_t prompt_length, struct sampler **ret,
                 struct err *err);
void sampler_free(struct sampler *sampler); /* NULL is fine */

/* The next token; LLAMA_TOKEN_NULL when the grammar allows none. `logits` has one value a token of the vocabulary,
 * `scratch` room for as many entries. */
llama_token sampler_pick(struct sampler *sampler, const float *logits, llama_token_data *scratch);

#endif
