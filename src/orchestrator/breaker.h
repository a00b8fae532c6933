/* breaker.h - a circuit breaker: what keeps failing is left alone for a while.
 *
 * Purpose: one breaker for each model and for each address of an upstream. CLOSED: tries are allowed; after a failure
 *   the next one has to wait, longer each time (exponential back-off with jitter). After `threshold` failures in a row
 *   it is OPEN: nothing is tried for `open_ms`. Then it is HALF_OPEN: one try is let through; a success closes the
 *   circuit, a failure opens it again for twice as long.
 * Owner:   the caller, under the caller's lock. Pure: the time and the randomness are passed in, nothing is allocated.
 * Threads: one at a time. Fails: never.
 *
 *     if (breaker_try(&b, &policy, now, &wait_ms) == BREAKER_GO)
 *         it_worked ? breaker_success(&b) : breaker_failure(&b, &policy, clock_now_ns(), random);
 *
 * After Michael T. Nygard, "Release It!", and for the jitter Marc Brooker, "Exponential Backoff And Jitter".
 */
#ifndef JARVIS_ORCHESTRATOR_BREAKER_H
#define JARVIS_ORCHESTRATOR_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF_OPEN };

const char *breaker_state_name(enum breaker_state state); /* "closed" "open" "half_open" */

struct breaker_policy {
    uint32_t threshold;  /* failures in a row that open the circuit; >= 1 */
    uint32_t backoff_ms; /* after the first failure; doubles with each */
    uint32_t backoff_max_ms;
    uint32_t open_ms; /* the first time; doubles each time that the try in between fails */
    uint32_t open_max_ms;
    uint32_t probe_ms; /* a try that is not heard of for so long no longer keeps others away */
};

/* All zero: closed, nothing has failed. */
struct breaker {
    enum breaker_state state;
    uint32_t failures; /* in a row */
    uint32_t openings; /* in a row */
    int64_t
        until_ns; /* CLOSED, OPEN: nothing before; HALF_OPEN while probing: until when that is waited for */
    bool probing; /* HALF_OPEN: a try is on its way */
};

enum breaker_verdict {
    BREAKER_GO,
    BREAKER_WAIT, /* the back-off after a failure has not passed */
    BREAKER_STOP, /* open, or half open with a try on its way */
};

/* May something be tried now? GO in a circuit whose time has passed is the one try: report it. Otherwise
 * *ret_wait_ms (>= 1) is how long to wait before asking again. */
enum breaker_verdict breaker_try(struct breaker *breaker, const struct breaker_policy *policy,
                                 int64_t now_ns, uint32_t *ret_wait_ms);

/* A try has ended. `random` is any number: waits are between half and all of their full length. Reports that come
 * while the circuit is open are of tries that began before, and change nothing. */
void breaker_success(struct breaker *breaker);
void breaker_failure(struct breaker *breaker, const struct breaker_policy *policy, int64_t now_ns,
                     uint32_t random);

/* The try has ended and says nothing (it was cancelled): the next one may go. */
void breaker_release(struct breaker *breaker);

/* The other side asks for a pause (Retry-After), at most policy->open_max_ms. */
void breaker_pause(struct breaker *breaker, const struct breaker_policy *policy, int64_t now_ns,
                   uint32_t wait_ms);

/* A health check has seen a sign of life: an open circuit lets its one try through now. */
void breaker_alive(struct breaker *breaker);

/* As it looks now: an open circuit whose time has passed is half open. *ret_wait_ms: until something may be tried;
 * 0: now. */
enum breaker_state breaker_look(const struct breaker *breaker, int64_t now_ns,
                                uint32_t *ret_wait_ms);

/* A time between half of `full_ms` and all of it. */
uint32_t breaker_jitter(uint32_t full_ms, uint32_t random);

/* base, 2 base, 4 base, …: the `n`th (from 0), at most `max`. */
uint32_t breaker_doubled(uint32_t base_ms, uint32_t n, uint32_t max_ms);

#endif
