/* SPDX-License-Identifier: MIT */

/* Searching by vectors: in the index, or in the rows when the past is asked for or the index is
 * still being made. The rows' way reads every vector of the scopes and keeps the best: it is what
 * the index is held against in the tests, and right by being simple. */

#include <math.h>

#include "memory/meaning.h"
#include "memory/memory-internal.h"

static bool is_wanted(const MeaningQuery *q, uint64_t id) {
        size_t low = 0, high = q->n_only;

        if (!q->only)
                return true;
        while (low < high) {
                size_t middle = low + (high - low) / 2;
                if (q->only[middle] < id)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low < q->n_only && q->only[low] == id;
}

static double cosine(const float *a, const float *b, size_t n) {
        double dot = 0, length = 0;

        for (size_t i = 0; i < n; i++) {
                dot += (double) a[i] * (double) b[i];
                length += (double) a[i] * (double) a[i];
        }
        return dot / sqrt(length);
}

/* Keeps the best, in order; equal ones by ascending id. */
static void keep(VectorHit *hits, size_t *n, size_t limit, VectorHit hit) {
        size_t i = *n;

        while (i > 0 && (hits[i - 1].score < hit.score ||
                         (!(hits[i - 1].score > hit.score) && hits[i - 1].id > hit.id)))
                i--;
        if (i >= limit)
                return;
        if (*n < limit)
                (*n)++;
        memmove(&hits[i + 1], &hits[i], (*n - 1 - i) * sizeof(*hits));
        hits[i] = hit;
}

static int search_rows(StoreReader *reader,
                       const MeaningQuery *q,
                       uint64_t model,
                       size_t dimensions,
                       MemoryScope scope,
                       VectorHit *hits,
                       size_t *n) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        float *vector = malloc(dimensions * sizeof(float));
        int r = vector ? STORE_QUERY(reader, &c, MEMORY_VECTORS_AS_OF, STORE_ID(scope.namespace_id),
                                     STORE_INT((int64_t) scope.id),
                                     STORE_INT((int64_t) (q->as_of ?: clock_realtime())),
                                     STORE_ID(model))
                       : -ENOMEM;

        while (r >= 0 && (r = store_next(c)) > 0) {
                size_t size = 0;
                const void *blob = store_blob(c, 1, &size);
                if (size != dimensions * sizeof(float) || !is_wanted(q, store_id(c, 0)))
                        continue;
                memcpy(vector, blob, size);
                keep(hits, n, q->limit,
                     (VectorHit){ store_id(c, 0), (float) cosine(q->vector, vector, dimensions) });
        }
        free(vector);
        return r;
}

static int search_index(const MeaningQuery *q,
                        VectorIndex *index,
                        size_t dimensions,
                        VectorHit *hits,
                        size_t *ret_n) {
        uint64_t segments[8];
        VectorQuery query = {
                .vector = q->vector,
                .n = dimensions,
                .scopes = segments,
                .n_scopes = q->n_scopes,
                .limit = q->limit,
                .min_score = -1,
                .only = q->only,
                .n_only = q->n_only,
        };

        assert(q->n_scopes <= ELEMENTSOF(segments));
        for (size_t i = 0; i < q->n_scopes; i++)
                segments[i] = memory_segment(q->scopes[i]);
        return vector_index_search(index, &query, hits, ret_n, NULL);
}

int meaning_search(StoreReader *reader, const MeaningQuery *q, VectorHit *hits, size_t *ret_n) {
        uint64_t id;
        size_t dimensions;
        VectorIndex *index = meaning_index(q->model, &id, &dimensions);
        int r = 0;

        *ret_n = 0;
        if (!q->exact && !q->as_of)
                return search_index(q, index, dimensions, hits, ret_n);
        for (size_t i = 0; r >= 0 && i < q->n_scopes; i++)
                r = search_rows(reader, q, id, dimensions, q->scopes[i], hits, ret_n);
        return r;
}
