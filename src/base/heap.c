/* SPDX-License-Identifier: MIT */

/* A binary heap in an array of pointers; every element knows its position, so that moving or
 * removing one costs O(log n) without a search. A timer wheel was rejected: with some thousand
 * deadlines the heap costs nothing that can be measured, and a wheel rounds times and must be
 * turned while idle. Equal deadlines come out in no particular order. */

#include "base/heap.h"

void heap_done(Heap *h) {
        for (size_t i = 0; i < h->n; i++)
                h->items[i]->index = 0;
        free(h->items);
        *h = (Heap){};
}

static void heap_place(Heap *h, size_t at, HeapItem *item) {
        h->items[at] = item;
        item->index = at + 1;
}

static void heap_sift(Heap *h, size_t at, HeapItem *item) {
        while (at > 0 && h->items[(at - 1) / 2]->deadline > item->deadline) {
                heap_place(h, at, h->items[(at - 1) / 2]);
                at = (at - 1) / 2;
        }
        for (;;) {
                size_t child = at * 2 + 1;
                if (child >= h->n)
                        break;
                if (child + 1 < h->n && h->items[child + 1]->deadline < h->items[child]->deadline)
                        child++;
                if (h->items[child]->deadline >= item->deadline)
                        break;
                heap_place(h, at, h->items[child]);
                at = child;
        }
        heap_place(h, at, item);
}

static int heap_make_room(Heap *h) {
        if (h->n < h->cap)
                return 0;

        size_t cap = h->cap > 0 ? h->cap * 2 : 16;
        HeapItem **items = reallocarray(h->items, cap, sizeof(HeapItem *));
        if (!items)
                return -ENOMEM;
        h->items = items;
        h->cap = cap;
        return 0;
}

int heap_set(Heap *h, HeapItem *item, usec_t deadline) {
        if (item->index == 0) {
                int r = heap_make_room(h);
                if (r < 0)
                        return r;
                heap_place(h, h->n++, item);
        }
        assert(item->index <= h->n && h->items[item->index - 1] == item);
        item->deadline = deadline;
        heap_sift(h, item->index - 1, item);
        return 0;
}

void heap_remove(Heap *h, HeapItem *item) {
        if (item->index == 0)
                return;

        size_t at = item->index - 1;
        assert(at < h->n && h->items[at] == item);
        HeapItem *last = h->items[--h->n];
        item->index = 0;
        if (last != item)
                heap_sift(h, at, last);
}

HeapItem *heap_peek(const Heap *h) {
        return h->n > 0 ? h->items[0] : NULL;
}
