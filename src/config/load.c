/* load.c - from the text of jarvis.json to a struct config.
 *
 * The parsed document (what) and the text (where) are walked side by side, object by object, so every complaint
 * names file, line and column. `{"server": {"listen": …}}` and `{"server.listen": …}` mean the same. Order:
 * defaults, then the file, then environment variables, then checks that look at several settings.
 */
#include "config/load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/utf8.h"
#include "config/schema.h"
#include "observe/log.h"

struct reading {
    struct config_source source;
    struct config *config;
    bool models_seen;
    char where[SETTING_COUNT][CONFIG_PLACE_MAX]; /* of each setting; "" while it is the default */
};

void config_place(const struct config_source *source, size_t offset, char out[CONFIG_PLACE_MAX])
{
    size_t line = 1;
    size_t column = 1;
    size_t character = 0;
    yyjson_locate_pos(source->text, source->length, offset, &line, &column, &character);
    snprintf(out, CONFIG_PLACE_MAX, "%s:%zu:%zu", source->path, line, column);
}

static bool unknown_key(const char *where, const char *key, struct err *err)
{
    char nearest[SETTING_KEY_MAX];
    if (setting_nearest(key, nearest))
        return err_set_param(err, ERR_CONFIG, key,
                             "%s: unknown setting \"%s\"; did you mean \"%s\"?", where, key,
                             nearest);
    return err_set_param(err, ERR_CONFIG, key,
                         "%s: unknown setting \"%s\"; \"jarvis help config\" lists those there are",
                         where, key);
}

static bool read_object(struct reading *in, yyjson_val *object, size_t offset, const char *section,
                        struct err *err);

static bool read_setting(struct reading *in, const struct setting *setting, yyjson_val *value,
                         const char *where, struct err *err)
{
    char *seen = in->where[setting - setting_table];
    if (seen[0])
        return err_set_param(err, ERR_CONFIG, setting->key, "%s: \"%s\" is already set at %s",
                             where, setting->key, seen);
    snprintf(seen, CONFIG_PLACE_MAX, "%s", where);
    return yyjson_is_null(value) || setting_set_json(in->config, setting, value, where, err);
}

static bool read_models(struct reading *in, yyjson_val *value, size_t offset, const char *where,
                        struct err *err)
{
    if (in->models_seen)
        return err_set_param(err, ERR_CONFIG, "models", "%s: \"models\" is there twice", where);
    in->models_seen = true;
    if (yyjson_is_null(value))
        return true;
    if (!yyjson_is_arr(value))
        return err_set_param(err, ERR_CONFIG, "models", "%s: \"models\" must be a list, [ … ]",
                             where);
    return models_read(&in->source, value, offset, in->config, err);
}

/* One member: `key` is its full name, dots included. */
static bool read_member(struct reading *in, const char *key, yyjson_val *value,
                        const struct jsonc_item *item, struct err *err)
{
    char where[CONFIG_PLACE_MAX];
    config_place(&in->source, item->key.begin, where);
    if (strcmp(key, "$schema") == 0)
        return true;
    if (strcmp(key, "models") == 0)
        return read_models(in, value, item->value.begin, where, err);
    const struct setting *setting = setting_find(key);
    if (setting)
        return read_setting(in, setting, value, where, err);
    if (!setting_is_section(key))
        return unknown_key(where, key, err);
    if (!yyjson_is_obj(value))
        return err_set_param(err, ERR_CONFIG, key, "%s: \"%s\" must be an object, { … }", where,
                             key);
    return read_object(in, value, item->value.begin, key, err);
}

static bool read_object(struct reading *in, yyjson_val *object, size_t offset, const char *section,
                        struct err *err)
{
    struct jsonc_walk walk;
    jsonc_open(&walk, in->source.text, in->source.length, offset);
    yyjson_obj_iter members = yyjson_obj_iter_with(object);
    yyjson_val *key;
    while ((key = yyjson_obj_iter_next(&members))) {
        struct jsonc_item item;
        if (!jsonc_next(&walk, &item))
            return err_set(err, ERR_INTERNAL, "%s: lost the place while reading", in->source.path);
        char name[SETTING_KEY_MAX];
        snprintf(name, sizeof(name), "%s%s%s", section, section[0] ? "." : "", yyjson_get_str(key));
        utf8_trim_partial(name);
        if (!read_member(in, name, yyjson_obj_iter_get_val(key), &item, err))
            return false;
    }
    return true;
}

static bool read_environment(struct reading *in, struct err *err)
{
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        char name[SETTING_ENVIRONMENT_MAX];
        setting_environment_name(&setting_table[i], name);
        const char *value = getenv(name);
        if (!value)
            continue;
        snprintf(in->where[i], CONFIG_PLACE_MAX, "%s", name);
        if (!setting_set_text(in->config, &setting_table[i], value, name, err))
            return false;
    }
    return true;
}

/* Where a setting was set, for a complaint about its value. */
static const char *place_of(const struct reading *in, const char *key)
{
    return in->where[setting_find(key) - setting_table];
}

