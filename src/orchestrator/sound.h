/* sound.h - a sound file, decoded by a process of its own.
 *
 * Purpose: whoever needs the samples of a file that a stranger made opens it here and pulls them; they are decoded in
 *   a process that can do nothing else, one process a file (engine/speech_decode.h). It works no faster than it is
 *   pulled, so a file of any length takes the same memory.
 * Owner:   sound_open() gives the sound to the caller; the file's descriptor stays the caller's. Samples are valid
 *   until the next call.
 * Threads: one at a time; the cancel of the wait may be fired from any.
 * Fails:   ERR_UNSUPPORTED and ERR_DOCUMENT as the decoder says, ERR_DOCUMENT when it dies, ERR_CANCELLED, ERR_TIMEOUT.
 */
#ifndef JARVIS_ORCHESTRATOR_SOUND_H
#define JARVIS_ORCHESTRATOR_SOUND_H

#include "orchestrator/registry.h"

struct sound;

/* `fd` is a file open for reading; `name` is for messages. `wait` holds for all calls until sound_close(). */
bool sound_open(struct registry *registry, int fd, const char *name, const struct wait *wait,
                struct sound **ret, struct err *err);
void sound_close(struct sound *sound); /* NULL is fine */

/* The next samples; *ret_done instead at the end. */
bool sound_next(struct sound *sound, struct msg_sound *ret, bool *ret_done, struct err *err);

#endif
