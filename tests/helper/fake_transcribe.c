/* Transcriptions of the fake assistant: whatever the file holds, two sentences are heard, unless it begins with "BAD",
 * which is no sound, or with "DIES", where the recogniser ends after the first. What was asked for is in the texts. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "assistant/transcribe.h"

struct transcription {
    struct request *request;
    struct transcribe_request asked;
    struct transcribe_summary summary;
    int step;
    bool dies;
};

struct transcribe_request transcribe_request_default(void)
{
    return (struct transcribe_request){.file = -1};
}

bool transcription_start(struct runtime *runtime, struct request *request,
                         const struct transcribe_request *asked, struct transcription **ret,
                         struct err *err)
{
    (void)runtime;
    char head[8] = "";
    if (pread(asked->file, head, sizeof(head) - 1, 0) < 0)
        return err_set(err, ERR_IO, "%s", "the file cannot be read");
    if (strncmp(head, "BAD", 3) == 0)
        return err_set(err, ERR_UNSUPPORTED, "%s", "no sound");
    struct transcription *transcription = calloc(1, sizeof(*transcription));
    transcription->request = request;
    transcription->asked = *asked;
    transcription->dies = strncmp(head, "DIES", 4) == 0;
    transcription->summary = (struct transcribe_summary){.model = "tiny-speech",
                                                         .language = "es",
                                                         .duration_ms = 3500,
                                                         .speech_ms = 2000,
                                                         .given_ms = 2600,
                                                         .pieces = 2};
    *ret = transcription;
    return true;
}

/* The n-th sentence: first what was asked for, then the name of the file. */
static void say(const struct transcription *transcription, int number,
                struct transcribed_segment *ret)
{
    static const struct transcribed_word words[] = {{"hola", 1000, 1400, 0.9F},
                                                    {"mundo.", 1500, 2000, 0.8F}};
    const struct transcribe_request *asked = &transcription->asked;
    *ret = (struct transcribed_segment){.start_ms = 1000,
                                        .end_ms = 2000,
                                        .text = "hola mundo.",
                                        .language = "es",
                                        .words = words,
                                        .word_count = asked->words ? 2 : 0};
    if (number == 2)
        *ret = (struct transcribed_segment){
            .start_ms = 2500,
            .end_ms = 3250,
            .text = arena_printf(transcription->request->arena, "%s|%s|%s|%d", asked->name,
                                 asked->language ? asked->language : "",
                                 asked->prompt ? asked->prompt : "", asked->translate),
            .language = "es"};
}

bool transcription_next(struct transcription *transcription, struct transcribe_event *ret,
                        struct err *err)
{
    static const enum transcribe_event_type types[] = {TRANSCRIBE_PROGRESS, TRANSCRIBE_SEGMENT,
                                                       TRANSCRIBE_SEGMENT, TRANSCRIBE_DONE};
    *ret = (struct transcribe_event){.type = types[transcription->step], .fraction = 0.5F};
    if (transcription->step == 2 && transcription->dies)
        return err_set(err, ERR_WORKER_DIED, "%s", "the worker ended");
    if (ret->type == TRANSCRIBE_SEGMENT)
        say(transcription, transcription->step, &ret->segment);
    transcription->step++;
    return true;
}

const struct transcribe_summary *transcription_summary(const struct transcription *transcription)
{
    return &transcription->summary;
}

void transcription_end(struct transcription *transcription)
{
    free(transcription);
}
