/* subtitle.h - text with times, as SubRip (.srt) and WebVTT (.vtt).
 *
 * Owner: text goes into the caller's builder. Threads: safe from any. Fails: through str_ok().
 */
#ifndef JARVIS_VOICE_SUBTITLE_H
#define JARVIS_VOICE_SUBTITLE_H

#include <stdint.h>

#include "base/str.h"

/* What stands before the first cue of a WebVTT file. */
#define SUBTITLE_VTT_HEAD "WEBVTT\n\n"

/* One cue; `number` counts from 1. Line breaks in the text become spaces, and what would end a cue or begin a tag is
 * written so that it does not. */
void subtitle_srt(struct str *out, unsigned number, int64_t start_ms, int64_t end_ms,
                  const char *text);
void subtitle_vtt(struct str *out, int64_t start_ms, int64_t end_ms, const char *text);

#endif
