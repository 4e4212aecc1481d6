/* SPDX-License-Identifier: MIT */
#pragma once

/* Finding entries: by words (FTS5's BM25 over an entry's text and context), by vectors (cosine), or
 * by both, fused by their ranks. It runs in a pool thread with a reader of its own; done() comes on
 * the loop.
 *
 * Scores. text: BM25 (k1 1.2, b 0.75; text weighs twice as much as context) as s / (1 + s), between
 * 0 and 1. vector: cosine. hybrid: weighted reciprocal rank fusion (Cormack, Clarke and Büttcher,
 * SIGIR 2009), divided by what the first place in every list would give. Never a mean of raw
 * scores: they have no common scale. Equal scores are ordered by id, so an answer is the same each
 * time. */

#include "memory/filter.h"

enum {
        SEARCH_SCOPES_MAX = 3,
        SEARCH_LIMIT_MAX = 1000,
};

typedef enum SearchMode {
        SEARCH_TEXT,
        SEARCH_VECTOR,
        SEARCH_HYBRID,
} SearchMode;

/* Pointers must live until done(). */
typedef struct MemorySearch {
        MemoryScope scopes[SEARCH_SCOPES_MAX]; /* of one namespace */
        size_t n_scopes;
        const char *text;    /* NULL: none */
        const float *vector; /* passed vector_check(); NULL: none. At least one of the two */
        size_t n_vector;
        const char *model; /* that the vector is of */
        MemoryFilter filter;
        bool has_filter;
        size_t limit;
        double min_score;
        usec_t as_of; /* 0: now */
} MemorySearch;

typedef struct SearchHit {
        MemoryEntry entry;
        unsigned scope; /* which of the search's */
        double score;
        double bm25;                     /* of the text, above 0 */
        double cosine;                   /* of the vector */
        unsigned text_rank, vector_rank; /* from 1; 0: not among those found by it */
} SearchHit;

typedef struct SearchResult {
        const SearchHit *hits; /* best first */
        size_t n;
        SearchMode mode;
} SearchResult;

/* r: 0 or negative errno; result lives during the call. */
typedef void (*SearchDoneFn)(int r, const SearchResult *result, void *userdata);
/* 0 and done() will come; or -EAGAIN (too many wait), -ENOMEM; or MEMORY_E_MODEL: there is no
 * vector of this model and dimension to compare with. */
int memory_search(MemoryManager *m, const MemorySearch *search, SearchDoneFn done, void *userdata);
