/* load.h - what the files of src/config share while a configuration is read.
 *
 * Purpose: private. A `source` is the text being read, for messages that name the place.
 * Owner:   borrows text and path. Threads: one at a time. Fails: ERR_CONFIG, the place first.
 */
#ifndef JARVIS_CONFIG_LOAD_H
#define JARVIS_CONFIG_LOAD_H

#include "base/json.h"
#include "config/config.h"
#include "config/jsonc.h"

enum {
    CONFIG_FILE_MAX = 4 * 1024 * 1024, /* bytes of a configuration file */
    CONFIG_PLACE_MAX = 512,            /* "file:line:column" */
    CONFIG_MODELS_MAX = 1000,
    MODEL_NAME_MAX = 127,  /* bytes */
    MODEL_PATH_MAX = 4095, /* bytes */
};

struct config_source {
    const char *text;
    size_t length;
    const char *path;
};

/* "file:line:column" of an offset. */
void config_place(const struct config_source *source, size_t offset, char out[CONFIG_PLACE_MAX]);

/* Reads the value of "models", an array that begins at `offset`, into config->models. */
bool models_read(const struct config_source *source, yyjson_val *array, size_t offset,
                 struct config *config, struct err *err);

/* Checks a name and a path as the file's are checked; `where` begins the message. */
bool model_name_check(const char *name, const char *where, struct err *err);
bool model_path_check(const char *path, const char *where, struct err *err);

/* "fallback" and "upstream" of a model; `where` begins messages. Both replace what the entry holds. */
bool entry_read_fallback(yyjson_val *value, const char *where, struct model_entry *entry,
                         struct err *err);
bool entry_read_upstream(yyjson_val *value, const char *where, struct model_entry *entry,
                         struct err *err);

/* What these two leave in the entry: copied (*to does not hold any), appended as JSON members, freed. */
bool entry_copy_lists(const struct model_entry *from, struct model_entry *to, struct err *err);
void entry_put_lists(const struct model_entry *entry, struct str *out);
void entry_free_lists(struct model_entry *entry);

/* The names in "fallback" are those of other models with the same role. ERR_CONFIG; `path` begins the message. */
bool config_check_fallbacks(const struct config *config, const char *path, struct err *err);

/* Appends the entry as a JSON object on one line, without what is default. */
void model_entry_put(const struct model_entry *entry, struct str *out);

/* A model of that name in the configuration; NULL when there is none. */
const struct model_entry *config_model(const struct config *config, const char *name);

#endif
