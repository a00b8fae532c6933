/* top.h - the best of many: a stream of scored numbers goes in, the `want` largest scores stay.
 *
 * Purpose: what every ranking ends with. A binary heap with the worst kept item on top, so that an
 *   item that is not wanted costs one comparison.
 * Owner:   the items are the caller's array with room for `want`.
 * Threads: one at a time.
 * Fails:   never; nothing is allocated.
 */
#ifndef JARVIS_RETRIEVAL_TOP_H
#define JARVIS_RETRIEVAL_TOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct top_item {
    float score;
    uint32_t number; /* of a slot or a row; among equal scores the smaller one is better */
};

struct top {
    struct top_item *items;
    size_t count;
    size_t want;
};

/* Which slots may be found. */
struct slot_filter {
    bool (*allows)(const void *user, uint32_t slot);
    const void *user;
};

/* True when `a` stands behind `b`. */
static inline bool top_is_worse(struct top_item a, struct top_item b)
{
    return a.score < b.score || (a.number > b.number && a.score == b.score);
}

/* True when an item of that score could still enter (equal scores may, by their number). */
static inline bool top_admits(const struct top *top, float score)
{
    return top->count < top->want || (top->want > 0 && score >= top->items[0].score);
}

/* Keeps the item if it is among the best so far. O(log want). */
void top_offer(struct top *top, struct top_item item);

/* Best first. After it nothing more may be offered. */
void top_sort(struct top *top);

#endif
