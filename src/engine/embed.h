/* embed.h - texts to vectors.
 *
 * Purpose: turns texts into jobs for the encoder and its outputs into unit vectors. A text longer than the model's
 *   context is cut (its last special token stays) and counted. An empty text becomes the vector of the model's
 *   special tokens alone, and of zeros where the model has none.
 * Owner:   the caller owns the job. Threads: one at a time. Fails: ERR_NO_MEMORY, ERR_TOO_LARGE, as the encoder.
 */
#ifndef JARVIS_ENGINE_EMBED_H
#define JARVIS_ENGINE_EMBED_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/err.h"
#include "engine/encoder.h"
#include "ipc/protocol.h"

/* Starts a job over the texts; they may be freed afterwards. */
bool embed_start(const struct encoder *encoder, const struct msg_texts *texts,
                 struct encode_job *ret, struct err *err);

/* The answer of a job that is done: each row L2-normalised in place (a row of zeros stays). Points into the job. */
void embed_finish(struct encode_job *job, struct msg_vectors *ret);

/* Tokens of each text, special tokens not counted; works for every role. The counts lie in the arena. */
bool embed_count(const struct model *model, const struct msg_texts *texts, struct arena *arena,
                 struct msg_counts *ret, struct err *err);

#endif
