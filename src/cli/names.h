/* names.h - "did you mean …?": the known name that is nearest to a misspelt one.
 *
 * Owner: returns one of the caller's names. Threads: safe from any. Fails: never; NULL when none is
 *   near.
 */
#ifndef JARVIS_CLI_NAMES_H
#define JARVIS_CLI_NAMES_H

#include <stddef.h>

/* By the distance that the configuration uses for its keys; else the first name that begins with
 * `word`. */
const char *names_nearest(const char *word, const char *const *names, size_t count);

#endif
