/* static_role.h - the house embedder in the terms of a worker: LOAD, EMBED and COUNT.
 *
 * Purpose: puts what static_embed.h computes into the structs that the worker answers from, so that a worker with the
 *   house embedder and one with libllama differ in three calls.
 * Owner:   static_embed_close() ends the table; the caller owns the job. Threads: one at a time.
 * Fails:   as static_embed_open(); ERR_UNSUPPORTED for another role; ERR_NO_MEMORY.
 */
#ifndef JARVIS_ENGINE_STATIC_ROLE_H
#define JARVIS_ENGINE_STATIC_ROLE_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/err.h"
#include "engine/encoder.h"
#include "engine/model.h"
#include "engine/static_embed.h"
#include "ipc/protocol.h"

/* Opens the file and fills in what is told of an open model; `ret_model` has no libllama behind it, and is not to be
 * closed. */
bool static_role_open(const struct msg_load *load, struct static_embed *ret_table,
                      struct model *ret_model, struct err *err);

/* A job over the texts that is done when it begins: embed_finish() makes the answer of it. `encoder` says only how many
 * dimensions there are. */
bool static_role_embed(const struct static_embed *table, const struct encoder *encoder,
                       const struct msg_texts *texts, struct encode_job *ret, struct err *err);

/* Pieces of each text; the counts lie in the arena. */
bool static_role_count(const struct static_embed *table, const struct msg_texts *texts,
                       struct arena *arena, struct msg_counts *ret, struct err *err);

#endif
