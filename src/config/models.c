/* models.c - the entries of "models". */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "config/load.h"
#include "config/schema.h"

enum { CONTEXT_MAX = 16 * 1024 * 1024, SLOTS_MAX = 64, SLOTS_DEFAULT = 2, LAYERS_MAX = 100000 };
enum { PREFIX_MAX = 1024, TTL_MAX_S = 365 * 24 * 60 * 60 };

enum entry_field {
    ENTRY_NAME,
    ENTRY_PATH,
    ENTRY_ROLE,
    ENTRY_CONTEXT_LENGTH,
    ENTRY_SLOTS,
    ENTRY_GPU_LAYERS,
    ENTRY_QUERY_PREFIX,
    ENTRY_PASSAGE_PREFIX,
    ENTRY_PRELOAD,
    ENTRY_PIN,
    ENTRY_TTL_S,
    ENTRY_ALTERNATIVES,
    ENTRY_KV_TYPE,
    ENTRY_FALLBACK,
    ENTRY_UPSTREAM,
    ENTRY_DEVICES,
    ENTRY_FIELDS
};

static const char *const entry_keys[ENTRY_FIELDS] = {
    "name",    "path",       "role",         "context_length",
    "slots",   "gpu_layers", "query_prefix", "passage_prefix",
    "preload", "pin",        "ttl_s",        "alternatives",
    "kv_type", "fallback",   "upstream",     "devices",
};

static const char *const alternative_names[ALTERNATIVE_COUNT] = {
    [ALTERNATIVE_SMALLER_CONTEXT] = "smaller_context",
    [ALTERNATIVE_FEWER_GPU_LAYERS] = "fewer_gpu_layers",
    [ALTERNATIVE_FALLBACK] = "fallback",
};

static bool entry_key_find(const char *key, enum entry_field *ret)
{
    for (int field = 0; field < ENTRY_FIELDS; field++) {
        if (strcmp(entry_keys[field], key) == 0) {
            *ret = (enum entry_field)field;
            return true;
        }
    }
    return false;
}

static bool unknown_entry_key(const char *where, const char *key, struct err *err)
{
    const char *best = entry_keys[0];
    for (int field = 1; field < ENTRY_FIELDS; field++)
        if (name_distance(key, entry_keys[field]) < name_distance(key, best))
            best = entry_keys[field];
    if (name_is_near(key, name_distance(key, best)))
        return err_set_param(err, ERR_CONFIG, key,
                             "%s: unknown key \"%s\" of a model; did you mean \"%s\"?", where, key,
                             best);
    struct str known;
    str_init(&known, CONFIG_PLACE_MAX);
    for (int field = 0; field < ENTRY_FIELDS; field++)
        str_printf(&known, "%s%s", field > 0 ? ", " : "", entry_keys[field]);
    err_set_param(err, ERR_CONFIG, key, "%s: unknown key \"%s\" of a model; known are %s", where,
                  key, str_text(&known));
    str_free(&known);
    return false;
}

bool model_name_check(const char *name, const char *where, struct err *err)
{
    size_t length = strlen(name);
    bool ok = length > 0 && length <= MODEL_NAME_MAX && utf8_valid(name, length);
    for (const char *c = name; *c; c++)
        ok = ok && (unsigned char)*c > ' ' && *c != 0x7f && *c != '"' && *c != '\\';
    if (ok)
        return true;
    return err_set_param(err, ERR_CONFIG, "name",
                         "%s: a model's name must be 1 to %d bytes of UTF-8 without spaces, quotes "
                         "or backslashes",
                         where, MODEL_NAME_MAX);
}

bool model_path_check(const char *path, const char *where, struct err *err)
{
    size_t length = strlen(path);
    if (length > 0 && length <= MODEL_PATH_MAX)
        return true;
    return err_set_param(err, ERR_CONFIG, "path", "%s: a model's path must be 1 to %d bytes", where,
                         MODEL_PATH_MAX);
}

static bool read_text(yyjson_val *value, enum entry_field field, size_t max, const char *where,
                      char **to, struct err *err)
{
    if (!yyjson_is_str(value) || yyjson_get_len(value) > max ||
        strlen(yyjson_get_str(value)) != yyjson_get_len(value))
        return err_set_param(err, ERR_CONFIG, entry_keys[field],
                             "%s: \"%s\" must be a string of at most %zu bytes", where,
                             entry_keys[field], max);
    char *copy;
    if (!str_copy(yyjson_get_str(value), &copy, err))
        return false;
    free(*to);
    *to = copy;
    return true;
}

