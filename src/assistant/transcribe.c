/* How it works. transcription_next() pulls half a second of samples from the decoder's process, asks for each 10 ms of
 * it how probable speech is, and gives both to the segmenter. What that cuts out is copied to a short queue, whose
 * first piece the next call gives to the recogniser. So at any time there is one piece at most in the recogniser, a few
 * seconds in the queue, and a second or two in the decoder's socket, however long the file. */
#include "assistant/transcribe.h"

#include <stdlib.h>
#include <string.h>

#include "assistant/internal.h"
#include "orchestrator/sound.h"
#include "voice/segment.h"

enum {
    PIECES_MAX = 64, /* waiting: half a second holds far fewer */
    ANSWER_ARENA_MAX = 8 << 20,
};

/* A piece that waits for the recogniser. */
struct waiting {
    float *samples;
    size_t count;
    int64_t begin_ms;
    int64_t speech_begin_ms;
    int64_t speech_end_ms;
};

struct transcription {
    struct runtime *runtime;
    struct request *request;
    struct transcribe_request asked;
    struct wait wait;
    struct sound *sound;
    struct vad *vad;
    struct segmenter *segmenter;
    struct lease *lease; /* NULL until somebody speaks */
    const char *model;
    bool ended;               /* the sound */
    float step[SEGMENT_STEP]; /* samples that fill no step yet */
    size_t step_count;
    float probability; /* of the step that has just been fed to the detector */
    struct waiting pieces[PIECES_MAX];
    size_t piece_count;
    struct transcribe_event *events;
    size_t event_count;
    size_t event_next;
    struct transcribe_summary summary;
};

struct transcribe_request transcribe_request_default(void)
{
    return (struct transcribe_request){
        .file = -1, .engine = VAD_RNNOISE, .aggressiveness = VAD_AGGRESSIVENESS_DEFAULT};
}

/* ---------------------------------------------------------------- from samples to pieces */

static bool keep_piece(void *user, const struct segment_piece *piece, struct err *err)
{
    struct transcription *transcription = user;
    transcription->summary.speech_ms += piece->speech_end_ms - piece->speech_begin_ms;
    if (transcription->piece_count == PIECES_MAX)
        return err_set(err, ERR_INTERNAL, "more than %d pieces of speech wait", PIECES_MAX);
    struct waiting *waiting = &transcription->pieces[transcription->piece_count];
    *waiting = (struct waiting){.count = piece->count,
                                .begin_ms = piece->begin_ms,
                                .speech_begin_ms = piece->speech_begin_ms,
                                .speech_end_ms = piece->speech_end_ms};
    waiting->samples = calloc(piece->count, sizeof(*waiting->samples));
    if (!waiting->samples)
        return err_no_memory(err);
    memcpy(waiting->samples, piece->samples, piece->count * sizeof(*waiting->samples));
    transcription->piece_count++;
    return true;
}

static void drop_piece(struct transcription *transcription)
{
    free(transcription->pieces[0].samples);
    transcription->piece_count--;
    memmove(transcription->pieces, transcription->pieces + 1,
            transcription->piece_count * sizeof(transcription->pieces[0]));
}

static void on_step(void *user, float probability)
{
    struct transcription *transcription = user;
    transcription->probability = probability;
}

static bool feed_step(struct transcription *transcription, struct err *err)
{
    transcription->probability = 1; /* without a gate all is speech */
    if (!transcription->asked.no_gate)
        vad_feed(transcription->vad, transcription->step, SEGMENT_STEP, on_step, transcription);
    transcription->step_count = 0;
    return segmenter_feed(transcription->segmenter, transcription->step, transcription->probability,
                          err);
}

static bool feed(struct transcription *transcription, const float *samples, size_t count,
                 struct err *err)
{
    transcription->summary.duration_ms += (int64_t)count / (SEGMENT_RATE / 1000);
    while (count > 0) {
        size_t part = SEGMENT_STEP - transcription->step_count;
        if (part > count)
            part = count;
        memcpy(transcription->step + transcription->step_count, samples, part * sizeof(*samples));
        transcription->step_count += part;
        samples += part;
        count -= part;
        if (transcription->step_count == SEGMENT_STEP && !feed_step(transcription, err))
            return false;
    }
    return true;
}

