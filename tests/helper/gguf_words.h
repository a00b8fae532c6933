/* gguf_words.h - the words that the tiny embedder knows as one token.
 *
 * Lower case and without accents, because the BERT tokenizer removes both. Constants; nothing fails.
 */
#ifndef JARVIS_TESTS_GGUF_WORDS_H
#define JARVIS_TESTS_GGUF_WORDS_H

/* Words that share a vector (translations, inflections), separated by blanks; NULL at the end. */
extern const char *const gguf_words_meaning[];

/* Words that hardly count, several a string, separated by blanks; NULL at the end. */
extern const char *const gguf_words_stop[];

#endif
