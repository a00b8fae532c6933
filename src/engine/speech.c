/* How it works.
 *
 * Whisper's encoder always sees 30 s, 1500 positions of 20 ms; most of what it is given is silence that was put there
 * to fill them. libwhisper can be told to use fewer (audio_ctx), and the time it takes falls with their square. So the
 * first decode of a piece uses as many positions as the sound needs, in steps of 256: with flash attention libwhisper
 * leaves the rest of the last step unmasked, and at any other number the result depends on what was computed before.
 * When what comes out is doubtful (speech_is_doubtful) the piece is decoded again with all positions, and warmer, as
 * Whisper's authors do. Each of the two ways has a state of its own, because a state that has seen both keeps the
 * fill of one in the other. A request that is `fast` is decoded once.
 *
 * Segments end where the caller's piece ends: no timestamps are decoded, which on noisy speech gives fewer errors. Words
 * get their times in one of two ways. Where the decoder looks at a word while it writes it, dynamic time warping over
 * its attention finds where (Whisper's authors do it so); but libwhisper keeps the attention only without flash
 * attention, which makes the encoder twice as slow. So that is done with models smaller than any of Whisper's own, to
 * whom it matters little. With others timestamps are decoded when the times of words are wanted, and libwhisper
 * estimates from their probabilities, the letters of each token and the loudness.
 *
 * libwhisper detects a language with the number of positions that the state used last. To have that the same
 * always, a decode is begun with the right number and stopped before its first computation.
 */
#include "engine/speech.h"

#include <errno.h>
#include <fcntl.h>
#include <ggml.h>
#include <llama.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <whisper.h>

#include "base/clock.h"
#include "engine/speech_result.h"

enum {
    POSITION_SAMPLES = 320, /* 20 ms */
    POSITION_STEP = 256,    /* see above */
    POSITIONS_FITTED_MAX = SPEECH_POSITIONS / POSITION_STEP * POSITION_STEP,
    POSITION_MARGIN = 15, /* 0.3 s of silence after the sound: without it the last word is lost */
    WHISPER_STATE_MIN = 384, /* the width of the smallest of Whisper's own models */
    SHORTEST = 1100 * 16,    /* samples: libwhisper hears nothing in less than a second */
    PROMPT_MAX = 2000,       /* bytes: more than half of the text context is not used anyway */
    BEST_OF = 5,             /* when it is decoded again */
    LANGUAGES_MAX = 128,
};

/* ---------------------------------------------------------------- reading the file */

/* A model file on its way into libwhisper. */
struct source {
    int fd;
    uint64_t at;
    uint64_t size;
    bool failed; /* or cancelled */
    model_progress *progress;
    void *user;
};

/* libwhisper does not look at how much it got: what is missing is zeros, which no tensor's head is. */
static size_t source_read(void *context, void *out, size_t size)
{
    struct source *source = context;
    size_t done = 0;
    while (!source->failed && done < size) {
        ssize_t count = pread(source->fd, (char *)out + done, size - done, (off_t)source->at);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0) {
            source->failed = source->failed || count < 0;
            break;
        }
        done += (size_t)count;
        source->at += (uint64_t)count;
    }
    memset((char *)out + done, 0, size - done);
    float fraction = source->size > 0 ? (float)((double)source->at / (double)source->size) : 1;
    if (source->progress && fraction < 1 && !source->progress(source->user, fraction, source->size))
        source->failed = true;
    return done;
}

static bool source_ended(void *context)
{
    const struct source *source = context;
    return source->failed || source->at >= source->size;
}

static void source_close(void *context)
{
    (void)context; /* the descriptor is speech_open()'s */
}

/* ---------------------------------------------------------------- opening */

static bool open_file(const char *path, int *ret_fd, struct speech_shape *ret_shape,
                      struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return err_set_errno(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno,
                             "cannot open the model file %s", path);
    if (!speech_check(fd, path, ret_shape, err)) {
        close(fd);
        return false;
    }
    *ret_fd = fd;
    return true;
}

static bool no_room(const char *path, struct err *err)
{
    return err_set(err, ERR_OUT_OF_MEMORY_BUDGET,
                   "there is not enough memory for the speech model %s; close other programs, or "
                   "use a smaller model",
                   path);
}

