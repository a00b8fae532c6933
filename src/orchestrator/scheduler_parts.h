/* scheduler_parts.h - the scheduler as its two files share it: scheduler.c (events, decisions, the queue) and
 * scheduler_place.c (arithmetic: does it fit, and who goes for it).
 *
 * Purpose: private to those two files. Owner: nothing is kept. Threads: as scheduler.h. Fails: never.
 */
#ifndef JARVIS_ORCHESTRATOR_SCHEDULER_PARTS_H
#define JARVIS_ORCHESTRATOR_SCHEDULER_PARTS_H

#include "orchestrator/scheduler.h"

/* What could be done for a model that waits for memory. */
struct scheduler_place {
    bool possible;
    size_t shape;                 /* possible */
    bool evicts;                  /* possible: the models marked as `chosen` must go first */
    struct scheduler_block block; /* not possible: the least bad reason of all shapes */
};

/* Looks for the best shape that can be had now: by rank; of the same rank one that fits as it is, else the one whose
 * victims cost least. */
struct scheduler_place placing_find(const struct scheduler *scheduler,
                                    struct scheduler_model *model);

/* Whether the chosen shape fits into what no process holds any more. */
bool placing_is_free(const struct scheduler *scheduler, const struct scheduler_model *model);

/* Marks as `chosen` the models in use that would have to become idle, and the idle ones, so that the model fits; false:
 * even that would not do. */
bool placing_find_busy(const struct scheduler *scheduler, struct scheduler_model *model);

/* The idle model to end first because models hold more of a device than they may; NULL: none, or they do not. */
struct scheduler_model *placing_find_surplus(const struct scheduler *scheduler, uint32_t device);

/* Whether the two want memory of the same device. */
bool placing_competes(const struct scheduler_model *a, const struct scheduler_model *b);

/* Whether the loaded model holds memory of a device that the other wants. */
bool placing_is_in_the_way(const struct scheduler_model *loaded,
                           const struct scheduler_model *waiting);

/* Loaded, not pinned, not in use. */
bool placing_is_idle(const struct scheduler_model *model);

#endif
