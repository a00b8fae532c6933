/* How it works. The first bytes choose the library, so that no library guesses at what is not its own. Whatever it
 * is, frames come as interleaved floats at the file's own rate; they are averaged to mono, cleaned, and brought to
 * 16 kHz by miniaudio's resampler (linear, behind a low pass of order 8). */
#include "engine/speech_audio.h"

#include <errno.h>
#include <math.h>
#include <opusfile.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <vorbis/vorbisfile.h>

#include "engine/speech_miniaudio.h"
#include "ipc/protocol.h"

enum {
    RATE_MIN = 4000,
    RATE_MAX = 768000,
    CHANNELS_MAX = 32,
    FRAMES = 1024, /* read at once */
    LOW_PASS_ORDER = 8,
    HEAD = 64,              /* bytes by which the format is told */
    OPUS_RATE = 48000,      /* of all that opusfile decodes */
    EMPTY_READS_MAX = 1000, /* in a row: a stream of holes */
};

enum kind { KIND_MINIAUDIO, KIND_VORBIS, KIND_OPUS };

struct audio {
    struct audio_source *source;
    enum kind kind;
    ma_decoder decoder;
    OggVorbis_File vorbis;
    OggOpusFile *opus;
    bool opened;   /* the decoder of this kind */
    uint32_t rate; /* of the frames read last; 0: none yet */
    ma_resampler resampler;
    bool resampling; /* it is there */
    bool ended;      /* no more frames */
    float frames[FRAMES * CHANNELS_MAX];
    float mono[FRAMES]; /* of them, those from `used` to `count` wait for the resampler */
    size_t used;
    size_t count;
};

/* ---------------------------------------------------------------- the source */

static size_t source_read(struct audio_source *source, void *out, size_t size)
{
    uint64_t left = source->at < source->size ? source->size - source->at : 0;
    if (size > left)
        size = (size_t)left;
    if (source->fd < 0) {
        memcpy(out, source->bytes + source->at, size);
        source->at += size;
        return size;
    }
    size_t done = 0;
    while (done < size) {
        ssize_t count =
            pread(source->fd, (char *)out + done, size - done, (off_t)(source->at + done));
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            break;
        done += (size_t)count;
    }
    source->at += done;
    return done;
}

/* `whence` as in lseek(2). */
static bool source_seek(struct audio_source *source, int64_t offset, int whence)
{
    int64_t base =
        whence == SEEK_SET ? 0 : (int64_t)(whence == SEEK_CUR ? source->at : source->size);
    int64_t to;
    if (__builtin_add_overflow(base, offset, &to) || to < 0 || to > (int64_t)source->size)
        return false;
    source->at = (uint64_t)to;
    return true;
}

static ma_result on_read(ma_decoder *decoder, void *out, size_t size, size_t *ret_count)
{
    *ret_count = source_read(decoder->pUserData, out, size);
    return *ret_count > 0 || size == 0 ? MA_SUCCESS : MA_AT_END;
}

static ma_result on_seek(ma_decoder *decoder, ma_int64 offset, ma_seek_origin origin)
{
    int whence = origin == ma_seek_origin_start     ? SEEK_SET
                 : origin == ma_seek_origin_current ? SEEK_CUR
                                                    : SEEK_END;
    return source_seek(decoder->pUserData, offset, whence) ? MA_SUCCESS : MA_BAD_SEEK;
}

static size_t vorbis_read(void *out, size_t size, size_t count, void *user)
{
    return size > 0 ? source_read(user, out, size * count) / size : 0;
}

static int vorbis_seek(void *user, ogg_int64_t offset, int whence)
{
    return source_seek(user, offset, whence) ? 0 : -1;
}

static long vorbis_tell(void *user)
{
    return (long)((struct audio_source *)user)->at;
}

static int opus_read(void *user, unsigned char *out, int size)
{
    return (int)source_read(user, out, size > 0 ? (size_t)size : 0);
}

static int opus_seek(void *user, opus_int64 offset, int whence)
{
    return source_seek(user, offset, whence) ? 0 : -1;
}

static opus_int64 opus_tell(void *user)
{
    return (opus_int64)((struct audio_source *)user)->at;
}

/* ---------------------------------------------------------------- opening */

static bool unsupported(struct err *err)
{
    return err_set_param(err, ERR_UNSUPPORTED, "file",
                         "this is no sound file that can be read; give WAV, FLAC, MP3, Ogg Vorbis "
                         "or Ogg Opus");
}

static bool damaged(struct err *err)
{
    return err_set_param(err, ERR_DOCUMENT, "file",
                         "the sound file is damaged, or is of a kind that nobody uses; save it "
                         "anew as WAV");
}

