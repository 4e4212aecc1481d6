/* SPDX-License-Identifier: MIT */
#pragma once

/* A binary heap of deadlines: one per domain instead of one kernel timer per object. The element
 * embeds a HeapItem and is found with container_of(). */

#include "base/clock.h"

typedef struct HeapItem {
        usec_t deadline;
        size_t index; /* position + 1; 0: not in a heap */
} HeapItem;

typedef struct Heap {
        HeapItem **items;
        size_t n, cap;
} Heap;

void heap_done(Heap *h);
/* Inserts or moves to the new deadline. -ENOMEM. */
int heap_set(Heap *h, HeapItem *item, usec_t deadline);
void heap_remove(Heap *h, HeapItem *item);
/* The earliest, or NULL. */
HeapItem *heap_peek(const Heap *h);