static bool read_number(yyjson_val *value, enum entry_field field, int64_t min, int64_t max,
                        const char *where, int64_t *ret, struct err *err)
{
    bool whole = yyjson_is_int(value);
    double number = yyjson_get_num(value);
    if (!whole || number < (double)min || number > (double)max)
        return err_set_param(err, ERR_CONFIG, entry_keys[field],
                             "%s: \"%s\" must be a whole number from %lld to %lld", where,
                             entry_keys[field], (long long)min, (long long)max);
    *ret = yyjson_get_sint(value);
    return true;
}

static bool read_role(yyjson_val *value, const char *where, enum model_role *ret, struct err *err)
{
    const char *name = yyjson_get_str(value);
    if (name && model_role_parse(name, ret) && *ret != ROLE_PARSER)
        return true;
    return err_set_param(err, ERR_CONFIG, "role",
                         "%s: \"role\" must be \"chat\", \"embedding\", \"rerank\" or \"speech\"",
                         where);
}

static bool read_bool(yyjson_val *value, enum entry_field field, const char *where, bool *ret,
                      struct err *err)
{
    if (!yyjson_is_bool(value))
        return err_set_param(err, ERR_CONFIG, entry_keys[field], "%s: \"%s\" must be true or false",
                             where, entry_keys[field]);
    *ret = yyjson_get_bool(value);
    return true;
}

static bool find_alternative(const char *name, enum model_alternative *ret)
{
    for (int i = 0; name && i < ALTERNATIVE_COUNT; i++) {
        if (strcmp(alternative_names[i], name) == 0) {
            *ret = (enum model_alternative)i;
            return true;
        }
    }
    return false;
}

static bool read_alternatives(yyjson_val *value, const char *where, struct model_entry *entry,
                              struct err *err)
{
    bool seen[ALTERNATIVE_COUNT] = {false};
    bool ok = yyjson_is_arr(value);
    yyjson_arr_iter walk = yyjson_arr_iter_with(value);
    yyjson_val *item;
    while (ok && (item = yyjson_arr_iter_next(&walk))) {
        enum model_alternative found = ALTERNATIVE_COUNT;
        ok = find_alternative(yyjson_get_str(item), &found) && !seen[found];
        if (ok) {
            seen[found] = true;
            entry->alternatives[entry->alternative_count++] = found;
        }
    }
    return ok || err_set_param(err, ERR_CONFIG, "alternatives",
                               "%s: \"alternatives\" must be a list of \"smaller_context\", "
                               "\"fewer_gpu_layers\" and \"fallback\", each at most once",
                               where);
}

static bool read_kv_type(yyjson_val *value, const char *where, enum kv_type *ret, struct err *err)
{
    const char *name = yyjson_get_str(value);
    if (name && kv_type_parse(name, ret))
        return true;
    return err_set_param(err, ERR_CONFIG, "kv_type",
                         "%s: \"kv_type\" must be f16, f32, bf16, q8_0, q5_1, q5_0, q4_1 or q4_0",
                         where);
}

static bool read_field(struct model_entry *entry, enum entry_field field, yyjson_val *value,
                       const char *where, struct err *err)
{
    int64_t number = 0;
    switch (field) {
    case ENTRY_NAME:
        return read_text(value, field, MODEL_NAME_MAX, where, &entry->name, err) &&
               model_name_check(entry->name, where, err);
    case ENTRY_PATH:
        return read_text(value, field, MODEL_PATH_MAX, where, &entry->path, err) &&
               model_path_check(entry->path, where, err);
    case ENTRY_ROLE: return read_role(value, where, &entry->role, err);
    case ENTRY_CONTEXT_LENGTH:
        if (!read_number(value, field, 0, CONTEXT_MAX, where, &number, err))
            return false;
        entry->context_length = (uint32_t)number;
        return true;
    case ENTRY_SLOTS:
        if (!read_number(value, field, 1, SLOTS_MAX, where, &number, err))
            return false;
        entry->slots = (uint32_t)number;
        return true;
    case ENTRY_GPU_LAYERS:
        if (!read_number(value, field, -1, LAYERS_MAX, where, &number, err))
            return false;
        entry->gpu_layers = (int32_t)number;
        return true;
    case ENTRY_QUERY_PREFIX:
        return read_text(value, field, PREFIX_MAX, where, &entry->query_prefix, err);
    case ENTRY_PASSAGE_PREFIX:
        return read_text(value, field, PREFIX_MAX, where, &entry->passage_prefix, err);
    case ENTRY_PRELOAD: return read_bool(value, field, where, &entry->preload, err);
    case ENTRY_PIN: return read_bool(value, field, where, &entry->pin, err);
    case ENTRY_TTL_S:
        if (!read_number(value, field, 0, TTL_MAX_S, where, &number, err))
            return false;
        entry->ttl_s = (uint32_t)number;
        return true;
    case ENTRY_ALTERNATIVES: return read_alternatives(value, where, entry, err);
    case ENTRY_KV_TYPE: return read_kv_type(value, where, &entry->kv_type, err);
    case ENTRY_FALLBACK: return entry_read_fallback(value, where, entry, err);
    case ENTRY_UPSTREAM: return entry_read_upstream(value, where, entry, err);
    case ENTRY_DEVICES: return read_text(value, field, PREFIX_MAX, where, &entry->devices, err);
    case ENTRY_FIELDS: break;
    }
    return err_set(err, ERR_INTERNAL, "%s: unknown field of a model", where);
}

