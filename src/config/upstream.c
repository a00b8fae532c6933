/* upstream.c - the parts of a model's entry that are more than one value: "fallback" and "upstream". */
#include <stdlib.h>
#include <string.h>

#include "config/load.h"

enum { URL_MAX = 2048, NAME_MAX_BYTES = 255, PATH_MAX_BYTES = 4095, SECONDS_MAX = 86400 };
enum { TIMEOUT_S = 120, CONNECT_TIMEOUT_S = 5 };

static void free_texts(char **texts, size_t count)
{
    for (size_t i = 0; texts && i < count; i++)
        free(texts[i]);
    free(texts);
}

static void upstream_free(struct upstream_entry *upstream)
{
    if (!upstream)
        return;
    free_texts(upstream->urls, upstream->url_count);
    free(upstream->model);
    free(upstream->api_key_file);
    free(upstream->api_key_env);
    free(upstream);
}

void entry_free_lists(struct model_entry *entry)
{
    free_texts(entry->fallback, entry->fallback_count);
    upstream_free(entry->upstream);
}

static bool copy_texts(char *const *from, size_t count, char ***ret, struct err *err)
{
    *ret = NULL;
    if (count == 0)
        return true;
    char **made = calloc(count, sizeof(*made));
    if (!made)
        return err_no_memory(err);
    for (size_t i = 0; i < count; i++) {
        if (!str_copy(from[i], &made[i], err)) {
            free_texts(made, count);
            return false;
        }
    }
    *ret = made;
    return true;
}

static bool upstream_copy(const struct upstream_entry *from, struct upstream_entry **ret,
                          struct err *err)
{
    struct upstream_entry *made = calloc(1, sizeof(*made));
    if (!made)
        return err_no_memory(err);
    made->timeout_s = from->timeout_s;
    made->connect_timeout_s = from->connect_timeout_s;
    bool ok = copy_texts(from->urls, from->url_count, &made->urls, err);
    made->url_count = ok ? from->url_count : 0;
    ok = ok && str_copy(from->model, &made->model, err) &&
         str_copy(from->api_key_file, &made->api_key_file, err) &&
         str_copy(from->api_key_env, &made->api_key_env, err);
    if (!ok) {
        upstream_free(made);
        return false;
    }
    *ret = made;
    return true;
}

bool entry_copy_lists(const struct model_entry *from, struct model_entry *to, struct err *err)
{
    if (!copy_texts(from->fallback, from->fallback_count, &to->fallback, err))
        return false;
    to->fallback_count = from->fallback_count;
    return !from->upstream || upstream_copy(from->upstream, &to->upstream, err);
}

/* ---------------------------------------------------------------- reading */

/* A string of 1 to `max` bytes, or of none where `empty` is allowed. */
static bool read_word(yyjson_val *value, const char *key, size_t max, bool empty, const char *where,
                      char **to, struct err *err)
{
    const char *text = yyjson_get_str(value);
    size_t length = yyjson_get_len(value);
    if (!text || length > max || (length == 0 && !empty) || strlen(text) != length)
        return err_set_param(err, ERR_CONFIG, key,
                             "%s: \"%s\" must be a string of at most %zu bytes", where, key, max);
    char *copy;
    if (!str_copy(text, &copy, err))
        return false;
    free(*to);
    *to = copy;
    return true;
}

/* A list of 0 to `max` strings, checked one by one. */
static bool read_words(yyjson_val *value, const char *key, size_t max, size_t word_max,
                       const char *where, char ***ret, size_t *ret_count, struct err *err)
{
    size_t count = yyjson_arr_size(value);
    if (!yyjson_is_arr(value) || count > max)
        return err_set_param(err, ERR_CONFIG, key,
                             "%s: \"%s\" must be a list of at most %zu strings", where, key, max);
    char **words = calloc(count ? count : 1, sizeof(*words));
    if (!words)
        return err_no_memory(err);
    for (size_t i = 0; i < count; i++) {
        if (!read_word(yyjson_arr_get(value, i), key, word_max, false, where, &words[i], err)) {
            free_texts(words, count);
            return false;
        }
    }
    *ret = words;
    *ret_count = count;
    return true;
}

