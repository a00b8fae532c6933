/* whisper_make.h - a tiny Whisper model in ggml's format that always says the same, for tests.
 *
 * One layer each of width 32 with all weights zero: what it says is in its positions. At each position of the decoder
 * one token wins: first Spanish as the language, then the words of WHISPER_MAKE_TEXT, then the end. A prompt moves
 * the positions, so that with one it says less or nothing. English asked for as the language changes nothing else.
 *
 * Owner: nothing is kept. Threads: one at a time. Fails: false with err (disk, no memory).
 */
#ifndef JARVIS_TESTS_WHISPER_MAKE_H
#define JARVIS_TESTS_WHISPER_MAKE_H

#include <stdbool.h>

#include "base/err.h"

#define WHISPER_MAKE_FILE  "tiny-speech.bin"
#define WHISPER_MAKE_TEXT  "Una prueba de voz."
#define WHISPER_MAKE_WORDS 4

bool whisper_make(const char *path, struct err *err);

#endif
