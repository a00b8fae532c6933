/* What memory the machine has: /proc/meminfo, and the control groups (v2) that this process is in. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/str.h"
#include "orchestrator/memory.h"

enum { PROC_FILE_MAX = 64 * 1024, CGROUP_PATH_MAX = 1024 };

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
