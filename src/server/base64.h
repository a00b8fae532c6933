/* base64.h - bytes as text (RFC 4648, section 4: the standard alphabet, padded).
 *
 * Threads: safe from any. Fails: through str_ok() of the builder.
 */
#ifndef JARVIS_SERVER_BASE64_H
#define JARVIS_SERVER_BASE64_H

#include <stddef.h>

#include "base/str.h"

/* Appends the base64 text of bytes[0..length). */
void base64_encode(const void *bytes, size_t length, struct str *out);

#endif
