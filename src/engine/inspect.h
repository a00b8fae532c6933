/* inspect.h - what a GGUF file says of itself, without loading it.
 *
 * Purpose: `jarvis models add` and the memory prediction need to know role, size and shape before a load.
 * Owner:   strings of the result lie in the caller's arena. Threads: safe from any.
 * Fails:   as gguf_check(); ERR_MODEL_INVALID also for a model whose numbers no model can have (libllama would
 *   divide by them), ERR_UNSUPPORTED for GGUF files that are no model (an adapter, a projector).
 */
#ifndef JARVIS_ENGINE_INSPECT_H
#define JARVIS_ENGINE_INSPECT_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/err.h"
#include "ipc/protocol.h"

bool inspect_file(const char *path, struct arena *arena, struct msg_inspected *ret,
                  struct err *err);

#endif
