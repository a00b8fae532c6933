/* eval_speech.h - `jarvis eval --speech`: how well this installation hears, on recordings whose text is known.
 *
 * Purpose: each recording of a folder goes through the service as `jarvis transcribe` sends it, its language not told.
 *   The folder holds manifest.tsv with the columns wav, language and text (its first line names them), or pairs
 *   NAME.wav and NAME.txt. A recording with an empty text is silence or noise: nothing should be heard in it.
 * Owner:   speech_set_free() ends what speech_set_read() gave. Threads: one.
 * Fails:   ERR_INVALID_REQUEST for a folder without recordings; as client.h; ERR_CANCELLED by Ctrl-C.
 */
#ifndef JARVIS_CLI_EVAL_SPEECH_H
#define JARVIS_CLI_EVAL_SPEECH_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "cli/command.h"

enum { SPEECH_LANGUAGE_MAX = 8 };

struct speech_item {
    const char *path;
    const char *text;                   /* "": nobody speaks */
    char language[SPEECH_LANGUAGE_MAX]; /* "": not known */
};

struct speech_set {
    struct arena arena;
    struct speech_item *items;
    size_t count;
    size_t capacity;
};

bool speech_set_read(const char *folder, struct speech_set *ret, struct err *err);
void speech_set_free(struct speech_set *set);

/* Measures and prints; `model` NULL: the default one. `limit` 0: all. */
bool cmd_eval_speech(struct cli *cli, const char *folder, const char *model, size_t limit,
                     struct err *err);

#endif
