/* options.h - the words after `jarvis COMMAND`, read by a table.
 *
 * Options are long (`--top-k 5`, `--top-k=5`), may stand anywhere, and end at `--`; `-h` is the one
 * short form. Everything else is a word. An option that is given twice counts the last time, lists
 * collect.
 * Owner:   options_free() ends what options_parse() made; texts point into argv.
 * Threads: one. Fails: ERR_INVALID_REQUEST, which names the nearest option.
 */
#ifndef JARVIS_CLI_OPTIONS_H
#define JARVIS_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum option_type {
    OPTION_FLAG,   /* no value */
    OPTION_TEXT,   /* any text */
    OPTION_LIST,   /* any text, up to OPTION_VALUES_MAX times */
    OPTION_INT,    /* a whole number from min to max */
    OPTION_NUMBER, /* a number from min to max */
};

enum { OPTIONS_MAX = 16, OPTION_VALUES_MAX = 16 };

struct option_spec {
    const char *name;  /* without the dashes */
    const char *value; /* how help calls the value: "NAME"; NULL for a flag */
    const char *help;  /* English, N_ */
    double min;        /* of OPTION_INT and OPTION_NUMBER */
    double max;
    enum option_type type;
    bool hidden; /* works, but help does not show it */
};

struct option_value {
    const char *texts[OPTION_VALUES_MAX];
    size_t count; /* times given; 0: absent */
    double number;
};

struct options {
    const struct option_spec *specs;
    size_t spec_count;
    struct option_value values[OPTIONS_MAX];
    const char **words;
    size_t word_count;
};

/* Reads argv[0..argc). `specs` (at most OPTIONS_MAX) must outlive the result. */
bool options_parse(const struct option_spec *specs, size_t spec_count, int argc,
                   const char *const *argv, struct options *ret, struct err *err);
void options_free(struct options *options);

/* What was given for `name`, which must be in the table (a misspelt name here aborts). */
bool options_has(const struct options *options, const char *name);
const char *options_text(const struct options *options, const char *name, const char *otherwise);
int64_t options_int(const struct options *options, const char *name, int64_t otherwise);
double options_number(const struct options *options, const char *name, double otherwise);
const struct option_value *options_list(const struct options *options, const char *name);

#endif
