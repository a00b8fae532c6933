/* gguf_check.h - is this file a whole, well-formed GGUF?
 *
 * Purpose: libllama trusts a model file in places: it may abort on lengths, types or offsets that lie. So the
 *   structure is walked here first, with every number checked against the size of the file. What the numbers of a
 *   model mean (layers, heads) is inspect.h's to check.
 * Owner:   nothing is kept. Threads: safe from any.
 * Fails:   ERR_NOT_FOUND, ERR_IO, or ERR_MODEL_INVALID with what is wrong and where.
 */
#ifndef JARVIS_ENGINE_GGUF_CHECK_H
#define JARVIS_ENGINE_GGUF_CHECK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

bool gguf_check(const char *path, uint64_t *ret_file_bytes, struct err *err);

#endif
