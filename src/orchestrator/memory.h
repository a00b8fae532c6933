/* memory.h - how much memory models may take, how much one will, and who makes room.
 *
 * Purpose: private to src/orchestrator. memory_decide() is pure: facts in, decision out, so that tests can try every
 *   case. Measuring reads /proc and the cgroup. How a forecast is made: memory_predict.h.
 * Owner:   nothing is kept. Threads: safe from any. Fails: measuring falls back on what can be read.
 */
#ifndef JARVIS_ORCHESTRATOR_MEMORY_H
#define JARVIS_ORCHESTRATOR_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ipc/protocol.h"

enum { MEMORY_TEXT = 24 };

/* Bytes of the machine, or of the cgroup where that allows less. */
struct memory_machine {
    uint64_t total;
    uint64_t available; /* without swapping, as the kernel estimates it */
};

/* `root` is "" but in tests, where it holds copies of proc/ and sys/. UINT64_MAX where nothing can be read. */
void memory_measure(const char *root, struct memory_machine *ret);

/* What models may take together. */
struct memory_budget {
    uint64_t
        most;     /* if every other program left what it holds: what does not fit here never will */
    uint64_t now; /* <= most */
};

/* `limit` as configured, 0 for none; `reserve` is left to other programs; `used` is what models hold now, and
 * `unloaded` what was available when none was loaded. (MemAvailable counts file pages that a model has mapped as
 * available; the sum of `available` and `used` alone would count them twice.) */
struct memory_budget memory_budget(const struct memory_machine *machine, uint64_t limit,
                                   uint64_t reserve, uint64_t used, uint64_t unloaded);

/* What loading a model in one way will take, at its peak. */
enum { MEMORY_DEVICE = 32, MEMORY_PARTS_MAX = 32 };

struct memory_forecast_part {
    enum memory_part part;
    char device[MEMORY_DEVICE]; /* "CPU", or a GPU as ggml names it */
    uint64_t bytes;
};

struct memory_forecast {
    uint64_t bytes; /* of the machine's memory: the best estimate, what was learned included */
    uint64_t bound; /* of it: what to reserve; more is not expected */
    struct memory_forecast_part parts[MEMORY_PARTS_MAX]; /* those of device "CPU" make up `bytes` */
    uint32_t part_count;
    uint32_t context_length; /* a slot's, as it would be made */
    uint32_t train_context;  /* that the model was trained with; 0: not known */
    uint32_t samples;        /* loads that this way of loading was learned from */
    bool analysed; /* false: the file could not be looked into, and the rule for that was used */
};

struct memory_item {
    uint64_t bytes;
    uint64_t last_use; /* larger is later */
    bool idle;         /* may be ended */
};

enum memory_verdict {
    MEMORY_FITS,
    MEMORY_EVICT, /* after ending the items marked in ret_evict */
    MEMORY_WAIT,  /* when those that are busy become idle */
    MEMORY_SHORT, /* not while other programs hold what they hold */
    MEMORY_NEVER,
};

/* Can `need` more bytes be had? ret_evict[0..count) tells which idle items to end: the least recently used, and of
 * those none that is not needed. */
enum memory_verdict memory_decide(const struct memory_budget *budget, uint64_t need,
                                  const struct memory_item *items, size_t count, bool *ret_evict);

/* "3.1 GiB", "512 MiB". */
void memory_format(uint64_t bytes, char out[MEMORY_TEXT]);

#endif
