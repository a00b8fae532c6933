/* measure.h - how much memory this process takes.
 *
 * Purpose: the worker tells what a model really costs. The file that says it is opened once, so that it can still be
 *   read when the sandbox is closed.
 * Owner:   measure_close(). Threads: safe from any (each read stands alone). Fails: a number that cannot be had is 0.
 */
#ifndef JARVIS_ENGINE_MEASURE_H
#define JARVIS_ENGINE_MEASURE_H

#include <stdint.h>

struct measure {
    int statm; /* /proc/self/statm; -1 */
};

void measure_open(struct measure *measure);
void measure_close(struct measure *measure);

/* Bytes of memory that are resident now, and the most that ever were. */
uint64_t measure_resident(const struct measure *measure);
uint64_t measure_peak(void);

#endif
