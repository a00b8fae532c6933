/* Encoders and decoders of protocol.h, third part: speech. Times that a model gives are only guesses, so a decoder
 * checks that they are in order and inside the sound, and whoever uses them need not. */
#include <math.h>

#include "ipc/protocol.h"
#include "ipc/wire.h"

enum {
    SEGMENT_BYTES = 32, /* the least that a msg_segment takes in a message */
    WORD_BYTES = 16,
    SPEECH_MS_MAX = MSG_SPEECH_SAMPLES_MAX / (MSG_SPEECH_RATE / 1000),
};

static float get_number(struct wire_reader *in)
{
    float value = wire_get_f32(in);
    if (isfinite(value))
        return value;
    in->failed = true;
    return 0;
}

/* ---------------------------------------------------------------- SOUND */

static bool all_finite(const float *samples, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (!isfinite(samples[i]))
            return false;
    return true;
}

void msg_put_sound(struct str *out, const struct msg_sound *message)
{
    wire_put_f32s(out, message->samples, message->count);
    wire_put_f32(out, message->fraction);
}

bool msg_get_sound(const void *bytes, size_t length, struct arena *arena, struct msg_sound *ret,
                   struct err *err)
{
    struct wire_reader in;
    wire_reader_init(&in, bytes, length);
    struct msg_sound message = {0};
    message.samples = wire_get_f32s(&in, arena, &message.count);
    message.fraction = get_number(&in);
    if (message.samples && !all_finite(message.samples, message.count))
        in.failed = true;
    if (!wire_done(&in, "SOUND", err))
        return false;
    *ret = message;
    return true;
}

/* ---------------------------------------------------------------- TRANSCRIBE */

void msg_put_transcribe(struct str *out, const struct msg_transcribe *message)
{
    wire_put_f32s(out, message->samples, message->sample_count);
    wire_put_text(out, message->language);
    wire_put_text(out, message->prompt);
    wire_put_f32(out, message->temperature);
    wire_put_u8(out, message->translate);
    wire_put_u8(out, message->words);
    wire_put_u8(out, message->fast);
}

bool msg_get_transcribe(const void *bytes, size_t length, struct arena *arena,
                        struct msg_transcribe *ret, struct err *err)
{
    struct wire_reader in;
    wire_reader_init(&in, bytes, length);
    struct msg_transcribe message = {0};
    message.samples = wire_get_f32s(&in, arena, &message.sample_count);
    message.language = wire_get_text(&in, arena);
    message.prompt = wire_get_text(&in, arena);
    message.temperature = get_number(&in);
    message.translate = wire_get_bool(&in);
    message.words = wire_get_bool(&in);
    message.fast = wire_get_bool(&in);
    if (message.sample_count > MSG_SPEECH_SAMPLES_MAX ||
        (message.samples && !all_finite(message.samples, message.sample_count)))
        in.failed = true;
    if (!wire_done(&in, "TRANSCRIBE", err))
        return false;
    *ret = message;
    return true;
}

/* ---------------------------------------------------------------- TRANSCRIBED */

void msg_put_transcribed(struct str *out, const struct msg_transcribed *message)
{
    wire_put_text(out, message->language);
    wire_put_f32(out, message->language_probability);
    wire_put_u32(out, message->segment_count);
    for (uint32_t i = 0; i < message->segment_count; i++) {
        const struct msg_segment *segment = &message->segments[i];
        wire_put_text(out, segment->text);
        wire_put_u32(out, segment->start_ms);
        wire_put_u32(out, segment->end_ms);
        wire_put_f32(out, segment->mean_logprob);
        wire_put_f32(out, segment->no_speech);
        wire_put_u32(out, segment->first_word);
        wire_put_u32(out, segment->word_count);
        wire_put_u32(out, segment->tokens);
    }
    wire_put_u32(out, message->word_count);
    for (uint32_t i = 0; i < message->word_count; i++) {
        wire_put_text(out, message->words[i].text);
        wire_put_u32(out, message->words[i].start_ms);
        wire_put_u32(out, message->words[i].end_ms);
        wire_put_f32(out, message->words[i].probability);
    }
    wire_put_f64(out, message->compute_ms);
}

static const struct msg_segment *get_segments(struct wire_reader *in, struct arena *arena,
                                              uint32_t *ret_count)
{
    uint32_t count = wire_get_count(in, SEGMENT_BYTES, MSG_SEGMENTS_MAX);
    struct msg_segment *segments = arena_array(arena, count, sizeof(*segments));
    if (!segments)
        in->failed = true;
    for (uint32_t i = 0; segments && i < count; i++) {
        segments[i].text = wire_get_text(in, arena);
        segments[i].start_ms = wire_get_u32(in);
        segments[i].end_ms = wire_get_u32(in);
        segments[i].mean_logprob = get_number(in);
        segments[i].no_speech = get_number(in);
        segments[i].first_word = wire_get_u32(in);
        segments[i].word_count = wire_get_u32(in);
        segments[i].tokens = wire_get_u32(in);
    }
    *ret_count = count;
    return segments;
}

static const struct msg_word *get_words(struct wire_reader *in, struct arena *arena,
                                        uint32_t *ret_count)
{
    uint32_t count = wire_get_count(in, WORD_BYTES, MSG_WORDS_MAX);
    struct msg_word *words = arena_array(arena, count, sizeof(*words));
    if (!words)
        in->failed = true;
    for (uint32_t i = 0; words && i < count; i++) {
        words[i].text = wire_get_text(in, arena);
        words[i].start_ms = wire_get_u32(in);
        words[i].end_ms = wire_get_u32(in);
        words[i].probability = get_number(in);
    }
    *ret_count = count;
    return words;
}

/* From `*at` on, not after the end of the sound; moves `*at` to the start. */
static bool times_fit(uint32_t start, uint32_t end, uint32_t *at)
{
    bool ok = start >= *at && end >= start && end <= SPEECH_MS_MAX;
    *at = start;
    return ok;
}

/* Segments in order of time, their words one after the other, each word after the one before it. */
static bool is_in_order(const struct msg_transcribed *message)
{
    uint32_t next_word = 0, at = 0;
    for (uint32_t i = 0; i < message->segment_count; i++) {
        const struct msg_segment *segment = &message->segments[i];
        if (!times_fit(segment->start_ms, segment->end_ms, &at) ||
            segment->first_word != next_word ||
            segment->word_count > message->word_count - next_word)
            return false;
        next_word += segment->word_count;
    }
    at = 0;
    for (uint32_t i = 0; i < message->word_count; i++)
        if (!times_fit(message->words[i].start_ms, message->words[i].end_ms, &at))
            return false;
    return next_word == message->word_count;
}

bool msg_get_transcribed(const void *bytes, size_t length, struct arena *arena,
                         struct msg_transcribed *ret, struct err *err)
{
    struct wire_reader in;
    wire_reader_init(&in, bytes, length);
    struct msg_transcribed message = {.language = wire_get_text(&in, arena)};
    message.language_probability = get_number(&in);
    message.segments = get_segments(&in, arena, &message.segment_count);
    message.words = get_words(&in, arena, &message.word_count);
    message.compute_ms = wire_get_f64(&in);
    if (!in.failed && (!isfinite(message.compute_ms) || !is_in_order(&message)))
        in.failed = true;
    if (!wire_done(&in, "TRANSCRIBED", err))
        return false;
    *ret = message;
    return true;
}
