#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "server/audio.h"
#include "server/body.h"

enum { LANGUAGE_MAX = 32 };

static const char *const format_names[AUDIO_FORMATS] = {"json", "text", "verbose_json", "srt",
                                                        "vtt"};

static bool parse_format(const char *name, enum audio_format *ret, struct err *err)
{
    for (int format = 0; format < AUDIO_FORMATS; format++) {
        if (strcmp(name, format_names[format]) == 0) {
            *ret = (enum audio_format)format;
            return true;
        }
    }
    return err_set_param(err, ERR_INVALID_REQUEST, "response_format",
                         "\"response_format\" must be json, text, verbose_json, srt or vtt");
}

static bool check_temperature(double temperature, struct transcribe_request *transcribe,
                              struct err *err)
{
    if (!isfinite(temperature) || temperature < 0 || temperature > 1)
        return err_set_param(err, ERR_INVALID_REQUEST, "temperature",
                             "\"temperature\" must be a number from 0 to 1");
    transcribe->temperature = (float)temperature;
    return true;
}

/* Lower-case letters, as in "es"; which of them a model knows only the model can tell. */
static bool check_language(const char *language, struct err *err)
{
    size_t length = language ? strlen(language) : 0;
    if (length <= LANGUAGE_MAX &&
        (!language || strspn(language, "abcdefghijklmnopqrstuvwxyz") == length))
        return true;
    return err_set_param(err, ERR_INVALID_REQUEST, "language",
                         "\"language\" must be a code of two letters, as in \"es\"");
}

/* ---------------------------------------------------------------- OpenAI's form */

static const char *field(const struct upload *upload, const char *name)
{
    const char *value = upload_field(upload, name, 0);
    return value && *value ? value : NULL;
}

static bool parse_granularities(const struct upload *upload, struct audio_asked *asked,
                                struct err *err)
{
    const char *value;
    bool segments = false;
    for (size_t i = 0; (value = upload_field(upload, "timestamp_granularities[]", i)); i++) {
        bool word = strcmp(value, "word") == 0;
        if (!word && strcmp(value, "segment") != 0)
            return err_set_param(err, ERR_INVALID_REQUEST, "timestamp_granularities",
                                 "\"timestamp_granularities\" may hold \"word\" and \"segment\"");
        asked->transcribe.words = asked->transcribe.words || word;
        segments = segments || !word;
    }
    asked->segments = segments || !asked->transcribe.words;
    return true;
}

static bool parse_number(const char *text, struct transcribe_request *transcribe, struct err *err)
{
    char *end;
    double value = text ? strtod(text, &end) : 0;
    return check_temperature(text && (end == text || *end) ? NAN : value, transcribe, err);
}

bool audio_parse_form(const struct upload *upload, bool translate, struct audio_asked *ret,
                      struct err *err)
{
    struct audio_asked asked = {.transcribe = transcribe_request_default()};
    const char *format = field(upload, "response_format");
    const char *stream = field(upload, "stream");
    asked.transcribe.model = field(upload, "model");
    asked.transcribe.language = translate ? NULL : field(upload, "language");
    asked.transcribe.prompt = field(upload, "prompt");
    asked.transcribe.translate = translate;
    asked.stream = stream && (strcmp(stream, "true") == 0 || strcmp(stream, "1") == 0);
    /* The name of OpenAI's own model, which clients have written into them, means ours. */
    if (asked.transcribe.model && strcmp(asked.transcribe.model, "whisper-1") == 0)
        asked.transcribe.model = NULL;
    if ((format && !parse_format(format, &asked.format, err)) ||
        !check_language(asked.transcribe.language, err) ||
        !parse_number(field(upload, "temperature"), &asked.transcribe, err) ||
        !parse_granularities(upload, &asked, err))
        return false;
    *ret = asked;
    return true;
}

/* ---------------------------------------------------------------- our own route */

static bool parse_engine(yyjson_val *root, struct transcribe_request *transcribe, struct err *err)
{
    const char *name = NULL;
    if (!json_opt_string(root, "vad", &name, err))
        return false;
    if (name && strcmp(name, "none") == 0)
        transcribe->no_gate = true;
    else if (name && !vad_engine_parse(name, &transcribe->engine))
        return err_set_param(err, ERR_INVALID_REQUEST, "vad",
                             "\"vad\" must be \"rnnoise\", \"energy\" or \"none\"");
    return true;
}

static bool parse_options(yyjson_val *root, struct arena *arena, struct audio_asked *asked,
                          struct err *err)
{
    struct transcribe_request *transcribe = &asked->transcribe;
    const char *format = NULL;
    double temperature = 0;
    int64_t aggressiveness = transcribe->aggressiveness;
    if (!body_text(root, "model", arena, &transcribe->model, err) ||
        !body_text(root, "language", arena, &transcribe->language, err) ||
        !body_text(root, "prompt", arena, &transcribe->prompt, err) ||
        !body_text(root, "response_format", arena, &format, err) ||
        !json_opt_double(root, "temperature", 0, 1, &temperature, err) ||
        !json_opt_bool(root, "translate", &transcribe->translate, err) ||
        !json_opt_bool(root, "words", &transcribe->words, err) ||
        !json_opt_bool(root, "speech_only", &transcribe->speech_only, err) ||
        !json_opt_int(root, "aggressiveness", 0, VAD_AGGRESSIVENESS_MAX, &aggressiveness, err) ||
        !parse_engine(root, transcribe, err))
        return false;
    transcribe->temperature = (float)temperature;
    transcribe->aggressiveness = (int)aggressiveness;
    return (!format || parse_format(format, &asked->format, err)) &&
           check_language(transcribe->language, err);
}

bool audio_parse_json(const char *body, size_t length, struct arena *arena, struct audio_asked *ret,
                      struct err *err)
{
    yyjson_doc *doc = NULL;
    struct audio_asked asked = {.transcribe = transcribe_request_default(), .segments = true};
    if (!body_object(body, length, &doc, err))
        return false;
    yyjson_val *root = yyjson_doc_get_root(doc);
    bool ok = body_need_text(root, "path", arena, &asked.path, err) &&
              parse_options(root, arena, &asked, err);
    yyjson_doc_free(doc);
    if (ok && asked.path[0] != '/')
        ok = err_set_param(err, ERR_INVALID_REQUEST, "path",
                           "\"%s\" is not an absolute path; write it from / on", asked.path);
    if (ok)
        *ret = asked;
    return ok;
}