static bool begins(const uint8_t *head, const char *magic)
{
    return memcmp(head, magic, strlen(magic)) == 0;
}

/* The format of miniaudio's that the first bytes tell; unknown when it is none. */
static ma_encoding_format miniaudio_format(const uint8_t head[HEAD])
{
    if (begins(head, "RIFF") || begins(head, "RIFX") || begins(head, "RF64") ||
        begins(head, "riff") || begins(head, "FORM"))
        return ma_encoding_format_wav;
    if (begins(head, "fLaC"))
        return ma_encoding_format_flac;
    /* MPEG audio, layer III: eleven bits set, and not the layer bits of another one. */
    bool frame = head[0] == 0xff && (head[1] & 0xe0) == 0xe0 && (head[1] & 0x06) == 0x02;
    return begins(head, "ID3") || frame ? ma_encoding_format_mp3 : ma_encoding_format_unknown;
}

static bool open_miniaudio(struct audio *audio, ma_encoding_format format, struct err *err)
{
    ma_decoder_config config = ma_decoder_config_init(ma_format_f32, 0, 0);
    config.encodingFormat = format;
    audio->kind = KIND_MINIAUDIO;
    audio->opened =
        ma_decoder_init(on_read, on_seek, audio->source, &config, &audio->decoder) == MA_SUCCESS;
    return audio->opened || damaged(err);
}

static bool open_vorbis(struct audio *audio, struct err *err)
{
    const ov_callbacks callbacks = {
        .read_func = vorbis_read, .seek_func = vorbis_seek, .tell_func = vorbis_tell};
    audio->kind = KIND_VORBIS;
    audio->opened = ov_open_callbacks(audio->source, &audio->vorbis, NULL, 0, callbacks) == 0;
    return audio->opened || damaged(err);
}

static bool open_opus(struct audio *audio, struct err *err)
{
    const OpusFileCallbacks callbacks = {.read = opus_read, .seek = opus_seek, .tell = opus_tell};
    audio->kind = KIND_OPUS;
    audio->opus = op_open_callbacks(audio->source, &callbacks, NULL, 0, NULL);
    audio->opened = audio->opus != NULL;
    return audio->opened || damaged(err);
}

static bool open_by_head(struct audio *audio, struct err *err)
{
    uint8_t head[HEAD] = {0};
    source_read(audio->source, head, sizeof(head));
    audio->source->at = 0;
    if (begins(head, "OggS") && memmem(head, sizeof(head), "OpusHead", 8))
        return open_opus(audio, err);
    if (begins(head, "OggS") && memmem(head, sizeof(head), "\1vorbis", 7))
        return open_vorbis(audio, err);
    if (begins(head, "OggS") && memmem(head, sizeof(head),
                                       "\x7f"
                                       "FLAC",
                                       5))
        return open_miniaudio(audio, ma_encoding_format_flac, err);
    ma_encoding_format format = miniaudio_format(head);
    return format == ma_encoding_format_unknown ? unsupported(err)
                                                : open_miniaudio(audio, format, err);
}

bool audio_open(struct audio_source *source, struct audio **ret, struct err *err)
{
    struct audio *audio = calloc(1, sizeof(*audio));
    if (!audio)
        return err_no_memory(err);
    audio->source = source;
    source->at = 0;
    if (!open_by_head(audio, err)) {
        audio_close(audio);
        return false;
    }
    *ret = audio;
    return true;
}

void audio_close(struct audio *audio)
{
    if (!audio)
        return;
    if (audio->resampling)
        ma_resampler_uninit(&audio->resampler, NULL);
    if (audio->opened && audio->kind == KIND_MINIAUDIO)
        ma_decoder_uninit(&audio->decoder);
    if (audio->opened && audio->kind == KIND_VORBIS)
        ov_clear(&audio->vorbis);
    if (audio->opened && audio->kind == KIND_OPUS)
        op_free(audio->opus);
    free(audio);
}

/* ---------------------------------------------------------------- frames */

/* What one read gave: *count frames of *channels in audio->frames, or in *planes, one array a channel. */
struct frames {
    size_t count;
    uint32_t channels;
    uint32_t rate;
    float **planes; /* NULL: interleaved */
};

static bool read_miniaudio(struct audio *audio, struct frames *ret)
{
    ma_uint32 channels = 0, rate = 0;
    ma_uint64 count = 0;
    ma_decoder_get_data_format(&audio->decoder, NULL, &channels, &rate, NULL, 0);
    *ret = (struct frames){.channels = channels, .rate = rate};
    if (channels == 0 || channels > CHANNELS_MAX)
        return false;
    ma_decoder_read_pcm_frames(&audio->decoder, audio->frames, FRAMES, &count);
    ret->count = (size_t)count;
    return true;
}

