#include "helper/gguf_vocabulary.h"

#include <llama.h>
#include <stdio.h>
#include <string.h>

#include "base/map.h"
#include "base/utf8.h"
#include "helper/gguf_words.h"

enum { ARENA_MAX = 8 << 20, WORD_MAX = 64 };

static bool start(struct gguf_vocabulary *vocabulary, struct err *err)
{
    *vocabulary = (struct gguf_vocabulary){0};
    struct arena *arena = &vocabulary->arena;
    arena_init(arena, ARENA_MAX);
    vocabulary->tokens = arena_array(arena, GGUF_VOCABULARY_MAX, sizeof(*vocabulary->tokens));
    vocabulary->types = arena_array(arena, GGUF_VOCABULARY_MAX, sizeof(*vocabulary->types));
    vocabulary->weights = arena_array(arena, GGUF_VOCABULARY_MAX, sizeof(*vocabulary->weights));
    vocabulary->meanings = arena_array(arena, GGUF_VOCABULARY_MAX, sizeof(*vocabulary->meanings));
    vocabulary->merges = arena_array(arena, GGUF_VOCABULARY_MAX, sizeof(*vocabulary->merges));
    return arena_ok(arena) ? true : err_no_memory(err);
}

void gguf_vocabulary_free(struct gguf_vocabulary *vocabulary)
{
    arena_free(&vocabulary->arena);
    *vocabulary = (struct gguf_vocabulary){0};
}

/* A vocabulary being filled; `seen` knows the tokens that are in it. */
struct filling {
    struct gguf_vocabulary *vocabulary;
    struct map seen;
    bool failed;
};

/* Adds a token unless it is there. Returns its index. */
static size_t add(struct filling *filling, const char *token, enum llama_token_type type,
                  enum gguf_weight weight, int32_t meaning)
{
    struct gguf_vocabulary *vocabulary = filling->vocabulary;
    uint64_t index;
    if (map_get(&filling->seen, token, strlen(token), &index))
        return index;
    size_t at = vocabulary->count;
    char *copy = arena_copy(&vocabulary->arena, token);
    if (!copy || !map_put(&filling->seen, token, strlen(token), at, NULL)) {
        filling->failed = true;
        return 0;
    }
    vocabulary->tokens[at] = copy;
    vocabulary->types[at] = (int32_t)type;
    vocabulary->weights[at] = weight;
    vocabulary->meanings[at] = meaning >= 0 ? meaning : (int32_t)at;
    vocabulary->count++;
    return at;
}

static bool finish(struct filling *filling, struct err *err)
{
    map_free(&filling->seen);
    if (!filling->failed)
        return true;
    gguf_vocabulary_free(filling->vocabulary);
    return err_no_memory(err);
}

/* ---------------------------------------------------------------- byte-level BPE */

/* GPT-2 writes each byte as a printable character: itself where it is one, else the next unused from U+0100. */
static void byte_characters(char characters[256][8])
{
    uint32_t next = 0x100;
    for (uint32_t byte = 0; byte < 256; byte++) {
        bool printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte != 0xad);
        size_t size = utf8_encode(printable ? byte : next++, characters[byte]);
        characters[byte][size] = '\0';
    }
}

/* Words whose merges the tokenizer learns from left to right. */
static const char *const bpe_words[] = {
    " the",  " and",  " of",       " to",    " in",   " is",    " you",    " que",
    " de",   " la",   " el",       " en",    " los",  " una",   " con",    " por",
    " for",  " with", " not",      " are",   "hello", "hola",   " answer", " question",
    " user", "user",  "assistant", "system", " time", " house",
};

/* Adds the merges that turn a word, written as byte characters, into one token. */
static void add_bpe_word(struct filling *filling, char characters[256][8], struct map *merges,
                         const char *word)
{
    struct gguf_vocabulary *vocabulary = filling->vocabulary;
    char left[WORD_MAX] = "";
    for (const char *at = word; *at; at++) {
        const char *right = characters[(unsigned char)*at];
        if (left[0]) {
            char merge[2 * WORD_MAX];
            snprintf(merge, sizeof(merge), "%s %s", left, right);
            uint64_t known;
            if (!map_get(merges, merge, strlen(merge), &known)) {
                vocabulary->merges[vocabulary->merge_count++] =
                    arena_copy(&vocabulary->arena, merge);
                if (!map_put(merges, merge, strlen(merge), 1, NULL))
                    filling->failed = true;
            }
        }
        size_t length = strlen(left);
        snprintf(left + length, sizeof(left) - length, "%s", right);
        add(filling, left, LLAMA_TOKEN_TYPE_NORMAL, GGUF_WEIGHT_WORD, -1);
    }
}

