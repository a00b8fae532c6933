#include "retrieval/top.h"

static void swap(struct top_item *a, struct top_item *b)
{
    struct top_item kept = *a;
    *a = *b;
    *b = kept;
}

static void sift_down(struct top_item *items, size_t count, size_t at)
{
    for (;;) {
        size_t worst = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < count; child++)
            if (top_is_worse(items[child], items[worst]))
                worst = child;
        if (worst == at)
            return;
        swap(&items[at], &items[worst]);
        at = worst;
    }
}

void top_offer(struct top *top, struct top_item item)
{
    struct top_item *items = top->items;
    if (top->count == top->want) {
        if (top->want == 0 || !top_is_worse(items[0], item))
            return;
        items[0] = item;
        sift_down(items, top->count, 0);
        return;
    }
    size_t at = top->count++;
    items[at] = item;
    for (; at > 0 && top_is_worse(items[at], items[(at - 1) / 2]); at = (at - 1) / 2)
        swap(&items[at], &items[(at - 1) / 2]);
}

void top_sort(struct top *top)
{
    for (size_t left = top->count; left > 1; left--) { /* the worst goes to the end */
        swap(&top->items[0], &top->items[left - 1]);
        sift_down(top->items, left - 1, 0);
    }
}
