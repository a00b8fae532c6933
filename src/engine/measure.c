#include "engine/measure.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

void measure_open(struct measure *measure)
{
    measure->statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
}

void measure_close(struct measure *measure)
{
    if (measure->statm >= 0)
        close(measure->statm);
    measure->statm = -1;
}

uint64_t measure_resident(const struct measure *measure)
{
    char text[128];
    ssize_t length = measure->statm < 0 ? -1 : pread(measure->statm, text, sizeof(text) - 1, 0);
    if (length <= 0)
        return 0;
    text[length] = '\0';
    uint64_t total, resident; /* pages */
    if (sscanf(text, "%" SCNu64 " %" SCNu64, &total, &resident) != 2)
        return 0;
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

uint64_t measure_peak(void)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) != 0)
        return 0;
    return (uint64_t)usage.ru_maxrss * 1024;
}
