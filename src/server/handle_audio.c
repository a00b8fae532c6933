/* POST /v1/audio/transcriptions, /v1/audio/translations, and /v1/jarvis/transcribe, which takes the path of a file of
 * any length and tells how far it is. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/vec.h"
#include "orchestrator/registry.h"
#include "server/audio.h"
#include "server/handlers.h"
#include "server/openai_write.h"
#include "server/sse.h"

enum {
    SEGMENTS_MAX = 1000 * 1000,
    PROGRESS_PAUSE_MS = 100,
    KEEP_ALIVE_MS = 10 * 1000,
};

/* One transcription on its way, in the request's arena. */
struct listening {
    struct http_request *http;
    struct audio_asked asked;
    struct transcription *transcription;
    struct audio_heard heard;
    int file;
    bool local;    /* our own route's events, not OpenAI's */
    deadline next; /* before it no progress is told, or nothing that keeps the connection alive */
};

/* ---------------------------------------------------------------- beginning and end */

/* The bytes as a file that has no name. */
static bool file_of_bytes(const struct upload_file *upload, int *ret, struct err *err)
{
    int fd = memfd_create("upload", MFD_CLOEXEC);
    if (fd < 0)
        return err_set_errno(err, ERR_IO, errno, "cannot keep the uploaded file");
    if (!fs_write_all(fd, upload->bytes, upload->length, err)) {
        close(fd);
        return false;
    }
    *ret = fd;
    return true;
}

static bool file_of_path(const char *path, int *ret, struct err *err)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return err_set_errno(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno,
                             "cannot open \"%s\"", path);
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
        close(fd);
        return err_set_param(err, ERR_INVALID_REQUEST, "path", "\"%s\" is no file", path);
    }
    *ret = fd;
    return true;
}

static void end_listening(void *state)
{
    struct listening *listening = state;
    transcription_end(listening->transcription);
    free(listening->heard.segments);
    if (listening->file >= 0)
        close(listening->file);
}

/* Starts on the file, which becomes the request's. */
static bool begin_listening(struct http_request *http, const struct audio_asked *asked, int file,
                            const char *name, struct listening **ret, struct err *err)
{
    struct listening *listening = arena_alloc(&http->arena, sizeof(*listening));
    if (!listening) {
        close(file);
        return err_no_memory(err);
    }
    listening->http = http;
    listening->asked = *asked;
    listening->file = file;
    listening->asked.transcribe.file = file;
    listening->asked.transcribe.name = name;
    http->record.model = asked->transcribe.model;
    if (!transcription_start(http->runtime, &http->request, &listening->asked.transcribe,
                             &listening->transcription, err)) {
        end_listening(listening);
        return false;
    }
    *ret = listening;
    return true;
}

static bool keep_segment(struct listening *listening, const struct transcribed_segment *segment,
                         struct err *err)
{
    struct audio_heard *heard = &listening->heard;
    if (!vec_reserve(&heard->segments, &heard->capacity, heard->count + 1, sizeof(*heard->segments),
                     SEGMENTS_MAX, err))
        return false;
    heard->segments[heard->count++] = *segment;
    return true;
}

/* ---------------------------------------------------------------- a whole answer */

static bool answer_whole(struct listening *listening, struct err *err)
{
    struct http_request *http = listening->http;
    struct str *out = &http->answer.body;
    struct transcribe_event event = {0};
    const struct audio_asked *asked = &listening->asked;
    http->answer.content_type = audio_content_type(asked->format);
    audio_write_begin(out, asked);
    while (event.type != TRANSCRIBE_DONE) {
        if (!transcription_next(listening->transcription, &event, err))
            return false;
        if (event.type == TRANSCRIBE_SEGMENT && !keep_segment(listening, &event.segment, err))
            return false;
    }
    const struct transcribe_summary *summary = transcription_summary(listening->transcription);
    http->record.model = summary->model;
    for (size_t i = 0; audio_is_gradual(asked) && i < listening->heard.count; i++)
        audio_write_segment(out, asked, i + 1, &listening->heard.segments[i]);
    if (!audio_is_gradual(asked))
        audio_write_whole(out, asked, &listening->heard, summary);
    return true;
}

