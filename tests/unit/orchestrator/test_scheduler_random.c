/* The scheduler in thousands of random worlds. The world keeps its own account of what is loaded, who has a lease and
 * who waits, and after each event checks what was decided against it:
 *   - a load starts only where its bytes fit beside all that processes hold;
 *   - none is evicted that is in use, or pinned (unless somebody asked), or not loaded;
 *   - leases are given only on what is loaded; everybody who asked gets exactly one answer, at the deadline at the
 *     latest;
 *   - nobody who waits is passed more often than overtakes_max;
 *   - nobody waits for what is free (no wakeup is lost), and once everything in use has been given back and has ended,
 *     nobody waits at all (no deadlock);
 *   - the uses are in the order in which they happened.
 * A failure names the world's seed: JARVIS_TEST_WORLD=SEED tries that one alone. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "helper/testing.h"
#include "orchestrator/scheduler.h"

enum {
    WORLDS = 10000,
    STEPS = 300,
    MODELS_MAX = 8,
    DEVICES_MAX = 3,
    TICKETS_MAX = 64,
    BUDGET_MAX = 100,
    STEP_US = 400000,
    WAIT_US = 30000000,
    DRAIN_US = 5000000,
};

/* What became of a request. */
enum fate { FATE_FREE, FATE_WAITS, FATE_LEASED, FATE_REFUSED };

struct caller {
    struct scheduler_ticket ticket;
    enum fate fate;
};

enum process { PROCESS_NONE, PROCESS_PREPARING, PROCESS_LOADING, PROCESS_LOADED, PROCESS_ENDING };

struct member {
    struct scheduler_model model;
    enum process process;
    bool told_to_stop;
    struct scheduler_bytes holds; /* in the world */
    uint32_t leases;
    uint64_t last_use;
    struct scheduler_shape shapes[3];
    size_t shape_count;
};

struct world {
    uint64_t seed;
    struct testing_random random;
    struct scheduler scheduler;
    struct member members[MODELS_MAX];
    struct caller callers[TICKETS_MAX];
    uint32_t model_count;
    uint32_t device_count;
    uint64_t most[DEVICES_MAX];
    uint64_t now_bytes[DEVICES_MAX];
    bool
        exact; /* loads take what was predicted, and budgets stay: then budgets hold at all times */
    bool asked; /* the event is a request to unload */
    uint64_t uses;
    int64_t now;
};

#define CHECK(world, condition)                                                       \
    do {                                                                              \
        if (!(condition))                                                             \
            fail_msg("world %llu, at %lld us: %s", (unsigned long long)(world)->seed, \
                     (long long)(world)->now, #condition);                            \
    } while (0)

static uint64_t below(struct world *world, uint64_t limit)
{
    return testing_below(&world->random, limit);
}

static bool chance(struct world *world, uint64_t percent)
{
    return below(world, 100) < percent;
}

static struct member *member_of(const struct scheduler_model *model)
{
    return model->user;
}

static uint64_t held(const struct world *world, uint32_t device)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < world->model_count; i++)
        sum += world->members[i].holds.on[device];
    return sum;
}

/* ---------------------------------------------------------------- decisions */

static void on_start(struct world *world, struct member *member)
{
    const struct scheduler_shape *shape = &member->model.shapes[member->model.shape];
    CHECK(world, member->process == PROCESS_PREPARING && !member->told_to_stop);
    for (uint32_t device = 0; device < world->device_count; device++)
        if (shape->bytes.on[device] > 0)
            CHECK(world, held(world, device) + shape->bytes.on[device] <= world->now_bytes[device]);
    member->process = PROCESS_LOADING;
    member->holds = shape->bytes;
}

static void on_evict(struct world *world, struct member *member, enum scheduler_reason reason)
{
    CHECK(world, member->process == PROCESS_LOADED);
    CHECK(world, member->leases == 0);
    CHECK(world, !member->model.pinned || (world->asked && reason == SCHEDULER_ASKED));
    member->process = PROCESS_ENDING;
}

