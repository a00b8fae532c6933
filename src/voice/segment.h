/* segment.h - from a stream of sound to pieces that hold speech, each fit for the recogniser.
 *
 * Purpose: samples and the probability of speech in each 10 ms go in; pieces come out as soon as they are complete:
 *   - a piece begins where speech was likely for onset_ms, with preroll_ms of what came before;
 *   - it ends after min_silence_ms without speech, of which it keeps hangover_ms;
 *   - what holds less than min_speech_ms of speech, or speech in 30% or less of its steps, is dropped;
 *   - after soft_ms the next short pause ends it; at max_ms it is cut at the quietest place of its second half, and
 *     the next piece begins there.
 * Owner:   the segmenter holds at most max_ms and preroll_ms of samples. A piece is valid during the call only.
 * Threads: one at a time. Fails: segmenter_open() with ERR_NO_MEMORY; what the receiver of a piece fails with ends
 *   segmenter_feed().
 */
#ifndef JARVIS_VOICE_SEGMENT_H
#define JARVIS_VOICE_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "voice/vad.h"

enum {
    SEGMENT_RATE = 16000,
    SEGMENT_STEP = SEGMENT_RATE * VAD_STEP_MS / 1000, /* samples */
};

struct segment_options {
    struct vad_level level; /* thresholds, and hangover_ms */
    int onset_ms;
    int preroll_ms;
    int min_speech_ms;
    int min_silence_ms;
    int soft_ms;
    int max_ms; /* at most 25000: what a recogniser hears well at once */
};

/* onset 30 ms, preroll 300, minimum of speech 250, of silence the level's hangover, of which a piece keeps 300 ms, soft
 * 12 s, max 20 s. */
void segment_options_default(int aggressiveness, struct segment_options *ret);

/* Times count from the first sample of the stream. */
struct segment_piece {
    const float *samples;
    size_t count;
    int64_t begin_ms;        /* of samples[0] */
    int64_t speech_begin_ms; /* without the padding before … */
    int64_t speech_end_ms;   /* … and after */
    bool cut;                /* it ends because it was long, not because of silence */
};

typedef bool segment_receive(void *user, const struct segment_piece *piece, struct err *err);

struct segmenter;

bool segmenter_open(const struct segment_options *options, segment_receive *receive, void *user,
                    struct segmenter **ret, struct err *err);
void segmenter_close(struct segmenter *segmenter); /* NULL is fine */

/* One step of SEGMENT_STEP samples. */
bool segmenter_feed(struct segmenter *segmenter, const float *samples, float probability,
                    struct err *err);

/* The stream has ended: what is open becomes a piece. */
bool segmenter_finish(struct segmenter *segmenter, struct err *err);

#endif