static bool missing(const char *where, enum entry_field field, struct err *err)
{
    return err_set_param(err, ERR_CONFIG, entry_keys[field],
                         "%s: this model has no \"%s\"; a model needs name, role, and path or "
                         "upstream",
                         where, entry_keys[field]);
}

/* What must be there together, and what must not. */
static bool check_fields(const struct model_entry *entry, const bool *seen, const char *where,
                         struct err *err)
{
    if (!seen[ENTRY_NAME])
        return missing(where, ENTRY_NAME, err);
    if (!seen[ENTRY_ROLE])
        return missing(where, ENTRY_ROLE, err);
    if (!seen[ENTRY_PATH] && !seen[ENTRY_UPSTREAM])
        return missing(where, ENTRY_PATH, err);
    if (seen[ENTRY_PATH] && seen[ENTRY_UPSTREAM])
        return err_set_param(err, ERR_CONFIG, "upstream",
                             "%s: a model is either a file (\"path\") or another server "
                             "(\"upstream\"), not both",
                             where);
    if (entry->role == ROLE_EMBEDDING && entry->fallback_count > 0)
        return err_set_param(err, ERR_CONFIG, "fallback",
                             "%s: an embedding model has no \"fallback\": vectors of two models "
                             "cannot be compared; give the upstream several urls instead",
                             where);
    return true;
}

/* Reads the members of one object into *entry, which holds the defaults. */
static bool read_members(const struct config_source *source, yyjson_val *object, size_t offset,
                         struct model_entry *entry, struct err *err)
{
    bool seen[ENTRY_FIELDS] = {false};
    char where[CONFIG_PLACE_MAX];
    struct jsonc_walk walk;
    struct jsonc_item item;
    jsonc_open(&walk, source->text, source->length, offset);
    yyjson_obj_iter members = yyjson_obj_iter_with(object);
    yyjson_val *key;
    while ((key = yyjson_obj_iter_next(&members)) && jsonc_next(&walk, &item)) {
        const char *name = yyjson_get_str(key);
        yyjson_val *value = yyjson_obj_iter_get_val(key);
        config_place(source, item.key.begin, where);
        enum entry_field field;
        if (!entry_key_find(name, &field))
            return unknown_entry_key(where, name, err);
        if (seen[field])
            return err_set_param(err, ERR_CONFIG, name, "%s: \"%s\" is there twice", where, name);
        if (yyjson_is_null(value))
            continue;
        seen[field] = true;
        if (!read_field(entry, field, value, where, err))
            return false;
    }
    config_place(source, offset, where);
    return check_fields(entry, seen, where, err);
}

const struct model_entry *config_model(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->model_count; i++)
        if (strcmp(config->models[i].name, name) == 0)
            return &config->models[i];
    return NULL;
}

/* Reads one element of the list and appends it to config->models, which has room. */
static bool read_entry(const struct config_source *source, yyjson_val *value, size_t offset,
                       struct config *config, struct err *err)
{
    char where[CONFIG_PLACE_MAX];
    config_place(source, offset, where);
    if (!yyjson_is_obj(value))
        return err_set_param(err, ERR_CONFIG, "models", "%s: a model must be an object, { … }",
                             where);
    struct model_entry entry = {.slots = SLOTS_DEFAULT, .gpu_layers = -1};
    bool ok = str_copy("", &entry.path, err) && str_copy("", &entry.query_prefix, err) &&
              str_copy("", &entry.passage_prefix, err) && str_copy("", &entry.devices, err) &&
              read_members(source, value, offset, &entry, err);
    if (ok && config_model(config, entry.name))
        ok = err_set_param(err, ERR_CONFIG, "name", "%s: there is already a model named \"%s\"",
                           where, entry.name);
    if (!ok) {
        model_entry_free(&entry);
        return false;
    }
    config->models[config->model_count++] = entry;
    return true;
}

