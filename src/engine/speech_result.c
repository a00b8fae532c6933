#include "engine/speech_result.h"

#include <math.h>
#include <string.h>
#include <whisper.h>

#include "base/str.h"

enum {
    LOOP_PERIOD_MAX = 16,
    LOOP_TURNS = 4,
    LOOP_TOKENS_MIN = 8,
    TEXT_MAX = 64 * 1024, /* bytes of a segment */
    TOKENS_MAX = 2048,    /* of a segment */
};

/* As OpenAI's own program has them: a segment is left out when the model says that nobody speaks and is not sure of
 * its words either. */
static const float no_speech_most = 0.6F;
static const float logprob_least = -1.0F;

/* ---------------------------------------------------------------- circles */

static bool turns_at(const int32_t *ids, size_t from, size_t period, size_t count)
{
    size_t turns = LOOP_TURNS;
    if (period * turns < LOOP_TOKENS_MIN)
        turns = (LOOP_TOKENS_MIN + period - 1) / period;
    if (from + period * turns > count)
        return false;
    return memcmp(ids + from, ids + from + period, (turns - 1) * period * sizeof(*ids)) == 0;
}

size_t speech_before_loop(const int32_t *ids, size_t count)
{
    for (size_t from = 0; from < count; from++)
        for (size_t period = 1; period <= LOOP_PERIOD_MAX; period++)
            if (turns_at(ids, from, period, count))
                return from + period; /* said once, it may have been said */
    return count;
}

/* ---------------------------------------------------------------- tokens of a segment */

/* A segment's tokens that are text, without the circle at their end. */
struct tokens {
    whisper_token_data data[TOKENS_MAX];
    const char *text[TOKENS_MAX];
    size_t count;
    bool looped;
    float mean_logprob;
};

static void take_tokens(struct whisper_context *context, struct whisper_state *state, int segment,
                        struct tokens *ret)
{
    int32_t ids[TOKENS_MAX];
    int end = whisper_token_eot(context);
    int count = whisper_full_n_tokens_from_state(state, segment);
    ret->count = 0;
    for (int i = 0; i < count && ret->count < TOKENS_MAX; i++) {
        whisper_token_data token = whisper_full_get_token_data_from_state(state, segment, i);
        if (token.id >= end) /* special tokens follow the end of text */
            continue;
        ids[ret->count] = token.id;
        ret->data[ret->count] = token;
        ret->text[ret->count++] =
            whisper_full_get_token_text_from_state(context, state, segment, i);
    }
    size_t kept = speech_before_loop(ids, ret->count);
    ret->looped = kept < ret->count;
    ret->count = kept;
    double sum = 0;
    for (size_t i = 0; i < kept; i++)
        sum += ret->data[i].plog;
    ret->mean_logprob = kept > 0 && isfinite(sum) ? (float)(sum / (double)kept) : 0;
}

bool speech_is_doubtful(struct whisper_context *context, struct whisper_state *state)
{
    bool doubtful = false;
    struct tokens tokens;
    int count = whisper_full_n_segments_from_state(state);
    for (int i = 0; i < count && !doubtful; i++) {
        take_tokens(context, state, i, &tokens);
        doubtful = tokens.looped || tokens.mean_logprob < logprob_least;
    }
    return doubtful;
}

/* ---------------------------------------------------------------- words */