static void on_answer(struct world *world, const struct scheduler_decision *decision)
{
    struct caller *caller = decision->ticket->user;
    struct member *member = member_of(decision->model);
    CHECK(world, caller->fate == FATE_WAITS);
    if (decision->verb == SCHEDULER_GRANT) {
        CHECK(world, member->process == PROCESS_LOADED);
        caller->fate = FATE_LEASED;
        member->leases++;
        member->last_use = ++world->uses;
        return;
    }
    caller->fate = FATE_REFUSED;
    if (decision->why.reason == SCHEDULER_NEVER)
        for (size_t i = 0; i < member->shape_count; i++) {
            bool over = false;
            for (uint32_t device = 0; device < world->device_count; device++)
                over = over || member->shapes[i].bytes.on[device] > world->most[device];
            CHECK(world, over);
        }
}

static void obey(struct world *world)
{
    struct scheduler_decision decision;
    while (scheduler_next(&world->scheduler, &decision)) {
        struct member *member = member_of(decision.model);
        switch (decision.verb) {
        case SCHEDULER_PREPARE:
            CHECK(world, member->process == PROCESS_NONE);
            member->process = PROCESS_PREPARING;
            member->told_to_stop = false;
            break;
        case SCHEDULER_START: on_start(world, member); break;
        case SCHEDULER_STOP:
            CHECK(world,
                  member->process == PROCESS_PREPARING || member->process == PROCESS_LOADING);
            member->told_to_stop = true;
            break;
        case SCHEDULER_EVICT: on_evict(world, member, decision.why.reason); break;
        case SCHEDULER_GRANT:
        case SCHEDULER_REFUSE: on_answer(world, &decision); break;
        }
    }
}

/* ---------------------------------------------------------------- what must always hold */

/* Would the first shape of the model fit beside everything that was decided? */
static bool is_free_for(const struct world *world, const struct scheduler_model *model)
{
    for (uint32_t device = 0; device < world->device_count; device++) {
        uint64_t committed = 0;
        for (uint32_t i = 0; i < world->model_count; i++) {
            const struct member *other = &world->members[i];
            bool leaves =
                other->process == PROCESS_ENDING || other->model.state == SCHEDULER_STOPPING;
            committed += leaves ? 0 : other->holds.on[device] + other->model.claim.on[device];
        }
        uint64_t need = model->shapes[0].bytes.on[device];
        if (need > 0 && committed + need > world->now_bytes[device])
            return false;
    }
    return true;
}

static void check_waiting(struct world *world, const struct scheduler_model *model)
{
    CHECK(world, model->first && model->waiting > 0);
    CHECK(world, model->overtaken <= world->scheduler.overtakes_max);
    if (model->block.reason != SCHEDULER_ITS_TURN)
        CHECK(world, !is_free_for(world, model));
}

static void check(struct world *world)
{
    for (uint32_t device = 0; device < world->device_count; device++) {
        CHECK(world, scheduler_held(&world->scheduler, device) == held(world, device));
        if (world->exact)
            CHECK(world, held(world, device) <= world->now_bytes[device]);
    }
    uint32_t waiting = 0;
    for (uint32_t i = 0; i < world->model_count; i++) {
        const struct member *member = &world->members[i];
        CHECK(world, member->leases == member->model.leases);
        CHECK(world, !member->model.told);
        if (member->model.state == SCHEDULER_QUEUED)
            check_waiting(world, &member->model);
        waiting += member->model.waiting;
    }
    uint32_t callers = 0;
    for (size_t i = 0; i < TICKETS_MAX; i++)
        callers += world->callers[i].fate == FATE_WAITS;
    CHECK(world, waiting == callers);
}

/* Models by their last use, as the scheduler has it and as it happened. */
static void check_order(struct world *world)
{
    for (uint32_t i = 0; i < world->model_count; i++)
        for (uint32_t k = 0; k < world->model_count; k++)
            CHECK(world, (world->members[i].last_use < world->members[k].last_use) ==
                             (world->members[i].model.last_use < world->members[k].model.last_use));
}

/* ---------------------------------------------------------------- events */

