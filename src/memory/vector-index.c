/* SPDX-License-Identifier: MIT */

/* The index as its owner sees it: put, erase, get. What is long (normalising, rotating, writing the
 * row) happens before the lock is taken, on what nobody sees yet; under the lock a vector appears
 * and the one it replaces dies at the same clock, so that a reader sees one of the two.
 *
 * Erasing leaves holes. When a quarter of a segment is holes, each further erase also moves what
 * lives in one sparse block to the end: closing up a whole segment at once would stop the loop
 * thread for seconds. */

#include <math.h>
#include <sodium.h>

#include "memory/vectors-internal.h"

enum {
        CLOSE_UP_LIVING = VECTOR_BLOCK * 3 / 4, /* a block with at most so many is sparse */
        CLOSE_UP_LOOK = 64,                     /* blocks looked at for a sparse one */
};

int vector_check(const float *vector, size_t n, size_t *ret_at) {
        bool is_zero = true;

        if (n == 0 || n > VECTOR_DIMENSIONS_MAX)
                return VECTOR_E_DIMENSION;
        for (size_t i = 0; i < n; i++) {
                if (!isfinite(vector[i])) {
                        *ret_at = i;
                        return VECTOR_E_NOT_FINITE;
                }
                is_zero = is_zero && fpclassify(vector[i]) == FP_ZERO;
        }
        return is_zero ? VECTOR_E_ZERO : 0;
}

void vector_normalise(float *vector, size_t n) {
        double lanes[4] = {};

        for (size_t i = 0; i < n; i++)
                lanes[i % 4] += (double) vector[i] * (double) vector[i];
        double scale = 1 / sqrt(lanes[0] + lanes[1] + lanes[2] + lanes[3]);
        for (size_t i = 0; i < n; i++)
                vector[i] = (float) ((double) vector[i] * scale);
}

/* Fills v->unit, v->rotated, v->code. */
static void prepare(VectorIndex *v, const float *vector, bool is_normalised) {
        memcpy(v->unit, vector, v->coder.dimensions * sizeof(float));
        if (!is_normalised)
                vector_normalise(v->unit, v->coder.dimensions);
        vector_rotate(&v->coder, v->unit, v->rotated);
        v->scale = vector_code8(&v->coder, v->rotated, v->code);
}

/* What was put may be erased next. */
static void forget_prepared(VectorIndex *v) {
        sodium_memzero(v->unit, v->coder.row * sizeof(float));
        sodium_memzero(v->rotated, v->coder.width * sizeof(float));
        sodium_memzero(v->code, v->coder.width);
}

/* Whoever opens the file after a crash must know that rows may lie in it that no table names. */
static int mark_dirty(VectorIndex *v) {
        int r = 0;

        (void) pthread_mutex_lock(&v->lock);
        v->n_changes++;
        if (!v->head.is_dirty) {
                VectorRowsHead head = v->head;
                head.is_dirty = 1;
                r = vector_rows_write_head(&v->rows, &head);
                if (r == 0)
                        v->head = head;
        }
        (void) pthread_mutex_unlock(&v->lock);
        return r;
}

static int add_block(VectorIndex *v, VectorSegment *s) {
        VectorBlock *b;
        uint32_t number;
        int r = vector_segment_reserve(v, s);

        if (r < 0)
                return r;
        (void) pthread_mutex_lock(&v->lock);
        r = vector_place_take(v, &number);
        (void) pthread_mutex_unlock(&v->lock);
        if (r < 0)
                return r;
        r = vector_block_new(v, number, &b);
        (void) pthread_mutex_lock(&v->lock);
        if (r < 0)
                v->free_numbers[v->n_free++] = number;
        else
                vector_segment_add(v, s, b);
        (void) pthread_mutex_unlock(&v->lock);
        return r;
}

