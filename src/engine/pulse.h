/* pulse.h - what passes between a computation and those who watch it.
 *
 * Purpose: `interrupt` tells the model thread from outside to end its step early; `beats` tells the outside that the
 *   model thread gets on: it counts steps and, on a CPU, the parts of one, so that a long computation can be told
 *   from one that hangs. `step_began_ns` says since when it has been at the step that it is in.
 * Owner:   the worker; a context of libllama borrows it. Threads: any. Fails: never.
 */
#ifndef JARVIS_ENGINE_PULSE_H
#define JARVIS_ENGINE_PULSE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct pulse {
    atomic_bool
        interrupt; /* a running job was cancelled: what is being computed should end early */
    atomic_uint_least64_t beats;
    atomic_int_least64_t
        step_began_ns; /* clock_now_ns(); 0: the model thread waits for a request */
};

#endif
