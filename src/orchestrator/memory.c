#include "orchestrator/memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/str.h"

#define MIB (UINT64_C(1) << 20)

enum {
    COMPUTE_MIB = 64,         /* buffers that every model has */
    CONTEXT_DEFAULT = 8192,   /* of models that do not say (protocol.h) */
    CONTEXT_STEP = 256,       /* as libllama rounds */
    KV_SHARE_PER_CONTEXT = 4, /* KV cache of CONTEXT_DEFAULT tokens: this part of the file */
    PROC_FILE_MAX = 64 * 1024,
    CGROUP_PATH_MAX = 1024,
};

/* ---------------------------------------------------------------- measuring */

/* The whole of a small file below root; NULL when it cannot be read. free() it. */
static char *read_small(const char *root, const char *path)
{
    char *full = str_format(CGROUP_PATH_MAX * 2, "%s%s", root, path);
    char *text = NULL;
    size_t length;
    if (full && !fs_read(full, PROC_FILE_MAX, &text, &length, NULL))
        text = NULL;
    free(full);
    return text;
}

/* The number after `key` in a text of "key value" lines; false when it is not there. */
static bool find_number(const char *text, const char *key, uint64_t *ret)
{
    size_t length = strlen(key);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, length) != 0)
            continue;
        char *end;
        uint64_t value = strtoull(line + length, &end, 10);
        if (end != line + length) {
            *ret = value;
            return true;
        }
    }
    return false;
}

static bool read_number(const char *root, const char *path, uint64_t *ret)
{
    char *text = read_small(root, path);
    bool ok = text && find_number(text, "", ret); /* "max" is no number */
    free(text);
    return ok;
}

/* Applies the limit of one control group: what it may hold, and what of that is not yet held. File pages that are not
 * in use can be dropped, so they count as free, as in MemAvailable. */
static void apply_cgroup(const char *root, const char *group, struct memory_machine *machine)
{
    char path[CGROUP_PATH_MAX + 64];
    uint64_t max;
    uint64_t current;
    snprintf(path, sizeof(path), "/sys/fs/cgroup%s/memory.max", group);
    if (!read_number(root, path, &max))
        return;
    snprintf(path, sizeof(path), "/sys/fs/cgroup%s/memory.current", group);
    if (!read_number(root, path, &current))
        return;
    snprintf(path, sizeof(path), "/sys/fs/cgroup%s/memory.stat", group);
    char *stat = read_small(root, path);
    uint64_t droppable = 0;
    if (stat && find_number(stat, "inactive_file ", &droppable))
        current -= droppable < current ? droppable : current;
    free(stat);
    uint64_t left = max > current ? max - current : 0;
    if (max < machine->total)
        machine->total = max;
    if (left < machine->available)
        machine->available = left;
}

/* Applies the limits of the process's control group and of those above it (cgroup v2). */
static void apply_cgroups(const char *root, struct memory_machine *machine)
{
    char *text = read_small(root, "/proc/self/cgroup");
    const char *line = text ? strstr(text, "0::/") : NULL;
    char group[CGROUP_PATH_MAX] = "";
    if (line)
        snprintf(group, sizeof(group), "%.*s", (int)strcspn(line + 3, "\n"), line + 3);
    free(text);
    for (char *slash; (slash = strrchr(group, '/')); *slash = '\0')
        apply_cgroup(root, group, machine);
    apply_cgroup(root, "", machine); /* a container sees its own group as the root */
}

void memory_measure(const char *root, struct memory_machine *ret)
{
    *ret = (struct memory_machine){.total = UINT64_MAX, .available = UINT64_MAX};
    char *text = read_small(root, "/proc/meminfo");
    uint64_t kib;
    if (text && find_number(text, "MemTotal:", &kib))
        ret->total = kib * 1024;
    if (text && find_number(text, "MemAvailable:", &kib))
        ret->available = kib * 1024;
    free(text);
    apply_cgroups(root, ret);
}

/* ---------------------------------------------------------------- deciding */

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

/* Bytes of KV cache that CONTEXT_DEFAULT tokens of one sequence take. Only a chat model keeps one. */
static uint64_t kv_bytes(uint64_t file_bytes, enum model_role role)
{
    return role == ROLE_CHAT ? file_bytes / KV_SHARE_PER_CONTEXT : 0;
}

uint64_t memory_predict(uint64_t file_bytes, enum model_role role, uint32_t context, uint32_t slots)
{
    double cells = (double)(context ? context : CONTEXT_DEFAULT) * (slots ? slots : 1);
    double kv = (double)kv_bytes(file_bytes, role) * cells / CONTEXT_DEFAULT;
    return sum(sum(file_bytes, COMPUTE_MIB * MIB), (uint64_t)kv);
}

uint32_t memory_context_that_fits(uint64_t file_bytes, enum model_role role, uint32_t slots,
                                  uint64_t bytes)
{
    uint64_t fixed = memory_predict(file_bytes, ROLE_EMBEDDING, 0, 1);
    uint64_t kv = kv_bytes(file_bytes, role);
    if (bytes <= fixed || kv == 0)
        return 0;
    double cells = (double)(bytes - fixed) / (double)kv * CONTEXT_DEFAULT;
    double context = cells / (slots ? slots : 1);
    uint32_t rounded = context > (double)(UINT32_MAX / 2) ? UINT32_MAX / 2 : (uint32_t)context;
    return rounded / CONTEXT_STEP * CONTEXT_STEP;
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
