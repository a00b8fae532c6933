#include <stdlib.h>
#include <string.h>

#include "retrieval/text.h"

/* Sorted by byte value, as bsearch() needs them. Single letters are not here: "C" and "R" are asked
 * about; but those that are words of the language are. Spanish ones stand without accents, as they
 * are after folding. */
static const char *const english[] = {
    "a",      "about",   "above", "after",   "again",   "against", "also",   "am",      "an",
    "and",    "any",     "are",   "aren't",  "as",      "at",      "be",     "because", "been",
    "before", "being",   "below", "between", "both",    "but",     "by",     "can",     "can't",
    "could",  "did",     "do",    "does",    "doesn't", "doing",   "don't",  "done",    "down",
    "during", "each",    "for",   "from",    "had",     "has",     "have",   "having",  "he",
    "her",    "here",    "hers",  "him",     "his",     "how",     "i",      "i'm",     "if",
    "in",     "into",    "is",    "isn't",   "it",      "it's",    "its",    "just",    "let's",
    "may",    "me",      "might", "more",    "most",    "must",    "my",     "no",      "nor",
    "not",    "of",      "off",   "on",      "only",    "onto",    "or",     "other",   "our",
    "out",    "over",    "own",   "same",    "shall",   "she",     "should", "so",      "some",
    "such",   "than",    "that",  "that's",  "the",     "their",   "them",   "then",    "there",
    "these",  "they",    "this",  "those",   "through", "to",      "too",    "under",   "until",
    "up",     "us",      "very",  "was",     "we",      "were",    "what",   "what's",  "when",
    "where",  "which",   "while", "who",     "who's",   "whom",    "whose",  "why",     "will",
    "with",   "without", "won't", "would",   "you",     "you're",  "your",
};

static const char *const spanish[] = {
    "a",      "al",     "algo",      "algun",   "alguna",   "algunas", "alguno",   "algunos",
    "ante",   "antes",  "aquel",     "aquella", "aquellas", "aquello", "aquellos", "aqui",
    "asi",    "aun",    "aunque",    "bajo",    "cada",     "como",    "con",      "contra",
    "cual",   "cuales", "cualquier", "cuando",  "cuanta",   "cuantas", "cuanto",   "cuantos",
    "de",     "del",    "desde",     "donde",   "e",        "el",      "ella",     "ellas",
    "ello",   "ellos",  "en",        "entre",   "era",      "eran",    "eres",     "es",
    "esa",    "esas",   "ese",       "eso",     "esos",     "esta",    "estaba",   "estaban",
    "estan",  "estar",  "estas",     "este",    "esto",     "estos",   "estoy",    "fue",
    "fueron", "fui",    "ha",        "haber",   "habia",    "habian",  "han",      "has",
    "hasta",  "hay",    "he",        "hemos",   "la",       "las",     "le",       "les",
    "lo",     "los",    "mas",       "me",      "mi",       "mis",     "muy",      "ni",
    "no",     "nos",    "nosotros",  "nuestra", "nuestras", "nuestro", "nuestros", "o",
    "os",     "otra",   "otras",     "otro",    "otros",    "para",    "pero",     "poco",
    "por",    "porque", "pues",      "que",     "quien",    "quienes", "se",       "sea",
    "sean",   "segun",  "ser",       "sera",    "si",       "sido",    "siendo",   "sin",
    "sobre",  "son",    "soy",       "su",      "sus",      "suya",    "suyo",     "tambien",
    "tan",    "tanto",  "te",        "tengo",   "ti",       "tiene",   "tienen",   "toda",
    "todas",  "todo",   "todos",     "tu",      "tus",      "u",       "un",       "una",
    "unas",   "uno",    "unos",      "y",       "ya",       "yo",
};

struct slice {
    const char *word;
    size_t length;
};

static int compare(const void *key, const void *entry)
{
    const struct slice *slice = key;
    const char *word = *(const char *const *)entry;
    int order = strncmp(slice->word, word, slice->length);
    return order ? order : -(word[slice->length] != '\0');
}

bool text_is_stop_word(const char *word, size_t length, enum lang lang)
{
    struct slice slice = {word, length};
    if (lang == LANG_ES)
        return bsearch(&slice, spanish, sizeof(spanish) / sizeof(*spanish), sizeof(*spanish),
                       compare) != NULL;
    return bsearch(&slice, english, sizeof(english) / sizeof(*english), sizeof(*english),
                   compare) != NULL;
}
