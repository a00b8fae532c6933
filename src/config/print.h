/* print.h - the text of a new configuration file.
 *
 * Purpose: private to src/config. Owner: appends to the caller's builder. Threads: safe from any.
 * Fails:   through str_ok() of the builder.
 */
#ifndef JARVIS_CONFIG_PRINT_H
#define JARVIS_CONFIG_PRINT_H

#include "base/lang.h"
#include "base/str.h"

/* Every setting with its default and help, commented out, and an empty list of models. */
void config_put_skeleton(enum lang lang, struct str *out);

#endif
