#include "orchestrator/memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MIB (UINT64_C(1) << 20)

static uint64_t at_most(uint64_t value, uint64_t most)
{
    return value < most ? value : most;
}

static uint64_t less(uint64_t value, uint64_t minus)
{
    return value > minus ? value - minus : 0;
}

static uint64_t sum(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

struct memory_budget memory_budget(const struct memory_machine *machine, uint64_t limit,
                                   uint64_t reserve, uint64_t used, uint64_t unloaded)
{
    uint64_t most = less(machine->total, reserve);
    if (limit > 0)
        most = at_most(most, limit);
    uint64_t now = less(at_most(sum(machine->available, used), unloaded), reserve);
    return (struct memory_budget){.most = most, .now = at_most(now, most)};
}

/* The idle item that was used least recently and is not marked; count when there is none. */
static size_t oldest(const struct memory_item *items, size_t count, const bool *evict)
{
    size_t best = count;
    for (size_t i = 0; i < count; i++)
        if (items[i].idle && !evict[i] &&
            (best == count || items[i].last_use < items[best].last_use))
            best = i;
    return best;
}

/* Marks are taken back, the most recently used first, as long as it still fits without them. */
static void spare_unneeded(uint64_t room, uint64_t need, const struct memory_item *items,
                           size_t count, bool *evict)
{
    bool changed = true;
    while (changed) {
        changed = false;
        size_t best = count;
        for (size_t i = 0; i < count; i++)
            if (evict[i] && room >= items[i].bytes && room - items[i].bytes >= need &&
                (best == count || items[i].last_use > items[best].last_use))
                best = i;
        if (best < count) {
            evict[best] = false;
            room -= items[best].bytes;
            changed = true;
        }
    }
}

enum memory_verdict memory_decide(const struct memory_budget *budget, uint64_t need,
                                  const struct memory_item *items, size_t count, bool *ret_evict)
{
    uint64_t used = 0;
    for (size_t i = 0; i < count; i++) {
        used = sum(used, items[i].bytes);
        ret_evict[i] = false;
    }
    if (need > budget->most)
        return MEMORY_NEVER;
    if (sum(used, need) <= budget->now)
        return MEMORY_FITS;
    if (need > budget->now)
        return MEMORY_SHORT;
    while (sum(used, need) > budget->now) {
        size_t victim = oldest(items, count, ret_evict);
        if (victim == count) {
            memset(ret_evict, 0, count * sizeof(*ret_evict));
            return MEMORY_WAIT;
        }
        ret_evict[victim] = true;
        used -= items[victim].bytes;
    }
    spare_unneeded(budget->now - used, need, items, count, ret_evict);
    return MEMORY_EVICT;
}

void memory_format(uint64_t bytes, char out[MEMORY_TEXT])
{
    uint64_t tenths = (bytes * 10 + MIB * 512) / (MIB * 1024);
    if (bytes >= 1000 * MIB)
        snprintf(out, MEMORY_TEXT, "%" PRIu64 ".%" PRIu64 " GiB", tenths / 10, tenths % 10);
    else
        snprintf(out, MEMORY_TEXT, "%" PRIu64 " MiB", (bytes + MIB - 1) / MIB);
}
