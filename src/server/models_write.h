/* models_write.h - models as JSON: OpenAI's fields, and a "jarvis" object with what the registry knows.
 *
 * Owner: writes into the writer's text. Threads: any. Fails: through the writer.
 */
#ifndef JARVIS_SERVER_MODELS_WRITE_H
#define JARVIS_SERVER_MODELS_WRITE_H

#include "orchestrator/registry.h"
#include "server/writer.h"

/* An open object with "id", "object", "created" and "owned_by". */
void models_write_begin(struct writer *writer, const char *name);

/* A whole model, as an element of an array or the outermost value. */
void models_write_model(struct writer *writer, const struct model_status *model, enum lang lang);

/* Its "jarvis" object alone, as a member. */
void models_write_jarvis(struct writer *writer, const struct model_status *model, enum lang lang);

/* "why" in the reader's language, "reason" as a code with its parameters. */
void models_write_why(struct writer *writer, const struct why *why, enum lang lang);

#endif
