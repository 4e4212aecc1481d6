/* SPDX-License-Identifier: MIT */

/* The scan itself: blocks of codes against a query. Nearly every vector ends at the comparison with
 * the threshold, and what passes costs no look at cold memory: codes say themselves who is dead, by
 * an estimate that is not a number, and ids are not asked for.
 *
 * A block has int8 codes, or 1-bit codes, and may get the latter while it is looked at: the writer
 * sets the new ones before it takes the old ones away, so looking in the order entry's bits, codes,
 * block's bits finds some. What died since the search began may be erased from the codes, and be
 * replaced by what the search cannot see yet: such slots are told by their clocks, and ranked by
 * their rows, which stay. Estimates of the two kinds are not compared with each other, their errors
 * differ. */

#include "memory/vector-scan-internal.h"

/* A block that comes after so many is asked for early: the next block's address is unknown to the
 * processor. */
#define AHEAD 2

int vector_found_init(VectorFound *f, const VectorScan *s) {
        *f = (VectorFound){};
        if (s->query->exact)
                return vector_top_init(&f->exact, s->query->limit);
        int r = vector_top_init(&f->codes8, s->keep8);
        return r < 0 ? r : vector_top_init(&f->codes1, s->keep1);
}

void vector_found_done(VectorFound *f) {
        vector_top_done(&f->exact);
        vector_top_done(&f->codes8);
        vector_top_done(&f->codes1);
}

bool vector_scan_wants(const VectorQuery *q, uint64_t id) {
        size_t low = 0, high = q->n_only;

        if (!q->only)
                return true;
        while (low < high) {
                size_t middle = low + (high - low) / 2;
                if (q->only[middle] == id)
                        return true;
                if (q->only[middle] < id)
                        low = middle + 1;
                else
                        high = middle;
        }
        return false;
}

float vector_scan_cosine(const VectorScan *s, const VectorBlock *b, unsigned slot) {
        const VectorIndex *v = s->index;
        float cosine = v->kernels->dot(vector_row(v, b, slot), s->unit, v->coder.row);

        return cosine > 1 ? 1 : cosine < -1 ? -1 : cosine;
}

static void offer(const VectorScan *s, VectorTop *t, const VectorBlock *b, unsigned slot, float score) {
        if (score >= t->threshold && (!s->query->only || vector_scan_wants(s->query, b->ids[slot])))
                vector_top_push(t, &(VectorCandidate){ .score = score, .slot = slot, .block = b });
}

static void scan_floats(const VectorScan *s, const VectorBlock *b, unsigned n, VectorFound *f) {
        for (unsigned slot = 0; slot < n; slot++) {
                if (vector_sees(b, slot, s->reader.clock))
                        offer(s, &f->exact, b, slot, vector_scan_cosine(s, b, slot));
        }
}

/* mask: the slots that are looked at. */
static void scan_codes8(const VectorScan *s,
                        const VectorBlock *b,
                        const VectorCodes *codes,
                        uint32_t mask,
                        VectorFound *f) {
        const VectorIndex *v = s->index;
        unsigned n = VECTOR_BLOCK - (unsigned) __builtin_clz(mask);
        int32_t sums[VECTOR_BLOCK];

        v->kernels->dot8(codes->rows, n, v->coder.width, s->code, sums);
        for (; mask != 0; mask &= mask - 1) {
                unsigned slot = (unsigned) __builtin_ctz(mask);
                float score = (float) sums[slot] * codes->scales[slot] * s->code_scale;
                offer(s, &f->codes8, b, slot, score);
        }
}

static void scan_bits(const VectorScan *s,
                      const VectorBlock *b,
                      const uint8_t *bits,
                      uint32_t mask,
                      VectorFound *f) {
        const VectorKernels *k = s->index->kernels;
        VectorEstimate e = s->estimate;
        uint16_t sums[VECTOR_BLOCK];
        float scores[VECTOR_BLOCK];
        const float *sides = (const float *) (const void *) bits;

        k->sums(bits + VECTOR_BLOCK * sizeof(float), s->tables, s->index->coder.width / 4, sums);
        e.at_least = f->codes1.threshold;
        for (mask &= k->estimate(sums, sides, &e, scores); mask != 0; mask &= mask - 1) {
                unsigned slot = (unsigned) __builtin_ctz(mask);
                offer(s, &f->codes1, b, slot, scores[slot]);
        }
}

/* Ranks what died since the search began, of the slots of a mask, and returns the others. */
static uint32_t scan_late(const VectorScan *s, const VectorBlock *b, uint32_t mask, VectorFound *f) {
        uint32_t others = mask;

        for (; mask != 0; mask &= mask - 1) {
                unsigned slot = (unsigned) __builtin_ctz(mask);
                uint64_t died = atomic_load_explicit(&b->died[slot], memory_order_relaxed);

                if (died == UINT64_MAX)
                        continue;
                others &= ~(UINT32_C(1) << slot);
                if (died > s->reader.clock)
                        offer(s, &f->codes8, b, slot, vector_scan_cosine(s, b, slot));
        }
        return others;
}

static void scan_codes(const VectorScan *s, const VectorEntry *entry, unsigned n, VectorFound *f) {
        const VectorBlock *b = entry->block;
        const uint8_t *bits = atomic_load_explicit(&entry->bits, memory_order_acquire);
        const VectorCodes *codes =
                bits ? NULL : atomic_load_explicit(&b->codes, memory_order_acquire);
        uint32_t mask = UINT32_MAX >> (VECTOR_BLOCK - n);

        if (!bits && !codes)
                bits = atomic_load_explicit(&b->bits, memory_order_acquire);
        /* behind the codes: whose erasing they show is then known to be dead */
        if (atomic_load_explicit(&s->index->last_kill, memory_order_relaxed) > s->reader.clock)
                mask = scan_late(s, b, mask, f);
        if (mask != 0 && codes)
                scan_codes8(s, b, codes, mask, f);
        else if (mask != 0)
                scan_bits(s, b, bits, mask, f);
}

static void scan_block(const VectorScan *s, const VectorEntry *entry, unsigned n, VectorFound *f) {
        f->n_scanned += n;
        if (s->query->exact)
                scan_floats(s, entry->block, n, f);
        else if (n > 0)
                scan_codes(s, entry, n, f);
}

static void prefetch(const VectorScan *s, const VectorPart *p, size_t i) {
        if (s->query->exact || i >= p->n_blocks)
                return;
        const uint8_t *bits = atomic_load_explicit(&p->list->entries[i].bits, memory_order_relaxed);
        for (size_t at = 0; bits && at < vector_bits_bytes(&s->index->coder); at += 64)
                __builtin_prefetch(bits + at);
}

void vector_scan_blocks(const VectorScan *s, size_t from, size_t to, VectorFound *f) {
        for (size_t i = 0; i < s->n_parts && to > 0; i++) {
                const VectorPart *p = &s->parts[i];
                size_t end = MIN(to, p->n_blocks);

                for (size_t b = from; b < end; b++) {
                        prefetch(s, p, b + AHEAD);
                        scan_block(s, &p->list->entries[b],
                                   b == p->n_blocks - 1 ? p->tail : VECTOR_BLOCK, f);
                }
                from -= MIN(from, p->n_blocks);
                to -= MIN(to, p->n_blocks);
        }
}
