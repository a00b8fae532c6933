/* rerank.h - how well documents answer a query.
 *
 * Purpose: makes the token sequence of each pair as the model was trained on it and reads its score. A model that
 *   carries a "rerank" template ({query}, {document}) gets that; others get the pair of a cross-encoder: BERT's
 *   [CLS] query [SEP] document [SEP], RoBERTa's <s> query </s></s> document </s>, by the special tokens that the
 *   vocabulary says it adds. A document that does not fit is read in windows that overlap, and its score is that of
 *   the best; what lies behind RERANK_WINDOWS_MAX windows is not read. A query may take half of the context and is
 *   cut there. Documents that were not compared in full are counted as truncated; that is no error.
 *   A model whose file has ARCHITECTURE.rerank.document_position was trained with documents that begin at that very
 *   position, the query right in front of it, so that positions tell the two apart; it gets them so.
 * Owner:   the caller owns the job. Threads: one at a time. Fails: ERR_NO_MEMORY, ERR_TOO_LARGE, as the encoder.
 */
#ifndef JARVIS_ENGINE_RERANK_H
#define JARVIS_ENGINE_RERANK_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/err.h"
#include "engine/encoder.h"
#include "ipc/protocol.h"

enum {
    RERANK_WINDOWS_MAX = 8, /* of one document */
};

bool rerank_start(const struct encoder *encoder, const struct msg_rerank *request,
                  struct encode_job *ret, struct err *err);

/* The answer of a job that is done; one score a document, as the model gives it, in the arena. */
bool rerank_finish(const struct encode_job *job, struct arena *arena, struct msg_scores *ret,
                   struct err *err);

#endif
