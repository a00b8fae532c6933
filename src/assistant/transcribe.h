/* transcribe.h - a sound file as text, or as the times at which somebody speaks.
 *
 * Purpose: pulled, piece by piece, as chat is: transcription_start() decodes the beginning, transcription_next() gives
 *   what comes next. Only pieces in which somebody speaks reach the recogniser; without any no model is loaded.
 * Owner:   transcription_start() gives the transcription to the caller, who ends it with transcription_end(). Texts of
 *   events lie in the request's arena.
 * Threads: one. The request's cancel flag may be fired from any.
 * Fails:   ERR_UNSUPPORTED, ERR_DOCUMENT (the file), ERR_MODEL_NOT_FOUND (no speech model), ERR_CANCELLED, ERR_TIMEOUT.
 */
#ifndef JARVIS_ASSISTANT_TRANSCRIBE_H
#define JARVIS_ASSISTANT_TRANSCRIBE_H

#include <stdbool.h>
#include <stdint.h>

#include "assistant/request.h"
#include "assistant/runtime.h"
#include "voice/vad.h"

/* As the language: found anew for each piece. */
#define TRANSCRIBE_EACH "each"

struct transcribe_request {
    int file; /* descriptor open for reading; stays the caller's until transcription_end() */
    const char *name;     /* for messages */
    const char *model;    /* NULL: the default */
    const char *language; /* "es"; NULL or "": detected in the first piece; TRANSCRIBE_EACH */
    const char *prompt;   /* names and words to expect; NULL */
    float temperature;
    bool translate;   /* to English */
    bool words;       /* with the times of words */
    bool speech_only; /* no text: only when somebody speaks */
    bool no_gate;     /* everything goes to the recogniser, silence too */
    enum vad_engine engine;
    int aggressiveness;
};

/* VAD_RNNOISE, VAD_AGGRESSIVENESS_DEFAULT, the rest off. */
struct transcribe_request transcribe_request_default(void);

struct transcribed_word {
    const char *text;
    int64_t start_ms;
    int64_t end_ms;
    float probability;
};

/* A piece of the file; times count from its beginning. */
struct transcribed_segment {
    int64_t start_ms;
    int64_t end_ms;
    const char *text;     /* NULL with speech_only */
    const char *language; /* NULL with speech_only */
    const struct transcribed_word *words;
    uint32_t word_count;
    uint32_t tokens;
    float mean_logprob;
    float no_speech;
};

/* What is known at the end; also before, of what has been heard so far. */
struct transcribe_summary {
    const char *model;    /* NULL: none was needed */
    const char *language; /* of the first piece; "" when nobody spoke */
    int64_t duration_ms;  /* of the sound */
    int64_t speech_ms;    /* that somebody speaks */
    int64_t given_ms;     /* of sound given to the recogniser, padding included */
    uint32_t pieces;      /* given to it */
    double compute_ms;    /* that it took */
};

enum transcribe_event_type { TRANSCRIBE_PROGRESS, TRANSCRIBE_SEGMENT, TRANSCRIBE_DONE };

struct transcribe_event {
    enum transcribe_event_type type;
    float fraction;                     /* PROGRESS: of the file, 0..1 */
    struct transcribed_segment segment; /* SEGMENT */
};

struct transcription;

bool transcription_start(struct runtime *runtime, struct request *request,
                         const struct transcribe_request *asked, struct transcription **ret,
                         struct err *err);

/* After DONE or an error only transcription_end() may be called. */
bool transcription_next(struct transcription *transcription, struct transcribe_event *ret,
                        struct err *err);
const struct transcribe_summary *transcription_summary(const struct transcription *transcription);
void transcription_end(struct transcription *transcription); /* NULL is fine */

#endif