static bool open_context(int fd, const struct msg_load *load, model_progress *progress, void *user,
                         struct speech *speech, struct err *err)
{
    struct source source = {
        .fd = fd, .size = speech->shape.file_bytes, .progress = progress, .user = user};
    struct whisper_model_loader loader = {
        .context = &source, .read = source_read, .eof = source_ended, .close = source_close};
    struct whisper_context_params params = whisper_context_default_params();
    params.use_gpu = load->gpu_layers != 0 && backend_has_gpu();
    params.flash_attn = !speech->aligns;
    params.dtw_token_timestamps = speech->aligns;
    params.dtw_aheads_preset = WHISPER_AHEADS_N_TOP_MOST;
    params.dtw_n_top = 1;
    speech->context = whisper_init_with_params_no_state(&loader, params);
    if (!speech->context)
        return err_set(err, ERR_MODEL_INVALID,
                       "libwhisper cannot read the speech model %s; fetch it again", load->path);
    speech->fitted = whisper_init_state(speech->context);
    return speech->fitted ? true : no_room(load->path, err);
}

static void describe(const struct speech *speech, const struct msg_load *load, struct model *ret)
{
    const struct speech_shape *shape = &speech->shape;
    *ret = (struct model){
        .role = ROLE_SPEECH,
        .pooling = LLAMA_POOLING_TYPE_NONE,
        .file_bytes = shape->file_bytes,
        .parameters = shape->parameters,
        .layers = shape->audio_layers + shape->text_layers,
        .train_context = shape->text_context,
        .context_length = shape->text_context,
        .threads = (int32_t)(load->threads < MODEL_THREADS_MAX ? load->threads : MODEL_THREADS_MAX),
        .on_gpu = load->gpu_layers != 0 && backend_has_gpu(),
    };
    snprintf(ret->path, sizeof(ret->path), "%s", load->path);
    snprintf(ret->description, sizeof(ret->description), "whisper %u x %u, %u + %u layers%s",
             shape->audio_state, shape->mels, shape->audio_layers, shape->text_layers,
             shape->vocabulary > SPEECH_VOCABULARY_ENGLISH ? ", multilingual" : ", English");
}

bool speech_open(const struct msg_load *load, model_progress *progress, void *user,
                 struct speech *ret, struct model *ret_model, struct err *err)
{
    if (load->role != ROLE_SPEECH)
        return err_set_param(err, ERR_UNSUPPORTED, "role",
                             "%s cannot be used for the role %s; in the configuration, set its "
                             "role to %s",
                             load->path, model_role_name(load->role), model_role_name(ROLE_SPEECH));
    struct speech speech = {0};
    int fd;
    if (!open_file(load->path, &fd, &speech.shape, err))
        return false;
    speech.aligns = speech.shape.audio_state < WHISPER_STATE_MIN;
    bool ok = open_context(fd, load, progress, user, &speech, err);
    close(fd);
    if (!ok) {
        speech_close(&speech);
        return false;
    }
    describe(&speech, load, ret_model);
    *ret = speech;
    return true;
}

void speech_close(struct speech *speech)
{
    if (speech->fitted)
        whisper_free_state(speech->fitted);
    if (speech->full)
        whisper_free_state(speech->full);
    if (speech->context)
        whisper_free(speech->context);
    *speech = (struct speech){0};
}

bool speech_inspect(const char *path, struct arena *arena, struct msg_inspected *ret,
                    struct err *err)
{
    struct speech_shape shape;
    int fd;
    if (!open_file(path, &fd, &shape, err))
        return false;
    close(fd);
    enum { VERSION_STEP = 1000 }; /* of the quantisation's format, in the file type */
    *ret = (struct msg_inspected){
        .architecture = "whisper",
        .name = "",
        .role = ROLE_SPEECH,
        .file_bytes = shape.file_bytes,
        .parameters = shape.parameters,
        .train_context = shape.text_context,
        .layers = shape.audio_layers + shape.text_layers,
        .pooling = "none",
        .file_type =
            arena_copy(arena, llama_ftype_name((enum llama_ftype)(shape.file_type % VERSION_STEP))),
    };
    return arena_ok(arena) ? true : err_no_memory(err);
}

