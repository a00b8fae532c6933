#include "config/schema.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROW_INT(field, key, value, min, max, help) \
    {key, SETTING_INT, offsetof(struct config, field), value, NULL, min, max, help},
#define ROW_DOUBLE(field, key, value, min, max, help) \
    {key, SETTING_DOUBLE, offsetof(struct config, field), value, NULL, min, max, help},
#define ROW_BOOL(field, key, value, help) \
    {key, SETTING_BOOL, offsetof(struct config, field), value, NULL, 0, 1, help},
#define ROW_TEXT(field, key, value, min, max, help) \
    {key, SETTING_TEXT, offsetof(struct config, field), 0, value, min, max, help},
const struct setting setting_table[SETTING_COUNT] = {
    CONFIG_TABLE(ROW_INT, ROW_DOUBLE, ROW_BOOL, ROW_TEXT)};
#undef ROW_INT
#undef ROW_DOUBLE
#undef ROW_BOOL
#undef ROW_TEXT

const struct setting *setting_find(const char *key)
{
    for (size_t i = 0; i < SETTING_COUNT; i++)
        if (strcmp(setting_table[i].key, key) == 0)
            return &setting_table[i];
    return NULL;
}

bool setting_is_section(const char *name)
{
    size_t length = strlen(name);
    for (size_t i = 0; i < SETTING_COUNT; i++)
        if (strncmp(setting_table[i].key, name, length) == 0 && setting_table[i].key[length] == '.')
            return true;
    return false;
}

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static bool same_letter(char a, char b)
{
    return tolower((unsigned char)a) == tolower((unsigned char)b);
}

size_t name_distance(const char *a, const char *b)
{
    size_t rows = strlen(a);
    size_t columns = strlen(b);
    if (rows >= SETTING_KEY_MAX || columns >= SETTING_KEY_MAX)
        return SIZE_MAX;
    /* Three rows of the table: the one being filled, the one above it, and the one above that. */
    size_t memory[3][SETTING_KEY_MAX];
    for (size_t k = 0; k <= columns; k++)
        memory[0][k] = k;
    for (size_t i = 1; i <= rows; i++) {
        size_t *here = memory[i % 3];
        const size_t *above = memory[(i + 2) % 3];
        const size_t *above_that = memory[(i + 1) % 3];
        here[0] = i;
        for (size_t k = 1; k <= columns; k++) {
            size_t best = above[k - 1] + !same_letter(a[i - 1], b[k - 1]);
            best = min_size(best, min_size(above[k], here[k - 1]) + 1);
            if (i > 1 && k > 1 && same_letter(a[i - 1], b[k - 2]) &&
                same_letter(a[i - 2], b[k - 1]))
                best = min_size(best, above_that[k - 2] + 1);
            here[k] = best;
        }
    }
    return memory[rows % 3][columns];
}

bool name_is_near(const char *name, size_t distance)
{
    size_t allowed = strlen(name) / 3;
    return distance <= (allowed < 1 ? 1 : allowed);
}

struct nearest {
    const char *name; /* as the user wrote it */
    size_t distance;  /* of the best so far */
    char *out;
};

static void consider(struct nearest *nearest, const char *candidate, size_t length, size_t distance)
{
    if (distance < nearest->distance) {
        nearest->distance = distance;
        snprintf(nearest->out, SETTING_KEY_MAX, "%.*s", (int)length, candidate);
    }
}

bool setting_nearest(const char *name, char out[SETTING_KEY_MAX])
{
    struct nearest nearest = {.name = name, .distance = SIZE_MAX, .out = out};
    consider(&nearest, "models", strlen("models"), name_distance(name, "models"));
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        const char *key = setting_table[i].key;
        consider(&nearest, key, strlen(key), name_distance(name, key));
        const char *dot = strchr(key, '.');
        if (!dot)
            continue;
        char section[SETTING_KEY_MAX];
        snprintf(section, sizeof(section), "%.*s", (int)(dot - key), key);
        consider(&nearest, section, strlen(section), name_distance(name, section));
        /* "alpha" was meant to be "retrieval.alpha". */
        consider(&nearest, key, strlen(key), name_distance(name, dot + 1));
    }
    return name_is_near(name, nearest.distance);
}

void setting_environment_name(const struct setting *setting, char out[SETTING_ENVIRONMENT_MAX])
{
    snprintf(out, SETTING_ENVIRONMENT_MAX, "JARVIS_%s", setting->key);
    for (char *c = out; *c; c++)
        *c = *c == '.' ? '_' : (char)toupper((unsigned char)*c);
}