static void request(struct world *world, struct member *member)
{
    for (size_t i = 0; i < TICKETS_MAX; i++) {
        struct caller *caller = &world->callers[i];
        if (caller->fate == FATE_WAITS || caller->fate == FATE_LEASED)
            continue;
        *caller = (struct caller){.ticket.user = caller, .fate = FATE_WAITS};
        scheduler_request(&world->scheduler, &member->model, &caller->ticket,
                          world->now + 1 + (int64_t)below(world, WAIT_US), world->now);
        return;
    }
}

/* A caller of that fate, from a random one on; NULL: none. */
static struct caller *some_caller(struct world *world, enum fate fate)
{
    size_t first = below(world, TICKETS_MAX);
    for (size_t i = 0; i < TICKETS_MAX; i++)
        if (world->callers[(first + i) % TICKETS_MAX].fate == fate)
            return &world->callers[(first + i) % TICKETS_MAX];
    return NULL;
}

static void withdraw(struct world *world)
{
    struct caller *caller = some_caller(world, FATE_WAITS);
    if (!caller)
        return;
    caller->fate = FATE_FREE;
    scheduler_withdraw(&world->scheduler, &caller->ticket, world->now);
}

static void release(struct world *world)
{
    struct caller *caller = some_caller(world, FATE_LEASED);
    if (!caller)
        return;
    struct member *member = member_of(caller->ticket.model);
    caller->fate = FATE_FREE;
    member->leases--;
    member->last_use = ++world->uses;
    scheduler_release(&world->scheduler, &member->model, world->now);
}

static void end_load(struct world *world, struct member *member)
{
    bool kept = member->process == PROCESS_LOADING &&
                (member->told_to_stop ? chance(world, 10) : chance(world, 90));
    if (!kept) {
        member->process = PROCESS_NONE;
        member->holds = (struct scheduler_bytes){{0}};
        scheduler_load_failed(&world->scheduler, &member->model, world->now);
        return;
    }
    member->process = PROCESS_LOADED;
    for (uint32_t device = 0; device < world->device_count; device++) {
        uint64_t predicted = member->holds.on[device];
        uint64_t more = world->exact ? 0 : below(world, predicted / 5 + 1);
        member->holds.on[device] =
            predicted - (predicted > 0 ? below(world, predicted / 5 + 1) : 0) + more;
    }
    scheduler_load_done(&world->scheduler, &member->model, &member->holds,
                        (int64_t)below(world, 3000000), world->now);
}

/* The world does what it was told to, some time. */
static void go_on(struct world *world, struct member *member)
{
    switch (member->process) {
    case PROCESS_NONE: break;
    case PROCESS_PREPARING:
        if (member->told_to_stop || chance(world, 3))
            end_load(world, member);
        else if (member->model.state == SCHEDULER_PREPARING)
            scheduler_prepared(&world->scheduler, &member->model, member->shapes,
                               member->shape_count, world->now);
        break;
    case PROCESS_LOADING: end_load(world, member); break;
    case PROCESS_LOADED:
        if (!chance(world, 4)) /* it dies, now and then */
            break;
        member->process = PROCESS_ENDING;
        go_on(world, member);
        return;
    case PROCESS_ENDING:
        member->process = PROCESS_NONE;
        member->holds = (struct scheduler_bytes){{0}};
        scheduler_unloaded(&world->scheduler, &member->model, world->now);
        break;
    }
}

static void change_budget(struct world *world)
{
    uint32_t device = (uint32_t)below(world, world->device_count);
    if (world->exact)
        return;
    world->now_bytes[device] = below(world, world->most[device] + 1);
    scheduler_budget(&world->scheduler, device, world->most[device], world->now_bytes[device],
                     world->now);
}

static void unload(struct world *world, struct member *member)
{
    world->asked = true;
    bool taken = scheduler_unload(&world->scheduler, &member->model, world->now);
    CHECK(world, !taken || member->leases == 0);
    obey(world);
    world->asked = false;
}

static void tick(struct world *world)
{
    scheduler_tick(&world->scheduler, world->now);
    obey(world);
    for (size_t i = 0; i < TICKETS_MAX; i++)
        if (world->callers[i].fate == FATE_WAITS)
            CHECK(world, world->callers[i].ticket.until_us > world->now);
    CHECK(world, scheduler_wake_us(&world->scheduler) > world->now);
}