static uint32_t clamp_ms(int64_t centiseconds, uint32_t from, uint32_t end_ms)
{
    int64_t ms = centiseconds * 10;
    if (ms < (int64_t)from)
        return from;
    return ms > (int64_t)end_ms ? end_ms : (uint32_t)ms;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* The text of tokens[from..to) without the blanks around it. */
static const char *join(const struct tokens *tokens, size_t from, size_t to, struct arena *arena)
{
    struct str text;
    str_init(&text, TEXT_MAX);
    for (size_t i = from; i < to; i++)
        str_puts(&text, tokens->text[i]);
    const char *begin = str_text(&text);
    size_t length = text.length;
    while (length > 0 && is_blank(begin[length - 1]))
        length--;
    while (length > 0 && is_blank(*begin))
        begin++, length--;
    const char *copy = arena_copy_n(arena, begin, length);
    str_free(&text);
    return copy;
}

/* One past the last token of the word that begins at `from`: the next one that begins with a space begins another. */
static size_t word_end(const struct tokens *tokens, size_t from)
{
    size_t to = from + 1;
    while (to < tokens->count && tokens->text[to][0] != ' ')
        to++;
    return to;
}

enum { LETTER_MS = 70 }; /* of a first word, whose beginning nobody marks */

/* When the tokens [from..to) were said, in centiseconds. Where libwhisper has aligned them, it tells when each ended. */
static void times_of(const struct tokens *tokens, size_t from, size_t to, const char *text,
                     int64_t *ret_begin, int64_t *ret_end)
{
    const whisper_token_data *last = &tokens->data[to - 1];
    bool aligned = last->t_dtw >= 0;
    *ret_end = aligned ? last->t_dtw : last->t1;
    *ret_begin = !aligned   ? tokens->data[from].t0
                 : from > 0 ? tokens->data[from - 1].t_dtw
                            : *ret_end - (int64_t)strlen(text) * LETTER_MS / 10;
}

/* Where words are collected. */
struct words {
    struct msg_word *items;
    uint32_t count;
    uint32_t at_ms; /* no word may begin before */
};

static void add_words(const struct tokens *tokens, uint32_t end_ms, struct arena *arena,
                      struct words *words)
{
    size_t to;
    for (size_t from = 0; from < tokens->count && words->count < MSG_WORDS_MAX; from = to) {
        to = word_end(tokens, from);
        const char *text = join(tokens, from, to, arena);
        if (!text || !*text)
            continue;
        struct msg_word *word = &words->items[words->count++];
        word->text = text;
        int64_t begin, end;
        times_of(tokens, from, to, text, &begin, &end);
        word->start_ms = clamp_ms(begin, words->at_ms, end_ms);
        word->end_ms = clamp_ms(end, word->start_ms, end_ms);
        double product = 0;
        for (size_t i = from; i < to; i++)
            product += tokens->data[i].plog;
        product = exp(product / (double)(to - from));
        word->probability = isfinite(product) ? (float)product : 0;
        words->at_ms = word->start_ms;
    }
}

/* ---------------------------------------------------------------- segments */

static bool is_speech(const struct tokens *tokens, float no_speech)
{
    return tokens->count > 0 &&
           !(no_speech > no_speech_most && tokens->mean_logprob < logprob_least);
}

static float finite_or_zero(float value)
{
    return isfinite(value) ? value : 0;
}

bool speech_collect(struct whisper_context *context, struct whisper_state *state, uint32_t end_ms,
                    bool with_words, struct arena *arena, struct msg_transcribed *ret,
                    struct err *err)
{
    int count = whisper_full_n_segments_from_state(state);
    uint32_t most = count < MSG_SEGMENTS_MAX ? (uint32_t)count : MSG_SEGMENTS_MAX;
    struct msg_segment *segments = arena_array(arena, most, sizeof(*segments));
    struct words words = {.items = arena_array(arena, MSG_WORDS_MAX, sizeof(*words.items))};
    struct tokens *tokens = arena_alloc(arena, sizeof(*tokens));
    if (!segments || !words.items || !tokens)
        return err_no_memory(err);
    uint32_t used = 0, at_ms = 0;
    for (uint32_t i = 0; i < most; i++) {
        float no_speech =
            finite_or_zero(whisper_full_get_segment_no_speech_prob_from_state(state, (int)i));
        take_tokens(context, state, (int)i, tokens);
        /* A line break is what a model says that may not say nothing. */
        const char *text = join(tokens, 0, tokens->count, arena);
        if (!text || !*text || !is_speech(tokens, no_speech))
            continue;
        struct msg_segment *segment = &segments[used++];
        segment->text = text;
        segment->start_ms =
            clamp_ms(whisper_full_get_segment_t0_from_state(state, (int)i), at_ms, end_ms);
        segment->end_ms = clamp_ms(whisper_full_get_segment_t1_from_state(state, (int)i),
                                   segment->start_ms, end_ms);
        segment->mean_logprob = finite_or_zero(tokens->mean_logprob);
        segment->no_speech = no_speech;
        segment->tokens = (uint32_t)tokens->count;
        segment->first_word = words.count;
        if (with_words)
            add_words(tokens, end_ms, arena, &words);
        segment->word_count = words.count - segment->first_word;
        at_ms = segment->start_ms;
    }
    ret->segments = segments;
    ret->segment_count = used;
    ret->words = words.items;
    ret->word_count = words.count;
    return arena_ok(arena) ? true : err_no_memory(err);
}
