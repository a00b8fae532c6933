#include "cli/options.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/names.h"

static const struct option_spec *find_spec(const struct options *options, const char *name,
                                           size_t length)
{
    for (size_t i = 0; i < options->spec_count; i++) {
        const struct option_spec *spec = &options->specs[i];
        if (strlen(spec->name) == length && memcmp(spec->name, name, length) == 0)
            return spec;
    }
    return NULL;
}

static bool unknown_option(const struct options *options, const char *name, size_t length,
                           struct err *err)
{
    const char *names[OPTIONS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < options->spec_count; i++)
        if (!options->specs[i].hidden)
            names[count++] = options->specs[i].name;
    char word[ERR_PARAM_MAX];
    snprintf(word, sizeof(word), "%.*s", (int)(length < sizeof(word) ? length : sizeof(word) - 1),
             name);
    const char *near = names_nearest(word, names, count);
    if (near)
        return err_set_param(err, ERR_INVALID_REQUEST, word,
                             "there is no option --%s; did you mean --%s?", word, near);
    return err_set_param(err, ERR_INVALID_REQUEST, word,
                         "there is no option --%s; --help lists the options", word);
}

static bool read_number(const struct option_spec *spec, const char *text, double *ret,
                        struct err *err)
{
    char *end;
    errno = 0;
    double number = strtod(text, &end);
    bool whole = spec->type == OPTION_NUMBER || number == floor(number);
    if (end == text || *end || errno || !whole || !(number >= spec->min && number <= spec->max)) {
        if (spec->type == OPTION_INT)
            return err_set_param(err, ERR_INVALID_REQUEST, spec->name,
                                 "--%s takes a whole number from %.0f to %.0f, not \"%s\"",
                                 spec->name, spec->min, spec->max, text);
        return err_set_param(err, ERR_INVALID_REQUEST, spec->name,
                             "--%s takes a number from %g to %g, not \"%s\"", spec->name, spec->min,
                             spec->max, text);
    }
    *ret = number;
    return true;
}

static bool store_value(struct options *options, const struct option_spec *spec, const char *text,
                        struct err *err)
{
    struct option_value *value = &options->values[spec - options->specs];
    if (spec->type == OPTION_LIST && value->count == OPTION_VALUES_MAX)
        return err_set_param(err, ERR_INVALID_REQUEST, spec->name,
                             "--%s can be given %d times at most", spec->name, OPTION_VALUES_MAX);
    bool numeric = spec->type == OPTION_INT || spec->type == OPTION_NUMBER;
    if (numeric && !read_number(spec, text, &value->number, err))
        return false;
    if (spec->type != OPTION_LIST)
        value->count = 0;
    value->texts[value->count++] = text;
    return true;
}

/* Takes one option: argv[*at] begins with "--" or is "-h". Moves *at past its value. */
static bool take_option(struct options *options, int argc, const char *const *argv, int *at,
                        struct err *err)
{
    const char *name = strcmp(argv[*at], "-h") == 0 ? "help" : argv[*at] + 2;
    size_t length = strcspn(name, "=");
    const char *inline_value = name[length] == '=' ? name + length + 1 : NULL;
    const struct option_spec *spec = find_spec(options, name, length);
    if (!spec)
        return unknown_option(options, name, length, err);
    if (spec->type == OPTION_FLAG) {
        if (inline_value)
            return err_set_param(err, ERR_INVALID_REQUEST, spec->name, "--%s takes no value",
                                 spec->name);
        options->values[spec - options->specs].count = 1;
        return true;
    }
    if (!inline_value && *at + 1 >= argc)
        return err_set_param(err, ERR_INVALID_REQUEST, spec->name, "--%s needs a value: --%s %s",
                             spec->name, spec->name, spec->value);
    return store_value(options, spec, inline_value ? inline_value : argv[++*at], err);
}

static bool take_all(struct options *options, int argc, const char *const *argv, struct err *err)
{
    bool ended = false;
    for (int i = 0; i < argc; i++) {
        const char *word = argv[i];
        if (!ended && strcmp(word, "--") == 0) {
            ended = true;
        } else if (!ended && (strncmp(word, "--", 2) == 0 || strcmp(word, "-h") == 0)) {
            if (!take_option(options, argc, argv, &i, err))
                return false;
        } else if (!ended && word[0] == '-' && isalpha((unsigned char)word[1])) {
            return err_set_param(
                err, ERR_INVALID_REQUEST, word,
                "there is no option %s; options begin with --, and --help lists them", word);
        } else {
            options->words[options->word_count++] = word;
        }
    }
    return true;
}

bool options_parse(const struct option_spec *specs, size_t spec_count, int argc,
                   const char *const *argv, struct options *ret, struct err *err)
{
    struct options options = {.specs = specs, .spec_count = spec_count};
    options.words = calloc((size_t)argc + 1, sizeof(*options.words));
    if (!options.words)
        return err_no_memory(err);
    if (!take_all(&options, argc, argv, err)) {
        options_free(&options);
        return false;
    }
    *ret = options;
    return true;
}

void options_free(struct options *options)
{
    free(options->words);
    options->words = NULL;
    options->word_count = 0;
}

static const struct option_value *value_of(const struct options *options, const char *name)
{
    const struct option_spec *spec = find_spec(options, name, strlen(name));
    if (!spec) {
        fprintf(stderr, "options: \"%s\" is not in the command's table\n", name);
        abort();
    }
    return &options->values[spec - options->specs];
}

bool options_has(const struct options *options, const char *name)
{
    return value_of(options, name)->count > 0;
}

const char *options_text(const struct options *options, const char *name, const char *otherwise)
{
    const struct option_value *value = value_of(options, name);
    return value->count ? value->texts[0] : otherwise;
}

int64_t options_int(const struct options *options, const char *name, int64_t otherwise)
{
    const struct option_value *value = value_of(options, name);
    return value->count ? (int64_t)value->number : otherwise;
}

double options_number(const struct options *options, const char *name, double otherwise)
{
    const struct option_value *value = value_of(options, name);
    return value->count ? value->number : otherwise;
}

const struct option_value *options_list(const struct options *options, const char *name)
{
    return value_of(options, name);
}
