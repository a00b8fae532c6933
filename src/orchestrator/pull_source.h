/* pull_source.h - what a user may ask to be pulled, and what the names of model files tell.
 *
 * Owner: texts live in the arena. Threads: any (pure functions). Fails: ERR_INVALID_REQUEST with what to write.
 */
#ifndef JARVIS_ORCHESTRATOR_PULL_SOURCE_H
#define JARVIS_ORCHESTRATOR_PULL_SOURCE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"

enum { PULL_QUANT_MAX = 24, PULL_SPLITS_MAX = 999 };

enum pull_kind { PULL_HUB, PULL_URL, PULL_FILE };

struct pull_source {
    enum pull_kind kind;
    const char *repo;  /* PULL_HUB: "OWNER/REPO" */
    const char *file;  /* PULL_HUB: a file of the repository, "" when it is to be chosen */
    const char *quant; /* PULL_HUB: "Q4_K_M", "" when it is to be chosen */
    const char *url;   /* PULL_URL */
    const char *path;  /* PULL_FILE: absolute */
};

/* hf:OWNER/REPO, hf:OWNER/REPO:QUANT, hf:OWNER/REPO/FILE.gguf, https://HOST/…, file:/PATH. */
bool pull_source_parse(const char *text, struct arena *arena, struct pull_source *ret,
                       struct err *err);

/* Only https may be fetched from, and http from this very machine: else anybody on the way could change the file, and
 * read the token. */
bool pull_url_allowed(const char *url);

/* The quantisation that a file's name tells ("…-Q4_K_M.gguf", "….f16.gguf"), in capitals; "" when it does not. */
void pull_quant_of(const char *name, char out[PULL_QUANT_MAX]);

/* A part of a split model, "NAME-00002-of-00003.gguf": which of how many, counted from 1; false when it is not one. */
bool pull_split_of(const char *name, unsigned *ret_part, unsigned *ret_count);

/* The name of another part of the same model. NULL on no memory. */
char *pull_split_name(struct arena *arena, const char *name, unsigned part);

/* The last segment of a path or an address, without what follows '?' or '#'; "" when there is none that is good for a
 * file's name. */
const char *pull_file_name(struct arena *arena, const char *path);

/* True for a relative path that stays where it is put: no "..", no empty or hidden segment, no control characters. */
bool pull_path_safe(const char *path);

#endif