bool gguf_vocabulary_bpe(struct gguf_vocabulary *ret, struct err *err)
{
    if (!start(ret, err))
        return false;
    struct filling filling = {.vocabulary = ret};
    map_init(&filling.seen, GGUF_VOCABULARY_MAX);
    struct map merges;
    map_init(&merges, GGUF_VOCABULARY_MAX);
    static const char *const specials[BPE_SPECIALS] = {"<|endoftext|>", "<|im_start|>",
                                                       "<|im_end|>"};
    for (size_t i = 0; i < BPE_SPECIALS; i++)
        add(&filling, specials[i], LLAMA_TOKEN_TYPE_CONTROL, GGUF_WEIGHT_NONE, -1);
    char characters[256][8];
    byte_characters(characters);
    for (size_t byte = 0; byte < 256; byte++)
        add(&filling, characters[byte], LLAMA_TOKEN_TYPE_NORMAL, GGUF_WEIGHT_PIECE, -1);
    for (size_t i = 0; i < sizeof(bpe_words) / sizeof(bpe_words[0]); i++)
        add_bpe_word(&filling, characters, &merges, bpe_words[i]);
    map_free(&merges);
    return finish(&filling, err);
}

/* ---------------------------------------------------------------- WordPiece */

#define WORD_START \
    "\xe2\x96\x81" /* libllama marks the beginning of a word, where BERT marks the rest with ## */

static const char piece_letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";

/* Adds the words of a list separated by blanks. All share `meaning`; -1: each has its own. */
static void add_words(struct filling *filling, const char *words, enum gguf_weight weight,
                      int32_t meaning)
{
    while (*words) {
        size_t length = strcspn(words, " ");
        char token[WORD_MAX];
        snprintf(token, sizeof(token), WORD_START "%.*s", (int)length, words);
        size_t index = add(filling, token, LLAMA_TOKEN_TYPE_NORMAL, weight, meaning);
        if (meaning >= 0)
            meaning = filling->vocabulary->meanings[index];
        words += length + (words[length] == ' ');
    }
}

/* One and two letters, at the beginning of a word and inside, so that every word can be spelt. */
static void add_pieces(struct filling *filling)
{
    static const char *const starts[] = {WORD_START, ""};
    for (size_t s = 0; s < 2; s++) {
        for (const char *first = piece_letters; *first; first++) {
            char token[WORD_MAX];
            snprintf(token, sizeof(token), "%s%c", starts[s], *first);
            add(filling, token, LLAMA_TOKEN_TYPE_NORMAL, GGUF_WEIGHT_PIECE, -1);
            for (const char *second = piece_letters; *second; second++) {
                snprintf(token, sizeof(token), "%s%c%c", starts[s], *first, *second);
                add(filling, token, LLAMA_TOKEN_TYPE_NORMAL, GGUF_WEIGHT_PIECE, -1);
            }
        }
    }
}

bool gguf_vocabulary_wordpiece(struct gguf_vocabulary *ret, struct err *err)
{
    if (!start(ret, err))
        return false;
    struct filling filling = {.vocabulary = ret};
    map_init(&filling.seen, GGUF_VOCABULARY_MAX);
    static const char *const specials[] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
    for (size_t i = 0; i < sizeof(specials) / sizeof(specials[0]); i++)
        add(&filling, specials[i], LLAMA_TOKEN_TYPE_CONTROL, GGUF_WEIGHT_NONE, -1);
    for (size_t i = 0; gguf_words_stop[i]; i++)
        add_words(&filling, gguf_words_stop[i], GGUF_WEIGHT_NONE, -1);
    for (size_t i = 0; gguf_words_meaning[i]; i++)
        add_words(&filling, gguf_words_meaning[i], GGUF_WEIGHT_WORD, (int32_t)ret->count);
    add_pieces(&filling);
    return finish(&filling, err);
}
