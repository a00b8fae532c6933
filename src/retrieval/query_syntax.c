#include "retrieval/query_syntax.h"

#include <string.h>

enum {
    EXCLUDED_LETTERS_MIN = 3,
    PREFIX_MIN = 2, /* bytes */
};

struct reader {
    const char *text;
    size_t length;
    size_t at;
    struct arena *arena;
    char *plain; /* as long as the text at most */
    size_t plain_length;
    struct query_syntax *out;
};

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Letters of any script, by their first bytes. */
static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (unsigned char)c >= 0x80;
}

static bool is_word(char c)
{
    return is_letter(c) || (c >= '0' && c <= '9');
}

static void put_plain(struct reader *reader, const char *text, size_t length)
{
    memcpy(reader->plain + reader->plain_length, text, length);
    reader->plain_length += length;
}

static bool add_clause(struct reader *reader, enum query_clause_kind kind, bool excluded,
                       const char *text, size_t length, struct err *err)
{
    if (reader->out->count == QUERY_CLAUSES_MAX)
        return err_set(err, ERR_TOO_LARGE,
                       "a search may have at most %d quoted, required and excluded words",
                       QUERY_CLAUSES_MAX);
    char *copy = arena_copy_n(reader->arena, text, length);
    if (!copy)
        return err_no_memory(err);
    reader->out->clauses[reader->out->count++] =
        (struct query_clause){.kind = kind, .excluded = excluded, .text = copy, .length = length};
    return true;
}

/* Reads "…" at the reader's place; false in *ret when there is no such thing. */
static bool read_phrase(struct reader *reader, bool excluded, bool *ret, struct err *err)
{
    const char *begin = reader->text + reader->at + 1;
    const char *end = memchr(begin, '"', reader->length - reader->at - 1);
    size_t length = end ? (size_t)(end - begin) : 0;
    bool words = false;
    for (size_t i = 0; i < length && !words; i++)
        words = is_word(begin[i]);
    *ret = words;
    if (!words)
        return true;
    if (!excluded)
        put_plain(reader, begin, length);
    reader->at += length + 2;
    return add_clause(reader, CLAUSE_PHRASE, excluded, begin, length, err);
}

/* The end of the word that begins at `at`: up to a space. */
static size_t word_end(const struct reader *reader, size_t at)
{
    while (at < reader->length && !is_space(reader->text[at]) && reader->text[at] != '"')
        at++;
    return at;
}

/* Punctuation at a word's end is the sentence's. */
static size_t trimmed_end(const struct reader *reader, size_t begin, size_t end)
{
    while (end > begin && !is_word(reader->text[end - 1]) && reader->text[end - 1] != '*')
        end--;
    return end;
}

static bool begins_exclusion(const struct reader *reader)
{
    if (reader->text[reader->at] != '-')
        return false;
    size_t letters = 0;
    while (reader->at + 1 + letters < reader->length &&
           is_letter(reader->text[reader->at + 1 + letters]))
        letters++;
    return letters >= EXCLUDED_LETTERS_MIN;
}

/* Reads a word with its marks, at the beginning of one. */
static bool read_word(struct reader *reader, struct err *err)
{
    size_t stop = word_end(reader, reader->at);
    bool excluded = begins_exclusion(reader);
    bool required = reader->text[reader->at] == '+' && reader->at + 1 < stop &&
                    is_word(reader->text[reader->at + 1]);
    size_t begin = reader->at + (excluded || required);
    size_t end = trimmed_end(reader, begin, stop);
    bool prefix =
        end > begin + PREFIX_MIN && reader->text[end - 1] == '*' && is_word(reader->text[end - 2]);
    if (!excluded)
        put_plain(reader, reader->text + begin, stop - begin);
    reader->at = stop;
    if (!excluded && !required && !prefix)
        return true;
    return add_clause(reader, prefix ? CLAUSE_PREFIX : CLAUSE_WORD, excluded, reader->text + begin,
                      end - begin - prefix, err);
}

static bool read_item(struct reader *reader, struct err *err)
{
    bool done = false;
    if (reader->text[reader->at] == '"') {
        if (!read_phrase(reader, false, &done, err))
            return false;
    } else if (reader->text[reader->at] == '-' && reader->at + 1 < reader->length &&
               reader->text[reader->at + 1] == '"') {
        reader->at++;
        if (!read_phrase(reader, true, &done, err))
            return false;
        reader->at -= !done;
    }
    if (done)
        return true;
    if (reader->text[reader->at] == '"') { /* not closed, or around nothing */
        put_plain(reader, " ", 1);
        reader->at++;
        return true;
    }
    return read_word(reader, err);
}

bool query_syntax_parse(const char *text, size_t length, struct arena *arena,
                        struct query_syntax *ret, struct err *err)
{
    struct query_syntax parsed = {.count = 0};
    struct reader reader = {.text = text, .length = length, .arena = arena, .out = &parsed};
    parsed.clauses = arena_array(arena, QUERY_CLAUSES_MAX, sizeof(*parsed.clauses));
    reader.plain = arena_alloc(arena, length + 1);
    if (!parsed.clauses || !reader.plain)
        return err_no_memory(err);
    while (reader.at < length) {
        if (is_space(text[reader.at]))
            put_plain(&reader, &text[reader.at++], 1);
        else if (!read_item(&reader, err))
            return false;
    }
    parsed.plain = reader.plain;
    parsed.length = reader.plain_length;
    *ret = parsed;
    return true;
}
