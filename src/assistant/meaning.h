/* meaning.h - the sentences of some passages that are closest in meaning to a question.
 *
 * Purpose: quotes where no word is shared, as when a Spanish question is answered by English text: the embedding
 *   model compares the question with each sentence.
 * Owner:   the result is in the request's arena. Threads: one. Fails: ERR_CANCELLED, ERR_TIMEOUT, ERR_NO_MEMORY;
 *   without a usable embedding model there are simply no quotes.
 */
#ifndef JARVIS_ASSISTANT_MEANING_H
#define JARVIS_ASSISTANT_MEANING_H

#include "assistant/internal.h"

/* At most `want` quotes, best first; score is the cosine. Fragments of a few letters are passed over. */
bool meaning_best_sentences(struct runtime *runtime, struct request *request, const char *question,
                            const struct search_hit *hits, size_t hit_count, size_t want,
                            struct quote **ret, size_t *ret_count, struct err *err);

#endif