/* Fills the last step with silence and closes the last piece. */
static bool finish_sound(struct transcription *transcription, struct err *err)
{
    transcription->ended = true;
    if (transcription->step_count > 0) {
        memset(transcription->step + transcription->step_count, 0,
               (SEGMENT_STEP - transcription->step_count) * sizeof(float));
        if (!feed_step(transcription, err))
            return false;
    }
    return segmenter_finish(transcription->segmenter, err);
}

/* Takes what the decoder has next; *ret_fraction is how far that is. */
static bool listen_on(struct transcription *transcription, float *ret_fraction, struct err *err)
{
    struct msg_sound sound;
    bool done = false;
    if (!request_check(transcription->request, err) ||
        !sound_next(transcription->sound, &sound, &done, err))
        return false;
    *ret_fraction = done ? 1 : sound.fraction;
    return done ? finish_sound(transcription, err)
                : feed(transcription, sound.samples, sound.count, err);
}

/* ---------------------------------------------------------------- from pieces to text */

static bool need_lease(struct transcription *transcription, struct err *err)
{
    return transcription->lease ||
           model_lease(transcription->runtime, transcription->request, transcription->asked.model,
                       ROLE_SPEECH, &transcription->lease, &transcription->model, err);
}

/* The language to ask for: the one given, else the one found in the first piece, unless each has its own. */
static const char *language_for(const struct transcription *transcription)
{
    const char *asked = transcription->asked.language;
    if (asked && strcmp(asked, TRANSCRIBE_EACH) == 0)
        return "";
    if (asked && *asked)
        return asked;
    return transcription->summary.language;
}

/* The words of a segment, copied, with times of the file. */
static const struct transcribed_word *copy_words(struct arena *arena,
                                                 const struct msg_transcribed *heard,
                                                 const struct msg_segment *segment,
                                                 int64_t begin_ms)
{
    struct transcribed_word *words = arena_array(arena, segment->word_count, sizeof(*words));
    for (uint32_t i = 0; words && i < segment->word_count; i++) {
        const struct msg_word *word = &heard->words[segment->first_word + i];
        words[i] = (struct transcribed_word){.text = arena_copy(arena, word->text),
                                             .start_ms = begin_ms + word->start_ms,
                                             .end_ms = begin_ms + word->end_ms,
                                             .probability = word->probability};
    }
    return words;
}

/* The bounds of the only segment of a piece are those of the speech; between several the recogniser's hold. */
static void bound(const struct waiting *piece, const struct msg_transcribed *heard, uint32_t index,
                  struct transcribed_segment *ret)
{
    const struct msg_segment *segment = &heard->segments[index];
    ret->start_ms = index == 0 ? piece->speech_begin_ms : piece->begin_ms + segment->start_ms;
    ret->end_ms = index + 1 == heard->segment_count ? piece->speech_end_ms
                                                    : piece->begin_ms + segment->end_ms;
    if (ret->end_ms < ret->start_ms)
        ret->end_ms = ret->start_ms;
}

static bool keep_heard(struct transcription *transcription, const struct waiting *piece,
                       const struct msg_transcribed *heard, struct err *err)
{
    struct arena *arena = transcription->request->arena;
    struct transcribe_event *events = arena_array(arena, heard->segment_count, sizeof(*events));
    const char *language = arena_copy(arena, heard->language);
    if (!events || !language)
        return err_no_memory(err);
    for (uint32_t i = 0; i < heard->segment_count; i++) {
        const struct msg_segment *from = &heard->segments[i];
        struct transcribed_segment *segment = &events[i].segment;
        events[i].type = TRANSCRIBE_SEGMENT;
        bound(piece, heard, i, segment);
        segment->text = arena_copy(arena, from->text);
        segment->language = language;
        segment->words = copy_words(arena, heard, from, piece->begin_ms);
        segment->word_count = from->word_count;
        segment->tokens = from->tokens;
        segment->mean_logprob = from->mean_logprob;
        segment->no_speech = from->no_speech;
    }
    if (heard->segment_count > 0 && !*transcription->summary.language)
        transcription->summary.language = language;
    transcription->events = events;
    transcription->event_count = heard->segment_count;
    transcription->event_next = 0;
    return arena_ok(arena) ? true : err_no_memory(err);
}