bool models_read(const struct config_source *source, yyjson_val *array, size_t offset,
                 struct config *config, struct err *err)
{
    size_t count = yyjson_arr_size(array);
    if (count > CONFIG_MODELS_MAX)
        return err_set_param(err, ERR_CONFIG, "models", "%s: more than %d models", source->path,
                             CONFIG_MODELS_MAX);
    config->models = calloc(count ? count : 1, sizeof(*config->models));
    if (!config->models)
        return err_no_memory(err);
    struct jsonc_walk walk;
    struct jsonc_item item;
    jsonc_open(&walk, source->text, source->length, offset);
    yyjson_arr_iter elements = yyjson_arr_iter_with(array);
    yyjson_val *value;
    while ((value = yyjson_arr_iter_next(&elements)) && jsonc_next(&walk, &item))
        if (!read_entry(source, value, item.value.begin, config, err))
            return false;
    return config_check_fallbacks(config, source->path, err);
}

static void put_member(struct str *out, enum entry_field field, const char *text)
{
    str_printf(out, "%s\"%s\": \"", field == ENTRY_NAME ? "" : ", ", entry_keys[field]);
    str_json(out, text, strlen(text));
    str_putc(out, '"');
}

void model_entry_put(const struct model_entry *entry, struct str *out)
{
    str_putc(out, '{');
    put_member(out, ENTRY_NAME, entry->name);
    if (!entry->upstream)
        put_member(out, ENTRY_PATH, entry->path);
    put_member(out, ENTRY_ROLE, model_role_name(entry->role));
    if (entry->context_length)
        str_printf(out, ", \"context_length\": %u", entry->context_length);
    if (entry->slots && entry->slots != SLOTS_DEFAULT)
        str_printf(out, ", \"slots\": %u", entry->slots);
    if (entry->gpu_layers >= 0)
        str_printf(out, ", \"gpu_layers\": %d", entry->gpu_layers);
    if (entry->query_prefix && entry->query_prefix[0])
        put_member(out, ENTRY_QUERY_PREFIX, entry->query_prefix);
    if (entry->passage_prefix && entry->passage_prefix[0])
        put_member(out, ENTRY_PASSAGE_PREFIX, entry->passage_prefix);
    if (entry->devices && entry->devices[0])
        put_member(out, ENTRY_DEVICES, entry->devices);
    if (entry->preload)
        str_puts(out, ", \"preload\": true");
    if (entry->pin)
        str_puts(out, ", \"pin\": true");
    if (entry->ttl_s > 0)
        str_printf(out, ", \"ttl_s\": %u", entry->ttl_s);
    for (uint32_t i = 0; i < entry->alternative_count; i++)
        str_printf(out, "%s\"%s\"", i == 0 ? ", \"alternatives\": [" : ", ",
                   alternative_names[entry->alternatives[i]]);
    if (entry->alternative_count > 0)
        str_putc(out, ']');
    if (entry->kv_type != KV_F16)
        put_member(out, ENTRY_KV_TYPE, kv_type_name(entry->kv_type));
    entry_put_lists(entry, out);
    str_putc(out, '}');
}

bool model_entry_copy(const struct model_entry *from, struct model_entry *ret, struct err *err)
{
    struct model_entry copy = *from;
    copy.name = copy.path = copy.query_prefix = copy.passage_prefix = copy.devices = NULL;
    copy.fallback = NULL;
    copy.fallback_count = 0;
    copy.upstream = NULL;
    if (str_copy(from->name, &copy.name, err) && str_copy(from->path, &copy.path, err) &&
        str_copy(from->query_prefix ? from->query_prefix : "", &copy.query_prefix, err) &&
        str_copy(from->passage_prefix ? from->passage_prefix : "", &copy.passage_prefix, err) &&
        str_copy(from->devices ? from->devices : "", &copy.devices, err) &&
        entry_copy_lists(from, &copy, err)) {
        *ret = copy;
        return true;
    }
    model_entry_free(&copy);
    return false;
}

void model_entry_free(struct model_entry *entry)
{
    free(entry->name);
    free(entry->path);
    free(entry->query_prefix);
    free(entry->passage_prefix);
    free(entry->devices);
    entry_free_lists(entry);
    *entry = (struct model_entry){0};
}
