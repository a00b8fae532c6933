/* How it works: the grammar is kept apart from the chain of the other samplers. Trying every token of a vocabulary
 * against a grammar costs more than the rest together, and at temperature 0 it is hardly ever needed: the likeliest
 * token is tried alone first, and if the grammar allows it, no other could have won. When tokens are drawn, the
 * grammar must come first, because top_p and the others count what it leaves. */
#include "engine/sampler.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

enum { GRAMMAR_BYTES_MAX = 256 * 1024, GRAMMAR_NESTING_MAX = 128 };

struct sampler {
    struct llama_sampler *penalties; /* and suppressed tokens */
    struct llama_sampler *grammar;   /* NULL: none */
    struct llama_sampler *choice;    /* top_k … temperature, draw; or greedy */
    int32_t vocabulary;
    bool greedy;
};

void sampler_free(struct sampler *sampler)
{
    if (!sampler)
        return;
    if (sampler->penalties)
        llama_sampler_free(sampler->penalties);
    if (sampler->grammar)
        llama_sampler_free(sampler->grammar);
    if (sampler->choice)
        llama_sampler_free(sampler->choice);
    free(sampler);
}

/* ---------------------------------------------------------------- making */

/* libllama draws with 32 bits, and takes all ones for "random". */
static uint32_t choose_seed(const struct sampling *sampling)
{
    uint64_t seed = sampling->seed;
    if (!sampling->has_seed)
        hash_random(&seed, sizeof(seed));
    uint32_t folded = (uint32_t)(seed ^ seed >> 32);
    return folded == LLAMA_DEFAULT_SEED ? 0 : folded;
}

static bool add_suppressed(struct sampler *sampler, const struct llama_vocab *vocab,
                           struct err *err)
{
    int32_t count = 0;
    const llama_token *tokens = llama_vocab_get_suppress_tokens(vocab, &count);
    if (!tokens || count <= 0)
        return true;
    llama_logit_bias *biases = calloc((size_t)count, sizeof(*biases));
    if (!biases)
        return err_no_memory(err);
    for (int32_t i = 0; i < count; i++)
        biases[i] = (llama_logit_bias){.token = tokens[i], .bias = -INFINITY};
    llama_sampler_chain_add(sampler->penalties,
                            llama_sampler_init_logit_bias(sampler->vocabulary, count, biases));
    free(biases);
    return true;
}

static bool make_penalties(struct sampler *sampler, const struct llama_vocab *vocab,
                           const struct sampling *sampling, const llama_token *prompt,
                           size_t length, struct err *err)
{
    sampler->penalties = llama_sampler_chain_init(llama_sampler_chain_default_params());
    if (!add_suppressed(sampler, vocab, err))
        return false;
    float repeat = sampling->repeat_penalty > 0 ? sampling->repeat_penalty : 1.0F;
    if (repeat == 1.0F && sampling->frequency_penalty == 0 && sampling->presence_penalty == 0)
        return true;
    llama_sampler_chain_add(
        sampler->penalties,
        llama_sampler_init_penalties(sampler->vocabulary, SAMPLER_PENALTY_TOKENS, repeat,
                                     sampling->frequency_penalty, sampling->presence_penalty));
    size_t first = length > SAMPLER_PENALTY_TOKENS ? length - SAMPLER_PENALTY_TOKENS : 0;
    for (size_t i = first; i < length; i++)
        llama_sampler_accept(sampler->penalties, prompt[i]);
    return true;
}

/* The grammar's parser calls itself for each parenthesis. */
static bool too_deep(const char *grammar)
{
    int depth = 0;
    for (const char *at = grammar; *at; at++) {
        depth += *at == '(';
        if (depth > GRAMMAR_NESTING_MAX)
            return true;
        depth -= *at == ')' && depth > 0;
    }
    return false;
}

static bool make_grammar(struct sampler *sampler, const struct llama_vocab *vocab,
                         const char *grammar, struct err *err)
{
    if (!grammar || !grammar[0])
        return true;
    if (strlen(grammar) > GRAMMAR_BYTES_MAX || too_deep(grammar))
        return err_set_param(err, ERR_INVALID_REQUEST, "grammar",
                             "the grammar is longer than %d bytes or nested deeper than %d; "
                             "simplify it",
                             GRAMMAR_BYTES_MAX, GRAMMAR_NESTING_MAX);
    sampler->grammar = llama_sampler_init_grammar(vocab, grammar, "root");
    if (!sampler->grammar)
        return err_set_param(err, ERR_INVALID_REQUEST, "grammar",
                             "the grammar is not valid GBNF; check its syntax, that every rule it "
                             "names exists, and that there is one called root");
    return true;
}

