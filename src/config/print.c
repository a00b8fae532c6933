/* print.c - settings as text: one key, all keys, the list of models, a new file. */
#include "config/print.h"

#include <string.h>

#include "config/load.h"
#include "config/schema.h"

static void put_models(const struct config *config, struct str *out)
{
    str_putc(out, '[');
    for (size_t i = 0; i < config->model_count; i++) {
        if (i > 0)
            str_puts(out, ", ");
        model_entry_put(&config->models[i], out);
    }
    str_putc(out, ']');
}

bool config_get(const struct config *config, const char *key, struct str *out, struct err *err)
{
    const struct setting *setting = setting_find(key);
    char nearest[SETTING_KEY_MAX];
    if (setting)
        setting_put(config, setting, out);
    else if (strcmp(key, "models") == 0)
        put_models(config, out);
    else if (setting_nearest(key, nearest))
        return err_set_param(err, ERR_NOT_FOUND, key,
                             "there is no setting \"%s\"; did you mean \"%s\"?", key, nearest);
    else
        return err_set_param(err, ERR_NOT_FOUND, key,
                             "there is no setting \"%s\"; \"jarvis help config\" lists those there "
                             "are",
                             key);
    return str_check(out, key, err);
}

void config_each(const struct config *config,
                 void (*each)(void *user, const char *key, const char *value, const char *help),
                 void *user)
{
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        struct str value;
        str_init(&value, SETTING_TEXT_MAX);
        setting_put(config, &setting_table[i], &value);
        each(user, setting_table[i].key, str_text(&value), setting_table[i].help);
        str_free(&value);
    }
}

/* The default as it would stand in the file. */
static void put_default(const struct setting *setting, struct str *out)
{
    switch (setting->type) {
    case SETTING_TEXT:
        str_putc(out, '"');
        str_json(out, setting->text, strlen(setting->text));
        str_putc(out, '"');
        break;
    case SETTING_BOOL: str_puts(out, setting->number != 0 ? "true" : "false"); break;
    case SETTING_INT:
    case SETTING_DOUBLE: str_printf(out, "%.15g", setting->number); break;
    }
}

void config_put_skeleton(enum lang lang, struct str *out)
{
    str_puts(out, "// ");
    str_puts(out, TR(lang, "Settings of Jarvis. Comments like this one and trailing commas are "
                           "allowed. Remove the // in front of a setting to change it."));
    str_puts(out, "\n{\n");
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        str_printf(out, "  // \"%s\": ", setting_table[i].key);
        put_default(&setting_table[i], out);
        str_printf(out, ", // %s\n", lang_text(lang, setting_table[i].help));
    }
    str_puts(out, "\n  \"models\": []\n}\n");
}