static void step(struct world *world)
{
    struct member *member = &world->members[below(world, world->model_count)];
    world->now += (int64_t)below(world, STEP_US);
    switch (below(world, 20)) {
    case 0: withdraw(world); break;
    case 1: tick(world); break;
    case 2: change_budget(world); break;
    case 3: scheduler_pin(&world->scheduler, &member->model, chance(world, 25), world->now); break;
    case 4: unload(world, member); break;
    case 5:
    case 6:
    case 7:
    case 8:
    case 9: request(world, member); break;
    case 10:
    case 11:
    case 12:
    case 13: release(world); break;
    default: go_on(world, member); break;
    }
    obey(world);
    check(world);
}

/* ---------------------------------------------------------------- worlds */

static void make_member(struct world *world, struct member *member)
{
    member->model.user = member;
    member->model.ttl_us = chance(world, 20) ? (int64_t)below(world, WAIT_US) + 1 : 0;
    member->model.prefers_fallback = chance(world, 10);
    member->shape_count = 1 + below(world, 3);
    uint64_t size = 1 + below(world, chance(world, 5) ? 2 * (uint64_t)BUDGET_MAX : BUDGET_MAX / 2);
    for (size_t i = 0; i < member->shape_count; i++) {
        member->shapes[i].rank = i > 0 ? member->shapes[i - 1].rank + chance(world, 50) : 0;
        uint32_t device = (uint32_t)below(world, world->device_count);
        member->shapes[i].bytes.on[device] += size / (i + 1);
        if (chance(world, 30))
            member->shapes[i].bytes.on[below(world, world->device_count)] += 1 + size / 8;
    }
    scheduler_add(&world->scheduler, &member->model);
}

static void make(struct world *world, uint64_t seed)
{
    memset(world, 0, sizeof(*world));
    world->seed = seed;
    world->random.state = seed;
    world->model_count = 2 + (uint32_t)below(world, MODELS_MAX - 1);
    world->device_count = 1 + (uint32_t)below(world, DEVICES_MAX);
    world->exact = chance(world, 50);
    scheduler_init(&world->scheduler, 1 + (uint32_t)below(world, 6), DRAIN_US);
    for (uint32_t device = 0; device < world->device_count; device++) {
        scheduler_device_add(&world->scheduler, "device");
        world->most[device] = world->now_bytes[device] = BUDGET_MAX / 2 + below(world, BUDGET_MAX);
        scheduler_budget(&world->scheduler, device, world->most[device], world->most[device], 0);
    }
    for (uint32_t i = 0; i < world->model_count; i++)
        make_member(world, &world->members[i]);
}

static bool anybody_waits(const struct world *world)
{
    for (size_t i = 0; i < TICKETS_MAX; i++)
        if (world->callers[i].fate == FATE_WAITS)
            return true;
    return false;
}

/* No more requests; everything in use is given back and all processes go on. Without a single deadline passing, all who
 * wait get their answer. */
static void wind_down(struct world *world)
{
    for (int round = 0; anybody_waits(world); round++) {
        CHECK(world, round < 50 * MODELS_MAX);
        while (some_caller(world, FATE_LEASED)) {
            release(world);
            obey(world);
        }
        for (uint32_t i = 0; i < world->model_count; i++) {
            go_on(world, &world->members[i]);
            obey(world);
            check(world);
        }
    }
}

static void live(struct world *world, uint64_t seed)
{
    make(world, seed);
    for (int i = 0; i < STEPS; i++)
        step(world);
    check_order(world);
    wind_down(world);
}

static void test_random_worlds(void **state)
{
    (void)state;
    struct world *world = malloc(sizeof(*world));
    struct testing_random random;
    assert_non_null(world);
    testing_seed(&random);
    const char *only = getenv("JARVIS_TEST_WORLD");
    if (only) {
        live(world, strtoull(only, NULL, 10));
        free(world);
        return;
    }
    uint64_t uses = 0;
    for (int i = 0; i < WORLDS; i++) {
        live(world, testing_next(&random));
        uses += world->uses;
    }
    print_message("# %d worlds, %llu uses\n", WORLDS, (unsigned long long)uses);
    free(world);
}

