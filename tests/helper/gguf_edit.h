/* gguf_edit.h - a copy of a GGUF file with other metadata.
 *
 * Owner:   nothing is kept. Threads: one. Fails: false with err (the file cannot be read or written).
 */
#ifndef JARVIS_TESTS_GGUF_EDIT_H
#define JARVIS_TESTS_GGUF_EDIT_H

#include <gguf.h>
#include <stdbool.h>

#include "base/err.h"

/* `edit` changes the keys of the copy; the tensors stay. */
bool gguf_edit(const char *from, const char *to, void (*edit)(struct gguf_context *gguf),
               struct err *err);

#endif
