/* memory_predict.h - what loading a model in a certain way will take.
 *
 * Purpose: private to src/orchestrator. A worker looks into the file (FORECAST: a dry run, tens of milliseconds), what
 *   earlier loads took corrects it (memory_learn.h), and for what cannot be looked into there is a rule. Forecasts are
 *   kept as long as the file stays the same, so that only the first of a way of loading needs a worker.
 * Owner:   forecasts_close() ends it; the registry owns one. Results are values.
 * Threads: all functions may be called from any; never with registry->lock held (a worker is waited for).
 * Fails:   memory_forecast() when the wait is cancelled or no worker can be had; a file that cannot be looked into is
 *   no failure here: its load tells what is wrong with it.
 */
#ifndef JARVIS_ORCHESTRATOR_MEMORY_PREDICT_H
#define JARVIS_ORCHESTRATOR_MEMORY_PREDICT_H

#include "orchestrator/memory.h"
#include "orchestrator/registry.h"

struct forecasts;
struct worker;

/* A model file as it was at one time: the same identity means the same bytes. */
struct file_identity {
    uint64_t device;
    uint64_t inode;
    uint64_t size;
    int64_t modified_ns;
};

bool file_identity_equal(const struct file_identity *a, const struct file_identity *b);

/* One way of loading one file. */
struct memory_question {
    const char *name; /* of the model, for messages */
    const char *path;
    struct file_identity file;
    enum model_role role;
    uint32_t context; /* of a slot; 0: the model's own */
    uint32_t slots;
    enum kv_type kv_type;
    int32_t gpu_layers;
    const char *devices; /* as in struct model_entry; NULL: every GPU */
};

/* `learned`: the file of samples, NULL for none. `exact`: for tests, bounds without a margin. */
bool forecasts_open(const char *learned, bool exact, struct log *log, struct forecasts **ret,
                    struct err *err);
void forecasts_close(struct forecasts *forecasts); /* NULL is fine */

/* `warm` (may be NULL): a worker without a model that may be asked, or NULL in it; afterwards the worker that was asked,
 * which may load this file and no other, or NULL. It is the caller's to free. */
bool memory_forecast(struct registry *registry, const struct memory_question *question,
                     const struct wait *wait, struct worker **warm, struct memory_forecast *ret,
                     struct err *err);

/* What a worker that loaded it so holds now; see memory_learn_note(). */
void memory_seen(struct registry *registry, const struct memory_question *question, uint64_t held,
                 int64_t *sample);

/* For what cannot be looked into: the file, 100 MB for each 1,000 tokens of each sequence, and 5%; bound: 1.15 times
 * that. Pure. */
void memory_rule(uint64_t file_bytes, enum model_role role, uint32_t context, uint32_t slots,
                 struct memory_forecast *ret);

/* The parts of a worker's answer that concern this machine's memory and devices; bytes is their sum on "CPU". Pure. */
void memory_from_message(const struct msg_forecast *message, struct memory_forecast *ret);

/* From a forecast for one context: the largest context that probably fits into `bytes`, in steps of 256; 0: none. What
 * is not the cache is taken to stay. Pure. */
uint32_t memory_context_that_fits(const struct memory_forecast *forecast, uint64_t bytes);

#endif
