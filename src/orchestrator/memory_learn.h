/* memory_learn.h - what loads have really taken, kept from run to run, and what it teaches.
 *
 * Purpose: private to src/orchestrator. Each time a model was loaded in some way, the most that its worker held is one
 *   sample. The next forecast of that way is corrected by the median of the last samples, and its bound by a high
 *   quantile, with a margin that shrinks as samples come. A few absurd samples change nothing: what is far from the
 *   median, by the spread of the others, is left out.
 * Owner:   memory_learn_close(). The samples are in a SQLite file of their own: losing it costs some margin, nothing
 *   else, so a damaged one is set aside (FILE.damaged) and a new one begun.
 * Threads: all functions may be called from any.
 * Fails:   memory_learn_open() only for lack of memory: where no file can be had, it learns until the service ends.
 */
#ifndef JARVIS_ORCHESTRATOR_MEMORY_LEARN_H
#define JARVIS_ORCHESTRATOR_MEMORY_LEARN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/hash.h"
#include "ipc/protocol.h"
#include "observe/log.h"
#include "orchestrator/memory.h"

enum { MEMORY_SAMPLES_MAX = 16 }; /* of one way of loading that are looked at */

struct memory_learn;

/* A way of loading a model. Samples of the same path with another hash are forgotten. */
struct memory_way {
    const char *path;
    struct hash hash; /* memory_file_hash() */
    enum model_role role;
    uint32_t context; /* as asked: 0 is the model's own */
    uint32_t slots;
    enum kv_type kv_type;
    int32_t gpu_layers;
};

/* `path` NULL: nothing is written. `log` may be NULL. */
bool memory_learn_open(const char *path, struct log *log, struct memory_learn **ret,
                       struct err *err);
void memory_learn_close(struct memory_learn *learn); /* NULL is fine */

/* Notes what a worker holds. *sample is 0 for a load that has no sample yet, and then names it: later calls for the
 * same load replace a smaller number. */
void memory_learn_note(struct memory_learn *learn, const struct memory_way *way, uint64_t held,
                       int64_t *sample);

/* The newest samples of a way, bytes, at most MEMORY_SAMPLES_MAX; returns how many. */
uint32_t memory_learn_samples(struct memory_learn *learn, const struct memory_way *way,
                              uint64_t *ret);

/* Corrects a forecast, whose `bytes` is the sum of its parts, and gives it its bound. Pure. */
void memory_learn_apply(struct memory_forecast *forecast, const uint64_t *samples, uint32_t count);

/* Identity of a model file as far as its memory goes: its size, and its beginning with all tables (16 MiB). Files that
 * differ only in the values of their weights take the same memory. */
bool memory_file_hash(const char *path, struct hash *ret, struct err *err);

#endif