/* ---------------------------------------------------------------- decoding */

/* A piece of sound with silence after it, and how it is to be decoded. */
struct piece {
    const struct msg_transcribe *request;
    float *samples;
    int count;
    int positions; /* of the encoder, as the sound needs; 0: all */
    char language[8];
    float language_probability;
    char prompt[PROMPT_MAX + 1];
    bool aligned; /* the times of words need no timestamps */
    int threads;
    atomic_bool *cancelled;
};

static bool is_cancelled(void *user)
{
    return atomic_load((atomic_bool *)user);
}

/* Encoder positions for so many samples; 0, which means all, when no whole step holds them. */
static int positions_for(uint32_t samples)
{
    int needed = (int)(samples / POSITION_SAMPLES) + 1 + POSITION_MARGIN;
    int stepped = (needed + POSITION_STEP - 1) / POSITION_STEP * POSITION_STEP;
    return stepped <= POSITIONS_FITTED_MAX ? stepped : 0;
}

static bool fill_piece(const struct msg_transcribe *request, struct arena *arena,
                       struct piece *piece, struct err *err)
{
    uint32_t wanted = request->sample_count + POSITION_MARGIN * POSITION_SAMPLES;
    if (wanted < SHORTEST)
        wanted = SHORTEST;
    if (wanted > MSG_SPEECH_SAMPLES_MAX)
        wanted = MSG_SPEECH_SAMPLES_MAX;
    piece->samples = arena_array(arena, wanted, sizeof(float));
    if (!piece->samples)
        return err_no_memory(err);
    memcpy(piece->samples, request->samples, request->sample_count * sizeof(float));
    piece->count = (int)wanted;
    piece->positions = positions_for(request->sample_count);
    /* The end of a long prompt is what counts; it must begin with a whole character. */
    const char *prompt = request->prompt;
    size_t length = strlen(prompt);
    if (length > PROMPT_MAX)
        prompt += length - PROMPT_MAX;
    while (((unsigned char)*prompt & 0xc0) == 0x80)
        prompt++;
    snprintf(piece->prompt, sizeof(piece->prompt), "%s", prompt);
    return true;
}

static struct whisper_full_params parameters(const struct piece *piece)
{
    struct whisper_full_params params = whisper_full_default_params(WHISPER_SAMPLING_GREEDY);
    params.n_threads = piece->threads;
    params.translate = piece->request->translate;
    params.language = piece->language;
    params.initial_prompt = piece->prompt[0] ? piece->prompt : NULL;
    params.temperature = piece->request->temperature;
    params.temperature_inc = 0;
    params.greedy.best_of = 1;
    params.no_context = true;
    params.no_timestamps = !piece->request->words || piece->aligned;
    params.single_segment = true;
    params.token_timestamps = piece->request->words;
    params.suppress_nst = true;
    params.audio_ctx = piece->positions;
    params.print_progress = false;
    params.print_realtime = false;
    params.print_timestamps = false;
    params.abort_callback = is_cancelled;
    params.abort_callback_user_data = piece->cancelled;
    return params;
}

static bool decode(struct speech *speech, struct whisper_state *state,
                   const struct whisper_full_params *params, const struct piece *piece,
                   struct err *err)
{
    int failed =
        whisper_full_with_state(speech->context, state, *params, piece->samples, piece->count);
    if (is_cancelled(piece->cancelled))
        return cancel_error(err);
    if (failed)
        return err_set(err, ERR_INTERNAL, "the speech model failed (%d); try again", failed);
    return true;
}

/* ---------------------------------------------------------------- language */

static bool stop_before_encoding(struct whisper_context *context, struct whisper_state *state,
                                 void *user)
{
    (void)context;
    (void)state;
    (void)user;
    return false;
}

