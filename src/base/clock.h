/* clock.h - time: a monotonic clock in nanoseconds, and deadlines on it.
 *
 * Threads: safe from any. Fails: never. A deadline is an absolute point of the monotonic clock.
 */
#ifndef JARVIS_BASE_CLOCK_H
#define JARVIS_BASE_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

typedef int64_t deadline; /* nanoseconds of CLOCK_MONOTONIC */

int64_t clock_now_ns(void);  /* CLOCK_MONOTONIC */
int64_t clock_wall_us(void); /* CLOCK_REALTIME, microseconds since 1970 */
double clock_ms_since(int64_t start_ns);

deadline deadline_in_ms(int64_t milliseconds); /* saturates; negative counts as now */
bool deadline_passed(deadline at);
int deadline_left_ms(deadline at); /* rounded up, 0..INT_MAX, as poll() wants it */
deadline deadline_earlier(deadline a, deadline b);
struct timespec deadline_timespec(deadline at);

/* RFC 3339 in UTC with microseconds, "2026-01-31T12:00:00.000000Z" (27 characters). */
void clock_format(int64_t wall_us, char *out, size_t size);

#endif