static void make_choice(struct sampler *sampler, const struct sampling *sampling)
{
    sampler->choice = llama_sampler_chain_init(llama_sampler_chain_default_params());
    if (sampler->greedy) {
        llama_sampler_chain_add(sampler->choice, llama_sampler_init_greedy());
        return;
    }
    if (sampling->top_k > 0 && sampling->top_k < INT32_MAX)
        llama_sampler_chain_add(sampler->choice,
                                llama_sampler_init_top_k((int32_t)sampling->top_k));
    if (sampling->top_p < 1.0F)
        llama_sampler_chain_add(sampler->choice, llama_sampler_init_top_p(sampling->top_p, 1));
    if (sampling->min_p > 0.0F)
        llama_sampler_chain_add(sampler->choice, llama_sampler_init_min_p(sampling->min_p, 1));
    llama_sampler_chain_add(sampler->choice, llama_sampler_init_temp(sampling->temperature));
    llama_sampler_chain_add(sampler->choice, llama_sampler_init_dist(choose_seed(sampling)));
}

bool sampler_new(const struct llama_vocab *vocab, const struct sampling *sampling,
                 const llama_token *prompt, size_t prompt_length, struct sampler **ret,
                 struct err *err)
{
    struct sampler *sampler = calloc(1, sizeof(*sampler));
    if (!sampler)
        return err_no_memory(err);
    sampler->vocabulary = llama_vocab_n_tokens(vocab);
    sampler->greedy = sampling->temperature <= 0;
    if (!make_penalties(sampler, vocab, sampling, prompt, prompt_length, err) ||
        !make_grammar(sampler, vocab, sampling->grammar, err)) {
        sampler_free(sampler);
        return false;
    }
    make_choice(sampler, sampling);
    *ret = sampler;
    return true;
}

/* ---------------------------------------------------------------- picking */

static llama_token_data_array candidates(const struct sampler *sampler, const float *logits,
                                         llama_token_data *scratch)
{
    for (int32_t i = 0; i < sampler->vocabulary; i++)
        scratch[i] = (llama_token_data){.id = i, .logit = logits[i]};
    return (llama_token_data_array){
        .data = scratch, .size = (size_t)sampler->vocabulary, .selected = -1};
}

static bool grammar_allows(const struct sampler *sampler, llama_token token)
{
    llama_token_data one = {.id = token};
    llama_token_data_array array = {.data = &one, .size = 1, .selected = -1};
    llama_sampler_apply(sampler->grammar, &array);
    return isfinite(one.logit);
}

static bool any_left(const llama_token_data_array *array)
{
    for (size_t i = 0; i < array->size; i++)
        if (isfinite(array->data[i].logit))
            return true;
    return false;
}

/* Draws from what penalties and (if asked) grammar leave. */
static llama_token draw(struct sampler *sampler, const float *logits, llama_token_data *scratch,
                        bool with_grammar)
{
    llama_token_data_array array = candidates(sampler, logits, scratch);
    llama_sampler_apply(sampler->penalties, &array);
    if (with_grammar)
        llama_sampler_apply(sampler->grammar, &array);
    if (!any_left(&array))
        return LLAMA_TOKEN_NULL;
    llama_sampler_apply(sampler->choice, &array);
    return array.selected >= 0 ? array.data[array.selected].id : LLAMA_TOKEN_NULL;
}

llama_token sampler_pick(struct sampler *sampler, const float *logits, llama_token_data *scratch)
{
    bool grammar_first = sampler->grammar && !sampler->greedy;
    llama_token token = draw(sampler, logits, scratch, grammar_first);
    if (token == LLAMA_TOKEN_NULL)
        return token;
    if (sampler->grammar && sampler->greedy && !grammar_allows(sampler, token))
        token = draw(sampler, logits, scratch, true);
    if (token == LLAMA_TOKEN_NULL)
        return token;
    llama_sampler_accept(sampler->penalties, token);
    if (sampler->grammar)
        llama_sampler_accept(sampler->grammar, token);
    llama_sampler_accept(sampler->choice, token);
    return token;
}
