/* SPDX-License-Identifier: MIT */

/* The scan itself: blocks of codes against a query. Nearly every vector ends at the comparison with the
 * threshold; only those that pass are asked whether they are alive, and wanted by the filter, which
 * costs a look at cold memory.
 *
 * A block has int8 codes, or 1-bit codes, and may get the latter while it is looked at: the writer sets
 * the new ones before it takes the old ones away, so looking in the order entry's bits, codes, block's
 * bits finds some. Estimates of the two kinds are not compared with each other, their errors differ. */

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

static bool is_wanted(const VectorScan *s, const VectorBlock *b, unsigned slot) {
        return vector_sees(b, slot, s->reader.clock) && vector_scan_wants(s->query, b->ids[slot]);
}

static void offer(const VectorScan *s, VectorTop *t, const VectorBlock *b, unsigned slot, float score) {
        if (score >= t->threshold && is_wanted(s, b, slot))
                vector_top_push(
                        t, &(VectorCandidate){
                                   .score = score, .slot = slot, .id = b->ids[slot], .block = b });
}

static void scan_floats(const VectorScan *s, const VectorBlock *b, unsigned n, VectorFound *f) {
        for (unsigned slot = 0; slot < n; slot++) {
                if (!is_wanted(s, b, slot))
                        continue;
                offer(s, &f->exact, b, slot, vector_scan_cosine(s, b, slot));
        }
}

static void scan_codes8(const VectorScan *s,
                        const VectorBlock *b,
                        const VectorCodes *codes,
                        unsigned n,
                        VectorFound *f) {
        int32_t sums[VECTOR_BLOCK];

        s->index->kernels->dot8(codes->rows, n, s->index->coder.width, s->code, sums);
        for (unsigned slot = 0; slot < n; slot++)
                offer(s, &f->codes8, b, slot,
                      (float) sums[slot] * codes->scales[slot] * s->code_scale);
}

static void scan_bits(
        const VectorScan *s, const VectorBlock *b, const uint8_t *bits, unsigned n, VectorFound *f) {
        const VectorKernels *k = s->index->kernels;
        VectorEstimate e = s->estimate;
        uint16_t sums[VECTOR_BLOCK];
        float scores[VECTOR_BLOCK];
        const float *sides = (const float *) (const void *) bits;

        k->sums(bits + VECTOR_BLOCK * sizeof(float), s->tables, s->index->coder.width / 4, sums);
        e.at_least = f->codes1.threshold;
        uint32_t mask = k->estimate(sums, sides, &e, scores);
        /* the block may have been filled since the search began */
        for (mask &= UINT32_MAX >> (VECTOR_BLOCK - n); mask != 0; mask &= mask - 1) {
                unsigned slot = (unsigned) __builtin_ctz(mask);
                offer(s, &f->codes1, b, slot, scores[slot]);
        }
}

static void scan_block(const VectorScan *s, const VectorEntry *entry, unsigned n, VectorFound *f) {
        const VectorBlock *b = entry->block;

        f->n_scanned += n;
        if (s->query->exact) {
                scan_floats(s, b, n, f);
                return;
        }
        const uint8_t *bits = atomic_load_explicit(&entry->bits, memory_order_acquire);
        const VectorCodes *codes =
                bits ? NULL : atomic_load_explicit(&b->codes, memory_order_acquire);
        if (codes)
                scan_codes8(s, b, codes, n, f);
        else if (n > 0)
                scan_bits(s, b, bits ? bits : atomic_load_explicit(&b->bits, memory_order_acquire),
                          n, f);
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
