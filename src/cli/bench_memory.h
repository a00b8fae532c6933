/* bench_memory.h - how near predictions of memory come: models of many shapes are made, predicted, loaded, used and
 * measured.
 *
 * Purpose: behind `jarvis bench memory`. It has a registry and a folder of its own, so that it measures what the
 *   service does and touches nothing of the user's.
 * Owner:   the result is the caller's; nothing else stays. Threads: one.
 * Fails:   ERR_DISK_FULL before anything is written; ERR_CANCELLED; what a load fails with.
 */
#ifndef JARVIS_CLI_BENCH_MEMORY_H
#define JARVIS_CLI_BENCH_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/thread.h"

enum { BENCH_ROWS_MAX = 32, BENCH_LOADS = 3 };

/* One model in one way of loading it. Bytes. */
struct bench_row {
    char name[64];
    char type[8];
    char kv_type[8];
    uint32_t context;
    uint32_t slots;
    uint64_t file_bytes;
    uint64_t cold;                  /* predicted before the first load */
    uint64_t cold_bound;            /* that was not to be exceeded */
    uint64_t loaded;                /* measured right after the first load */
    uint64_t measured[BENCH_LOADS]; /* of each load, after its use */
    uint64_t learned;               /* predicted before the last load, from those before */
    uint64_t learned_bound;
};

struct bench_memory {
    struct bench_row rows[BENCH_ROWS_MAX];
    uint32_t row_count;
    uint32_t skipped; /* larger than allowed, or than the machine can spare */
    double median_abs_error_cold;
    double median_abs_error_learned;
    double
        worst_over_bound; /* the most that a measurement was over its bound, as part of that; 0: none was */
};

/* Told before each model and each load. */
typedef void bench_progress(void *user, const char *model, uint32_t load, uint32_t loads);

/* Told after each model. */
typedef void bench_done(void *user, const struct bench_row *row);

struct bench_memory_options {
    const char *program;      /* the jarvis binary */
    const char *folder;       /* where the files go; empty, and stays the caller's */
    uint64_t max_bytes;       /* of one file; larger models are skipped */
    struct cancel *cancel;    /* may be NULL */
    bench_progress *progress; /* may be NULL */
    bench_done *done;         /* may be NULL */
    void *user;
};

bool bench_memory_run(const struct bench_memory_options *options, struct bench_memory *ret,
                      struct err *err);

/* |predicted - measured| / measured. */
double bench_abs_error(uint64_t predicted, uint64_t measured);

/* Fills in the summary from the rows. Pure. */
void bench_memory_sum_up(struct bench_memory *bench);

#endif
