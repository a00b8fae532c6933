/* sources.h - from passages to citations that hold: the quoted words, found, placed and verified.
 *
 * Owner:   everything is in the request's arena. Threads: one. Fails: ERR_STORE, ERR_NO_MEMORY; a passage that is
 *   gone from the store, or whose words are not where they should be, gives no source (*ret_found false).
 */
#ifndef JARVIS_ASSISTANT_SOURCES_H
#define JARVIS_ASSISTANT_SOURCES_H

#include "assistant/scope.h"

/* The sources of one answer, and the text of an extracted one. */
struct source_list {
    struct chat_source *items;
    size_t count;
    const char *text; /* sources_extract() only */
};

/* Quotes text[offset..offset+length) of a hit's passage: reads the document again, compares the words byte for
 * byte, places them in the file, and looks whether the file on disk still has them there. */
bool sources_quote(struct runtime *runtime, struct request *request, const struct search_hit *hit,
                   size_t offset, size_t length, int number, struct chat_source *ret,
                   bool *ret_found, struct err *err);

/* The sources of a written answer: for each number that it cites (used[1..hit_count]) the sentence of that passage
 * which says most of the claim; when it cites none, of the best passages, at most SOURCES_UNCITED. */
enum { SOURCES_UNCITED = 3 };
bool sources_of_answer(struct runtime *runtime, struct request *request, const struct scope *scope,
                       const char *answer, const bool *used, const struct search_hit *hits,
                       size_t hit_count, struct source_list *ret, struct err *err);

/* An answer without a language model: the sentences of the hits that answer best, each with its source; text and
 * sources are empty when no sentence shares a word with the question and there is no hit. */
bool sources_extract(struct runtime *runtime, struct request *request, const struct scope *scope,
                     const char *question, const struct search_hit *hits, size_t hit_count,
                     struct source_list *ret, struct err *err);

#endif