static bool read_vorbis(struct audio *audio, struct frames *ret)
{
    long count = OV_HOLE;
    for (int i = 0; i < EMPTY_READS_MAX && count == OV_HOLE; i++)
        count = ov_read_float(&audio->vorbis, &ret->planes, FRAMES, NULL);
    const vorbis_info *info = count > 0 ? ov_info(&audio->vorbis, -1) : NULL;
    if (count > 0 && !info)
        return false;
    ret->count = count > 0 ? (size_t)count : 0;
    ret->channels = info ? (uint32_t)info->channels : 1;
    ret->rate = info && info->rate > 0 ? (uint32_t)info->rate : 0;
    return ret->channels > 0;
}

static bool read_opus(struct audio *audio, struct frames *ret)
{
    int count = OP_HOLE;
    for (int i = 0; i < EMPTY_READS_MAX && count == OP_HOLE; i++)
        count = op_read_float_stereo(audio->opus, audio->frames, 2 * FRAMES);
    *ret =
        (struct frames){.count = count > 0 ? (size_t)count : 0, .channels = 2, .rate = OPUS_RATE};
    return true;
}

static float clean(float value)
{
    if (!isfinite(value))
        return 0;
    return value > 1 ? 1 : value < -1 ? -1 : value;
}

static void average(struct audio *audio, const struct frames *frames)
{
    for (size_t i = 0; i < frames->count; i++) {
        float sum = 0;
        for (uint32_t channel = 0; channel < frames->channels; channel++)
            sum += clean(frames->planes ? frames->planes[channel][i]
                                        : audio->frames[i * frames->channels + channel]);
        audio->mono[i] = sum / (float)frames->channels;
    }
    audio->used = 0;
    audio->count = frames->count;
}

/* Sees to a resampler for this rate. Streams that were put one after the other may change it. */
static bool set_rate(struct audio *audio, uint32_t rate, struct err *err)
{
    if (rate == audio->rate)
        return true;
    if (rate < RATE_MIN || rate > RATE_MAX)
        return damaged(err);
    if (audio->resampling)
        ma_resampler_uninit(&audio->resampler, NULL);
    audio->resampling = false;
    audio->rate = rate;
    if (rate == MSG_SPEECH_RATE)
        return true; /* samples pass as they are */
    ma_resampler_config config = ma_resampler_config_init(ma_format_f32, 1, rate, MSG_SPEECH_RATE,
                                                          ma_resample_algorithm_linear);
    config.linear.lpfOrder = LOW_PASS_ORDER;
    audio->resampling = ma_resampler_init(&config, NULL, &audio->resampler) == MA_SUCCESS;
    return audio->resampling || err_no_memory(err);
}

/* Fills audio->mono; at the end `ended` is set. */
static bool read_more(struct audio *audio, struct err *err)
{
    struct frames frames = {0};
    bool ok = audio->kind == KIND_MINIAUDIO ? read_miniaudio(audio, &frames)
              : audio->kind == KIND_VORBIS  ? read_vorbis(audio, &frames)
                                            : read_opus(audio, &frames);
    if (!ok)
        return damaged(err);
    if (frames.count == 0) {
        audio->ended = true;
        return true;
    }
    if (!set_rate(audio, frames.rate, err))
        return false;
    average(audio, &frames);
    return true;
}

/* Brings samples of audio->mono to 16 kHz: takes *from of them and makes *to, at most as many as they say. */
static bool resample(struct audio *audio, ma_uint64 *from, float *out, ma_uint64 *to)
{
    const float *in = audio->mono + audio->used;
    if (audio->resampling)
        return ma_resampler_process_pcm_frames(&audio->resampler, in, from, out, to) ==
                   MA_SUCCESS &&
               (*from > 0 || *to > 0);
    *from = *to = *from < *to ? *from : *to;
    memcpy(out, in, (size_t)*from * sizeof(*out));
    return true;
}

bool audio_read(struct audio *audio, float *out, size_t max, size_t *ret_count, struct err *err)
{
    size_t done = 0;
    while (done < max) {
        if (audio->used == audio->count && !audio->ended && !read_more(audio, err))
            return false;
        if (audio->used == audio->count)
            break;
        ma_uint64 from = audio->count - audio->used, to = max - done;
        if (!resample(audio, &from, out + done, &to))
            return damaged(err);
        audio->used += (size_t)from;
        done += (size_t)to;
    }
    for (size_t i = 0; i < done; i++)
        out[i] = clean(out[i]); /* a low pass may overshoot */
    *ret_count = done;
    return true;
}
