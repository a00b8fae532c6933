/* scheduler_place.c - does a model fit, and who would have to go for it?
 *
 * Memory is counted twice. `held` is what processes have, those that are ending included: a load starts only when its
 * bytes fit beside that. `committed` is what will be held when everything that was decided has happened: without those
 * that are ending, with those that claim what they leave. A new decision must fit beside that, so that two models never
 * count on the same bytes.
 *
 * The loss of a victim is what reloading it took, divided by how long it has not been used: the part of our time that
 * would go to reloading it if its next use were as far away as its last one. Of models that load equally fast, the
 * least recently used goes first; one that takes ten times as long to load stays until it is ten times as old. (The
 * idea is that of GreedyDual-Size, Cao and Irani 1997, with an age in place of its inflation.) Loads faster than
 * RELOAD_FLOOR_US count as that, so that the noise of a few milliseconds decides nothing. Among few candidates the set
 * that loses least is found by trying all sets; among many by taking the one with the smallest loss per byte that is
 * still needed, again and again, and giving back who turns out not to be needed.
 */
#include <math.h>

#include "orchestrator/scheduler_parts.h"

enum { EXACT_MAX = 10, RELOAD_FLOOR_US = 250000 };

/* ---------------------------------------------------------------- sums */

static uint64_t add(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static uint64_t less(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* What a device's memory is spent on. */
struct spending {
    uint64_t held;      /* by processes */
    uint64_t committed; /* see the top */
    uint64_t pinned;    /* of `committed`: by pinned models that are loaded or being loaded */
    uint64_t fixed;     /* of `committed`: by whom nothing can be taken now */
};

static bool is_leaving(const struct scheduler_model *model)
{
    return model->state == SCHEDULER_UNLOADING || model->state == SCHEDULER_STOPPING;
}

bool placing_is_idle(const struct scheduler_model *model)
{
    return model->state == SCHEDULER_READY && !model->pinned && model->leases == 0;
}

static struct spending spending_of(const struct scheduler *scheduler, uint32_t device)
{
    struct spending sum = {0};
    for (const struct scheduler_model *model = scheduler->models; model; model = model->next) {
        uint64_t held = model->held.on[device];
        uint64_t will = is_leaving(model) ? 0 : add(held, model->claim.on[device]);
        sum.held = add(sum.held, held);
        sum.committed = add(sum.committed, will);
        if (model->pinned)
            sum.pinned = add(sum.pinned, will);
        if (!placing_is_idle(model))
            sum.fixed = add(sum.fixed, will);
    }
    return sum;
}

uint64_t scheduler_held(const struct scheduler *scheduler, uint32_t device)
{
    return spending_of(scheduler, device).held;
}

bool placing_is_free(const struct scheduler *scheduler, const struct scheduler_model *model)
{
    const struct scheduler_bytes *bytes = &model->shapes[model->shape].bytes;
    for (uint32_t device = 0; device < scheduler->device_count; device++) {
        uint64_t held = spending_of(scheduler, device).held;
        if (bytes->on[device] > 0 && add(held, bytes->on[device]) > scheduler->devices[device].now)
            return false;
    }
    return true;
}

static bool wants(const struct scheduler_model *model, uint32_t device)
{
    for (size_t i = 0; i < model->shape_count; i++)
        if (model->shapes[i].bytes.on[device] > 0)
            return true;
    return false;
}

bool placing_competes(const struct scheduler_model *a, const struct scheduler_model *b)
{
    for (uint32_t device = 0; device < SCHEDULER_DEVICES_MAX; device++)
        if (wants(a, device) && wants(b, device))
            return true;
    return false;
}

bool placing_is_in_the_way(const struct scheduler_model *loaded,
                           const struct scheduler_model *waiting)
{
    for (uint32_t device = 0; device < SCHEDULER_DEVICES_MAX; device++)
        if (loaded->held.on[device] > 0 && wants(waiting, device))
            return true;
    return false;
}

/* ---------------------------------------------------------------- victims */

/* What is missing on each device. */
typedef struct scheduler_bytes shortfall;

static double loss_of(const struct scheduler *scheduler, const struct scheduler_model *model)
{
    int64_t cost = model->load_us > RELOAD_FLOOR_US ? model->load_us : RELOAD_FLOOR_US;
    int64_t age = scheduler->now_us - model->last_use_us;
    return (double)cost / (double)(age > 0 ? age + 1 : 1);
}

/* Of what is missing, how much the model would free. */
static uint64_t gain_of(const struct scheduler_model *model, const shortfall *missing)
{
    uint64_t gain = 0;
    for (uint32_t device = 0; device < SCHEDULER_DEVICES_MAX; device++)
        gain = add(gain, smaller(model->held.on[device], missing->on[device]));
    return gain;
}

static bool is_covered(const shortfall *missing)
{
    for (uint32_t device = 0; device < SCHEDULER_DEVICES_MAX; device++)
        if (missing->on[device] > 0)
            return false;
    return true;
}

static void take_off(shortfall *missing, const struct scheduler_model *model)
{
    for (uint32_t device = 0; device < SCHEDULER_DEVICES_MAX; device++)
        missing->on[device] = less(missing->on[device], model->held.on[device]);
}

/* Whom the search may choose: idle models, or those in use as well. */
static bool is_candidate(const struct scheduler_model *model, bool busy_too,
                         const shortfall *missing)
{
    bool may_go =
        placing_is_idle(model) || (busy_too && model->state == SCHEDULER_READY && !model->pinned);
    return may_go && gain_of(model, missing) > 0;
}

static size_t collect(const struct scheduler *scheduler, bool busy_too, const shortfall *missing,
                      struct scheduler_model *found[EXACT_MAX])
{
    size_t count = 0;
    for (struct scheduler_model *model = scheduler->models; model; model = model->next) {
        model->chosen = false;
        if (!is_candidate(model, busy_too, missing))
            continue;
        size_t at = count;
        for (; at > 0 && at < EXACT_MAX && found[at - 1]->last_use > model->last_use; at--)
            found[at] = found[at - 1];
        if (at < EXACT_MAX)
            found[at] = model;
        count++;
    }
    return count;
}

/* Tries every set of at most EXACT_MAX candidates, the least recently used first. */
static double pick_exactly(const struct scheduler *scheduler, struct scheduler_model **found,
                           size_t count, const shortfall *missing)
{
    double best = INFINITY;
    size_t best_set = 0;
    for (size_t set = 1; set < (size_t)1 << count; set++) {
        shortfall left = *missing;
        double loss = 0;
        for (size_t i = 0; i < count; i++) {
            if (!(set >> i & 1))
                continue;
            take_off(&left, found[i]);
            loss += loss_of(scheduler, found[i]);
        }
        if (loss < best && is_covered(&left)) {
            best = loss;
            best_set = set;
        }
    }
    for (size_t i = 0; i < count; i++)
        found[i]->chosen = best_set >> i & 1;
    return best;
}

/* Takes the mark from those without whom it still fits, the greatest loss first. */
static void spare_unneeded(const struct scheduler *scheduler, const shortfall *missing)
{
    for (;;) {
        struct scheduler_model *best = NULL;
        for (struct scheduler_model *model = scheduler->models; model; model = model->next) {
            if (!model->chosen)
                continue;
            shortfall left = *missing;
            for (const struct scheduler_model *other = scheduler->models; other;
                 other = other->next)
                if (other->chosen && other != model)
                    take_off(&left, other);
            if (is_covered(&left) &&
                (!best || loss_of(scheduler, model) > loss_of(scheduler, best)))
                best = model;
        }
        if (!best)
            return;
        best->chosen = false;
    }
}

static double pick_greedily(const struct scheduler *scheduler, bool busy_too,
                            const shortfall *missing)
{
    shortfall left = *missing;
    while (!is_covered(&left)) {
        struct scheduler_model *best = NULL;
        double best_price = INFINITY;
        for (struct scheduler_model *model = scheduler->models; model; model = model->next) {
            if (model->chosen || !is_candidate(model, busy_too, &left))
                continue;
            double price = loss_of(scheduler, model) / (double)gain_of(model, &left);
            if (price < best_price) {
                best_price = price;
                best = model;
            }
        }
        if (!best)
            return INFINITY;
        best->chosen = true;
        take_off(&left, best);
    }
    spare_unneeded(scheduler, missing);
    double loss = 0;
    for (const struct scheduler_model *model = scheduler->models; model; model = model->next)
        if (model->chosen)
            loss += loss_of(scheduler, model);
    return loss;
}

/* Marks the victims that cover what is missing and returns what they cost; INFINITY: there are not enough. */
static double pick(const struct scheduler *scheduler, bool busy_too, const shortfall *missing)
{
    struct scheduler_model *found[EXACT_MAX];
    size_t count = collect(scheduler, busy_too, missing, found);
    if (count <= EXACT_MAX)
        return pick_exactly(scheduler, found, count, missing);
    return pick_greedily(scheduler, busy_too, missing);
}

struct scheduler_model *placing_find_surplus(const struct scheduler *scheduler, uint32_t device)
{
    shortfall missing = {{0}};
    missing.on[device] =
        less(spending_of(scheduler, device).committed, scheduler->devices[device].now);
    struct scheduler_model *best = NULL;
    for (struct scheduler_model *model = scheduler->models; model; model = model->next)
        if (is_candidate(model, false, &missing) &&
            (!best || loss_of(scheduler, model) < loss_of(scheduler, best)))
            best = model;
    return best;
}

/* ---------------------------------------------------------------- places */

/* The one that holds most of a device among those that cannot go now; pinned ones, or those in use. */
static struct scheduler_model *largest_holder(const struct scheduler *scheduler, uint32_t device,
                                              bool pinned)
{
    struct scheduler_model *best = NULL;
    uint64_t most = 0;
    for (struct scheduler_model *model = scheduler->models; model; model = model->next) {
        uint64_t holds = add(model->held.on[device], model->claim.on[device]);
        bool counts = pinned ? model->pinned : !model->pinned && !placing_is_idle(model);
        if (counts && !is_leaving(model) && holds > most) {
            most = holds;
            best = model;
        }
    }
    return best;
}

/* What stands against a shape on one device whatever idle models leave; NO_REASON: nothing. Fills in what is missing. */
static struct scheduler_block look_at(const struct scheduler *scheduler, uint32_t device,
                                      uint64_t need, shortfall *missing)
{
    const struct scheduler_device *has = &scheduler->devices[device];
    struct spending spending = spending_of(scheduler, device);
    struct scheduler_block block = {
        .device = device, .need = need, .have = less(has->now, spending.fixed)};
    if (need == 0)
        return block;
    if (need > has->most) {
        block.reason = SCHEDULER_NEVER;
        block.have = has->most;
    } else if (need > has->now) {
        block.reason = SCHEDULER_SHORT;
    } else if (add(need, spending.pinned) > has->now) {
        block.reason = SCHEDULER_PINNED;
        block.other = largest_holder(scheduler, device, true);
    } else if (add(need, spending.fixed) > has->now) {
        block.reason = SCHEDULER_BUSY;
        block.other = largest_holder(scheduler, device, false);
    }
    missing->on[device] = less(add(need, spending.committed), has->now);
    return block;
}

/* The worst that any device has against the shape; reasons are declared in the order of how bad they are. */
static struct scheduler_block look(const struct scheduler *scheduler,
                                   const struct scheduler_shape *shape, shortfall *missing)
{
    struct scheduler_block worst = {.reason = SCHEDULER_NO_REASON};
    *missing = (shortfall){{0}};
    for (uint32_t device = 0; device < scheduler->device_count; device++) {
        struct scheduler_block block = look_at(scheduler, device, shape->bytes.on[device], missing);
        if (block.reason > worst.reason)
            worst = block;
    }
    return worst;
}

/* The best shape of one rank, from `first` to before `end`. */
static struct scheduler_place find_in_rank(const struct scheduler *scheduler,
                                           const struct scheduler_model *model, size_t first,
                                           size_t end)
{
    struct scheduler_place best = {.block.reason = SCHEDULER_CALLED_OFF};
    shortfall best_missing = {{0}};
    double best_loss = INFINITY;
    for (size_t i = first; i < end; i++) {
        shortfall missing;
        struct scheduler_block block = look(scheduler, &model->shapes[i], &missing);
        double loss = 0;
        if (block.reason == SCHEDULER_NO_REASON && !is_covered(&missing))
            loss = pick(scheduler, false, &missing);
        if (block.reason == SCHEDULER_NO_REASON && loss < best_loss) {
            best_loss = loss;
            best_missing = missing;
            best = (struct scheduler_place){
                .possible = true, .shape = i, .evicts = !is_covered(&missing)};
        } else if (!best.possible && block.reason < best.block.reason) {
            best.block = block;
        }
    }
    if (best.evicts)
        pick(scheduler, false, &best_missing); /* once more: others were marked meanwhile */
    return best;
}

struct scheduler_place placing_find(const struct scheduler *scheduler,
                                    struct scheduler_model *model)
{
    struct scheduler_place best = {.block.reason = SCHEDULER_CALLED_OFF};
    for (size_t first = 0, end; first < model->shape_count && !best.possible; first = end) {
        for (end = first + 1;
             end < model->shape_count && model->shapes[end].rank == model->shapes[first].rank;)
            end++;
        struct scheduler_place place = find_in_rank(scheduler, model, first, end);
        if (place.possible || place.block.reason < best.block.reason)
            best = place;
    }
    return best;
}

bool placing_find_busy(const struct scheduler *scheduler, struct scheduler_model *model)
{
    for (size_t i = 0; i < model->shape_count; i++) {
        shortfall missing;
        struct scheduler_block block = look(scheduler, &model->shapes[i], &missing);
        bool may_come = block.reason == SCHEDULER_NO_REASON || block.reason == SCHEDULER_BUSY;
        if (may_come && pick(scheduler, true, &missing) < INFINITY)
            return true;
    }
    return false;
}