bool entry_read_fallback(yyjson_val *value, const char *where, struct model_entry *entry,
                         struct err *err)
{
    char **names = NULL;
    size_t count = 0;
    if (!read_words(value, "fallback", FALLBACK_MAX, MODEL_NAME_MAX, where, &names, &count, err))
        return false;
    free_texts(entry->fallback, entry->fallback_count);
    entry->fallback = names;
    entry->fallback_count = count;
    return true;
}

static bool read_seconds(yyjson_val *value, const char *key, const char *where, uint32_t *ret,
                         struct err *err)
{
    if (!yyjson_is_uint(value) || yyjson_get_uint(value) < 1 ||
        yyjson_get_uint(value) > SECONDS_MAX)
        return err_set_param(err, ERR_CONFIG, key,
                             "%s: \"%s\" must be a whole number from %lld to %lld", where, key, 1LL,
                             (long long)SECONDS_MAX);
    *ret = (uint32_t)yyjson_get_uint(value);
    return true;
}

/* http or https with a host; no key inside (it would be shown), no query; the '/' at the end is taken off. */
static bool check_url(char *url, const char *where, struct err *err)
{
    const char *host = strncmp(url, "http://", 7) == 0    ? url + 7
                       : strncmp(url, "https://", 8) == 0 ? url + 8
                                                          : "";
    size_t authority = strcspn(host, "/");
    bool ok = authority > 0 && host[0] != ':' && !memchr(host, '@', authority) &&
              strcspn(url, " \t\r\n\"\\?#") == strlen(url);
    if (!ok)
        return err_set_param(err, ERR_CONFIG, "urls",
                             "%s: \"%.200s\" is no base address of a server; it is like "
                             "\"http://host:8000/v1\", without keys",
                             where, url);
    size_t length = strlen(url);
    while (url[length - 1] == '/')
        url[--length] = '\0';
    return true;
}

static bool read_urls(yyjson_val *value, const char *where, struct upstream_entry *upstream,
                      struct err *err)
{
    char **urls = NULL;
    size_t count = 0;
    if (!read_words(value, "urls", UPSTREAM_URLS_MAX, URL_MAX, where, &urls, &count, err))
        return false;
    free_texts(upstream->urls, upstream->url_count);
    upstream->urls = urls;
    upstream->url_count = count;
    for (size_t i = 0; i < count; i++)
        if (!check_url(urls[i], where, err))
            return false;
    return true;
}

static bool read_member(const char *key, yyjson_val *value, const char *where,
                        struct upstream_entry *upstream, struct err *err)
{
    if (strcmp(key, "urls") == 0)
        return read_urls(value, where, upstream, err);
    if (strcmp(key, "model") == 0)
        return read_word(value, key, NAME_MAX_BYTES, false, where, &upstream->model, err);
    if (strcmp(key, "api_key_file") == 0)
        return read_word(value, key, PATH_MAX_BYTES, true, where, &upstream->api_key_file, err);
    if (strcmp(key, "api_key_env") == 0)
        return read_word(value, key, NAME_MAX_BYTES, true, where, &upstream->api_key_env, err);
    if (strcmp(key, "timeout_s") == 0)
        return read_seconds(value, key, where, &upstream->timeout_s, err);
    if (strcmp(key, "connect_timeout_s") == 0)
        return read_seconds(value, key, where, &upstream->connect_timeout_s, err);
    return err_set_param(err, ERR_CONFIG, "upstream",
                         "%s: unknown key \"%.100s\" of an upstream; known are urls, model, "
                         "api_key_file, api_key_env, timeout_s and connect_timeout_s",
                         where, key);
}