/* The slot behind the last of the segment gets the prepared vector; nobody sees it yet. */
static int write_slot(VectorIndex *v, VectorSegment *s, uint64_t id, VectorBlock **ret) {
        VectorCodes *codes;

        if (s->n_blocks == 0 || s->tail == VECTOR_BLOCK) {
                int r = add_block(v, s);
                if (r < 0)
                        return r;
        }
        VectorBlock *b = s->list->entries[s->n_blocks - 1].block;
        int r = vector_block_reserve(v, b, s->tail, &codes);
        if (r < 0)
                return r;
        r = vector_rows_write(&v->rows, b->number, s->tail, v->unit);
        if (r < 0)
                return r;
        memcpy(codes->rows + s->tail * v->coder.width, v->code, v->coder.width);
        codes->scales[s->tail] = v->scale;
        b->ids[s->tail] = id;
        *ret = b;
        return 0;
}

/* Puts what was prepared; what had the id dies. */
static int put_prepared(VectorIndex *v, uint64_t scope, uint64_t id) {
        VectorBlock *b, *old;
        VectorSegment *s;
        unsigned old_slot;
        int r = mark_dirty(v);

        if (r < 0)
                return r;
        (void) pthread_mutex_lock(&v->lock);
        r = vector_ids_reserve(v, 1);
        if (r >= 0)
                r = vector_segment_get(v, scope, &s);
        (void) pthread_mutex_unlock(&v->lock);
        if (r < 0)
                return r;
        r = write_slot(v, s, id, &b);
        if (r < 0)
                return r;

        (void) pthread_mutex_lock(&v->lock);
        bool is_replaced = vector_ids_find(v, id, &old, &old_slot);
        v->clock++;
        b->n_alive++;
        s->n_alive++;
        vector_ids_put(v, b, s->tail++);
        if (is_replaced)
                vector_kill(v, old, old_slot);
        (void) pthread_mutex_unlock(&v->lock);
        /* without memory for it the segment goes on with its larger codes */
        if (s->tail == VECTOR_BLOCK)
                (void) vector_segment_settle(v, s);
        return 0;
}

int vector_index_put(VectorIndex *v, uint64_t scope, uint64_t id, const float *vector) {
        size_t at;

        if (scope == 0 || id == 0 || vector_check(vector, v->coder.dimensions, &at) != 0)
                return -EINVAL;
        prepare(v, vector, false);
        int r = put_prepared(v, scope, id);
        forget_prepared(v);
        vector_reclaim(v);
        return r;
}

static bool is_sparse(const VectorBlock *b) {
        return b->n_alive > 0 && b->n_alive <= CLOSE_UP_LIVING;
}

static VectorBlock *next_sparse(VectorSegment *s) {
        for (unsigned i = 0; i < CLOSE_UP_LOOK && s->n_blocks > 1; i++) {
                if (s->cursor >= s->n_blocks - 1)
                        s->cursor = 0;
                VectorBlock *b = s->list->entries[s->cursor++].block;
                if (is_sparse(b))
                        return b;
        }
        return NULL;
}

void vector_close_up(VectorIndex *v, uint64_t scope) {
        VectorSegment *s = map_get(v->segments, scope);
        uint64_t ids[VECTOR_BLOCK];
        unsigned n = 0;

        if (!s || s->n_blocks < 2)
                return;
        size_t used = (s->n_blocks - 1) * VECTOR_BLOCK + s->tail;
        const VectorBlock *b = s->n_alive < used / 4 * 3 ? next_sparse(s) : NULL;
        if (!b)
                return;
        for (unsigned slot = 0; slot < VECTOR_BLOCK; slot++)
                if (vector_sees(b, slot, v->clock))
                        ids[n++] = b->ids[slot];
        /* a move that fails leaves the vector where it is */
        for (unsigned i = 0; i < n; i++) {
                VectorBlock *from;
                unsigned slot;

                if (!vector_ids_find(v, ids[i], &from, &slot))
                        continue;
                prepare(v, vector_row(v, from, slot), true);
                if (put_prepared(v, scope, ids[i]) < 0)
                        break;
        }
        forget_prepared(v);
}

