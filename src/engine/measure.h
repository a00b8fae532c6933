/* measure.h - how much memory this process takes.
 *
 * Purpose: the worker tells what a model really costs. What it holds is its own (anonymous) memory and the pages of the
 *   model's file, but not those of its libraries: all workers share them. The files that tell it are opened once, so
 *   that they can still be read when the sandbox is closed.
 * Owner:   measure_close(). Threads: safe from any, once measure_begin() has returned.
 * Fails:   a number that cannot be had is 0.
 */
#ifndef JARVIS_ENGINE_MEASURE_H
#define JARVIS_ENGINE_MEASURE_H

#include <stdint.h>

enum { MEASURE_PATH_MAX = 4096 };

struct measure {
    int statm;                   /* /proc/self/statm; -1 */
    int maps;                    /* /proc/self/smaps, which counts exactly; -1 */
    char file[MEASURE_PATH_MAX]; /* of the model; "" for none */
};

void measure_open(struct measure *measure);
void measure_close(struct measure *measure);

/* Before the model at `path` is opened: pages of this file will count. */
void measure_begin(struct measure *measure, const char *path);

/* Bytes that are held now, exactly: the kernel walks the page tables for it, a few milliseconds. */
uint64_t measure_held(const struct measure *measure);

/* The same without the model's file. */
uint64_t measure_anonymous(const struct measure *measure);

/* Bytes that are resident now, libraries included, about; and the most that ever were. */
uint64_t measure_resident(const struct measure *measure);
uint64_t measure_peak(void);

#endif
