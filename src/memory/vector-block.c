/* SPDX-License-Identifier: MIT */

/* Blocks and their codes. A block begins with int8 codes, whose memory grows with it (a scope with one
 * vector must not cost the memory of 32). Codes that readers may look at are not changed, but for
 * slots that nobody sees yet: erasing a slot makes a copy without it, and the old one is overwritten and
 * freed when its last reader is gone. Zeroing in place was rejected: it races with every scan.
 *
 * 1-bit codes lie in slabs of large pages: a scan of a million vectors reads them from end to end. */

#include <math.h>
#include <sodium.h>
#include <sys/mman.h>

#include "memory/vectors-internal.h"

#define SLAB_BYTES  ((size_t) 2 << 20)
#define FIRST_CODES 4U

struct VectorSlab {
        struct VectorSlab *next;
        uint8_t *memory;
};

static size_t codes_bytes(const VectorIndex *v, unsigned capacity) {
        return sizeof(VectorCodes) + capacity * v->coder.width;
}

VectorCodes *vector_codes_new(const VectorIndex *v, const VectorCodes *from, unsigned capacity) {
        VectorCodes *c = vector_alloc(codes_bytes(v, capacity));

        if (!c)
                return NULL;
        if (from) {
                memcpy(c->scales, from->scales, sizeof(c->scales));
                memcpy(c->rows, from->rows, MIN(from->capacity, capacity) * v->coder.width);
        }
        c->capacity = capacity;
        return c;
}

void vector_codes_free(VectorIndex *v, VectorCodes *codes) {
        if (!codes)
                return;
        sodium_memzero(codes, codes_bytes(v, codes->capacity));
        free(codes);
}

static void codes_done(VectorIndex *v, VectorRetired *r) {
        vector_codes_free(v, container_of(r, VectorCodes, retired));
}

/* Under slab_lock. Cuts a new slab into free blocks, the first on top. */
static int slab_add(VectorIndex *v) {
        size_t bytes = vector_bits_bytes(&v->coder);
        _cleanup_free_ VectorSlab *slab = calloc(1, sizeof(*slab));

        if (!slab)
                return -ENOMEM;
        slab->memory = aligned_alloc(SLAB_BYTES, SLAB_BYTES);
        if (!slab->memory)
                return -ENOMEM;
        (void) madvise(slab->memory, SLAB_BYTES, MADV_HUGEPAGE);
        for (size_t n = SLAB_BYTES / bytes; n > 0; n--) {
                uint8_t *at = slab->memory + (n - 1) * bytes;
                memcpy(at, &v->bits_free, sizeof(v->bits_free));
                v->bits_free = at;
        }
        slab->next = v->slabs;
        v->slabs = TAKE_PTR(slab);
        return 0;
}

uint8_t *vector_bits_new(VectorIndex *v) {
        uint8_t *bits = NULL;

        (void) pthread_mutex_lock(&v->slab_lock);
        if (v->bits_free || slab_add(v) == 0)
                bits = v->bits_free;
        if (bits)
                memcpy(&v->bits_free, bits, sizeof(v->bits_free));
        (void) pthread_mutex_unlock(&v->slab_lock);
        return bits;
}

void vector_bits_free(VectorIndex *v, uint8_t *bits) {
        if (!bits)
                return;
        sodium_memzero(bits, vector_bits_bytes(&v->coder));
        (void) pthread_mutex_lock(&v->slab_lock);
        memcpy(bits, &v->bits_free, sizeof(v->bits_free));
        v->bits_free = bits;
        (void) pthread_mutex_unlock(&v->slab_lock);
}

void vector_slabs_done(VectorIndex *v) {
        while (v->slabs) {
                VectorSlab *slab = v->slabs;
                v->slabs = slab->next;
                sodium_memzero(slab->memory, SLAB_BYTES);
                free(slab->memory);
                free(slab);
        }
        v->bits_free = NULL;
}

/* 1-bit codes that are retired: they have no room for a link of their own. */
typedef struct OldBits {
        VectorRetired retired;
        uint8_t *bits;
} OldBits;

static void old_bits_done(VectorIndex *v, VectorRetired *r) {
        OldBits *old = container_of(r, OldBits, retired);

        vector_bits_free(v, old->bits);
        free(old);
}