bool vector_index_erase(VectorIndex *v, uint64_t id) {
        uint64_t scope = 0;
        VectorBlock *b;
        unsigned slot;

        (void) pthread_mutex_lock(&v->lock);
        bool is_there = vector_ids_find(v, id, &b, &slot);
        if (is_there) {
                scope = b->segment->scope;
                v->clock++;
                vector_ids_remove(v, id);
                vector_kill(v, b, slot);
        }
        (void) pthread_mutex_unlock(&v->lock);
        if (is_there)
                vector_close_up(v, scope);
        vector_reclaim(v);
        return is_there;
}

/* Under the lock. All slots of the block die; its codes go with it. */
static void kill_block(VectorIndex *v, VectorBlock *b) {
        for (unsigned slot = 0; slot < VECTOR_BLOCK; slot++) {
                if (b->ids[slot] == 0 || !vector_sees(b, slot, v->clock))
                        continue;
                atomic_store_explicit(&b->died[slot], v->clock, memory_order_relaxed);
                v->places[b->number].unwiped |= UINT32_C(1) << slot;
        }
        b->n_alive = 0;
}

void vector_index_erase_scope(VectorIndex *v, uint64_t scope) {
        VectorSegment *s = scope != 0 ? map_get(v->segments, scope) : NULL;

        if (!s || s->n_alive == 0)
                return;
        (void) pthread_mutex_lock(&v->lock);
        size_t n = v->n - s->n_alive;
        v->clock++;
        for (size_t i = 0; i < s->n_blocks; i++)
                kill_block(v, s->list->entries[i].block);
        vector_segment_retire(v, s);
        vector_ids_rebuild(v, n);
        (void) pthread_mutex_unlock(&v->lock);
        vector_reclaim(v);
}

bool vector_index_get(VectorIndex *v, uint64_t id, float *ret) {
        VectorBlock *b;
        unsigned slot;

        (void) pthread_mutex_lock(&v->lock);
        bool is_there = vector_ids_find(v, id, &b, &slot);
        if (is_there)
                memcpy(ret, vector_row(v, b, slot), v->coder.dimensions * sizeof(float));
        (void) pthread_mutex_unlock(&v->lock);
        return is_there;
}

static size_t hot_bytes(const VectorIndex *v, const VectorSegment *s) {
        size_t bytes = s->n_blocks * sizeof(VectorEntry);

        for (size_t i = 0; i < s->n_blocks; i++) {
                const VectorBlock *b = s->list->entries[i].block;
                const VectorCodes *codes = atomic_load(&b->codes);

                bytes += codes ? codes->capacity * (v->coder.width + sizeof(float))
                               : vector_bits_bytes(&v->coder);
        }
        return bytes;
}

void vector_index_stats(VectorIndex *v, VectorIndexStats *ret) {
        VectorIndexStats stats = {
                .dimensions = v->coder.dimensions,
                .simd = v->kernels->name,
        };
        uint64_t bytes = 0;
        size_t cursor = 0, used = 0;
        void *value;

        (void) pthread_mutex_lock(&v->lock);
        stats.n = v->n;
        while (map_next(v->segments, &cursor, &(uint64_t){ 0 }, &value)) {
                const VectorSegment *s = value;

                if (s->n_alive == 0)
                        continue;
                stats.n_scopes++;
                stats.hot_bytes += hot_bytes(v, s);
                used += (s->n_blocks - 1) * VECTOR_BLOCK + s->tail;
        }
        stats.n_holes = used - v->n;
        (void) pthread_mutex_unlock(&v->lock);
        if (vector_rows_size(&v->rows, &bytes) == 0)
                stats.file_bytes = (size_t) bytes;
        *ret = stats;
}
