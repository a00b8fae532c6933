/* audio.h - requests for transcriptions, and the shapes of their answers.
 *
 * Purpose: the fields of OpenAI's multipart form, and the JSON of our own route, become one struct; a transcription
 *   becomes json, verbose_json, text, srt, vtt, or the times at which somebody speaks.
 * Owner:   texts lie in the request's arena or in the upload; answers go into the caller's builder.
 * Threads: safe from any (pure functions). Fails: ERR_INVALID_REQUEST naming the field.
 */
#ifndef JARVIS_SERVER_AUDIO_H
#define JARVIS_SERVER_AUDIO_H

#include "assistant/transcribe.h"
#include "server/upload.h"
#include "server/writer.h"

enum audio_format {
    AUDIO_JSON,
    AUDIO_TEXT,
    AUDIO_VERBOSE_JSON,
    AUDIO_SRT,
    AUDIO_VTT,
    AUDIO_FORMATS
};

struct audio_asked {
    struct transcribe_request transcribe; /* without the file */
    enum audio_format format;
    const char *path; /* our own route: absolute */
    bool stream;
    bool segments; /* verbose_json: with segments; and with words where transcribe.words says so */
};

/* POST /v1/audio/transcriptions and …/translations. */
bool audio_parse_form(const struct upload *upload, bool translate, struct audio_asked *ret,
                      struct err *err);

/* POST /v1/jarvis/transcribe. */
bool audio_parse_json(const char *body, size_t length, struct arena *arena, struct audio_asked *ret,
                      struct err *err);

const char *audio_content_type(enum audio_format format);

/* What has been heard, in order. */
struct audio_heard {
    struct transcribed_segment *segments;
    size_t count;
    size_t capacity;
};

/* Whether the format is written segment by segment, as they come; else whole, at the end. */
bool audio_is_gradual(const struct audio_asked *asked);

void audio_write_begin(struct str *out, const struct audio_asked *asked);
void audio_write_segment(struct str *out, const struct audio_asked *asked, size_t number,
                         const struct transcribed_segment *segment);
void audio_write_whole(struct str *out, const struct audio_asked *asked,
                       const struct audio_heard *heard, const struct transcribe_summary *summary);

/* The texts of all segments, a space between them. */
void audio_write_text(struct str *out, const struct audio_heard *heard);

/* {"type":"duration","seconds":N}: how much was listened to. */
void audio_write_usage(struct writer *writer, const struct transcribe_summary *summary);

#endif
