#include "orchestrator/breaker.h"

enum { NS_PER_MS = 1000000 };

const char *breaker_state_name(enum breaker_state state)
{
    static const char *const names[] = {"closed", "open", "half_open"};
    return names[state];
}

uint32_t breaker_jitter(uint32_t full_ms, uint32_t random)
{
    uint32_t half = full_ms / 2;
    return full_ms - half + (uint32_t)((uint64_t)random * (half + 1ULL) >> 32);
}

uint32_t breaker_doubled(uint32_t base_ms, uint32_t n, uint32_t max_ms)
{
    uint64_t value = base_ms;
    for (uint32_t i = 0; i < n && value < max_ms; i++)
        value *= 2;
    return value < max_ms ? (uint32_t)value : max_ms;
}

/* Rounded up, so that who waits so long does not come too early. */
static uint32_t left_ms(int64_t until_ns, int64_t now_ns)
{
    if (until_ns <= now_ns)
        return 0;
    int64_t left = (until_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS;
    return left < UINT32_MAX ? (uint32_t)left : UINT32_MAX;
}

static int64_t after(int64_t now_ns, uint32_t wait_ms)
{
    return now_ns + (int64_t)wait_ms * NS_PER_MS;
}

enum breaker_verdict breaker_try(struct breaker *breaker, const struct breaker_policy *policy,
                                 int64_t now_ns, uint32_t *ret_wait_ms)
{
    uint32_t wait_ms = left_ms(breaker->until_ns, now_ns);
    bool closed = breaker->state == BREAKER_CLOSED;
    bool free_probe = breaker->state == BREAKER_HALF_OPEN && !breaker->probing;
    if (wait_ms > 0 && !free_probe) {
        *ret_wait_ms = wait_ms;
        return closed ? BREAKER_WAIT : BREAKER_STOP;
    }
    if (!closed) {
        breaker->state = BREAKER_HALF_OPEN;
        breaker->probing = true;
        breaker->until_ns = after(now_ns, policy->probe_ms);
    }
    return BREAKER_GO;
}

void breaker_success(struct breaker *breaker)
{
    if (breaker->state != BREAKER_OPEN)
        *breaker = (struct breaker){0};
}

/* Nothing before this time; a pause that the other side asked for is not made shorter. */
static void rest_until(struct breaker *breaker, int64_t until_ns)
{
    if (breaker->state == BREAKER_HALF_OPEN || until_ns > breaker->until_ns)
        breaker->until_ns = until_ns;
}

void breaker_failure(struct breaker *breaker, const struct breaker_policy *policy, int64_t now_ns,
                     uint32_t random)
{
    if (breaker->state == BREAKER_OPEN)
        return;
    if (breaker->failures < UINT32_MAX)
        breaker->failures++;
    bool opens = breaker->state == BREAKER_HALF_OPEN || breaker->failures >= policy->threshold;
    uint32_t full =
        opens ? breaker_doubled(policy->open_ms, breaker->openings, policy->open_max_ms)
              : breaker_doubled(policy->backoff_ms, breaker->failures - 1, policy->backoff_max_ms);
    rest_until(breaker, after(now_ns, breaker_jitter(full, random)));
    if (!opens)
        return;
    breaker->state = BREAKER_OPEN;
    breaker->probing = false;
    if (breaker->openings < UINT32_MAX)
        breaker->openings++;
}

void breaker_release(struct breaker *breaker)
{
    breaker->probing = false;
}

void breaker_pause(struct breaker *breaker, const struct breaker_policy *policy, int64_t now_ns,
                   uint32_t wait_ms)
{
    int64_t until_ns = after(now_ns, wait_ms < policy->open_max_ms ? wait_ms : policy->open_max_ms);
    if (breaker->state != BREAKER_HALF_OPEN && until_ns > breaker->until_ns)
        breaker->until_ns = until_ns;
}

void breaker_alive(struct breaker *breaker)
{
    if (breaker->state != BREAKER_OPEN)
        return;
    breaker->state = BREAKER_HALF_OPEN;
    breaker->until_ns = 0;
}

enum breaker_state breaker_look(const struct breaker *breaker, int64_t now_ns,
                                uint32_t *ret_wait_ms)
{
    bool free_probe = breaker->state == BREAKER_HALF_OPEN && !breaker->probing;
    *ret_wait_ms = free_probe ? 0 : left_ms(breaker->until_ns, now_ns);
    bool waited = breaker->state == BREAKER_OPEN && *ret_wait_ms == 0;
    return waited ? BREAKER_HALF_OPEN : breaker->state;
}