int vector_block_new(VectorIndex *v, uint32_t number, VectorBlock **ret) {
        _cleanup_free_ VectorBlock *b = calloc(1, sizeof(*b));

        if (!b)
                return -ENOMEM;
        b->number = number;
        for (unsigned i = 0; i < VECTOR_BLOCK; i++)
                atomic_init(&b->died[i], UINT64_MAX);
        int r = vector_rows_map(&v->rows, number, &b->rows);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(b);
        return 0;
}

void vector_block_free(VectorIndex *v, VectorBlock *b) {
        if (!b)
                return;
        vector_codes_free(v, atomic_load(&b->codes));
        vector_bits_free(v, atomic_load(&b->bits));
        free(b);
}

int vector_block_reserve(VectorIndex *v, VectorBlock *b, unsigned slot, VectorCodes **ret) {
        VectorCodes *codes = atomic_load(&b->codes);

        if (codes && slot < codes->capacity) {
                *ret = codes;
                return 0;
        }
        VectorCodes *grown = vector_codes_new(v, codes, codes ? codes->capacity * 2 : FIRST_CODES);
        if (!grown)
                return -ENOMEM;
        (void) pthread_mutex_lock(&v->lock);
        atomic_store_explicit(&b->codes, grown, memory_order_release);
        if (codes)
                vector_retire(v, &codes->retired, codes_done);
        (void) pthread_mutex_unlock(&v->lock);
        *ret = grown;
        return 0;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): it is kept */
static void set_bits(VectorBlock *b, uint8_t *bits) {
        atomic_store_explicit(&b->bits, bits, memory_order_release);
        atomic_store_explicit(&b->segment->list->entries[b->position].bits, bits,
                              memory_order_release);
}

/* No memory for a copy: waits until nobody reads and erases in place. Rare enough to be slow. */
static void clear_in_place(VectorIndex *v, VectorBlock *b, unsigned slot) {
        VectorCodes *codes = atomic_load(&b->codes);

        while (!list_is_empty(&v->readers))
                (void) pthread_cond_wait(&v->reader_left, &v->lock);
        if (codes) {
                sodium_memzero(codes->rows + slot * v->coder.width, v->coder.width);
                codes->scales[slot] = NAN;
        } else
                vector_bits_clear(&v->coder, atomic_load(&b->bits), slot);
}

static int clear_codes(VectorIndex *v, VectorBlock *b, VectorCodes *codes, unsigned slot) {
        VectorCodes *copy = vector_codes_new(v, codes, codes->capacity);

        if (!copy)
                return -ENOMEM;
        memset(copy->rows + slot * v->coder.width, 0, v->coder.width);
        copy->scales[slot] = NAN;
        atomic_store_explicit(&b->codes, copy, memory_order_release);
        vector_retire(v, &codes->retired, codes_done);
        return 0;
}

static int clear_bits(VectorIndex *v, VectorBlock *b, unsigned slot) {
        _cleanup_free_ OldBits *old = calloc(1, sizeof(*old));
        uint8_t *copy = old ? vector_bits_new(v) : NULL;

        if (!copy)
                return -ENOMEM;
        old->bits = atomic_load(&b->bits);
        memcpy(copy, old->bits, vector_bits_bytes(&v->coder));
        vector_bits_clear(&v->coder, copy, slot);
        set_bits(b, copy);
        vector_retire(v, &TAKE_PTR(old)->retired, old_bits_done);
        return 0;
}

void vector_block_clear(VectorIndex *v, VectorBlock *b, unsigned slot) {
        VectorCodes *codes = atomic_load(&b->codes);
        int r = codes ? clear_codes(v, b, codes, slot) : clear_bits(v, b, slot);

        if (r < 0)
                clear_in_place(v, b, slot);
}

int vector_block_seal(VectorIndex *v, VectorBlock *b) {
        VectorCodes *codes = atomic_load(&b->codes);

        if (!codes)
                return 0;
        uint8_t *bits = vector_bits_new(v);
        if (!bits)
                return -ENOMEM;
        vector_bits_make(&v->coder, codes->rows, codes->scales, bits);
        (void) pthread_mutex_lock(&v->lock);
        set_bits(b, bits);
        atomic_store_explicit(&b->codes, NULL, memory_order_release);
        vector_retire(v, &codes->retired, codes_done);
        (void) pthread_mutex_unlock(&v->lock);
        return 0;
}
