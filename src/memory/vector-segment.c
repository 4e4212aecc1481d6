/* SPDX-License-Identifier: MIT */

/* Segments: the blocks of a scope, and where blocks lie in the file. A list of blocks is copied
 * when it grows or closes up, since readers hold it; entries behind what a reader noted are not
 * looked at, so adding a block to a list with room needs no copy.
 *
 * A block without living slots is dropped when an eighth of its list is such: dropping each at once
 * would copy the list as often as there are blocks. */

#include "memory/vectors-internal.h"

#define FIRST_BLOCKS 4

int vector_places_reserve(VectorIndex *v, size_t n) {
        size_t capacity = MAX(v->places_capacity, (size_t) 64);

        if (n > UINT32_MAX / VECTOR_BLOCK)
                return -ENOSPC;
        if (n <= v->places_capacity)
                return 0;
        while (capacity < n)
                capacity *= 2;
        uint32_t *free_numbers = reallocarray(v->free_numbers, capacity, sizeof(*free_numbers));
        if (!free_numbers)
                return -ENOMEM;
        v->free_numbers = free_numbers;
        VectorPlace *places = reallocarray(v->places, capacity, sizeof(*places));
        if (!places)
                return -ENOMEM;
        memset(places + v->places_capacity, 0, (capacity - v->places_capacity) * sizeof(*places));
        v->places = places;
        v->places_capacity = capacity;
        return 0;
}

int vector_place_take(VectorIndex *v, uint32_t *ret) {
        if (v->n_free > 0) {
                *ret = v->free_numbers[--v->n_free];
                return 0;
        }
        int r = vector_places_reserve(v, v->n_places + 1);
        if (r < 0)
                return r;
        *ret = (uint32_t) v->n_places++;
        return 0;
}

static void list_done(VectorIndex *v, VectorRetired *r) {
        free(container_of(r, VectorList, retired));
}

static void block_done(VectorIndex *v, VectorRetired *r) {
        vector_block_free(v, container_of(r, VectorBlock, retired));
}

VectorSegment *vector_segment_free(VectorIndex *v, VectorSegment *s) {
        if (!s)
                return NULL;
        for (size_t i = 0; i < s->n_blocks; i++)
                vector_block_free(v, s->list->entries[i].block);
        free(s->list);
        free(s);
        return NULL;
}

int vector_segment_get(VectorIndex *v, uint64_t scope, VectorSegment **ret) {
        VectorSegment *s = map_get(v->segments, scope);

        if (s) {
                *ret = s;
                return 0;
        }
        _cleanup_free_ VectorSegment *fresh = calloc(1, sizeof(*fresh));
        if (!fresh)
                return -ENOMEM;
        fresh->scope = scope;
        fresh->candidates = VECTOR_CANDIDATES;
        int r = map_put(v->segments, scope, fresh);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(fresh);
        return 0;
}

static VectorList *list_new(size_t capacity) {
        VectorList *l = calloc(1, sizeof(*l) + capacity * sizeof(l->entries[0]));

        if (l)
                l->capacity = capacity;
        return l;
}

static void list_set(VectorList *l, size_t i, VectorBlock *b) {
        b->position = i;
        l->entries[i].block = b;
        atomic_store_explicit(&l->entries[i].bits, atomic_load(&b->bits), memory_order_relaxed);
}

/* Under the lock. Takes the place of the segment's list. */
static void list_swap(VectorIndex *v, VectorSegment *s, VectorList *l) {
        VectorList *old = s->list;

        s->list = l;
        if (old)
                vector_retire(v, &old->retired, list_done);
}

int vector_segment_reserve(VectorIndex *v, VectorSegment *s) {
        if (s->list && s->n_blocks < s->list->capacity)
                return 0;
        VectorList *grown = list_new(s->list ? s->list->capacity * 2 : FIRST_BLOCKS);
        if (!grown)
                return -ENOMEM;
        (void) pthread_mutex_lock(&v->lock);
        for (size_t i = 0; s->list && i < s->n_blocks; i++)
                list_set(grown, i, s->list->entries[i].block);
        list_swap(v, s, grown);
        (void) pthread_mutex_unlock(&v->lock);
        return 0;
}

void vector_segment_add(VectorIndex *v, VectorSegment *s, VectorBlock *b) {
        if (s->n_blocks > 0 && s->list->entries[s->n_blocks - 1].block->n_alive == 0)
                s->n_empty++;
        b->segment = s;
        list_set(s->list, s->n_blocks++, b);
        s->tail = 0;
        v->places[b->number].block = b;
}

/* The block is in no list any more. */
static void drop_block(VectorIndex *v, VectorBlock *b) {
        VectorPlace *place = &v->places[b->number];

        place->block = NULL;
        if (place->unwiped == 0)
                v->free_numbers[v->n_free++] = b->number;
        vector_retire(v, &b->retired, block_done);
}

void vector_segment_retire(VectorIndex *v, VectorSegment *s) {
        for (size_t i = 0; i < s->n_blocks; i++)
                drop_block(v, s->list->entries[i].block);
        s->n_blocks = 0;
        list_swap(v, s, NULL);
        (void) map_remove(v->segments, s->scope);
        free(s);
}

/* Without memory the empty blocks stay a while longer. */
static void drop_empty_blocks(VectorIndex *v, VectorSegment *s) {
        VectorList *shorter = list_new(s->list->capacity);
        size_t n = 0;

        if (!shorter)
                return;
        for (size_t i = 0; i < s->n_blocks; i++) {
                VectorBlock *b = s->list->entries[i].block;

                if (b->n_alive > 0 || i == s->n_blocks - 1)
                        list_set(shorter, n++, b);
                else
                        drop_block(v, b);
        }
        s->n_blocks = n;
        s->n_empty = 0;
        s->cursor = 0;
        list_swap(v, s, shorter);
}

void vector_kill(VectorIndex *v, VectorBlock *b, unsigned slot) {
        VectorSegment *s = b->segment;

        atomic_store_explicit(&b->died[slot], v->clock, memory_order_relaxed);
        atomic_store_explicit(&v->last_kill, v->clock, memory_order_release);
        v->places[b->number].unwiped |= UINT32_C(1) << slot;
        vector_block_clear(v, b, slot);
        b->n_alive--;
        s->n_alive--;
        if (s->n_alive == 0) {
                vector_segment_retire(v, s);
                return;
        }
        if (b->n_alive == 0 && b->position != s->n_blocks - 1)
                s->n_empty++;
        if (s->n_empty > s->n_blocks / 8)
                drop_empty_blocks(v, s);
}

int vector_segment_settle(VectorIndex *v, VectorSegment *s) {
        if (s->n_alive < v->large_from && !s->is_large)
                return 0;
        size_t first = s->is_large && s->n_blocks > 1 ? s->n_blocks - 2 : 0;
        (void) pthread_mutex_lock(&v->lock);
        s->is_large = true;
        (void) pthread_mutex_unlock(&v->lock);
        for (size_t i = first; i < s->n_blocks; i++) {
                bool is_full = i < s->n_blocks - 1 || s->tail == VECTOR_BLOCK;
                int r = is_full ? vector_block_seal(v, s->list->entries[i].block) : 0;
                if (r < 0)
                        return r;
        }
        return 0;
}