static void *field_of(struct config *config, const struct setting *setting)
{
    return (char *)config + setting->offset;
}

static bool refuse(const struct setting *setting, const char *where, struct err *err)
{
    switch (setting->type) {
    case SETTING_INT:
        return err_set_param(err, ERR_CONFIG, setting->key,
                             "%s: \"%s\" must be a whole number from %lld to %lld", where,
                             setting->key, (long long)setting->min, (long long)setting->max);
    case SETTING_DOUBLE:
        return err_set_param(err, ERR_CONFIG, setting->key,
                             "%s: \"%s\" must be a number from %g to %g", where, setting->key,
                             setting->min, setting->max);
    case SETTING_BOOL:
        return err_set_param(err, ERR_CONFIG, setting->key, "%s: \"%s\" must be true or false",
                             where, setting->key);
    case SETTING_TEXT: break;
    }
    return err_set_param(err, ERR_CONFIG, setting->key,
                         "%s: \"%s\" must be a string of %d to %d bytes", where, setting->key,
                         (int)setting->min, (int)setting->max);
}

static bool set_number(struct config *config, const struct setting *setting, double number,
                       const char *where, struct err *err)
{
    if (!(number >= setting->min && number <= setting->max) ||
        (setting->type != SETTING_DOUBLE && number != floor(number)))
        return refuse(setting, where, err);
    void *field = field_of(config, setting);
    switch (setting->type) {
    case SETTING_INT: *(int64_t *)field = (int64_t)number; break;
    case SETTING_DOUBLE: *(double *)field = number; break;
    case SETTING_BOOL: *(bool *)field = number != 0; break;
    case SETTING_TEXT: break;
    }
    return true;
}

static bool set_string(struct config *config, const struct setting *setting, const char *text,
                       size_t length, const char *where, struct err *err)
{
    if (strlen(text) != length || (double)length < setting->min || (double)length > setting->max)
        return refuse(setting, where, err);
    char **field = field_of(config, setting);
    char *copy;
    if (!str_copy(text, &copy, err))
        return false;
    free(*field);
    *field = copy;
    return true;
}

bool setting_set_default(struct config *config, const struct setting *setting, struct err *err)
{
    if (setting->type == SETTING_TEXT)
        return set_string(config, setting, setting->text, strlen(setting->text), "", err);
    return set_number(config, setting, setting->number, "", err);
}

bool setting_set_json(struct config *config, const struct setting *setting, yyjson_val *value,
                      const char *where, struct err *err)
{
    bool fits = false;
    switch (setting->type) {
    case SETTING_INT: fits = yyjson_is_int(value); break;
    case SETTING_DOUBLE: fits = yyjson_is_num(value); break;
    case SETTING_BOOL: fits = yyjson_is_bool(value); break;
    case SETTING_TEXT: fits = yyjson_is_str(value); break;
    }
    if (!fits)
        return refuse(setting, where, err);
    if (setting->type == SETTING_TEXT)
        return set_string(config, setting, yyjson_get_str(value), yyjson_get_len(value), where,
                          err);
    double number = setting->type == SETTING_BOOL ? yyjson_get_bool(value) : yyjson_get_num(value);
    return set_number(config, setting, number, where, err);
}

bool setting_set_text(struct config *config, const struct setting *setting, const char *value,
                      const char *where, struct err *err)
{
    if (setting->type == SETTING_TEXT)
        return set_string(config, setting, value, strlen(value), where, err);
    if (setting->type == SETTING_BOOL) {
        bool yes = strcmp(value, "true") == 0 || strcmp(value, "1") == 0;
        bool no = strcmp(value, "false") == 0 || strcmp(value, "0") == 0;
        return yes || no ? set_number(config, setting, yes, where, err)
                         : refuse(setting, where, err);
    }
    char *end = NULL;
    double number = strtod(value, &end);
    if (end == value || *end != '\0')
        number = NAN;
    return set_number(config, setting, number, where, err);
}

void setting_put(const struct config *config, const struct setting *setting, struct str *out)
{
    const void *field = (const char *)config + setting->offset;
    switch (setting->type) {
    case SETTING_INT: str_printf(out, "%" PRId64, *(const int64_t *)field); break;
    case SETTING_DOUBLE: str_printf(out, "%.15g", *(const double *)field); break;
    case SETTING_BOOL: str_puts(out, *(const bool *)field ? "true" : "false"); break;
    case SETTING_TEXT: str_puts(out, *(char *const *)field); break;
    }
}
