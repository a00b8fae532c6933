/* schema.h - the settings as rows: what config.h's table means to the parser, the printer and the messages.
 *
 * Purpose: private to src/config. One row a setting; the value is reached through its offset in struct config.
 * Owner:   constants; nearest names point to them.
 * Threads: safe from any. Fails: setting_set_*() return false with ERR_CONFIG, `where` in front of the message.
 */
#ifndef JARVIS_CONFIG_SCHEMA_H
#define JARVIS_CONFIG_SCHEMA_H

#include "base/json.h"
#include "config/config.h"

enum setting_type { SETTING_INT, SETTING_DOUBLE, SETTING_BOOL, SETTING_TEXT };

struct setting {
    const char *key; /* "server.listen" */
    enum setting_type type;
    size_t offset;    /* of the field in struct config */
    double number;    /* default of INT, DOUBLE and BOOL */
    const char *text; /* default of TEXT */
    double min;       /* INT, DOUBLE: of the value; TEXT: of its length in bytes */
    double max;
    const char *help; /* English, known to the catalogue */
};

#define SETTING_ONE(...) 1 +
enum { SETTING_COUNT = CONFIG_TABLE(SETTING_ONE, SETTING_ONE, SETTING_ONE, SETTING_ONE) 0 };
#undef SETTING_ONE

enum { SETTING_KEY_MAX = 128, SETTING_TEXT_MAX = 4096, SETTING_ENVIRONMENT_MAX = 64 };

extern const struct setting setting_table[SETTING_COUNT];

/* The row of a key; NULL when there is none. */
const struct setting *setting_find(const char *key);

/* True when keys begin with "name.": the file may write them as an object. */
bool setting_is_section(const char *name);

/* The known name that `name` was probably meant to be: a key, a section, or "models"; NULL when none is near.
 * A section's name is followed by nothing; it is cut from a key, hence the buffer. */
bool setting_nearest(const char *name, char out[SETTING_KEY_MAX]);

/* How many insertions, deletions, replacements and exchanges of neighbours turn one name into the other, upper and
 * lower case being the same (optimal string alignment distance; see docs of "Damerau-Levenshtein"). Names longer
 * than SETTING_KEY_MAX are far from everything. */
size_t name_distance(const char *a, const char *b);

/* True when a name at that distance is near enough to be offered in a message. */
bool name_is_near(const char *name, size_t distance);

/* "JARVIS_SERVER_LISTEN" of "server.listen". */
void setting_environment_name(const struct setting *setting, char out[SETTING_ENVIRONMENT_MAX]);

/* Sets the field after checking the range. `where` (file:line:column, or a variable) begins the message. */
bool setting_set_default(struct config *config, const struct setting *setting, struct err *err);
bool setting_set_json(struct config *config, const struct setting *setting, yyjson_val *value,
                      const char *where, struct err *err);
bool setting_set_text(struct config *config, const struct setting *setting, const char *value,
                      const char *where, struct err *err);

/* The value as text: a string without quotes. */
void setting_put(const struct config *config, const struct setting *setting, struct str *out);

#endif