static bool read_members(yyjson_val *object, const char *where, struct upstream_entry *upstream,
                         struct err *err)
{
    if (!yyjson_is_obj(object))
        return err_set_param(err, ERR_CONFIG, "upstream",
                             "%s: \"upstream\" must be an object, { … }", where);
    if (!str_copy("", &upstream->model, err) || !str_copy("", &upstream->api_key_file, err) ||
        !str_copy("", &upstream->api_key_env, err))
        return false;
    yyjson_obj_iter members = yyjson_obj_iter_with(object);
    yyjson_val *key;
    while ((key = yyjson_obj_iter_next(&members)))
        if (!read_member(yyjson_get_str(key), yyjson_obj_iter_get_val(key), where, upstream, err))
            return false;
    if (upstream->url_count == 0 || !upstream->model[0])
        return err_set_param(
            err, ERR_CONFIG, "upstream",
            "%s: an upstream needs \"urls\" (at least one) and \"model\", its name "
            "there",
            where);
    if (upstream->api_key_file[0] && upstream->api_key_env[0])
        return err_set_param(err, ERR_CONFIG, "upstream",
                             "%s: an upstream's key comes from api_key_file or from api_key_env, "
                             "not from both",
                             where);
    return true;
}

bool entry_read_upstream(yyjson_val *value, const char *where, struct model_entry *entry,
                         struct err *err)
{
    struct upstream_entry *upstream = calloc(1, sizeof(*upstream));
    if (!upstream)
        return err_no_memory(err);
    upstream->timeout_s = TIMEOUT_S;
    upstream->connect_timeout_s = CONNECT_TIMEOUT_S;
    if (!read_members(value, where, upstream, err)) {
        upstream_free(upstream);
        return false;
    }
    upstream_free(entry->upstream);
    entry->upstream = upstream;
    return true;
}

static bool check_fallback(const struct config *config, const struct model_entry *entry,
                           const char *name, const char *path, struct err *err)
{
    const struct model_entry *other = config_model(config, name);
    if (!other)
        return err_set_param(err, ERR_CONFIG, "fallback",
                             "%s: the fallback \"%s\" of model \"%s\" is no model of this file",
                             path, name, entry->name);
    if (other != entry && other->role == entry->role)
        return true;
    return err_set_param(
        err, ERR_CONFIG, "fallback",
        "%s: the fallback \"%s\" of model \"%s\" must be another model with the same "
        "role",
        path, name, entry->name);
}

bool config_check_fallbacks(const struct config *config, const char *path, struct err *err)
{
    for (size_t i = 0; i < config->model_count; i++) {
        const struct model_entry *entry = &config->models[i];
        for (size_t k = 0; k < entry->fallback_count; k++)
            if (!check_fallback(config, entry, entry->fallback[k], path, err))
                return false;
    }
    return true;
}

/* ---------------------------------------------------------------- writing */

static void put_text(struct str *out, const char *text)
{
    str_putc(out, '"');
    str_json(out, text, strlen(text));
    str_putc(out, '"');
}

static void put_texts(struct str *out, const char *key, char *const *texts, size_t count)
{
    str_printf(out, "\"%s\": [", key);
    for (size_t i = 0; i < count; i++) {
        str_puts(out, i > 0 ? ", " : "");
        put_text(out, texts[i]);
    }
    str_putc(out, ']');
}

static void put_member(struct str *out, const char *key, const char *text)
{
    if (!text[0])
        return;
    str_printf(out, ", \"%s\": ", key);
    put_text(out, text);
}

void entry_put_lists(const struct model_entry *entry, struct str *out)
{
    if (entry->fallback_count > 0) {
        str_puts(out, ", ");
        put_texts(out, "fallback", entry->fallback, entry->fallback_count);
    }
    const struct upstream_entry *upstream = entry->upstream;
    if (!upstream)
        return;
    str_puts(out, ", \"upstream\": {");
    put_texts(out, "urls", upstream->urls, upstream->url_count);
    put_member(out, "model", upstream->model);
    put_member(out, "api_key_file", upstream->api_key_file);
    put_member(out, "api_key_env", upstream->api_key_env);
    if (upstream->timeout_s != TIMEOUT_S)
        str_printf(out, ", \"timeout_s\": %u", upstream->timeout_s);
    if (upstream->connect_timeout_s != CONNECT_TIMEOUT_S)
        str_printf(out, ", \"connect_timeout_s\": %u", upstream->connect_timeout_s);
    str_putc(out, '}');
}
