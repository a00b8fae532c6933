#include <string.h>

#include "cli/command.h"
#include "cli/names.h"
#include "config/config.h"

static const struct option_spec config_options[] = {OPTION_JSON_ROW};

/* A setting's value as config_each() tells it: JSON, or a string without its quotes. */
static yyjson_mut_val *json_value(yyjson_mut_doc *doc, const char *text)
{
    yyjson_doc *parsed = yyjson_read(text, strlen(text), YYJSON_READ_NOFLAG);
    yyjson_mut_val *value = parsed ? yyjson_val_mut_copy(doc, yyjson_doc_get_root(parsed))
                                   : yyjson_mut_strcpy(doc, text);
    yyjson_doc_free(parsed);
    return value;
}

static void print_setting(void *user, const char *key, const char *value, const char *help)
{
    const struct cli *cli = user;
    const struct term *term = &cli->out;
    fprintf(term->file, "%s%s%s = ", term_on(term, STYLE_CYAN), key, term_off(term));
    term_write(term, *value ? value : "\"\"", *value ? strlen(value) : 2);
    fprintf(term->file, "\n    %s%s%s\n", term_on(term, STYLE_DIM), TR(cli->lang, help),
            term_off(term));
}

static void add_setting(void *user, const char *key, const char *value, const char *help)
{
    (void)help;
    yyjson_mut_doc *doc = user;
    yyjson_mut_obj_add(yyjson_mut_doc_get_root(doc), yyjson_mut_strcpy(doc, key),
                       json_value(doc, value));
}

static bool show(const struct cli *cli, const struct config *config, struct err *err)
{
    if (!cli->json) {
        config_each(config, print_setting, (void *)(uintptr_t)cli);
        return true;
    }
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_doc_set_root(doc, yyjson_mut_obj(doc));
    config_each(config, add_setting, doc);
    bool ok = command_print_json(cli, doc, err);
    yyjson_mut_doc_free(doc);
    return ok;
}

static bool get(const struct cli *cli, const struct config *config, const char *key,
                struct err *err)
{
    struct str value;
    str_init(&value, 1024 * 1024);
    bool ok = config_get(config, key, &value, err) && str_check(&value, key, err);
    if (ok && cli->json) {
        yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
        yyjson_mut_doc_set_root(doc, json_value(doc, str_text(&value)));
        ok = command_print_json(cli, doc, err);
        yyjson_mut_doc_free(doc);
    } else if (ok) {
        fprintf(cli->out.file, "%s\n", str_text(&value));
    }
    str_free(&value);
    return ok;
}

static bool paths_json(const struct cli *cli, const struct fs_paths *paths, struct err *err)
{
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_obj_add_str(doc, root, "config", paths->config_file);
    yyjson_mut_obj_add_str(doc, root, "database", paths->database);
    yyjson_mut_obj_add_str(doc, root, "models", paths->models);
    yyjson_mut_obj_add_str(doc, root, "cache", paths->cache);
    yyjson_mut_obj_add_str(doc, root, "log", paths->log_file);
    yyjson_mut_obj_add_str(doc, root, "socket", paths->socket);
    bool ok = command_print_json(cli, doc, err);
    yyjson_mut_doc_free(doc);
    return ok;
}

static bool print_paths(const struct cli *cli, const struct fs_paths *paths, struct err *err)
{
    if (cli->json)
        return paths_json(cli, paths, err);
    const struct {
        const char *name;
        const char *path;
    } rows[] = {
        {TR(cli->lang, "configuration"), paths->config_file},
        {TR(cli->lang, "documents"), paths->database},
        {TR(cli->lang, "models"), paths->models},
        {TR(cli->lang, "cache"), paths->cache},
        {TR(cli->lang, "log"), paths->log_file},
        {TR(cli->lang, "socket"), paths->socket},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        size_t width = text_width(rows[i].name, strlen(rows[i].name));
        fprintf(cli->out.file, "%s%*s  %s\n", rows[i].name, width < 14 ? (int)(14 - width) : 0, "",
                rows[i].path);
    }
    return true;
}

static bool read_and(struct cli *cli, const struct options *options, const struct fs_paths *paths,
                     struct err *err)
{
    struct config *config;
    if (!config_load(paths->config_file, &config, err))
        return false;
    bool ok = options->word_count == 2 ? get(cli, config, options->words[1], err)
                                       : show(cli, config, err);
    config_free(config);
    return ok;
}

static bool run_config(struct cli *cli, const struct options *options, int *ret_exit,
                       struct err *err)
{
    (void)ret_exit;
    static const char *const verbs[] = {"get", "show", "path"};
    const char *verb = options->word_count > 0 ? options->words[0] : "show";
    bool is_get = strcmp(verb, "get") == 0;
    bool known = is_get || strcmp(verb, "show") == 0 || strcmp(verb, "path") == 0;
    if (!known) {
        const char *near = names_nearest(verb, verbs, sizeof(verbs) / sizeof(*verbs));
        return err_set(err, ERR_INVALID_REQUEST,
                       "jarvis config has no \"%s\"; did you mean \"%s\"?", verb,
                       near ? near : "show");
    }
    if (is_get && options->word_count != 2)
        return err_set(err, ERR_INVALID_REQUEST, "which setting? jarvis config get KEY");
    if (!is_get && options->word_count > 1)
        return err_set(err, ERR_INVALID_REQUEST,
                       "\"%s\" is one word too many; --help tells what the command takes",
                       options->words[1]);
    struct fs_paths paths;
    if (!fs_paths_find(&paths, err))
        return false;
    bool ok = strcmp(verb, "path") == 0 ? print_paths(cli, &paths, err)
                                        : read_and(cli, options, &paths, err);
    fs_paths_free(&paths);
    return ok;
}

const struct command command_config = {
    .name = "config",
    .run = run_config,
    .usage = N_("[show | get KEY | path]"),
    .summary = N_("show the settings, or where things are kept"),
    .details =
        N_("show prints every setting with its value; get prints one; path prints where the "
           "configuration, the documents, the models and the log are. Settings are changed in "
           "the configuration file, which is JSON with comments; a running service reads it "
           "when it starts."),
    .options = config_options,
    .option_count = sizeof(config_options) / sizeof(*config_options),
};
