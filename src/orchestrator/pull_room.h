/* pull_room.h - what a pull may take: of the disk, and in all.
 *
 * Owner: nothing is kept. Threads: any. Fails: ERR_DISK_FULL, ERR_TOO_LARGE, with the numbers; ERR_IO.
 */
#ifndef JARVIS_ORCHESTRATOR_PULL_ROOM_H
#define JARVIS_ORCHESTRATOR_PULL_ROOM_H

#include "orchestrator/pull.h"
#include "orchestrator/pull_plan.h"

/* A model of so many bytes may be fetched. */
bool pull_check_size(const struct pull_options *options, uint64_t bytes, struct err *err);

/* There is room on the disk for so many bytes, and some is left. */
bool pull_check_room(const struct pull_options *options, uint64_t missing, struct err *err);

/* Both for what the plan knows, less what an earlier try has left. *ret_total: bytes of all files. */
bool pull_check_plan(const struct pull_options *options, const struct pull_plan *plan,
                     uint64_t *ret_total, struct err *err);

#endif