/* ---------------------------------------------------------------- OpenAI's events */

static void write_delta(struct listening *listening, const char *text, struct str *out)
{
    struct writer writer;
    struct str delta;
    str_init(&delta, out->max);
    str_printf(&delta, "%s%s", listening->heard.count > 1 ? " " : "", text);
    sse_begin(out, NULL);
    writer_begin(&writer, out);
    writer_object(&writer, NULL);
    writer_text(&writer, "type", "transcript.text.delta");
    writer_text_n(&writer, "delta", str_text(&delta), delta.length);
    writer_end(&writer);
    sse_end(out);
    str_free(&delta);
}

static void write_done(struct listening *listening, struct str *out)
{
    struct writer writer;
    struct str text;
    str_init(&text, out->max);
    audio_write_text(&text, &listening->heard);
    sse_begin(out, NULL);
    writer_begin(&writer, out);
    writer_object(&writer, NULL);
    writer_text(&writer, "type", "transcript.text.done");
    writer_text_n(&writer, "text", str_text(&text), text.length);
    audio_write_usage(&writer, transcription_summary(listening->transcription));
    writer_end(&writer);
    sse_end(out);
    str_free(&text);
}

/* ---------------------------------------------------------------- our own events */

static void write_output(const struct str *text, struct str *out)
{
    struct writer writer;
    sse_begin(out, "output");
    writer_begin(&writer, out);
    writer_object(&writer, NULL);
    writer_text_n(&writer, "text", str_text(text), text->length);
    writer_end(&writer);
    sse_end(out);
}

static void write_progress(struct listening *listening, float fraction, struct str *out)
{
    const struct transcribe_summary *summary = transcription_summary(listening->transcription);
    struct writer writer;
    sse_begin(out, "progress");
    writer_begin(&writer, out);
    writer_object(&writer, NULL);
    writer_float(&writer, "fraction", fraction);
    writer_number(&writer, "seconds", (double)summary->duration_ms / 1000);
    writer_end(&writer);
    sse_end(out);
}

/* What has to be said of the model that came with the program. */
static const char *notice_of(const struct transcribe_summary *summary, enum lang lang)
{
    bool house = summary->model && strcmp(summary->model, REGISTRY_HOUSE_SPEECH) == 0;
    return house ? TR(lang, "heard by the built-in speech model (small), which knows synthesised "
                            "voices only; for people: jarvis pull --recommend")
                 : NULL;
}

static void write_summary(struct listening *listening, struct str *out)
{
    const struct transcribe_summary *summary = transcription_summary(listening->transcription);
    struct writer writer;
    sse_begin(out, "done");
    writer_begin(&writer, out);
    writer_object(&writer, NULL);
    writer_text(&writer, "model", summary->model);
    writer_text(&writer, "language", summary->language);
    writer_number(&writer, "seconds", (double)summary->duration_ms / 1000);
    writer_number(&writer, "speech_seconds", (double)summary->speech_ms / 1000);
    writer_number(&writer, "given_seconds", (double)summary->given_ms / 1000);
    writer_uint(&writer, "pieces", summary->pieces);
    writer_ms(&writer, "compute_ms", summary->compute_ms);
    writer_text(&writer, "notice", notice_of(summary, listening->http->request.lang));
    openai_write_house(&writer, listening->http->request.house);
    writer_end(&writer);
    sse_end(out);
}

