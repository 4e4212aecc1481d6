/* SPDX-License-Identifier: MIT */
#pragma once

/* One search while it runs. */

#include "memory/vectors-internal.h"

typedef struct VectorCandidate {
        float score;
        unsigned slot;
        const VectorBlock *block;
} VectorCandidate;

static inline uint64_t vector_candidate_id(const VectorCandidate *c) {
        return c->block->ids[c->slot];
}

typedef struct VectorTop {
        VectorCandidate *items; /* room for 2 * keep */
        size_t n, keep;
        float threshold; /* less is not among the best */
} VectorTop;

int vector_top_init(VectorTop *t, size_t keep);
void vector_top_done(VectorTop *t);
void vector_top_push(VectorTop *t, const VectorCandidate *c);
void vector_top_merge(VectorTop *t, const VectorTop *from);
/* Cuts to `keep`, best first. */
void vector_top_finish(VectorTop *t);

/* A segment as it was when the search began. */
typedef struct VectorPart {
        const VectorList *list;
        size_t n_blocks;
        unsigned tail;
} VectorPart;

/* What all threads of a search share and none changes. */
typedef struct VectorScan {
        VectorIndex *index;
        const VectorQuery *query;
        VectorReader reader;
        VectorPart *parts;
        size_t n_parts, n_blocks;
        float *unit, *rotated; /* the query */
        int8_t *code;
        float code_scale;
        uint8_t *tables;
        VectorEstimate estimate;
        size_t keep8, keep1; /* candidates of each kind of code */
} VectorScan;

/* What one thread found. */
typedef struct VectorFound {
        VectorTop exact, codes8, codes1;
        size_t n_scanned;
} VectorFound;

int vector_found_init(VectorFound *f, const VectorScan *s);
void vector_found_done(VectorFound *f);
/* Blocks [from, to) of all parts, counted through. */
void vector_scan_blocks(const VectorScan *s, size_t from, size_t to, VectorFound *f);
/* Exact, of the row; at most 1 and at least -1. */
float vector_scan_cosine(const VectorScan *s, const VectorBlock *b, unsigned slot);
/* Whether the query's `only` has the id. */
bool vector_scan_wants(const VectorQuery *q, uint64_t id);

/* The query's codes, and the segments as they are now. */
int vector_scan_init(VectorScan *s, VectorIndex *v, const VectorQuery *q);
void vector_scan_done(VectorScan *s);
