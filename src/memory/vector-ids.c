/* SPDX-License-Identifier: MIT */

/* Where an id is: a hash table of slot numbers, 4 bytes each; the id itself is read from the slot's
 * block. The general map costs 24 bytes an entry, which for a million vectors is as much as their codes. */

#include "memory/vectors-internal.h"

#define FIRST_SLOTS 64

static uint64_t mix(uint64_t x) {
        x ^= x >> 33;
        x *= UINT64_C(0xff51afd7ed558ccd);
        x ^= x >> 33;
        x *= UINT64_C(0xc4ceb9fe1a85ec53);
        return x ^ x >> 33;
}

static size_t home(const VectorIndex *v, uint64_t id) {
        return (size_t) mix(id) & (v->ids_slots - 1);
}

static uint64_t id_at(const VectorIndex *v, uint32_t entry) {
        uint32_t slot = entry - 1;

        return v->places[slot / VECTOR_BLOCK].block->ids[slot % VECTOR_BLOCK];
}

/* The entry of the id, or the free one where it belongs. */
static size_t probe(const VectorIndex *v, uint64_t id) {
        size_t i = home(v, id);

        while (v->ids[i] != 0 && id_at(v, v->ids[i]) != id)
                i = (i + 1) & (v->ids_slots - 1);
        return i;
}

bool vector_ids_find(const VectorIndex *v, uint64_t id, VectorBlock **ret, unsigned *ret_slot) {
        if (v->n == 0)
                return false;
        uint32_t entry = v->ids[probe(v, id)];
        if (entry == 0)
                return false;
        *ret = v->places[(entry - 1) / VECTOR_BLOCK].block;
        *ret_slot = (entry - 1) % VECTOR_BLOCK;
        return true;
}

void vector_ids_put(VectorIndex *v, const VectorBlock *b, unsigned slot) {
        size_t i = probe(v, b->ids[slot]);

        v->n += v->ids[i] == 0;
        v->ids[i] = vector_slot_of(b, slot) + 1;
}

void vector_ids_remove(VectorIndex *v, uint64_t id) {
        size_t mask = v->ids_slots - 1, hole = probe(v, id);

        assert(v->ids[hole] != 0);
        v->n--;
        for (size_t i = (hole + 1) & mask; v->ids[i] != 0; i = (i + 1) & mask) {
                if (((i - home(v, id_at(v, v->ids[i]))) & mask) < ((i - hole) & mask))
                        continue;
                v->ids[hole] = v->ids[i];
                hole = i;
        }
        v->ids[hole] = 0;
}

/* All that live, in the order of their memory: no id is compared, no old entry looked at. */
static void fill(VectorIndex *v) {
        for (size_t p = 0; p < v->n_places; p++) {
                const VectorBlock *b = v->places[p].block;

                for (unsigned slot = 0; b && b->n_alive > 0 && slot < VECTOR_BLOCK; slot++) {
                        if (b->ids[slot] == 0 || !vector_sees(b, slot, v->clock))
                                continue;
                        size_t i = home(v, b->ids[slot]);
                        while (v->ids[i] != 0)
                                i = (i + 1) & (v->ids_slots - 1);
                        v->ids[i] = vector_slot_of(b, slot) + 1;
                }
        }
}

int vector_ids_reserve(VectorIndex *v, size_t n) {
        size_t wanted = v->ids_slots > 0 ? v->ids_slots : FIRST_SLOTS;

        while (v->n + n > wanted / 4 * 3)
                wanted *= 2;
        if (wanted == v->ids_slots)
                return 0;
        uint32_t *grown = calloc(wanted, sizeof(*grown));
        if (!grown)
                return -ENOMEM;
        free(v->ids);
        v->ids = grown;
        v->ids_slots = wanted;
        fill(v);
        return 0;
}

void vector_ids_rebuild(VectorIndex *v, size_t n) {
        memset(v->ids, 0, v->ids_slots * sizeof(*v->ids));
        v->n = n;
        fill(v);
}
