#include "engine/speech_decode.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/sandbox.h"
#include "engine/speech_audio.h"
#include "engine/worker_main.h"
#include "ipc/protocol.h"

enum {
    SAMPLES = 8000, /* of a frame: half a second */
    /* The reader takes its time: it hears what it has before it asks for more. */
    PATIENCE_MS = 3600 * 1000,
    MESSAGE_MAX = 1 << 20,
};

/* Sends a message and frees it. False: nobody reads any more. */
static bool send_message(int fd, uint8_t type, struct str *payload)
{
    struct err err;
    bool ok = str_ok(payload) && frame_write(fd, type, 0, payload->data, payload->length,
                                             deadline_in_ms(PATIENCE_MS), &err);
    str_free(payload);
    return ok;
}

static bool send_sound(int fd, const float *samples, size_t count,
                       const struct audio_source *source)
{
    const struct msg_sound sound = {
        .samples = samples,
        .count = (uint32_t)count,
        .fraction = source->size > 0 ? (float)((double)source->at / (double)source->size) : 1,
    };
    struct str payload;
    str_init(&payload, MESSAGE_MAX);
    msg_put_sound(&payload, &sound);
    return send_message(fd, FRAME_SOUND, &payload);
}

static bool send_error(int fd, const struct err *error)
{
    struct str payload;
    str_init(&payload, MESSAGE_MAX);
    msg_put_err(&payload, error);
    return send_message(fd, FRAME_ERROR, &payload);
}

/* Decodes all of it. False: it failed, or nobody reads; *err tells, when its code is set. */
static bool decode(int fd, struct audio_source *source, struct err *err)
{
    static const float none[1];
    float samples[SAMPLES];
    struct audio *audio;
    size_t count = 0;
    if (!audio_open(source, &audio, err))
        return false;
    bool ok = send_sound(fd, none, 0, source); /* it is sound */
    do
        ok = ok && audio_read(audio, samples, SAMPLES, &count, err) &&
             (count == 0 || send_sound(fd, samples, count, source));
    while (ok && count > 0);
    audio_close(audio);
    return ok;
}

int speech_decode_main(int fd)
{
    struct sandbox_report report;
    struct err err;
    struct stat status;
    sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
    err_clear(&err);
    if (fstat(STDIN_FILENO, &status) != 0 || !sandbox_close(SANDBOX_PARSER, &report, &err))
        return WORKER_EXIT_SANDBOX;
    struct audio_source source = {.fd = STDIN_FILENO, .size = (uint64_t)status.st_size};
    struct str nothing;
    str_init(&nothing, 1);
    bool ok = decode(fd, &source, &err);
    ok = ok ? send_message(fd, FRAME_DONE, &nothing) : err.code != ERR_NONE && send_error(fd, &err);
    return ok ? WORKER_EXIT_DONE : WORKER_EXIT_SEND;
}