/* "HOST:PORT", "[V6]:PORT" or "". */
static bool listen_valid(const char *listen)
{
    if (!*listen)
        return true;
    const char *colon = strrchr(listen, ':');
    if (!colon || colon == listen)
        return false;
    bool bracketed = listen[0] == '[' && colon[-1] == ']';
    if (!bracketed && memchr(listen, ':', (size_t)(colon - listen)))
        return false;
    size_t digits = strspn(colon + 1, "0123456789");
    return digits > 0 && digits <= 5 && colon[1 + digits] == '\0' &&
           strtoul(colon + 1, NULL, 10) <= UINT16_MAX;
}

static bool fusion_valid(const char *fusion)
{
    return strcmp(fusion, "convex") == 0 || strcmp(fusion, "rrf") == 0 ||
           strcmp(fusion, "max") == 0;
}

/* What the table cannot say. Only a value that somebody set can be wrong, so it has a place. */
static bool check(const struct reading *in, struct err *err)
{
    const struct config *config = in->config;
    enum log_level level;
    if (!log_level_parse(config->log_level, &level))
        return err_set_param(err, ERR_CONFIG, "log.level",
                             "%s: \"log.level\" must be debug, info, warn or error, not \"%s\"",
                             place_of(in, "log.level"), config->log_level);
    if (!fusion_valid(config->retrieval_fusion))
        return err_set_param(err, ERR_CONFIG, "retrieval.fusion",
                             "%s: \"retrieval.fusion\" must be convex, rrf or max, not \"%s\"",
                             place_of(in, "retrieval.fusion"), config->retrieval_fusion);
    if (!listen_valid(config->server_listen))
        return err_set_param(err, ERR_CONFIG, "server.listen",
                             "%s: \"server.listen\" must be ADDRESS:PORT, as 127.0.0.1:8317 or "
                             "[::1]:8317, or empty; it is \"%s\"",
                             place_of(in, "server.listen"), config->server_listen);
    if (config->chunk_overlap >= config->chunk_tokens) {
        const char *where = place_of(in, "chunk.overlap");
        return err_set_param(
            err, ERR_CONFIG, "chunk.overlap",
            "%s: \"chunk.overlap\" (%lld) must be less than \"chunk.tokens\" (%lld)",
            where[0] ? where : place_of(in, "chunk.tokens"), (long long)config->chunk_overlap,
            (long long)config->chunk_tokens);
    }
    return true;
}

static bool read_defaults(struct config *config, struct err *err)
{
    for (size_t i = 0; i < SETTING_COUNT; i++)
        if (!setting_set_default(config, &setting_table[i], err))
            return false;
    return true;
}

static bool read_document(struct reading *in, yyjson_doc *doc, struct err *err)
{
    yyjson_val *root = yyjson_doc_get_root(doc);
    size_t offset = jsonc_root(in->source.text, in->source.length);
    if (yyjson_is_obj(root))
        return read_object(in, root, offset, "", err);
    char where[CONFIG_PLACE_MAX];
    config_place(&in->source, offset, where);
    return err_set(err, ERR_CONFIG, "%s: the configuration must be an object, { … }", where);
}

static bool read_all(struct reading *in, bool environment, struct err *err)
{
    yyjson_doc *doc;
    if (!json_parse_relaxed(in->source.text, in->source.length, in->source.path, &doc, err)) {
        if (err && err->code == ERR_INVALID_JSON)
            err->code = ERR_CONFIG;
        return false;
    }
    bool ok = read_defaults(in->config, err) && read_document(in, doc, err) &&
              (!environment || read_environment(in, err)) && check(in, err);
    yyjson_doc_free(doc);
    return ok;
}

static bool load_text(const char *text, size_t length, const char *path, bool environment,
                      struct config **ret, struct err *err)
{
    struct reading *in = calloc(1, sizeof(*in));
    struct config *config = calloc(1, sizeof(*config));
    if (!in || !config) {
        free(in);
        free(config);
        return err_no_memory(err);
    }
    in->source = (struct config_source){.text = text, .length = length, .path = path};
    in->config = config;
    bool ok = read_all(in, environment, err);
    free(in);
    if (!ok) {
        config_free(config);
        return false;
    }
    *ret = config;
    return true;
}

bool config_parse(const char *text, size_t length, const char *path, struct config **ret,
                  struct err *err)
{
    return load_text(text, length, path, false, ret, err);
}

bool config_load(const char *path, struct config **ret, struct err *err)
{
    char *text = NULL;
    size_t length = 0;
    struct err failed;
    if (!fs_read(path, CONFIG_FILE_MAX, &text, &length, &failed)) {
        if (failed.code == ERR_NOT_FOUND)
            return load_text("{}", 2, path, true, ret, err);
        if (err)
            *err = failed;
        return false;
    }
    bool ok = load_text(text, length, path, true, ret, err);
    free(text);
    return ok;
}

void config_free(struct config *config)
{
    if (!config)
        return;
    for (size_t i = 0; i < SETTING_COUNT; i++)
        if (setting_table[i].type == SETTING_TEXT)
            free(*(char **)(void *)((char *)config + setting_table[i].offset));
    for (size_t i = 0; i < config->model_count; i++)
        model_entry_free(&config->models[i]);
    free(config->models);
    free(config);
}
