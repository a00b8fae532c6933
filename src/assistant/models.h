/* models.h - embeddings for clients, and the list of models.
 *
 * Owner: results live in the request's arena. Threads: any. Fails: as in registry.h; ERR_NO_EMBEDDER and
 * ERR_UNSUPPORTED when there is no model of the role.
 */
#ifndef JARVIS_ASSISTANT_MODELS_H
#define JARVIS_ASSISTANT_MODELS_H

#include <stdbool.h>
#include <stddef.h>

#include "assistant/runtime.h"
#include "orchestrator/fit.h"

/* `model` NULL or "jarvis": the default embedder. ret_name: the model that did it. No prefix is added. */
bool models_embed(struct runtime *runtime, struct request *request, const char *model,
                  const char *const *texts, size_t count, struct msg_vectors *ret,
                  const char **ret_name, struct err *err);

/* Reads the GGUF in a worker, fills in what can be known (name from general.name or the file's, role, context),
 * writes it to jarvis.json and makes it known to the running service. `name` NULL or "": choose. `role` -1: guess. */
bool models_add(struct runtime *runtime, struct request *request, const char *path,
                const char *name, int role, struct model_entry *ret, struct err *err);
/* What a model would take, and whether there is room; see orchestrator/fit.h. */
bool models_fit(struct runtime *runtime, struct request *request, const char *name,
                const struct fit_options *options, struct model_fit *ret, struct err *err);
bool models_remove(struct runtime *runtime, struct request *request, const char *name,
                   struct err *err);

#endif