static bool recognise(struct transcription *transcription, const struct waiting *piece,
                      struct err *err)
{
    const struct transcribe_request *asked = &transcription->asked;
    const struct msg_transcribe message = {
        .samples = piece->samples,
        .sample_count = (uint32_t)piece->count,
        .language = language_for(transcription),
        .prompt = asked->prompt ? asked->prompt : "",
        .temperature = asked->temperature,
        .translate = asked->translate,
        .words = asked->words,
    };
    if (!need_lease(transcription, err))
        return false;
    struct arena arena;
    struct msg_transcribed heard;
    arena_init(&arena, ANSWER_ARENA_MAX);
    bool ok =
        lease_transcribe(transcription->lease, &message, &transcription->wait, &arena, &heard, err);
    if (ok) {
        transcription->summary.pieces++;
        transcription->summary.given_ms += (int64_t)piece->count / (SEGMENT_RATE / 1000);
        transcription->summary.compute_ms += heard.compute_ms;
        ok = keep_heard(transcription, piece, &heard, err);
    }
    arena_free(&arena);
    return ok;
}

/* ---------------------------------------------------------------- the interface */

static bool open_parts(struct transcription *transcription, struct err *err)
{
    const struct transcribe_request *asked = &transcription->asked;
    struct segment_options options;
    segment_options_default(asked->aggressiveness, &options);
    return vad_open(asked->engine, SEGMENT_RATE, asked->aggressiveness, &transcription->vad, err) &&
           segmenter_open(&options, keep_piece, transcription, &transcription->segmenter, err) &&
           sound_open(transcription->runtime->registry, asked->file, asked->name,
                      &transcription->wait, &transcription->sound, err);
}

bool transcription_start(struct runtime *runtime, struct request *request,
                         const struct transcribe_request *asked, struct transcription **ret,
                         struct err *err)
{
    struct transcription *transcription = calloc(1, sizeof(*transcription));
    if (!transcription)
        return err_no_memory(err);
    transcription->runtime = runtime;
    transcription->request = request;
    transcription->asked = *asked;
    transcription->wait = request_wait(request);
    transcription->summary.language = "";
    /* The first frame is empty: it tells whether the file is sound at all. */
    float fraction;
    if (!open_parts(transcription, err) || !listen_on(transcription, &fraction, err)) {
        transcription_end(transcription);
        return false;
    }
    *ret = transcription;
    return true;
}

/* The first piece that waits, as text or, with speech_only, as times. */
static bool take_piece(struct transcription *transcription, struct transcribe_event *ret,
                       struct err *err)
{
    const struct waiting piece = transcription->pieces[0];
    bool ok = true;
    *ret = (struct transcribe_event){.type = TRANSCRIBE_PROGRESS};
    if (transcription->asked.speech_only)
        *ret = (struct transcribe_event){
            .type = TRANSCRIBE_SEGMENT,
            .segment = {.start_ms = piece.speech_begin_ms, .end_ms = piece.speech_end_ms}};
    else
        ok = recognise(transcription, &piece, err);
    drop_piece(transcription);
    return ok;
}

bool transcription_next(struct transcription *transcription, struct transcribe_event *ret,
                        struct err *err)
{
    for (;;) {
        if (transcription->event_next < transcription->event_count) {
            *ret = transcription->events[transcription->event_next++];
            return true;
        }
        if (transcription->piece_count > 0) {
            if (!take_piece(transcription, ret, err))
                return false;
            if (ret->type == TRANSCRIBE_SEGMENT)
                return true;
            continue;
        }
        if (transcription->ended) {
            *ret = (struct transcribe_event){.type = TRANSCRIBE_DONE, .fraction = 1};
            transcription->summary.model = transcription->model;
            return true;
        }
        *ret = (struct transcribe_event){.type = TRANSCRIBE_PROGRESS};
        if (!listen_on(transcription, &ret->fraction, err))
            return false;
        if (transcription->piece_count == 0 && !transcription->ended)
            return true;
    }
}

const struct transcribe_summary *transcription_summary(const struct transcription *transcription)
{
    return &transcription->summary;
}

void transcription_end(struct transcription *transcription)
{
    if (!transcription)
        return;
    while (transcription->piece_count > 0)
        drop_piece(transcription);
    lease_release(transcription->lease);
    sound_close(transcription->sound);
    segmenter_close(transcription->segmenter);
    vad_close(transcription->vad);
    free(transcription);
}
