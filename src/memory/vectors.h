/* SPDX-License-Identifier: MIT */
#pragma once

/* Vectors: the nearest entries by cosine, exact and approximate. One index holds the vectors of one
 * model (one dimension). It knows ids, scopes and numbers, nothing of rows, keys or JSON.
 *
 * The rows of memory.db are the truth; an index is derived from them and can always be made again.
 * Whoever owns the rows numbers their changes (sequence); the saved file says up to which one it
 * goes.
 *
 * Two tiers. B: float32, normalised, in a memory-mapped file, the source of exact scores. A: a
 * short code of each vector in memory, scanned to find the candidates that B then ranks: int8 with
 * a scale per vector for small segments, 1 bit after a random rotation for large ones, with the
 * number of candidates tuned per index against the exact scan. A segment per scope: a query touches
 * the segments of its scopes and nothing else.
 *
 * Source of the methods: int8 scalar quantisation with exact rerank; RaBitQ (Gao and Long, SIGMOD
 * 2024) with a fast Walsh-Hadamard rotation; block layout and look-up by byte shuffle after André,
 * Kermarrec and Le Scouarnec, "Cache locality is not enough" (VLDB 2015).
 *
 * Threads: put and erase are the loop thread's; searches may run in several pool threads at the
 * same time, and a save in one. A search sees every put and erase that returned before it began. */

#include "base/macro.h"

typedef struct VectorIndex VectorIndex;

enum {
        VECTOR_DIMENSIONS_MAX = 4096,
        VECTOR_LIMIT_MAX = 10000, /* hits of one search */

        /* Conditions of vector_check(), in the order of looking. */
        VECTOR_E_DIMENSION = 1,  /* none, or more than VECTOR_DIMENSIONS_MAX */
        VECTOR_E_NOT_FINITE = 2, /* NaN or infinity; *ret_at says where */
        VECTOR_E_ZERO = 3,       /* no direction: all zero (also: too small to be normalised) */
};

/* 0 or a VECTOR_E_*. What passes can be normalised whatever its size: 1e-30 and 1e30 are fine. */
int vector_check(const float *vector, size_t n, size_t *ret_at);
/* Scales to length 1 in place (by float64). The vector must have passed vector_check(). */
void vector_normalise(float *vector, size_t n);

typedef struct VectorHit {
        uint64_t id;
        float score; /* cosine in [-1, 1], exact: from float32 */
} VectorHit;

typedef struct VectorQuery {
        const float *vector;    /* passed vector_check(); need not be normalised */
        size_t n;               /* must equal the index's dimensions */
        const uint64_t *scopes; /* each once */
        size_t n_scopes;
        size_t limit;
        float min_score;      /* hits below are left out; -1: all */
        const uint64_t *only; /* ascending ids; NULL: all of the scopes. Filters come before ranking */
        size_t n_only;
        bool exact;       /* float32 of every vector: slower, and the measure of the other way */
        unsigned threads; /* how many the scan may be split over when it is long; 0 and 1: one */
} VectorQuery;

typedef struct VectorSearchStats {
        size_t scanned, candidates; /* codes looked at; vectors ranked exactly */
        const char *tier;           /* "float32", "int8", "1-bit" */
} VectorSearchStats;

/* path: the file of tier B; beside it lies PATH.table with what is saved of the rest. NULL:
 * everything in memory (tests, small tools). Sound files are taken (in milliseconds: codes are
 * checked, floats are looked at when used) and *ret_sequence says which changes they have; whatever
 * is not sound, of another dimension, version or machine order is emptied, with *ret_sequence 0:
 * put everything again then. Negative errno else. */
int vector_index_open(VectorIndex **ret, const char *path, unsigned dimensions, uint64_t *ret_sequence);
/* No search or save is under way. What was not saved is lost. */
VectorIndex *vector_index_free(VectorIndex *v);
DEFINE_CLEANUP(VectorIndex *, vector_index_free);
/* Makes the files say: everything up to sequence is here (and perhaps some of what came after: the
 * owner puts and erases again whatever came after, which is harmless). Synced, and readable after a
 * power cut at any instant: then it is the last save or this one, or is found unsound and emptied.
 * What was erased before it began is gone from the files when it returns. On an error the files are
 * as they were, or say what they should, with the erasing left to the next save.
 *
 * Takes long (it writes all codes, and now and then searches exactly to tune the candidates): it is
 * called in a pool thread; put, erase and search go on meanwhile. Space of what was erased is used
 * again after it, also without a path. */
int vector_index_save(VectorIndex *v, uint64_t sequence);

/* Copies and normalises. Scope and id are not 0. An id that is there is replaced (its scope may change).
 * -EINVAL: the vector does not pass vector_check(). -ENOMEM, -ENOSPC…: then the index is as it was. */
int vector_index_put(VectorIndex *v, uint64_t scope, uint64_t id, const float *vector);
/* false: it was not there. No search that begins later sees it; its code is overwritten in memory when the
 * last search that began before has ended, its numbers in the files by the next save: who promises that it
 * is gone waits for that. Segments with many holes are closed up, a block with each erase. */
bool vector_index_erase(VectorIndex *v, uint64_t id);
/* Erases a whole scope (a deleted session). */
void vector_index_erase_scope(VectorIndex *v, uint64_t scope);

/* Best first; equal scores by ascending id. 0 and *ret_n hits; -EINVAL when q->n is not the index's
 * dimension, q->limit is 0 or too large, or the vector does not pass vector_check(). hits has room
 * for q->limit. ret_stats may be NULL. Any thread. */
int vector_index_search(VectorIndex *v,
                        const VectorQuery *q,
                        VectorHit *hits,
                        size_t *ret_n,
                        VectorSearchStats *ret_stats);
/* The stored vector of an id, normalised, for diversity and export; false: none. Any thread. */
bool vector_index_get(VectorIndex *v, uint64_t id, float *ret);

typedef struct VectorIndexStats {
        unsigned dimensions;
        size_t n, n_scopes, n_holes;
        size_t hot_bytes, file_bytes; /* memory that every scan touches; the file */
        const char *simd;             /* the kernels in use: "avx512", "avx2", "neon", "plain" */
} VectorIndexStats;
/* Any thread. */
void vector_index_stats(VectorIndex *v, VectorIndexStats *ret);