static void write_local(struct listening *listening, const struct transcribe_event *event,
                        struct str *out)
{
    const struct audio_asked *asked = &listening->asked;
    struct str text;
    str_init(&text, out->max);
    if (event->type == TRANSCRIBE_SEGMENT && listening->heard.count == 1)
        audio_write_begin(&text, asked);
    if (event->type == TRANSCRIBE_SEGMENT && audio_is_gradual(asked))
        audio_write_segment(&text, asked, listening->heard.count, &event->segment);
    if (event->type == TRANSCRIBE_DONE && listening->heard.count == 0)
        audio_write_begin(&text, asked);
    if (event->type == TRANSCRIBE_DONE && !audio_is_gradual(asked))
        audio_write_whole(&text, asked, &listening->heard,
                          transcription_summary(listening->transcription));
    if (text.length > 0)
        write_output(&text, out);
    str_free(&text);
    if (event->type == TRANSCRIBE_DONE)
        write_summary(listening, out);
}

/* ---------------------------------------------------------------- a stream */

/* Nothing to say but that it goes on. */
static void write_patience(struct listening *listening, float fraction, struct str *out)
{
    if (!deadline_passed(listening->next))
        return;
    listening->next = deadline_in_ms(listening->local ? PROGRESS_PAUSE_MS : KEEP_ALIVE_MS);
    if (listening->local)
        write_progress(listening, fraction, out);
    else
        sse_keep_alive(out);
}

static void write_problem(struct listening *listening, const struct err *problem, struct str *out)
{
    struct http_request *http = listening->http;
    http->record.failed = true;
    log_error(http->http->log, http->trace.id, http->path, problem);
    sse_begin(out, listening->local ? "error" : NULL);
    openai_write_error(out, problem, http->request.lang);
    sse_end(out);
}

static bool next_event(void *state, struct str *out)
{
    struct listening *listening = state;
    struct transcribe_event event;
    struct err err;
    bool ok = transcription_next(listening->transcription, &event, &err);
    if (ok && event.type == TRANSCRIBE_SEGMENT)
        ok = keep_segment(listening, &event.segment, &err);
    if (!ok) {
        write_problem(listening, &err, out);
        return false;
    }
    if (event.type == TRANSCRIBE_PROGRESS)
        write_patience(listening, event.fraction, out);
    else if (listening->local)
        write_local(listening, &event, out);
    else if (event.type == TRANSCRIBE_SEGMENT)
        write_delta(listening, event.segment.text, out);
    else
        write_done(listening, out);
    if (event.type == TRANSCRIBE_DONE)
        listening->http->record.model = transcription_summary(listening->transcription)->model;
    return event.type != TRANSCRIBE_DONE;
}

/* ---------------------------------------------------------------- the routes */

static bool answer_upload(struct http_request *http, bool translate, struct err *err)
{
    struct upload_file upload;
    struct audio_asked asked;
    struct listening *listening = NULL;
    int file = -1;
    if (!upload_finish(http->upload, &upload, err) ||
        !audio_parse_form(http->upload, translate, &asked, err) ||
        !file_of_bytes(&upload, &file, err) ||
        !begin_listening(http, &asked, file, upload.name, &listening, err))
        return false;
    if (asked.stream) {
        http_send_stream(http, &(struct http_stream){next_event, end_listening, listening});
        return true;
    }
    bool ok = answer_whole(listening, err);
    end_listening(listening);
    return ok;
}

bool handle_audio_transcribe(struct http_request *request, struct err *err)
{
    return answer_upload(request, false, err);
}

bool handle_audio_translate(struct http_request *request, struct err *err)
{
    return answer_upload(request, true, err);
}

bool handle_jarvis_transcribe(struct http_request *request, struct err *err)
{
    struct audio_asked asked;
    struct listening *listening = NULL;
    int file = -1;
    if (!audio_parse_json(request->body.data, request->body.length, &request->arena, &asked, err) ||
        !file_of_path(asked.path, &file, err) ||
        !begin_listening(request, &asked, file, asked.path, &listening, err))
        return false;
    listening->local = true;
    http_send_stream(request, &(struct http_stream){next_event, end_listening, listening});
    return true;
}
