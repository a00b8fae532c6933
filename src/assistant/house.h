/* house.h - where the models are that came with the program.
 *
 * Purpose: a fresh installation searches by meaning with no configuration and no download. The models lie beside the
 *   program, wherever it was installed or built: PREFIX/share/jarvis/models for PREFIX/bin/jarvis, and the checkout's
 *   models/ for build/jarvis. Last comes the place that the build was configured for.
 * Owner:   the result is the caller's (free()). Threads: safe from any. Fails: never; NULL when there is none.
 */
#ifndef JARVIS_ASSISTANT_HOUSE_H
#define JARVIS_ASSISTANT_HOUSE_H

#define HOUSE_EMBEDDER "jarvis-embed.gguf"
#define HOUSE_SPEECH   "jarvis-speech.bin"

/* The absolute path of a file among those models; `program` is the absolute path of the jarvis binary. */
char *house_model(const char *program, const char *file);

#endif
