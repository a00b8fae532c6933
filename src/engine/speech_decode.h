/* speech_decode.h - the process that takes one sound file apart.
 *
 * Purpose: `jarvis worker sound` has the file as descriptor 0 and a socket; it closes its sandbox before it looks at
 *   the first byte, sends the samples as SOUND frames as fast as they are read from the socket, then DONE, or ERROR.
 * Owner:   the process is its own: it ends with its file, or when the socket closes. Threads: one.
 * Fails:   returns an exit code of worker_main.h.
 */
#ifndef JARVIS_ENGINE_SPEECH_DECODE_H
#define JARVIS_ENGINE_SPEECH_DECODE_H

int speech_decode_main(int fd);

#endif