/* ---------------------------------------------------------------- the cheapest victims */

/* The smallest loss of all sets of idle models that leave `missing`, as scheduler_place.c defines loss. */
static double cheapest(const struct world *world, uint64_t missing)
{
    double best = INFINITY;
    for (uint32_t set = 0; set < 1U << world->model_count; set++) {
        double loss = 0;
        uint64_t freed = 0;
        for (uint32_t i = 0; i < world->model_count; i++) {
            const struct scheduler_model *model = &world->members[i].model;
            if (!(set >> i & 1))
                continue;
            freed += model->held.on[0];
            int64_t cost = model->load_us > 250000 ? model->load_us : 250000;
            loss += (double)cost / (double)(world->now - model->last_use_us + 1);
        }
        if (freed >= missing && loss < best)
            best = loss;
    }
    return best;
}

static void ignore(struct world *world)
{
    struct scheduler_decision decision;
    while (scheduler_next(&world->scheduler, &decision))
        continue;
}

/* Idle models of random age, size and cost; one more comes: those who go are the cheapest that do. */
static void try_victims(struct world *world, uint64_t seed)
{
    memset(world, 0, sizeof(*world));
    world->seed = seed;
    world->random.state = seed;
    world->model_count = 1 + (uint32_t)below(world, MODELS_MAX - 1);
    scheduler_init(&world->scheduler, 4, DRAIN_US);
    scheduler_device_add(&world->scheduler, "cpu");
    scheduler_budget(&world->scheduler, 0, 1000000, 1000000, 0);
    uint64_t total = 0;
    for (uint32_t i = 0; i < MODELS_MAX; i++) {
        struct member *member = &world->members[i];
        member->model.user = member;
        scheduler_add(&world->scheduler, &member->model);
    }
    struct scheduler_ticket tickets[MODELS_MAX] = {{0}};
    for (uint32_t i = 0; i < world->model_count; i++) {
        struct member *member = &world->members[i];
        const struct scheduler_shape shape = {.bytes.on[0] = 1 + below(world, BUDGET_MAX)};
        scheduler_request(&world->scheduler, &member->model, &tickets[i], INT64_MAX, world->now);
        ignore(world);
        scheduler_prepared(&world->scheduler, &member->model, &shape, 1, world->now);
        ignore(world);
        scheduler_load_done(&world->scheduler, &member->model, &shape.bytes,
                            (int64_t)below(world, 5000000), world->now);
        ignore(world);
        world->now += (int64_t)below(world, 20000000);
        scheduler_release(&world->scheduler, &member->model, world->now);
        ignore(world);
        total += shape.bytes.on[0];
    }
    world->now += 1 + (int64_t)below(world, 20000000);
    const struct scheduler_shape wide = {.bytes.on[0] = 1 + below(world, total)};
    struct scheduler_model *model = &world->members[world->model_count].model;
    scheduler_budget(&world->scheduler, 0, total, total, world->now);
    scheduler_request(&world->scheduler, model, &tickets[world->model_count], INT64_MAX,
                      world->now);
    ignore(world);
    double best = cheapest(world, wide.bytes.on[0]);
    scheduler_prepared(&world->scheduler, model, &wide, 1, world->now);
    double loss = 0;
    struct scheduler_decision decision;
    while (scheduler_next(&world->scheduler, &decision)) {
        if (decision.verb != SCHEDULER_EVICT)
            continue;
        int64_t cost = decision.model->load_us > 250000 ? decision.model->load_us : 250000;
        loss += (double)cost / (double)(world->now - decision.model->last_use_us + 1);
    }
    CHECK(world, fabs(loss - best) <= 1e-9 * best);
}

static void test_victims_are_the_cheapest(void **state)
{
    (void)state;
    struct world *world = malloc(sizeof(*world));
    struct testing_random random;
    assert_non_null(world);
    testing_seed(&random);
    for (int i = 0; i < WORLDS; i++)
        try_victims(world, testing_next(&random));
    free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_worlds),
        cmocka_unit_test(test_victims_are_the_cheapest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
