/* SPDX-License-Identifier: MIT */

/* How many candidates 1-bit codes need depends on the vectors: for those that lie in clusters few,
 * for those that lie in all directions alike many. So the index is asked: some of its own vectors
 * are searched for exactly, and the places that the best ten of each have among the estimates tell
 * how far down candidates must be taken. Half of the queries are moved away from their vector,
 * since a question is never as near to its answer as the answer is. A fixed number was rejected:
 * measured on one set of vectors, it found 94 of 100 on another.
 *
 * It takes as long as some dozens of exact scans, in the thread that saves, each time that the
 * largest segment has doubled. */

#include <math.h>
#include <sodium.h>

#include "memory/vector-scan-internal.h"

enum {
        SAMPLES = 24,
        SAMPLES_LONG = 12, /* where a scan takes long */
        LONG = 500000,
        BEST = 10,
};

/* Ids spread over a segment that is to be tuned; n_alive 0: none is. */
typedef struct Sample {
        uint64_t scope;
        size_t n_alive, n;
        uint64_t ids[SAMPLES];
} Sample;

static uint64_t living_id(const VectorBlock *b, uint64_t clock) {
        for (unsigned slot = 0; slot < VECTOR_BLOCK; slot++)
                if (b->ids[slot] != 0 && vector_sees(b, slot, clock))
                        return b->ids[slot];
        return 0;
}

/* Under the lock. */
static const VectorSegment *next_to_tune(const VectorIndex *v) {
        size_t cursor = 0;
        void *value;

        while (map_next(v->segments, &cursor, &(uint64_t){ 0 }, &value)) {
                const VectorSegment *s = value;
                if (s->is_large && s->n_alive >= 2 * s->tuned_at)
                        return s;
        }
        return NULL;
}

/* Under the lock. */
static void take_sample(const VectorIndex *v, Sample *ret) {
        const VectorSegment *s = next_to_tune(v);

        *ret = (Sample){};
        if (!s)
                return;
        ret->scope = s->scope;
        ret->n_alive = s->n_alive;
        size_t n = s->n_alive > LONG ? SAMPLES_LONG : SAMPLES;
        /* the last block may have slots that are being written */
        for (size_t i = 0; i < n && s->n_blocks > 1; i++) {
                size_t at = i * (s->n_blocks - 1) / n;
                uint64_t id = living_id(s->list->entries[at].block, v->clock);
                if (id != 0)
                        ret->ids[ret->n++] = id;
        }
}

/* Adds a direction of its own that is nearly as long as the vector. */
static void move_away(float *numbers, unsigned dimensions, uint64_t random) {
        float size = 1.3F / sqrtf((float) dimensions);

        for (unsigned i = 0; i < dimensions; i++) {
                random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
                numbers[i] += size * ((float) (random >> 33) / (float) (UINT32_C(1) << 30) - 1);
        }
}

static int scan(VectorIndex *v, const VectorQuery *q, size_t keep, VectorFound *found) {
        _cleanup_(vector_scan_done) VectorScan s = {};
        int r = vector_scan_init(&s, v, q);

        if (r < 0)
                return r;
        s.keep1 = keep;
        r = vector_found_init(found, &s);
        if (r < 0)
                return r;
        vector_scan_blocks(&s, 0, s.n_blocks, found);
        return 0;
}

/* The place of the id in what the estimates say; one behind the last if it is not there. */
static size_t place_of(const VectorTop *estimates, uint64_t id) {
        for (size_t i = 0; i < estimates->n; i++)
                if (vector_candidate_id(&estimates->items[i]) == id)
                        return i + 1;
        return estimates->n + 1;
}

static bool has(const VectorTop *t, uint64_t id) {
        for (size_t i = 0; i < t->n; i++)
                if (vector_candidate_id(&t->items[i]) == id)
                        return true;
        return false;
}

/* Appends the places of the best of one query. */
static int look(VectorIndex *v, VectorQuery *q, uint64_t self, size_t *places, size_t *n) {
        _cleanup_(vector_found_done) VectorFound exact = {}, estimates = {};

        q->exact = true;
        int r = scan(v, q, 0, &exact);
        if (r < 0)
                return r;
        q->exact = false;
        r = scan(v, q, VECTOR_CANDIDATES_MAX, &estimates);
        if (r < 0)
                return r;
        vector_top_finish(&exact.exact);
        vector_top_finish(&estimates.codes1);
        vector_top_finish(&estimates.codes8);
        for (size_t i = 0, taken = 0; i < exact.exact.n && taken < BEST; i++) {
                uint64_t id = vector_candidate_id(&exact.exact.items[i]);
                if (id == self)
                        continue;
                taken++;
                /* those with int8 codes are found by these */
                if (!has(&estimates.codes8, id))
                        places[(*n)++] = place_of(&estimates.codes1, id);
        }
        return 0;
}

static int compare(const void *a, const void *b) {
        size_t x = *(const size_t *) a, y = *(const size_t *) b;

        return x < y ? -1 : x > y;
}

/* *ret stays what it is where nothing is learnt. */
static int tune(VectorIndex *v, const Sample *sample, unsigned *ret) {
        float numbers[VECTOR_DIMENSIONS_MAX];
        size_t places[SAMPLES * BEST], n = 0;

        for (size_t i = 0; i < sample->n; i++) {
                if (!vector_index_get(v, sample->ids[i], numbers))
                        continue;
                if (i % 2)
                        move_away(numbers, v->coder.dimensions, sample->ids[i]);
                VectorQuery q = {
                        .vector = numbers,
                        .n = v->coder.dimensions,
                        .scopes = &sample->scope,
                        .n_scopes = 1,
                        .limit = BEST + 1,
                        .min_score = -1,
                };
                int r = look(v, &q, sample->ids[i], places, &n);
                /* it may be erased next */
                sodium_memzero(numbers, sizeof(numbers));
                if (r < 0)
                        return r;
        }
        if (n == 0)
                return 0;
        qsort(places, n, sizeof(*places), compare);
        /* what is true of a sample may be a little worse for the rest */
        size_t wanted = places[n - 1 - n / 200] * 5 / 4;
        wanted = MIN(MAX(wanted, (size_t) VECTOR_CANDIDATES_MIN), (size_t) VECTOR_CANDIDATES_MAX);
        *ret = (unsigned) wanted;
        return 0;
}

int vector_tune(VectorIndex *v) {
        for (;;) {
                unsigned candidates = VECTOR_CANDIDATES;
                Sample sample;

                (void) pthread_mutex_lock(&v->lock);
                take_sample(v, &sample);
                (void) pthread_mutex_unlock(&v->lock);
                if (sample.n_alive == 0)
                        return 0;
                int r = tune(v, &sample, &candidates);
                if (r < 0)
                        return r;
                (void) pthread_mutex_lock(&v->lock);
                VectorSegment *s = map_get(v->segments, sample.scope);
                if (s) {
                        s->candidates = candidates;
                        s->tuned_at = sample.n_alive;
                }
                (void) pthread_mutex_unlock(&v->lock);
        }
}
