#include "base/clock.h"

#include <limits.h>
#include <stdio.h>

enum { NS_PER_MS = 1000000, NS_PER_S = 1000000000 };

static int64_t read_ns(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

int64_t clock_now_ns(void)
{
    return read_ns(CLOCK_MONOTONIC);
}

int64_t clock_wall_us(void)
{
    return read_ns(CLOCK_REALTIME) / 1000;
}

double clock_ms_since(int64_t start_ns)
{
    return (double)(clock_now_ns() - start_ns) / NS_PER_MS;
}

deadline deadline_in_ms(int64_t milliseconds)
{
    int64_t now = clock_now_ns();
    if (milliseconds <= 0)
        return now;
    if (milliseconds > (INT64_MAX - now) / NS_PER_MS)
        return INT64_MAX;
    return now + milliseconds * NS_PER_MS;
}

bool deadline_passed(deadline at)
{
    return clock_now_ns() >= at;
}

int deadline_left_ms(deadline at)
{
    int64_t left = at - clock_now_ns();
    if (left <= 0)
        return 0;
    int64_t ms = left / NS_PER_MS + (left % NS_PER_MS != 0);
    return ms > INT_MAX ? INT_MAX : (int)ms;
}

deadline deadline_earlier(deadline a, deadline b)
{
    return a < b ? a : b;
}

struct timespec deadline_timespec(deadline at)
{
    return (struct timespec){.tv_sec = at / NS_PER_S, .tv_nsec = at % NS_PER_S};
}

void clock_format(int64_t wall_us, char *out, size_t size)
{
    time_t seconds = wall_us / 1000000;
    struct tm parts;
    gmtime_r(&seconds, &parts);
    char day[32];
    strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(out, size, "%s.%06dZ", day, (int)(wall_us % 1000000));
}