static bool detect_language(struct speech *speech, struct piece *piece, struct err *err)
{
    float probabilities[LANGUAGES_MAX] = {0};
    if (whisper_lang_max_id() >= LANGUAGES_MAX)
        return err_set(err, ERR_INTERNAL, "the speech model failed (%d); try again", LANGUAGES_MAX);
    struct whisper_full_params params = parameters(piece);
    params.language = "en";
    params.initial_prompt = NULL;
    params.audio_ctx = piece->positions > 0 ? piece->positions : POSITIONS_FITTED_MAX;
    params.encoder_begin_callback = stop_before_encoding;
    whisper_full_with_state(speech->context, speech->fitted, params, piece->samples, piece->count);
    int found = whisper_lang_auto_detect_with_state(speech->context, speech->fitted, 0,
                                                    piece->threads, probabilities);
    if (is_cancelled(piece->cancelled))
        return cancel_error(err);
    if (found < 0 || found >= LANGUAGES_MAX)
        return err_set(err, ERR_INTERNAL, "the speech model failed (%d); try again", found);
    snprintf(piece->language, sizeof(piece->language), "%s", whisper_lang_str(found));
    piece->language_probability = probabilities[found];
    return true;
}

static bool choose_language(struct speech *speech, struct piece *piece, struct err *err)
{
    const char *asked = piece->request->language;
    bool multilingual = whisper_is_multilingual(speech->context) != 0;
    piece->language_probability = 1;
    if (asked[0]) {
        int id = whisper_lang_id(asked);
        if (id < 0 || (!multilingual && id != 0))
            return err_set_param(err, ERR_UNSUPPORTED, "language",
                                 "the speech model does not know the language \"%s\"; give its "
                                 "two letters, as in \"es\", or none to have it detected",
                                 asked);
        snprintf(piece->language, sizeof(piece->language), "%s", whisper_lang_str(id));
        return true;
    }
    if (multilingual)
        return detect_language(speech, piece, err);
    snprintf(piece->language, sizeof(piece->language), "en");
    return true;
}

/* ---------------------------------------------------------------- the whole */

/* Decodes with as few positions as will do; *ret is the state that holds the result. */
static bool decode_fitted(struct speech *speech, struct piece *piece, struct whisper_state **ret,
                          struct err *err)
{
    struct whisper_full_params params = parameters(piece);
    *ret = speech->fitted;
    return decode(speech, speech->fitted, &params, piece, err);
}

/* Decodes with all positions, in the state that never sees fewer, and once more, warmer, what is doubtful still. */
static bool decode_full(struct speech *speech, struct piece *piece, struct whisper_state **ret,
                        struct err *err)
{
    if (!speech->full)
        speech->full = whisper_init_state(speech->context);
    if (!speech->full)
        return err_no_memory(err);
    piece->positions = 0;
    struct whisper_full_params params = parameters(piece);
    params.temperature_inc = piece->request->fast ? 0 : 0.2F;
    params.greedy.best_of = BEST_OF;
    *ret = speech->full;
    return decode(speech, speech->full, &params, piece, err);
}

static bool decode_as_asked(struct speech *speech, struct piece *piece, struct whisper_state **ret,
                            struct err *err)
{
    if (piece->positions == 0)
        return decode_full(speech, piece, ret, err);
    if (!decode_fitted(speech, piece, ret, err))
        return false;
    bool again = !piece->request->fast && speech_is_doubtful(speech->context, *ret);
    return !again || decode_full(speech, piece, ret, err);
}

bool speech_transcribe(struct speech *speech, const struct msg_transcribe *request, int threads,
                       atomic_bool *cancelled, struct arena *arena, struct msg_transcribed *ret,
                       struct err *err)
{
    int64_t began = clock_now_ns();
    struct piece piece = {.request = request,
                          .threads = threads > 0 ? threads : 1,
                          .aligned = speech->aligns,
                          .cancelled = cancelled};
    if (!fill_piece(request, arena, &piece, err) || !choose_language(speech, &piece, err))
        return false;
    struct whisper_state *state = NULL;
    if (!decode_as_asked(speech, &piece, &state, err))
        return false;
    uint32_t end_ms = request->sample_count / (MSG_SPEECH_RATE / 1000);
    struct msg_transcribed result = {0};
    if (!speech_collect(speech->context, state, end_ms, request->words, arena, &result, err))
        return false;
    result.language = arena_copy(arena, piece.language);
    result.language_probability = piece.language_probability;
    result.compute_ms = clock_ms_since(began);
    if (!result.language)
        return err_no_memory(err);
    *ret = result;
    return true;
}
